import { constants } from "node:os";
import * as path from "node:path";
import { errorOf, invalid, type Failure } from "./errors";

/** An object of the addon: a sandbox, a command or a watch. When it is collected, what it stands for is closed. */
export interface Handle {
	readonly native?: never;
}

interface Reply {
	json: string;
	bytes?: Buffer;
	handle?: Handle;
	fds: [number, number, number];
}

interface Addon {
	readonly version: string;
	call(operation: string, handle: Handle | null, json: string, bytes?: Uint8Array): Promise<Reply>;
	hold(): void;
	release(): void;
	withholds(variable: string): boolean;
}

/** As require, but with the symbols of its own libraries first: node itself exports some of the same names, such as those of SQLite, in other versions. */
function open(file: string): Addon {
	const module: { exports: unknown } = { exports: {} };
	const { RTLD_NOW, RTLD_DEEPBIND } = constants.dlopen;
	process.dlopen(module, file, (RTLD_NOW ?? 2) | (RTLD_DEEPBIND ?? 8));
	return module.exports as Addon;
}

function load(): Addon {
	const file = path.join(__dirname, "..", "prebuilds", `${process.platform}-${process.arch}`, "bvisor.node");
	try {
		return open(file);
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		throw new Error(`bvisor: cannot load ${file}, which is made for Linux with glibc on the machine that the package was built for: ${reason}`);
	}
}

export const addon: Addon = load();

export interface Called<T> {
	value: T;
	bytes?: Buffer | undefined;
	handle?: Handle | undefined;
	fds: [number, number, number];
}

/** Text of the C library ends at a NUL: what has one would mean something else there. Half a character is no text at all. */
function checkText(_: string, value: unknown): unknown {
	if (typeof value === "string" && /\0|\p{Surrogate}/u.test(value)) {
		const shown = JSON.stringify(value);
		throw invalid(`${shown.length > 200 ? `${shown.slice(0, 200)}...` : shown}: there is a NUL in it, or something that is no text`);
	}
	return value;
}

/** One operation of the library, with its errors. It must not refer to objects that shall be collected while it waits. */
export async function call<T>(operation: string, handle: Handle | null, args: object = {}, bytes?: Uint8Array): Promise<Called<T>> {
	const json = JSON.stringify(args, checkText);
	let reply: Reply;
	try {
		reply = await addon.call(operation, handle, json, bytes);
	} catch (failure) {
		throw errorOf(operation, failure as Failure);
	}
	return { value: JSON.parse(reply.json) as T, bytes: reply.bytes, handle: reply.handle, fds: reply.fds };
}

/** As long as `promise` is pending, the event loop goes on. */
export async function holding<T>(promise: Promise<T>): Promise<T> {
	addon.hold();
	try {
		return await promise;
	} finally {
		addon.release();
	}
}
