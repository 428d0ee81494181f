/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Commands on a copy-on-write view of this machine: see {@link Sandbox}.
 *
 * @packageDocumentation
 */
import "./symbols";

export {
	BvisorError,
	CommandFailed,
	CommandNotExecutable,
	CommandNotFound,
	CommandTimeout,
	FileError,
	InvalidArgument,
	LimitError,
	OutputLimitExceeded,
	SandboxBusy,
	SandboxClosed,
	SandboxExists,
	SandboxNotFound,
	SnapshotKeyError,
	SnapshotNotFound,
	SupervisorDied,
	WorkingDirectoryError,
} from "./errors";
export { Files, Watch, type WatchEvent, type WriteOptions } from "./files";
export { Network, type Denied, type NetworkMode } from "./network";
export { Process, Pty, type CommandOptions, type ProcessEnd, type PtyOptions, type SpawnOptions, type Stdio } from "./process";
export { RunResult, type OutputEncoding, type RunOptions } from "./run";
export { Sandbox, version, type CreateOptions, type ForkOptions, type ProcessInfo, type RestoreOptions, type SandboxInfo, type SnapshotInfo, type SnapshotOptions } from "./sandbox";
export type { ApplyItem, Change, ChangeKind, FileInfo, FileType, KeyOptions, LimitInfo, Limits, Size, Snapshot } from "./types";
