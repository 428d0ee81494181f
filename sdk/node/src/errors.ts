import type { RunResult } from "./run";

/** What the addon rejects with. */
export interface Failure {
	errno: number;
	code: string;
	message: string;
	stage: string;
}

/** Everything that this package throws: the message names the thing, the reason and the way out. */
export class BvisorError extends Error {
	/** Name of the system error, such as "ENOENT". */
	readonly code: string;
	/** The negative number of it, as in node's own errors. */
	readonly errno: number;
	/** What failed where that matters: "exec" (the command itself), "cwd" (its directory), else "". */
	readonly stage: string;

	/** @internal */
	constructor(failure: Failure) {
		super(failure.message);
		this.name = new.target.name;
		this.code = failure.code;
		this.errno = failure.errno;
		this.stage = failure.stage;
	}
}

/** An argument, option or name that cannot be right. */
export class InvalidArgument extends BvisorError {}
/** There is no sandbox of that name. */
export class SandboxNotFound extends BvisorError {}
/** There is one of that name already. */
export class SandboxExists extends BvisorError {}
/** Its commands, or another program that uses it, are in the way. */
export class SandboxBusy extends BvisorError {}
/** The process that serves the sandbox has died, and its commands with it. */
export class SupervisorDied extends BvisorError {}
/** The object was closed, or is being closed. */
export class SandboxClosed extends BvisorError {}
/** There is no snapshot of that name or number. */
export class SnapshotNotFound extends BvisorError {}
/** The place of snapshots is encrypted, and the key is missing or another one. */
export class SnapshotKeyError extends BvisorError {}
/** The command does not exist in the sandbox. */
export class CommandNotFound extends BvisorError {}
/** It is there, but cannot be executed. */
export class CommandNotExecutable extends BvisorError {}
/** The command cannot be started in this directory. */
export class WorkingDirectoryError extends BvisorError {}
/** An operation of {@link Files}; `code` says what is wrong, as in node:fs. */
export class FileError extends BvisorError {}
/** A limit cannot be enforced here, or is above what the host has. */
export class LimitError extends BvisorError {}

/** A command ended otherwise than with exit code 0; thrown with `check: true`. */
export class CommandFailed extends BvisorError {
	/** All that is known of the command. */
	readonly result: RunResult<string | Buffer>;

	/** @internal */
	constructor(message: string, result: RunResult<string | Buffer>, code = "ECHILD", errno = -10) {
		super({ errno, code, message, stage: "" });
		this.result = result;
	}
}

/** It ran longer than its `timeout`; thrown with `check: true`. */
export class CommandTimeout extends CommandFailed {
	/** @internal */
	constructor(message: string, result: RunResult<string | Buffer>) {
		super(message, result, "ETIMEDOUT", -110);
	}
}

/** It wrote more than its `outputLimit`; thrown with `check: true`. */
export class OutputLimitExceeded extends CommandFailed {
	/** @internal */
	constructor(message: string, result: RunResult<string | Buffer>) {
		super(message, result, "EFBIG", -27);
	}
}

const ofCode: Record<string, typeof BvisorError> = { EINVAL: InvalidArgument, EBUSY: SandboxBusy, ECONNRESET: SupervisorDied, ENOKEY: SnapshotKeyError };
const ofOperation: Record<string, Record<string, typeof BvisorError>> = {
	create: { EEXIST: SandboxExists },
	open: { ENOENT: SandboxNotFound },
	restore: { ENOENT: SnapshotNotFound, EEXIST: SandboxExists },
	"snapshot.fork": { ENOENT: SnapshotNotFound, EEXIST: SandboxExists },
	spawn: { EOPNOTSUPP: LimitError, ERANGE: LimitError },
};

/** @internal The error for what the addon rejected an operation with. */
export function errorOf(operation: string, failure: Failure): BvisorError {
	if (failure.code === "EBADF" && failure.message === "the sandbox is closed") return new SandboxClosed(failure);
	if (failure.stage === "exec") return new (failure.code === "ENOENT" ? CommandNotFound : CommandNotExecutable)(failure);
	if (failure.stage === "cwd") return new WorkingDirectoryError(failure);
	const about = /^(file|watch)\./.test(operation) && !["ECONNRESET", "ENOKEY"].includes(failure.code) ? FileError : undefined;
	return new (ofOperation[operation]?.[failure.code] ?? about ?? ofCode[failure.code] ?? BvisorError)(failure);
}

/** @internal An argument that cannot be right. */
export function invalid(message: string): InvalidArgument {
	return new InvalidArgument({ errno: -22, code: "EINVAL", message, stage: "" });
}
