import { constants } from "node:os";
import type { Check } from "./check";
import { text } from "./check";
import { invalid } from "./errors";

/** A number of bytes, or text such as "512K", "1.5G" (powers of 1024). */
export type Size = number | string;

/** What all commands of a sandbox together may use. */
export interface Limits {
	/** With those of swap. Beyond that a process of the sandbox is killed. */
	memory?: Size;
	/** Processors; parts of one where control groups allow that. */
	cpus?: number;
	/** Processes and threads. */
	pids?: number;
	/** Bytes per second, from each disk. */
	ioRead?: Size;
	/** Bytes per second, to each disk. */
	ioWrite?: Size;
	/** Descriptors of each process. */
	nofile?: number;
	/** Bytes of what the sandbox changed. */
	disk?: Size;
	/** How many files, directories, ... it may change or make. */
	diskFiles?: number;
}

/** What was reached of a limit. */
export interface LimitInfo {
	/** "memory", "cpus", "pids", "io-read", "io-write", "disk", "disk-files" or "nofile". */
	name: string;
	/** What enforces it: "cgroup v2", "cgroup v1", "supervisor", "affinity", "rlimit", or "nothing" (`bestEffort`). */
	by: string;
	limit: number;
	/** The most that was used; 0: not known. */
	peak: number;
	/** How often it was reached: processes that were killed, calls that failed. */
	hits: number;
}

export type FileType = "file" | "directory" | "symlink" | "fifo" | "socket" | "character device" | "block device" | "unknown";

/** An object of the sandbox's view. */
export interface FileInfo {
	path: string;
	/** The last component of the path. */
	name: string;
	type: FileType;
	/** Permissions: 0 to 0o7777. */
	mode: number;
	size: number;
	uid: number;
	gid: number;
	ino: number;
	links: number;
	mtime: Date;
	/** Of a symbolic link. */
	target: string | null;
}

export type ChangeKind = "added" | "modified" | "deleted" | "type changed" | "renamed";

/** A difference between the sandbox and the host. */
export interface Change {
	kind: ChangeKind;
	path: string;
	/** Of what was renamed: where the host has it. */
	oldPath: string | null;
	/** Another name of the file at this path, reported earlier. */
	linkTo: string | null;
	/** Where the host has, or would have, it. */
	hostPath: string | null;
	/** What differs, for "modified" and "renamed": "content", "mode", "owner", "times", "xattr", "target"; and "lost" (the store has lost the content). */
	differs: string[];
	/** "unknown" for what was deleted. */
	type: FileType;
	/** Permissions: 0 to 0o7777. */
	mode: number;
	size: number;
	uid: number;
	gid: number;
	mtime: Date;
}

export interface ApplyItem {
	kind: ChangeKind;
	result: "applied" | "would apply" | "conflict" | "failed";
	path: string;
	oldPath: string | null;
	/** Of a conflict or failure, or what could not be kept. */
	reason: string | null;
	/** The file that it becomes another name of. */
	linkTo: string | null;
}

/** A state of a snapshot. */
export interface Snapshot {
	name: string;
	number: number;
	/** Checksum of the whole. */
	id: string;
	files: number;
	bytes: number;
	/** Of these, not in the place before. */
	newBytes: number;
	/** Milliseconds for which processes of the sandbox stood still. */
	pause: number;
	/** They could not be stopped: files that they were writing may be of slightly different moments. */
	unsteady: boolean;
	/** "NAME@NUMBER", as `Sandbox.restore` takes it. */
	toString(): string;
}

/** Keys of an encrypted place of snapshots; without them $BVISOR_KEY_FILE and $BVISOR_PASSPHRASE_FILE count. */
export interface KeyOptions {
	keyFile?: string;
	passphraseFile?: string;
}

const units: Record<string, number> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** @internal */
export const keyChecks: { keyFile: Check; passphraseFile: Check } = { keyFile: text, passphraseFile: text };

/** @internal */
export function bytesOf(name: string, size: Size | undefined, least = 1): number | undefined {
	if (size === undefined) return undefined;
	const match = /^(\d+(?:\.\d+)?)([KMGT]?)i?B?$/i.exec(String(size).trim());
	const bytes = match ? Math.floor(Number(match[1]) * (units[(match[2] ?? "").toUpperCase()] ?? 1)) : NaN;
	if (!Number.isSafeInteger(bytes) || bytes < least) throw invalid(`${name}: '${size}' is no size such as 512M`);
	return bytes;
}

/** @internal A limit that is given; 0 would mean none. */
export function countOf(name: string, count: number | undefined): number | undefined {
	const right = name === "cpus" ? Number.isFinite(count) : Number.isSafeInteger(count);
	if (count !== undefined && !(right && count > 0)) throw invalid(`${name}: '${count}' is no limit: a ${name === "cpus" ? "" : "whole "}number above 0`);
	return count;
}

/** @internal */
export function signalNumber(signal: NodeJS.Signals | number): number {
	const number = typeof signal === "number" ? signal : constants.signals[signal];
	if (!Number.isSafeInteger(number)) throw invalid(`'${signal}' is no signal`);
	return number;
}

/** @internal */
export function signalName(number: number): string | null {
	if (number === 0) return null;
	return Object.entries(constants.signals).find(([, n]) => n === number)?.[0] ?? `SIG${number}`;
}

const fileTypes: Record<number, FileType> = {
	0o100000: "file",
	0o040000: "directory",
	0o120000: "symlink",
	0o010000: "fifo",
	0o140000: "socket",
	0o020000: "character device",
	0o060000: "block device",
};
const kinds: Record<string, ChangeKind> = { A: "added", M: "modified", D: "deleted", T: "type changed", R: "renamed" };

interface Raw {
	mode: number;
	mtimeMs: number;
}

/** @internal With `mode` and `mtimeMs` of the library as people use them. */
export function withType<T extends Raw>(raw: T): Omit<T, "mtimeMs"> & { type: FileType; mtime: Date } {
	const { mtimeMs, ...rest } = raw;
	return { ...rest, type: fileTypes[raw.mode & 0o170000] ?? "unknown", mode: raw.mode & 0o7777, mtime: new Date(mtimeMs) };
}

/** @internal */
export type RawEntry = Omit<FileInfo, "type" | "mtime"> & Raw;
/** @internal */
export type RawChange = Omit<Change, "type" | "mtime" | "kind"> & Raw & { kind: string; oldMode?: number };
/** @internal */
export type RawApplyItem = Omit<ApplyItem, "kind"> & { kind: string };

/** @internal */
export function kindOf(letter: string): ChangeKind {
	return kinds[letter] ?? "modified";
}

/** @internal */
export function changeOf(raw: RawChange): Change {
	const { oldMode: _, ...rest } = raw;
	return { ...withType(rest), kind: kindOf(raw.kind) };
}
