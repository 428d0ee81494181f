import * as posix from "node:path/posix";
import { flag, must, mustBeOptions, permissions, text, type Check } from "./check";
import { BvisorError, FileError, invalid } from "./errors";
import { call, type Handle } from "./native";
import type { Sandbox } from "./sandbox";
import { withType, type FileInfo, type RawEntry } from "./types";

export interface WriteOptions {
	/** At the end of what is there. */
	append?: boolean;
	/** Fail with "EEXIST" if it is there. */
	exclusive?: boolean;
	/** Make missing directories above. */
	parents?: boolean;
	/** Permissions of a new file, less the umask; default 0o666. */
	mode?: number;
}

/** What happened to something that is watched. */
export interface WatchEvent {
	path: string;
	/** Of a rename within what is watched. */
	oldPath: string | null;
	/** One or more of them; "overflow": there were too many events, and some are lost. */
	what: ("created" | "modified" | "removed" | "renamed" | "attributes" | "overflow")[];
}

/** Events since {@link Files.watch}: an async iterator, which ends when it is closed or what is watched has gone. */
export class Watch implements AsyncIterableIterator<WatchEvent> {
	readonly #handle: Handle;
	readonly #sandbox: Sandbox; /* stays as long as somebody watches */
	#events: WatchEvent[] = [];
	#next: Promise<WatchEvent[]> | null = null;
	#closed = false;

	/** @internal */
	constructor(sandbox: Sandbox, handle: Handle) {
		this.#sandbox = sandbox;
		this.#handle = handle;
	}

	async #fetch(): Promise<WatchEvent[]> {
		try {
			return (await call<WatchEvent[]>("watch.next", this.#handle)).value;
		} catch (error) {
			const over = error instanceof BvisorError && (error.code === "ENOENT" || error.code === "EBADF" || (this.#closed && error.code === "ECANCELED"));
			if (over) return [];
			throw error;
		} finally {
			void this.#sandbox;
		}
	}

	/** Each event is for one of those who wait. */
	async #more(): Promise<WatchEvent[]> {
		try {
			const events = await this.#fetch();
			this.#events = this.#events.concat(events);
			return events;
		} finally {
			this.#next = null;
		}
	}

	async next(): Promise<IteratorResult<WatchEvent>> {
		while (this.#events.length === 0 && !this.#closed) {
			this.#next ??= this.#more();
			if ((await this.#next).length === 0) await this.close();
		}
		const event = this.#events.shift();
		return event ? { value: event, done: false } : { value: undefined, done: true };
	}

	async return(): Promise<IteratorResult<WatchEvent>> {
		await this.close();
		return { value: undefined, done: true };
	}

	/** Ends the watch, and with it every `next` that waits. */
	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		try {
			await call("watch.stop", this.#handle);
			await this.#next?.catch(() => undefined);
			await call("watch.close", this.#handle);
		} catch (error) {
			if (!(error instanceof BvisorError && error.code === "EBADF")) throw error; /* the sandbox was faster */
		}
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}

const recursive: { recursive: Check } = { recursive: flag };

function bytesOfData(data: unknown): Uint8Array {
	if (typeof data === "string") return Buffer.from(data);
	if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
	throw invalid("data: text or bytes (a Uint8Array) are wanted");
}

function infoOf(raw: RawEntry): FileInfo {
	return withType(raw);
}

/** Files of a sandbox, as a command in it would see and change them: with its rules, limits and errors. Paths are absolute. */
export class Files {
	readonly #sandbox: Sandbox;

	/** @internal */
	constructor(sandbox: Sandbox) {
		this.#sandbox = sandbox;
	}

	async #call<T>(operation: string, args: { path: string; to?: string }, bytes?: Uint8Array): Promise<T> {
		must("path", args.path, text);
		if ("to" in args) must("to", args.to, text);
		return (await call<T>(operation, this.#sandbox.handle, args, bytes)).value;
	}

	/** All of a file. Symbolic links are followed. */
	async read(path: string): Promise<Buffer> {
		must("path", path, text);
		return (await call("file.read", this.#sandbox.handle, { path })).bytes as Buffer;
	}

	/** The same as text. */
	async readText(path: string, encoding: BufferEncoding = "utf8"): Promise<string> {
		return (await this.read(path)).toString(encoding);
	}

	/** Makes a file of these contents, or replaces those that it has. */
	async write(path: string, data: string | Uint8Array, options: WriteOptions = {}): Promise<void> {
		mustBeOptions(options, { append: flag, exclusive: flag, parents: flag, mode: permissions });
		await this.#call("file.write", { ...options, path }, bytesOfData(data));
	}

	/** What is in a directory, by name; with `recursive` also what is below, each directory before what is in it. */
	async list(path: string, options: { recursive?: boolean } = {}): Promise<FileInfo[]> {
		mustBeOptions(options, recursive);
		const found = (await this.#call<RawEntry[]>("file.list", { ...options, path })).map(infoOf);
		const [first] = found;
		if (found.length === 1 && first?.type !== "directory" && posix.join(first?.path ?? "", "/") === posix.join(path, "/"))
			throw new FileError({ errno: -20, code: "ENOTDIR", message: `${path}: Not a directory; stat() tells about a file`, stage: "" });
		return found;
	}

	/** The object at a path; with `followSymlinks: false` a symbolic link itself. */
	async stat(path: string, options: { followSymlinks?: boolean } = {}): Promise<FileInfo> {
		mustBeOptions(options, { followSymlinks: flag });
		const [entry] = await this.#call<RawEntry[]>("file.stat", { path, ...(options.followSymlinks === false && { noFollow: true }) });
		return infoOf(entry as RawEntry);
	}

	/** Whether there is an object at a path; of a symbolic link, what it leads to (nothing, if that leads in a circle). */
	async exists(path: string): Promise<boolean> {
		try {
			await this.stat(path);
			return true;
		} catch (error) {
			if (error instanceof BvisorError && ["ENOENT", "ENOTDIR", "ELOOP"].includes(error.code)) return false;
			throw error;
		}
	}

	/** The text of a symbolic link. */
	async readLink(path: string): Promise<string> {
		return (await this.#call<{ target: string }>("file.readlink", { path })).target;
	}

	/** Removes a file, a symbolic link or an empty directory; with `recursive` also what is in it. */
	async remove(path: string, options: { recursive?: boolean } = {}): Promise<void> {
		mustBeOptions(options, recursive);
		await this.#call("file.remove", { ...options, path });
	}

	/** As rename(2): also over what is there, unless `replace` is `false`. */
	async rename(from: string, to: string, options: { replace?: boolean } = {}): Promise<void> {
		mustBeOptions(options, { replace: flag });
		await this.#call("file.rename", { path: from, to, ...(options.replace === false && { noReplace: true }) });
	}

	/** With `parents` missing directories above are made, too, and one that is there is no error. */
	async makeDir(path: string, options: { parents?: boolean; mode?: number } = {}): Promise<void> {
		mustBeOptions(options, { parents: flag, mode: permissions });
		await this.#call("file.makeDir", { ...options, path });
	}

	/** Watches a file or directory from the moment on at which this resolves; with `recursive` all that is below, too. */
	async watch(path: string, options: { recursive?: boolean } = {}): Promise<Watch> {
		mustBeOptions(options, recursive);
		must("path", path, text);
		const { handle } = await call("watch.start", this.#sandbox.handle, { ...options, path });
		return new Watch(this.#sandbox, handle as Handle);
	}
}
