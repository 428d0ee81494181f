import { Socket } from "node:net";
import { isAbsolute } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { ReadStream } from "node:tty";
import { cells, must, variablesOf, wordsOf } from "./check";
import { BvisorError, CommandNotExecutable, CommandNotFound, WorkingDirectoryError } from "./errors";
import { addon, call, holding, type Handle } from "./native";
import type { Sandbox } from "./sandbox";
import { signalName, signalNumber, type LimitInfo } from "./types";

/** What a command of a sandbox is started with. */
export interface CommandOptions {
	/** Directory of the sandbox, as seen from the default: that of the sandbox, else this process's. */
	cwd?: string;
	/** Added to what it gets anyway: this process's environment, without keys of S3, and the sandbox's. `undefined` takes a variable away. */
	env?: Record<string, string | undefined>;
	/** Start from an empty environment. */
	clearEnv?: boolean;
}

/** "pipe": a stream of the process object; "inherit": this process's own; "ignore": /dev/null; or a descriptor. */
export type Stdio = "pipe" | "inherit" | "ignore" | number;

export interface SpawnOptions extends CommandOptions {
	stdin?: Stdio;
	stdout?: Stdio;
	stderr?: Stdio;
	/** It goes on after the sandbox is closed (of one that is kept). */
	detach?: boolean;
}

export interface PtyOptions extends CommandOptions {
	/** A program and its arguments; text is given to bash. Default: an interactive bash. */
	command?: string | readonly string[];
	rows?: number;
	cols?: number;
}

/** How a command ended. */
export interface ProcessEnd {
	/** `null` if a signal ended it. */
	exitCode: number | null;
	signal: string | null;
	coreDumped: boolean;
	/** What went wrong in the sandbox beside the command, for people: a limit was reached, a file could not be fetched. */
	remark: string | null;
	/** The limits of the sandbox, with the hits since this command was started. */
	limits: LimitInfo[];
}

/** @internal Streams that are open, which whoever closes the sandbox gives up. It must not refer to the sandbox. */
export class Streams {
	readonly #open = new Set<Socket>();

	add<T extends Socket>(socket: T): T {
		this.#open.add(socket);
		socket.once("close", () => this.#open.delete(socket));
		return socket;
	}

	/** The commands are gone: nobody reads what is written, and what nobody reads is dropped, so that each stream sees its end and closes. */
	giveUp(): void {
		for (const socket of this.#open) {
			if (socket.readableFlowing === null) socket.resume();
			if (socket.writable) socket.destroy();
		}
	}
}

const noStream: Record<"inherit" | "ignore" | "pipe", number> = { inherit: -1, ignore: -2, pipe: -3 };

function numberOf(stdio: Stdio | undefined): number {
	return typeof stdio === "number" ? stdio : noStream[stdio ?? "pipe"];
}

/** @internal What a command gets as its environment. */
export function environment(sandbox: Sandbox, options: CommandOptions): string[] {
	if (options.env) variablesOf(options.env);
	const all: Record<string, string | undefined> = {};
	if (!options.clearEnv) for (const [name, value] of Object.entries(process.env)) if (!addon.withholds(name)) all[name] = value;
	for (const variable of sandbox.variables) {
		const equals = variable.indexOf("=");
		all[variable.slice(0, equals)] = variable.slice(equals + 1);
	}
	Object.assign(all, options.env);
	return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}

function directory(sandbox: Sandbox, options: CommandOptions): string | undefined {
	try {
		if (options.cwd !== undefined && isAbsolute(options.cwd)) return options.cwd;
		const from = sandbox.cwd ?? process.cwd();
		return options.cwd === undefined ? from : `${from}/${options.cwd}`; /* ".." after a symbolic link is the kernel's to resolve */
	} catch {
		return options.cwd; /* this process's was deleted, which the library can deal with */
	}
}

/** The library tells the reason alone. */
function startError(error: unknown, argv: readonly string[], cwd: string | undefined): unknown {
	if (!(error instanceof BvisorError)) return error;
	const { errno, code, stage, message } = error;
	const failure = (text: string) => ({ errno, code, stage, message: text });
	if (error instanceof CommandNotFound) return new CommandNotFound(failure(`${argv[0]}: ${message}; is it installed, and in the PATH of the sandbox?`));
	if (error instanceof CommandNotExecutable) return new CommandNotExecutable(failure(`${argv[0]}: ${message}; is it a program, and executable?`));
	if (error instanceof WorkingDirectoryError) return new WorkingDirectoryError(failure(`cannot start in ${cwd ?? "the current directory"}: ${message}; cwd starts it elsewhere`));
	return error;
}

interface RawEnd extends Omit<ProcessEnd, "signal"> {
	signal: number;
}

async function endOf(handle: Handle): Promise<ProcessEnd> {
	const { value } = await call<RawEnd>("process.wait", handle);
	return { ...value, exitCode: value.signal ? null : value.exitCode, signal: signalName(value.signal) };
}

/** @internal Starts a command; what is not in the options is /dev/null. */
export async function start(sandbox: Sandbox, argv: readonly string[], options: CommandOptions & { detach?: boolean }, more: object): Promise<Started> {
	const args = { argv, env: environment(sandbox, options), cwd: directory(sandbox, options), detach: options.detach, ...more };
	const { value, handle, fds } = await call<{ pid: number }>("spawn", sandbox.handle, args).catch((error) => Promise.reject(startError(error, argv, args.cwd)));
	if (!handle) throw new BvisorError({ errno: -71, code: "EPROTO", message: "bvisor: the addon gave no process", stage: "" });
	return { pid: value.pid, handle, fds };
}

/** @internal */
export interface Started {
	pid: number;
	handle: Handle;
	fds: [number, number, number];
}

/** What all kinds of commands have. Its end is waited for from the beginning, by nothing that would keep the sandbox from being collected. */
class Running {
	/** The process id, as the host sees it, too. */
	readonly pid: number;
	readonly command: readonly string[];
	readonly #handle: Handle;
	readonly #sandbox: Sandbox; /* as long as this object is in use, the sandbox is */
	readonly #end: Promise<ProcessEnd>;
	readonly #state: { end?: ProcessEnd } = {};

	/** @internal */
	constructor(sandbox: Sandbox, command: readonly string[], started: Started) {
		this.pid = started.pid;
		this.command = command;
		this.#handle = started.handle;
		this.#sandbox = sandbox;
		const state = this.#state;
		this.#end = endOf(started.handle);
		this.#end.then(
			(end) => (state.end = end),
			() => undefined /* told by wait() */,
		);
	}

	/** How it ended; `null` as long as it runs. */
	get ended(): ProcessEnd | null {
		return this.#state.end ?? null;
	}

	/** Waits for its end. May be called again. */
	async wait(): Promise<ProcessEnd> {
		const end = await holding(this.#end);
		void this.#sandbox;
		return end;
	}

	/** Sends a signal to its process group. `false`: it has ended. */
	async kill(signal: NodeJS.Signals | number = "SIGTERM"): Promise<boolean> {
		try {
			await call("process.kill", this.#handle, { signal: signalNumber(signal) });
			return true;
		} catch (error) {
			if (error instanceof BvisorError && (error.code === "ESRCH" || error.code === "EBADF")) return false;
			throw error;
		}
	}

	/** @internal */
	async resizeTerminal(rows: number, cols: number): Promise<void> {
		must("rows", rows, cells);
		must("cols", cols, cells);
		await call("process.resize", this.#handle, { rows, cols });
	}

	/** Kills it, and waits for its end. */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.kill("SIGKILL");
		await this.wait().catch(() => undefined);
	}
}

/** A pipe: nothing is read before somebody listens, so that an unread stream does not keep the event loop going. */
function pipe(streams: Streams, fd: number, readable: boolean): Socket | null {
	if (fd < 0) return null;
	const options = { fd, readable, writable: !readable, manualStart: true };
	return streams.add(new Socket(options));
}

/** A command that runs beside the program; see {@link Sandbox.spawn}. */
export class Process extends Running {
	/** `null` where it is no "pipe". */
	readonly stdin: Writable | null;
	readonly stdout: Readable | null;
	readonly stderr: Readable | null;

	/** @internal */
	constructor(sandbox: Sandbox, command: readonly string[], started: Started) {
		super(sandbox, command, started);
		this.stdin = pipe(sandbox.streams, started.fds[0], false);
		this.stdout = pipe(sandbox.streams, started.fds[1], true);
		this.stderr = pipe(sandbox.streams, started.fds[2], true);
	}

	/** @internal */
	static async start(sandbox: Sandbox, text: string | readonly string[], options: SpawnOptions): Promise<Process> {
		const command = wordsOf(text);
		const stdio = { stdin: numberOf(options.stdin), stdout: numberOf(options.stdout), stderr: numberOf(options.stderr) };
		return new Process(sandbox, command, await start(sandbox, command, options, stdio));
	}
}

/** The master of the terminal as a stream that ends where the kernel says EIO: nobody has the other side open any more. */
function terminalOutput(terminal: ReadStream): Readable {
	const output = new PassThrough();
	terminal.pipe(output);
	terminal.on("error", (error: NodeJS.ErrnoException) => (error.code === "EIO" ? output.end() : output.destroy(error)));
	terminal.on("close", () => output.end());
	return output;
}

/** A command on a terminal of its own; see {@link Sandbox.pty}. Iterating over it gives what it writes. */
export class Pty extends Running {
	/** What it writes, with the control sequences for a terminal. */
	readonly output: Readable;
	readonly #terminal: ReadStream;

	/** @internal */
	constructor(sandbox: Sandbox, command: readonly string[], started: Started) {
		super(sandbox, command, started);
		this.#terminal = sandbox.streams.add(new ReadStream(started.fds[0]));
		this.output = terminalOutput(this.#terminal);
	}

	/** @internal */
	static async start(sandbox: Sandbox, options: PtyOptions): Promise<Pty> {
		const { command = ["bash"], rows = 24, cols = 80 } = options;
		const argv = wordsOf(command);
		const withTerm = { ...options, env: { TERM: process.env["TERM"] ?? "xterm-256color", ...options.env } };
		return new Pty(sandbox, argv, await start(sandbox, argv, withTerm, { terminal: true, rows, cols }));
	}

	/** Types this. Resolves when it is handed over to the terminal. */
	write(data: string | Uint8Array): Promise<void> {
		return new Promise((resolve, reject) => this.#terminal.write(data, (error) => (error ? reject(error) : resolve())));
	}

	/** The window has another size now: the command is told by SIGWINCH. */
	resize(rows: number, cols: number): Promise<void> {
		return this.resizeTerminal(rows, cols);
	}

	[Symbol.asyncIterator](): AsyncIterator<Buffer> {
		return this.output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
	}
}
