import { finished, Readable, type Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { abortSignal, callback, encoding, flag, milliseconds, mustBeOptions, object, size, text, wordsOf, type Check } from "./check";
import { CommandFailed, CommandTimeout, invalid, OutputLimitExceeded } from "./errors";
import { Process, type CommandOptions, type ProcessEnd } from "./process";
import type { Sandbox } from "./sandbox";
import { bytesOf, type Change, type LimitInfo, type Size } from "./types";

/** "buffer": bytes; else text. */
export type OutputEncoding = BufferEncoding | "buffer";

export interface RunOptions<T extends string | Buffer = string> extends CommandOptions {
	/** What it reads; default: nothing. The error of a stream ends the command, and is what the promise is rejected with. */
	stdin?: string | Uint8Array | Readable;
	/** Milliseconds, after which it is killed: `timedOut`, or {@link CommandTimeout} with `check`. */
	timeout?: number;
	/** Bytes of stdout and stderr together, beyond which it is killed: `outputLimited`. */
	outputLimit?: Size;
	/** Throw {@link CommandFailed}, or one of its subclasses, if it does not end with exit code 0. */
	check?: boolean;
	/** Called with each piece of output as it comes. If it throws, the command is killed. A promise that it returns is waited for, in the end. */
	onStdout?: (chunk: T) => void;
	onStderr?: (chunk: T) => void;
	/** Kills the command; the promise is rejected with its reason. */
	signal?: AbortSignal;
	/** Default: "utf8". */
	encoding?: OutputEncoding;
}

/** How a command ended, and what it wrote. */
export class RunResult<T extends string | Buffer = string> {
	readonly command: readonly string[];
	readonly stdout: T;
	readonly stderr: T;
	/** `null` if a signal ended it. */
	readonly exitCode: number | null;
	/** Such as "SIGKILL"; `null` if it ended by itself. */
	readonly signal: string | null;
	/** Milliseconds. */
	readonly duration: number;
	/** It was killed as its `timeout` had passed. */
	readonly timedOut: boolean;
	/** It was killed as it wrote more than `outputLimit`, which is what was kept. */
	readonly outputLimited: boolean;
	/** What went wrong in the sandbox beside the command, for people. */
	readonly remark: string | null;
	/** The limits of the sandbox, with the hits since this command was started. */
	readonly limits: readonly LimitInfo[];
	readonly #sandbox: Sandbox;
	#changes: Promise<Change[]> | undefined;

	/** @internal */
	constructor(sandbox: Sandbox, command: readonly string[], end: ProcessEnd, told: Pick<RunResult<T>, "stdout" | "stderr" | "duration" | "timedOut" | "outputLimited">) {
		this.#sandbox = sandbox;
		this.command = command;
		this.stdout = told.stdout;
		this.stderr = told.stderr;
		this.exitCode = end.exitCode;
		this.signal = end.signal;
		this.duration = told.duration;
		this.timedOut = told.timedOut;
		this.outputLimited = told.outputLimited;
		this.remark = end.remark;
		this.limits = end.limits;
	}

	/** It ended by itself, with exit code 0. */
	get ok(): boolean {
		return this.exitCode === 0 && !this.timedOut && !this.outputLimited;
	}

	/** What differs between the sandbox and the host when this is first called, whichever command changed it. */
	changes(): Promise<Change[]> {
		const asked = (this.#changes ??= this.#sandbox.diff());
		asked.catch(() => (this.#changes = undefined)); /* ask again */
		return asked;
	}
}

/** How long output may still come when the command has ended, but somebody whom it has started keeps its stdout or stderr open: what it wrote itself is there already. */
const SILENCE_MS = 250;
/** The same when it was killed, where the last output is of less interest. */
const KILLED_MS = 200;
/** More than this setTimeout takes for nothing at all. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** On its own, as the stream may live longer than all that a function beside the collector's could see: the sandbox with it. */
function endOf(stream: Readable): Promise<void> {
	return new Promise((resolve) => finished(stream, { writable: false }, () => resolve()));
}

class Collector<T extends string | Buffer> {
	readonly done: Promise<void>;
	readonly #chunks: Buffer[] = [];
	readonly #decoder: StringDecoder | null;
	readonly #encoding: BufferEncoding | null;
	readonly #callback: ((chunk: T) => unknown) | undefined;
	readonly #fail: (error: unknown) => void;
	/** All that callbacks have promised. */
	answered: Promise<unknown> = Promise.resolve();
	readonly stream: Readable;
	lastData = 0;

	/** `room` says how much of a piece may be kept; `fail` hears what the callback throws. */
	constructor(stream: Readable, encoding: OutputEncoding, callback: ((chunk: T) => void) | undefined, room: (bytes: number) => number, fail: (error: unknown) => void) {
		this.stream = stream;
		this.#encoding = encoding === "buffer" ? null : encoding;
		this.#decoder = this.#encoding && callback ? new StringDecoder(this.#encoding) : null;
		this.#callback = callback;
		this.#fail = fail;
		stream.on("data", (chunk: Buffer) => {
			this.lastData = performance.now();
			const kept = chunk.subarray(0, room(chunk.length));
			if (kept.length === 0) return;
			this.#chunks.push(kept);
			try {
				this.#tell(this.#decoder ? this.#decoder.write(kept) : kept);
			} catch (error) {
				fail(error);
			}
		});
		this.done = endOf(stream);
	}

	#tell(chunk: string | Buffer): void {
		if (chunk.length === 0) return;
		const answer = this.#callback?.(chunk as T);
		if (!(answer instanceof Object && "then" in answer)) return;
		const settled = Promise.resolve(answer).catch(this.#fail);
		this.answered = this.answered.then(() => settled);
	}

	/** What was written. What comes later is read, so that nobody is hindered, and dropped; it does not keep the event loop going. */
	take(): T {
		this.stream.removeAllListeners("data").resume();
		if (!this.stream.destroyed) (this.stream as Readable & { unref?: () => void }).unref?.();
		if (this.#decoder) this.#tell(this.#decoder.end());
		const all = Buffer.concat(this.#chunks);
		return (this.#encoding ? all.toString(this.#encoding) : all) as T;
	}
}

/** What the command does not read is no error: it may end, or close its stdin, when it likes. What cannot be read for it is one. Returns how to stop. */
function feed(stdin: Writable | null, input: RunOptions["stdin"], fail: (error: unknown) => void): () => void {
	if (!stdin) return () => undefined;
	stdin.on("error", () => undefined);
	if (!(input instanceof Readable)) {
		stdin.end(input);
		return () => undefined;
	}
	const resume = (): void => void input.resume();
	const take = (chunk: unknown): void => { /* pipe() would throw out of the event loop what write() does not like */
		if (typeof chunk !== "string" && !ArrayBuffer.isView(chunk)) fail(invalid(`stdin: its stream gave neither text nor bytes, but ${typeof chunk === "object" ? "an object" : String(chunk)}`));
		else if (!stdin.write(chunk)) input.pause();
	};
	input.on("error", () => undefined); /* also later */
	const forget = finished(input, { writable: false }, (error) => (error ? fail(error) : stdin.end()));
	stdin.on("drain", resume);
	input.on("data", take);
	return () => {
		forget();
		stdin.off("drain", resume);
		input.off("data", take).pause();
	};
}

/** A command with all that can end it early. */
class Run<T extends string | Buffer> {
	timedOut = false;
	outputLimited = false;
	error: unknown;
	failed = false;
	readonly #options: RunOptions<T>;
	readonly #process: Process;
	readonly #limit: number;
	#written = 0;
	#killed = false;

	constructor(process: Process, options: RunOptions<T>) {
		this.#process = process;
		this.#options = options;
		this.#limit = limitOf(options.outputLimit);
	}

	#kill(): void {
		this.#killed = true;
		void this.#process.kill("SIGKILL").catch(() => undefined); /* then its end is not far either */
	}

	#fail = (error: unknown): void => {
		if (!this.failed) this.error = error;
		this.failed = true;
		this.#kill();
	};

	#room = (bytes: number): number => {
		const room = Math.min(bytes, this.#limit - this.#written);
		this.#written += room;
		if (room < bytes && !this.outputLimited) {
			this.outputLimited = true;
			this.#kill();
		}
		return room;
	};

	/** Output until everybody has closed it, or it is silent; see above. */
	async #drain(collectors: Collector<T>[]): Promise<void> {
		const closed = Promise.all(collectors.map((c) => c.done)).then(() => true);
		const ended = performance.now();
		const wait = this.#killed ? KILLED_MS : SILENCE_MS;
		let looked = false;
		for (;;) {
			const since = this.#killed ? ended : Math.max(ended, ...collectors.map((c) => c.lastData));
			const left = since + wait - performance.now();
			if (looked && left <= 0) return;
			looked = true;
			let timer: NodeJS.Timeout | undefined;
			/* Only after the loop has looked once more for what is there to read: it may have been busy all the time. */
			const quiet = new Promise<boolean>((resolve) => (timer = setTimeout(() => setImmediate(resolve, false), Math.max(left, 0))));
			const all = await Promise.race([closed, quiet]);
			clearTimeout(timer);
			if (all) return;
		}
	}

	async finish(): Promise<{ end: ProcessEnd; stdout: T; stderr: T }> {
		const { encoding = "utf8", onStdout, onStderr, signal, timeout } = this.#options;
		const { stdout, stderr } = this.#process as Process & { stdout: Readable; stderr: Readable };
		const collectors = [
			new Collector<T>(stdout, encoding, onStdout, this.#room, this.#fail),
			new Collector<T>(stderr, encoding, onStderr, this.#room, this.#fail),
		];
		const abort = (): void => this.#fail(signal?.reason);
		const expire = (): void => {
			this.timedOut = true;
			this.#kill();
		};
		const timer = timeout === undefined ? undefined : setTimeout(expire, Math.min(timeout, MAX_TIMER_MS));
		signal?.addEventListener("abort", abort, { once: true });
		if (signal?.aborted) abort();
		const stopFeeding = feed(this.#process.stdin, this.#options.stdin, this.#fail);
		try {
			const end = await this.#process.wait();
			clearTimeout(timer); /* it has made it */
			stopFeeding();
			await this.#drain(collectors);
			const outputs = { stdout: collectors[0]!.take(), stderr: collectors[1]!.take() };
			await Promise.all(collectors.map((c) => c.answered));
			return { end, ...outputs };
		} finally {
			clearTimeout(timer);
			stopFeeding();
			signal?.removeEventListener("abort", abort);
			this.#process.stdin?.destroy();
		}
	}
}

function failure(result: RunResult<string | Buffer>, timeout: number | undefined): CommandFailed {
	const command = result.command.join(" ");
	const shown = command.length > 200 ? `${command.slice(0, 200)}...` : command;
	const how = result.timedOut
		? `did not end within ${timeout} ms`
		: result.outputLimited
			? "wrote more than its output limit"
			: result.signal
				? `was ended by ${result.signal}`
				: `ended with exit code ${result.exitCode}`;
	const said = result.stderr.toString().trimEnd().slice(-2000);
	const text = [`'${shown}' ${how}`, said, result.remark ?? ""].filter((part) => part !== "").join("\n");
	return new (result.timedOut ? CommandTimeout : result.outputLimited ? OutputLimitExceeded : CommandFailed)(text, result);
}

function limitOf(limit: Size | undefined): number {
	return limit === Infinity ? limit : (bytesOf("outputLimit", limit, 0) ?? Infinity);
}

const inputs: Check = {
	is: (value) => value === null || typeof value === "string" || ArrayBuffer.isView(value) || value instanceof Readable,
	what: "text, a Uint8Array or a Readable (Readable.from() makes one of what can be iterated over)",
};
const checks: Record<keyof RunOptions, Check> = {
	...{ cwd: text, env: object, clearEnv: flag, stdin: inputs, timeout: milliseconds, outputLimit: size, check: flag },
	...{ onStdout: callback, onStderr: callback, signal: abortSignal, encoding },
};

/** @internal See {@link Sandbox.run}. */
export async function run<T extends string | Buffer>(sandbox: Sandbox, words: string | readonly string[], options: RunOptions<T>): Promise<RunResult<T>> {
	mustBeOptions<RunOptions<T>>(options, checks);
	limitOf(options.outputLimit);
	const command = wordsOf(words);
	options.signal?.throwIfAborted();
	const begun = performance.now();
	const stdin = options.stdin === undefined || options.stdin === null ? "ignore" : "pipe";
	const process = await Process.start(sandbox, command, { ...options, stdin, stdout: "pipe", stderr: "pipe" });
	const state = new Run<T>(process, options);
	const { end, stdout, stderr } = await state.finish();
	if (state.failed) throw state.error;
	const { timedOut, outputLimited } = state;
	const result = new RunResult<T>(sandbox, command, end, { stdout, stderr, duration: performance.now() - begun, timedOut, outputLimited });
	if (options.check && !result.ok) throw failure(result, options.timeout);
	return result;
}
