import { invalid } from "./errors";

/** What a value has to be: a test of it, and its name for people. */
export interface Check {
	is: (value: unknown) => boolean;
	what: string;
}

const isText = (value: unknown): boolean => typeof value === "string";
const isList = (of: (value: unknown) => boolean) => (value: unknown): boolean => Array.isArray(value) && Array.from(value).every(of); /* every() alone skips holes */
const isWhole = (least: number, most: number) => (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
const isNumber = (value: unknown): boolean => typeof value === "number" && !Number.isNaN(value);

/** Whether it has options or members. */
export const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

export const text: Check = { is: isText, what: "text" };
export const texts: Check = { is: isList(isText), what: "a list of texts" };
export const flag: Check = { is: (value) => typeof value === "boolean", what: "true or false" };
export const ports: Check = { is: isList((value) => isText(value) || isWhole(0, 65535)(value)), what: "a list of ports" };
export const size: Check = { is: (value) => isText(value) || isNumber(value), what: "a size, such as 512 or \"1.5G\"" };
export const count: Check = { is: isNumber, what: "a number" };
export const permissions: Check = { is: isWhole(0, 0o7777), what: "a whole number from 0 to 0o7777" };
export const cells: Check = { is: isWhole(1, 65535), what: "a whole number from 1 to 65535" };
export const milliseconds: Check = { is: (value) => isNumber(value) && (value as number) >= 0, what: "a number of milliseconds" };
export const callback: Check = { is: (value) => typeof value === "function", what: "a function" };
export const object: Check = { is: isObject, what: "an object" };
export const stdio: Check = { is: (value) => ["pipe", "inherit", "ignore"].includes(value as string) || isWhole(0, 2 ** 31 - 1)(value), what: "\"pipe\", \"inherit\", \"ignore\" or a descriptor" };
export const encoding: Check = { is: (value) => value === "buffer" || (isText(value) && Buffer.isEncoding(value as string)), what: "\"buffer\" or an encoding of Buffer" };
export const abortSignal: Check = { is: (value) => isObject(value) && typeof value["aborted"] === "boolean" && typeof value["addEventListener"] === "function", what: "an AbortSignal" };

function shown(value: unknown): string {
	const text = typeof value === "string" ? JSON.stringify(value) : Array.isArray(value) ? `[${value.map(shown).join(", ")}]` : typeof value === "object" && value !== null ? "an object" : String(value);
	return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** Throws if it is something else: what the library is not told it would do its own way, such as to everything. */
export function must(name: string, value: unknown, check: Check): void {
	if (!check.is(value)) throw invalid(`${name}: ${check.what} is wanted, not ${shown(value)}`);
}

/** The same of options: each has to be known. */
export function mustBeOptions<T extends object>(options: T, checks: Record<keyof Required<T>, Check>): void {
	if (!isObject(options)) throw invalid(`options are an object, not ${shown(options)}`);
	for (const [name, value] of Object.entries(options)) {
		const check = Object.hasOwn(checks, name) ? (checks as Record<string, Check>)[name] : undefined;
		if (!check) throw invalid(`there is no option '${name}'; these are: ${Object.keys(checks).join(", ")}`);
		if (value !== undefined) must(name, value, check);
	}
}

/** "NAME=value" of variables that have a value. */
export function variablesOf(env: Record<string, string | undefined>): string[] {
	return Object.entries(env).flatMap(([name, value]) => {
		if (name === "" || name.includes("=")) throw invalid(`env: '${name}' is no name of a variable: it is text without '='`);
		if (value === null || !["string", "number", "boolean", "undefined"].includes(typeof value)) throw invalid(`env: ${name}: text is wanted, not ${shown(value)}; undefined takes a variable away`);
		return value === undefined ? [] : [`${name}=${value}`];
	});
}

/** The words of a command; text is for bash. */
export function wordsOf(command: string | readonly string[]): readonly string[] {
	if (typeof command === "string") return ["bash", "-c", command];
	must("command", command, { is: (value) => texts.is(value) && (value as unknown[]).length > 0, what: "text for bash, or a list of texts, the program and its arguments," });
	return command;
}
