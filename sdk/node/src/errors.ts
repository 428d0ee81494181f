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

/** There is no sandbox of that name. */
export class SandboxNotFound extends BvisorError {}
/** There is one of that name already. */
export class SandboxExists extends BvisorError {}
/** The object was closed, or is being closed. */
export class SandboxClosed extends BvisorError {}
/** There is no snapshot of that name or number. */
export class SnapshotNotFound extends BvisorError {}
/** The command does not exist in the sandbox. */
export class CommandNotFound extends BvisorError {}
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

const ofOperation: Record<string, Record<string, typeof BvisorError>> = {
	create: { EEXIST: SandboxExists },
	open: { ENOENT: SandboxNotFound },
	restore: { ENOENT: SnapshotNotFound, EEXIST: SandboxExists },
	"snapshot.fork": { ENOENT: SnapshotNotFound },
	spawn: { EOPNOTSUPP: LimitError, ERANGE: LimitError },
};

/** @internal The error for what the addon rejected an operation with. */
export function errorOf(operation: string, failure: Failure): BvisorError {
	if (failure.code === "EBADF" && failure.message === "the sandbox is closed") return new SandboxClosed(failure);
	if (failure.code === "ENOENT" && failure.stage === "exec") return new CommandNotFound(failure);
	return new (ofOperation[operation]?.[failure.code] ?? BvisorError)(failure);
}

/** @internal An argument that cannot be right. */
export function invalid(message: string): BvisorError {
	return new BvisorError({ errno: -22, code: "EINVAL", message, stage: "" });
}
