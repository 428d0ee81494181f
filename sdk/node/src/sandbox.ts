import { resolve } from "node:path";
import { cells, count as number, flag, must, mustBeOptions, object, ports, size, stdio, text, texts, variablesOf, isObject, type Check } from "./check";
import { BvisorError, invalid, SandboxClosed, SandboxExists } from "./errors";
import { Files } from "./files";
import { addon, call, type Called, type Handle } from "./native";
import { Network, type NetworkMode } from "./network";
import { Process, Pty, Streams, type PtyOptions, type SpawnOptions } from "./process";
import { run, type RunOptions, type RunResult } from "./run";
import {
	bytesOf,
	changeOf,
	countOf,
	keyChecks,
	kindOf,
	signalNumber,
	type ApplyItem,
	type Change,
	type KeyOptions,
	type LimitInfo,
	type Limits,
	type RawApplyItem,
	type RawChange,
	type Size,
	type Snapshot,
} from "./types";

export interface CreateOptions extends KeyOptions {
	/** Letters, digits, ".", "_" and "-"; default: one is made up. */
	name?: string;
	/** Directory of the store; default: $BVISOR_HOME, $XDG_DATA_HOME/bvisor, ~/.local/share/bvisor. */
	store?: string;
	/** "dir" (in the store, the default), "dir:PATH", "tmpfs", or "s3://BUCKET/PREFIX". */
	backend?: string;
	/** Host paths below which changes go straight to the host. */
	rw?: readonly string[];
	/** Host paths that commands shall not see, beside the default ones. */
	hide?: readonly string[];
	/** Host paths to take off the default hidden list. */
	show?: readonly string[];
	/** Of each command, beside this process's environment. Part of its snapshots: no place for secrets. */
	env?: Record<string, string>;
	/** Directory of commands that are given none; default: this process's. */
	cwd?: string;
	/** Default: "none" with rules of names or addresses in `allow`, else "internet". */
	net?: NetworkMode;
	/** What may be reached beside, see {@link Network.allow}. */
	allow?: readonly string[];
	/** Ports of the sandbox that shall be the host's, too: "[[ADDRESS:]HOSTPORT:]PORT". */
	publish?: readonly (string | number)[];
	/** Whom names are asked of: "ADDRESS[:PORT],..."; default: the host's name servers. */
	dns?: string;
	limits?: Limits;
	/** Limits that cannot be enforced here are told by {@link Sandbox.warning}, and are no errors. */
	bestEffort?: boolean;
	/** Commands see themselves as root. */
	fakeRoot?: boolean;
	/** Commands are in a pid namespace of their own, which takes CAP_SYS_ADMIN; without it an error of the first command, or with `bestEffort` a warning. */
	pidns?: boolean;
	/** Every change is refused with "Read-only file system". */
	readOnly?: boolean;
	/** It stays in the store when it is closed. Default: it is deleted, however this process ends. */
	keep?: boolean;
	/** What commands see as the host's name. */
	hostname?: string;
	/** What they see as the kernel's release. */
	kernelRelease?: string;
	/** With a bucket as its backend: what it changes is there seconds later. */
	continuous?: boolean;
	/** Fetched files that are removed here beyond so many bytes. */
	spool?: Size;
}

export interface SandboxInfo {
	name: string;
	dir: string;
	backend: string | null;
	cwd: string | null;
	command: string[];
	created: Date;
	running: boolean;
	/** Its name was made up. */
	unnamed: boolean;
	/** Why it cannot be opened. */
	damage: string | null;
}

/** A process in a sandbox. */
export interface ProcessInfo {
	pid: number;
	ppid: number;
	/** Number of the command that it belongs to; 0: not known. */
	id: number;
	/** As in ps(1): "R", "S", ... */
	state: string;
	comm: string;
	args: string[];
	start: Date;
}

export interface SnapshotOptions extends KeyOptions {
	/** The place: a directory, or "s3://BUCKET/PREFIX"; default: the sandbox's backend if it is one, else $BVISOR_SNAPSHOTS, else in the store. */
	to?: string;
	/** Default: the sandbox's. */
	name?: string;
	message?: string;
	tags?: readonly string[];
	/** Carry the files of the host that commands have used. */
	withBase?: boolean;
	/** No new state if the newest one is what the sandbox is. */
	ifChanged?: boolean;
}

export interface RestoreOptions extends KeyOptions {
	/** The place, see {@link SnapshotOptions.to}. */
	from?: string;
	/** Of the new sandbox. */
	name?: string;
	store?: string;
	backend?: string;
	show?: readonly string[];
	/** Fetch everything now. */
	prefetch?: boolean;
	/** Of the stopped sandbox `name`, instead of a new one. */
	inPlace?: boolean;
	continuous?: boolean;
	/** Those of a new sandbox, as a snapshot has none; with `inPlace` it keeps its own. */
	limits?: Limits;
	/** As of {@link Sandbox.create}. */
	bestEffort?: boolean;
	spool?: Size;
	/** Default: `true`. With `false` it is removed when it is closed (not if this process is killed before). */
	keep?: boolean;
	/** Directory of commands that are given none. */
	cwd?: string;
}

export interface ForkOptions extends KeyOptions {
	/** Names of the new sandboxes, as many as there are; default: NAME-1, NAME-2, ... of those that are free. */
	names?: readonly string[];
	/** The place that the state is kept in, see {@link SnapshotOptions.to}. */
	to?: string;
	/** As of {@link RestoreOptions}; default: as this sandbox. */
	keep?: boolean;
	/** Instead of those that this sandbox has. */
	limits?: Limits;
}

/** A state of a snapshot, as a listing has it. */
export interface SnapshotInfo {
	name: string;
	number: number;
	id: string;
	message: string | null;
	/** That it was taken of. */
	sandbox: string | null;
	time: Date;
	files: number;
	bytes: number;
	/** Bytes that it added to the place. */
	stored: number;
	/** Why it cannot be read. */
	damage: string | null;
}

interface Described {
	name: string;
	dir: string;
	place: string | null;
	env: string[];
}

interface Settings {
	store?: string | undefined;
	cwd?: string | undefined;
	/** Deleted by its supervisor, or by close. */
	ephemeral: boolean;
	removes: boolean;
	keys: KeyOptions;
}

/** Of sandboxes that nobody closed: what their streams hold is given up. The handle, which is collected together with the sandbox, ends the commands. */
const abandoned = new FinalizationRegistry<Streams>((streams) => streams.giveUp());

const createChecks: Record<keyof CreateOptions, Check> = {
	...keyChecks,
	...{ name: text, store: text, backend: text, cwd: text, net: text, dns: text, hostname: text, kernelRelease: text },
	...{ rw: texts, hide: texts, show: texts, allow: texts, publish: ports, env: object, limits: object, spool: size },
	...{ bestEffort: flag, fakeRoot: flag, pidns: flag, readOnly: flag, keep: flag, continuous: flag },
};
const openChecks = { ...keyChecks, store: text, cwd: text };
const restoreChecks: Record<keyof RestoreOptions, Check> = {
	...openChecks,
	...{ from: text, name: text, backend: text, show: texts, limits: object, spool: size, bestEffort: flag, prefetch: flag, inPlace: flag, continuous: flag, keep: flag },
};
const snapshotChecks: Record<keyof SnapshotOptions, Check> = { ...keyChecks, to: text, name: text, message: text, tags: texts, withBase: flag, ifChanged: flag };
const commandChecks = { cwd: text, env: object, clearEnv: flag };

function limitArguments(limits: Limits | undefined): object {
	if (limits) mustBeOptions(limits, { memory: size, cpus: number, pids: number, ioRead: size, ioWrite: size, nofile: number, disk: size, diskFiles: number });
	return {
		memory: bytesOf("memory", limits?.memory),
		cpus: countOf("cpus", limits?.cpus),
		pids: countOf("pids", limits?.pids),
		ioRead: bytesOf("ioRead", limits?.ioRead),
		ioWrite: bytesOf("ioWrite", limits?.ioWrite),
		nofile: countOf("nofile", limits?.nofile),
		disk: bytesOf("disk", limits?.disk),
		diskFiles: countOf("diskFiles", limits?.diskFiles),
	};
}

function snapshotOf(raw: Omit<Snapshot, "toString">): Snapshot {
	return Object.defineProperty({ ...raw }, "toString", { value: () => `${raw.name}@${raw.number}` }) as Snapshot;
}

/**
 * Commands on a copy-on-write view of this machine.
 *
 * ```ts
 * await using sb = await Sandbox.create({ limits: { memory: "512M" } });
 * const r = await sb.bash("npm install", { timeout: 60_000 });
 * console.log(r.exitCode, r.stdout, await r.changes());
 * ```
 */
export class Sandbox {
	readonly name: string;
	/** Its directory in the store. */
	readonly dir: string;
	/** Where its snapshots go by default, if its backend is such a place. */
	readonly place: string | null;
	/** Files of it, without a command. */
	readonly files: Files = new Files(this);
	/** What it may reach. */
	readonly net: Network = new Network(this);
	/** @internal "NAME=value" of each command. */
	readonly variables: readonly string[];
	/** @internal */
	readonly cwd: string | undefined;
	/** @internal */
	readonly streams = new Streams();
	readonly #handle: Handle;
	readonly #settings: Settings;
	#closing: Promise<void> | undefined;

	/** See {@link Sandbox.create}, {@link Sandbox.open}, {@link Sandbox.restore}. */
	private constructor(made: Called<Described>, settings: Settings) {
		this.name = made.value.name;
		this.dir = made.value.dir;
		this.place = made.value.place;
		this.variables = made.value.env;
		this.cwd = settings.cwd === undefined ? undefined : resolve(settings.cwd);
		this.#handle = made.handle as Handle;
		this.#settings = settings;
		abandoned.register(this, this.streams, this);
	}

	/** @internal */
	get handle(): Handle {
		if (this.#closing) throw new SandboxClosed({ errno: -9, code: "EBADF", message: `sandbox '${this.name}' is closed`, stage: "" });
		return this.#handle;
	}

	/** Makes a new sandbox. */
	static async create(options: CreateOptions = {}): Promise<Sandbox> {
		mustBeOptions(options, createChecks);
		const { limits, env, spool, publish, keyFile, passphraseFile, ...rest } = options;
		const args = {
			...rest,
			...limitArguments(limits),
			env: env && variablesOf(env),
			publish: publish?.map(String),
			spool: bytesOf("spool", spool),
			keyFile,
			passphraseFile,
		};
		const ephemeral = !options.keep;
		return new Sandbox(await call<Described>("create", null, args), { store: options.store, cwd: options.cwd, ephemeral, removes: false, keys: { ...(keyFile && { keyFile }), ...(passphraseFile && { passphraseFile }) } });
	}

	/** Opens one that was kept; without a name the newest one. Closing it ends the commands that were started by this object, and nothing else. */
	static async open(name?: string, options: { store?: string; cwd?: string } & KeyOptions = {}): Promise<Sandbox> {
		mustBeOptions(options, openChecks);
		if (name !== undefined) must("name", name, text);
		const { store, cwd, ...keys } = options;
		return new Sandbox(await call<Described>("open", null, { name, store, ...keys }), { store, cwd, ephemeral: false, removes: false, keys });
	}

	/** The sandboxes of a store, newest first. */
	static async list(options: { store?: string } = {}): Promise<SandboxInfo[]> {
		mustBeOptions(options, { store: text });
		const { value } = await call<(Omit<SandboxInfo, "created"> & { created: number })[]>("list", null, options);
		return value.map((info) => ({ ...info, created: new Date(info.created) }));
	}

	/** A new sandbox with all that a snapshot ("NAME" or "NAME@NUMBER") has. */
	static async restore(snapshot: string | Snapshot, options: RestoreOptions = {}): Promise<Sandbox> {
		mustBeOptions(options, restoreChecks);
		must("snapshot", snapshot, { is: (value) => text.is(value) || (isObject(value) && text.is(value["name"]) && number.is(value["number"])), what: '"NAME", "NAME@NUMBER" or a Snapshot' });
		const { keep = true, cwd, spool, limits, ...rest } = options;
		const made = await call<Described>("restore", null, { ...rest, ...limitArguments(limits), snapshot: String(snapshot), spool: bytesOf("spool", spool) });
		const { keyFile, passphraseFile } = options;
		return new Sandbox(made, { store: options.store, cwd, ephemeral: false, removes: !keep, keys: { ...(keyFile && { keyFile }), ...(passphraseFile && { passphraseFile }) } });
	}

	/** The states of all snapshots of a place, or of one name. */
	static async snapshots(options: { from?: string; name?: string } & KeyOptions = {}): Promise<SnapshotInfo[]> {
		mustBeOptions(options, { ...keyChecks, from: text, name: text });
		const { value } = await call<(Omit<SnapshotInfo, "time"> & { time: number })[]>("snapshot.list", null, options);
		return value.map((info) => ({ ...info, time: new Date(info.time) }));
	}

	/** Runs a script in bash to its end, with its output. */
	bash(script: string, options: RunOptions<Buffer> & { encoding: "buffer" }): Promise<RunResult<Buffer>>;
	bash(script: string, options?: RunOptions<string>): Promise<RunResult<string>>;
	async bash(script: string, options: RunOptions<string> | RunOptions<Buffer> = {}): Promise<RunResult<string | Buffer>> {
		must("script", script, text);
		return run(this, ["bash", "-c", script], options as RunOptions<string | Buffer>);
	}

	/** Runs a command to its end, with its output: a program and its arguments; text is given to bash. */
	run(command: string | readonly string[], options: RunOptions<Buffer> & { encoding: "buffer" }): Promise<RunResult<Buffer>>;
	run(command: string | readonly string[], options?: RunOptions<string>): Promise<RunResult<string>>;
	run(command: string | readonly string[], options: RunOptions<string> | RunOptions<Buffer> = {}): Promise<RunResult<string | Buffer>> {
		return run(this, command, options as RunOptions<string | Buffer>);
	}

	/** Starts a command that runs beside this program; text is given to bash. */
	async spawn(command: string | readonly string[], options: SpawnOptions = {}): Promise<Process> {
		mustBeOptions(options, { ...commandChecks, stdin: stdio, stdout: stdio, stderr: stdio, detach: flag });
		return Process.start(this, command, options);
	}

	/** Starts a command on a terminal of its own. */
	async pty(options: PtyOptions = {}): Promise<Pty> {
		mustBeOptions(options, { ...commandChecks, command: { is: () => true, what: "" }, rows: cells, cols: cells });
		return Pty.start(this, options);
	}

	/** Every process of the sandbox. */
	async processes(): Promise<ProcessInfo[]> {
		const { value } = await call<(Omit<ProcessInfo, "start"> & { start: number })[]>("processes", this.handle);
		return value.map((info) => ({ ...info, start: new Date(info.start) }));
	}

	/** Sends a signal to every process of the sandbox, whoever started it. */
	async kill(signal: NodeJS.Signals | number = "SIGKILL"): Promise<void> {
		await call("kill", this.handle, { signal: signalNumber(signal) });
	}

	/** Everything that differs from the host, by path; or only these paths and what is below them. Relative ones are of `cwd`, or of this process. */
	async diff(options: { paths?: readonly string[]; raw?: boolean } = {}): Promise<Change[]> {
		mustBeOptions(options, { paths: texts, raw: flag });
		if (options.paths?.length === 0) return this.#nothing(); /* which means everything to the library */
		return (await call<RawChange[]>("diff", this.handle, { ...options, ...this.#below(options.paths) })).value.map(changeOf);
	}

	/** Makes its changes (`paths`: as for `diff`) on the host, where that is unchanged since the sandbox first used it. Conflicts are told, and left. A path where the sandbox never changed anything
	 * is an error (`code` ENODATA), and nothing is applied. */
	async apply(options: { paths?: readonly string[]; dryRun?: boolean } = {}): Promise<ApplyItem[]> {
		mustBeOptions(options, { paths: texts, dryRun: flag });
		if (options.paths?.length === 0) return this.#nothing();
		return (await call<RawApplyItem[]>("apply", this.handle, { ...options, ...this.#below(options.paths) })).value.map((item) => ({ ...item, kind: kindOf(item.kind) }));
	}

	/** Joined as text: the library follows symbolic links, which decide what ".." means. */
	#below(paths: readonly string[] | undefined): { paths?: string[] } {
		if (paths?.includes("")) throw invalid("paths: one of them is empty; without paths it is about all changes");
		return paths ? { paths: paths.map((path) => (path.startsWith("/") ? path : `${this.cwd ?? process.cwd()}/${path}`)) } : {};
	}

	#nothing(): [] {
		void this.handle; /* throws if it is closed */
		return [];
	}

	/** Keeps what it is now, running or not, as a new state of the snapshot of its name. */
	async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
		mustBeOptions(options, snapshotChecks);
		const { value } = await call<Omit<Snapshot, "toString">>("snapshot", this.handle, { ...this.#settings.keys, ...options, to: options.to ?? this.#defaultPlace() });
		return snapshotOf(value);
	}

	/** New sandboxes that go on from what this one is now, each its own way; nothing is copied. */
	async fork(count?: number, options: ForkOptions = {}): Promise<Sandbox[]> {
		mustBeOptions(options, { ...keyChecks, names: texts, to: text, keep: flag, limits: object });
		count ??= options.names?.length ?? 1;
		if (!Number.isSafeInteger(count) || count < 0) throw invalid(`'${count}' is no number of forks`);
		if (options.names && options.names.length !== count) throw invalid(`names: there are ${options.names.length} for ${count} forks`);
		const { names, to = this.#defaultPlace(), keep = !(this.#settings.ephemeral || this.#settings.removes), limits, ...given } = options;
		const { bestEffort, ...theirs } = (await call<Limits & { bestEffort: boolean }>("limits.given", this.handle)).value;
		const keys = { ...this.#settings.keys, ...given };
		const state = String(await this.snapshot({ ...keys, ...(to !== undefined && { to }), message: "forked", ifChanged: true }));
		const made: Sandbox[] = [];
		try {
			let number = 0;
			while (made.length < count) {
				const name = names?.[made.length] ?? `${this.name}-${++number}`;
				try {
					made.push(await this.#forkOne(state, name, to, keep, { ...theirs, ...limits }, bestEffort, keys));
				} catch (error) {
					const taken = error instanceof SandboxExists || (error instanceof BvisorError && error.code === "EEXIST");
					if (!taken || names || number > count + 10_000) throw error;
				}
			}
		} catch (error) {
			await Promise.allSettled(made.map((sandbox) => sandbox.remove({ force: true })));
			throw error;
		}
		return made;
	}

	async #forkOne(state: string, name: string, from: string | undefined, keep: boolean, limits: Limits, bestEffort: boolean, keys: KeyOptions): Promise<Sandbox> {
		await call("snapshot.fork", null, { snapshot: state, name, from, ...keys });
		const { store } = this.#settings;
		const { cwd } = this;
		return Sandbox.restore(name, { name, keep, limits, bestEffort, ...keys, ...(from !== undefined && { from }), ...(store !== undefined && { store }), ...(cwd !== undefined && { cwd }) });
	}

	/** Of a sandbox in a store that was named: in that store, where the library would take the default one. */
	#defaultPlace(): string | undefined {
		const { store } = this.#settings;
		return this.place ?? (store !== undefined && !process.env["BVISOR_SNAPSHOTS"] ? `${store}/snapshots` : undefined);
	}

	/** Its limits, with what was reached of them. */
	async limits(): Promise<LimitInfo[]> {
		return (await call<LimitInfo[]>("limits", this.handle)).value;
	}

	/** After a command was started: the limits that are not enforced here (`bestEffort`), one line each; `null`: all are. */
	async warning(): Promise<string | null> {
		return (await call<{ warning: string | null }>("warning", this.handle)).value.warning;
	}

	/** Counters and features; empty if it is stopped. */
	async stats(): Promise<Record<string, unknown>> {
		try {
			return (await call<Record<string, unknown>>("stats", this.handle)).value;
		} catch (error) {
			if (error instanceof BvisorError && error.code === "ESRCH") return {};
			throw error;
		}
	}

	/** Kills every process of the sandbox and writes everything to disk. */
	async stop(): Promise<void> {
		await call("stop", this.handle);
	}

	/** Deletes it with everything in it, and closes it. "EBUSY" if commands run, unless `force`. */
	async remove(options: { force?: boolean } = {}): Promise<void> {
		mustBeOptions(options, { force: flag });
		await call("remove", this.handle, options);
		this.#settings.removes = false;
		await this.close();
	}

	/** Ends the commands that were started by this object, and gives the sandbox up; one that is not kept is deleted. Waits for calls that are under way. May be called again. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		abandoned.unregister(this);
		try {
			if (this.#settings.removes) await call("remove", this.#handle, { force: true });
		} finally {
			await call("close", this.#handle);
			this.streams.giveUp();
		}
	}

	/** As {@link close}, without waiting. */
	[Symbol.dispose](): void {
		void this.close().catch(() => undefined);
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}

/** Version of the library that is loaded. */
export const version: string = addon.version;
