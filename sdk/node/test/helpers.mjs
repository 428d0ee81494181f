/* What the tests share: a store of their own, and a look at what is left of its sandboxes. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after } from "node:test";
import { Sandbox } from "bvisor";

export const LONG = process.env.BVISOR_LONG === "1";

/** A directory that goes with the tests of the file. */
export function temporary() {
	const directory = mkdtempSync(path.join(tmpdir(), "bvisor-node-"));
	process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })); // supervisors may be at their last steps
	return directory;
}

export const work = temporary();
export const store = path.join(work, "store");

/** Runs `body` with a sandbox of the store, which is closed then. */
export async function inside(options, body) {
	const sb = await Sandbox.create({ store, cwd: "/tmp", env: { BVISOR_TEST_MARK: store }, ...options });
	try {
		return await body(sb);
	} finally {
		await sb.close();
	}
}

function textsOf(pid) {
	const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => {
		try {
			return readlinkSync(`/proc/${pid}/fd/${fd}`);
		} catch {
			return "";
		}
	});
	return [...fds, readlinkSync(`/proc/${pid}/cwd`), ...readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").filter((v) => v.startsWith("BVISOR_TEST_MARK="))];
}

/** Supervisors and guests of sandboxes of a store: who has something of it open, or its mark. */
export function processesOf(home) {
	return readdirSync("/proc").filter((pid) => {
		try {
			return /^\d+$/.test(pid) && Number(pid) !== process.pid && textsOf(pid).some((text) => text.includes(home));
		} catch {
			return false;
		}
	});
}

export function directoriesOf(home) {
	try {
		return readdirSync(path.join(home, "sandboxes"));
	} catch {
		return [];
	}
}

/** Waits until `look` gives a list that is empty; returns what it gave last. */
export async function untilEmpty(look, seconds = 20) {
	const deadline = performance.now() + seconds * 1000;
	let left = look();
	while (left.length > 0 && performance.now() < deadline) {
		await sleep(50);
		left = look();
	}
	return left;
}

/** Nothing runs of the store's sandboxes, and nothing is in it. */
export function leftOf(home) {
	return [...processesOf(home).map((pid) => `process ${pid}`), ...directoriesOf(home).map((name) => `directory ${name}`)];
}

/** An HTTP server of the host, which counts who comes. */
export async function serve(answer = "from the host\n") {
	let came = 0;
	const server = createServer((_, response) => {
		came++;
		response.end(answer);
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return {
		address: `127.0.0.1:${server.address().port}`,
		came: () => came,
		close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
	};
}

/** A program of its own, given as text; resolves when it has printed "ready". */
export async function program(text, { args = [], detached = false } = {}) {
	const preamble = `import { Sandbox } from "bvisor"; import { setTimeout as sleep } from "node:timers/promises"; const store = process.argv[1];
		const options = { store, cwd: "/tmp", env: { BVISOR_TEST_MARK: store } };\n`;
	const home = mkdtempSync(path.join(work, "home-"));
	const child = spawn(process.execPath, [...args, "--input-type=module", "-e", preamble + text, home], { stdio: ["pipe", "pipe", "pipe"], detached });
	const said = { stdout: "", stderr: "" };
	after(() => child.kill("SIGKILL")); // of a test that failed
	child.stderr.on("data", (data) => (said.stderr += data));
	const ended = once(child, "close").then(([code, signal]) => ({ code, signal, ...said }));
	const ready = new Promise((resolve) =>
		child.stdout.on("data", (data) => {
			said.stdout += data;
			if (said.stdout.includes("ready")) resolve();
		}),
	);
	await Promise.race([ready, ended.then((end) => Promise.reject(new Error(`it ended before it was ready: ${JSON.stringify(end)}`)))]);
	return { child, home, ended, said };
}
