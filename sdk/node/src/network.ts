import { must, texts } from "./check";
import { call } from "./native";
import type { Sandbox } from "./sandbox";

/** "host": the host's network, all of it; "internet": public addresses; "none": only what rules allow. */
export type NetworkMode = "host" | "internet" | "none";

/** An attempt that was refused. */
export interface Denied {
	/** Of the last one. */
	time: Date;
	/** 0: not known. */
	pid: number;
	comm: string;
	protocol: string;
	/** "ADDRESS:PORT", a name, or "NAME (ADDRESS)". */
	to: string;
	why: string;
	count: number;
}

interface Raw {
	mode: NetworkMode;
	allow: string[];
	publish: string[];
	denied: number;
	last: (Omit<Denied, "time"> & { time: number })[];
}

/** What the commands of a sandbox may reach. Changes count at once; what is connected stays so. */
export class Network {
	readonly #sandbox: Sandbox;

	/** @internal */
	constructor(sandbox: Sandbox) {
		this.#sandbox = sandbox;
	}

	async #look(): Promise<Raw> {
		return (await call<Raw>("network", this.#sandbox.handle)).value;
	}

	/** Opens further rules: "NAME", "*.NAME", "ADDRESS", "ADDRESS/BITS", each perhaps with ":PORT"; ":PORT"; "unix:PATH". */
	async allow(...rules: string[]): Promise<void> {
		must("allow", rules, texts);
		await call("setNetwork", this.#sandbox.handle, { allow: rules });
	}

	/** Takes rules off, as {@link rules} shows them. */
	async deny(...rules: string[]): Promise<void> {
		must("deny", rules, texts);
		await call("setNetwork", this.#sandbox.handle, { deny: rules });
	}

	async setMode(mode: NetworkMode): Promise<void> {
		must("mode", mode, { is: (value) => ["host", "internet", "none"].includes(value as string), what: '"host", "internet" or "none"' });
		await call("setNetwork", this.#sandbox.handle, { net: mode });
	}

	async mode(): Promise<NetworkMode> {
		return (await this.#look()).mode;
	}

	async rules(): Promise<string[]> {
		return (await this.#look()).allow;
	}

	/** Ports of the sandbox that are the host's, too: "ADDRESS:HOSTPORT:PORT". */
	async published(): Promise<string[]> {
		return (await this.#look()).publish;
	}

	/** What was refused since it runs, each kind once. */
	async denied(): Promise<Denied[]> {
		return (await this.#look()).last.map((d) => ({ ...d, time: new Date(d.time) }));
	}
}
