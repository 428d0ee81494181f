// The same objects as for require(): there is one state of the package in a process, however it is loaded.
import bvisor from "./index.js";

export const {
	BvisorError,
	CommandFailed,
	CommandNotFound,
	CommandTimeout,
	Files,
	LimitError,
	Network,
	Process,
	Pty,
	RunResult,
	Sandbox,
	SandboxClosed,
	SandboxExists,
	SandboxNotFound,
	SnapshotNotFound,
	Watch,
	version,
} = bvisor;
