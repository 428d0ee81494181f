/* However a program ends, or forgets a sandbox, no process stays behind, and nothing in the store. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { leftOf, LONG, processesOf, program, untilEmpty } from "./helpers.mjs";

const running = `const sb = await Sandbox.create(options); const p = await sb.spawn("sleep 1000 & sleep 1000"); console.log("ready"); const waiting = sb.bash("sleep 1000");\n`;
const nobody = { timeout: 60_000 };

async function leaves(started, ends) {
	assert.ok(processesOf(started.home).length > 0, "there was nothing to leave behind");
	await ends();
	const end = await started.ended;
	assert.deepEqual(await untilEmpty(() => leftOf(started.home)), []);
	return end;
}

test("Ctrl-C", nobody, async () => {
	const started = await program(`${running} await waiting;`, { detached: true });
	const end = await leaves(started, () => process.kill(-started.child.pid, "SIGINT"));
	assert.equal(end.signal, "SIGINT");
});

test("an uncaught exception", nobody, async () => {
	const started = await program(`${running} process.stdin.once("data", () => { throw new Error("uncaught"); });`);
	const end = await leaves(started, () => started.child.stdin.write("now\n"));
	assert.equal(end.code, 1);
	assert.match(end.stderr, /uncaught/);
});

test("process.exit while commands run and calls are under way", nobody, async () => {
	const started = await program(`${running} process.stdin.once("data", () => { sb.diff(); sb.files.write("/tmp/x", "x"); process.exit(7); });`);
	assert.equal((await leaves(started, () => started.child.stdin.write("now\n"))).code, 7);
});

test("SIGKILL", nobody, async () => {
	const started = await program(`${running} await waiting;`);
	await leaves(started, () => started.child.kill("SIGKILL"));
});

test("the end of the program, with a command that nobody waits for and streams that nobody reads", nobody, async () => {
	const started = await program(`const sb = await Sandbox.create(options); await sb.spawn("echo said; sleep 1000"); console.log("ready"); await sleep(1000);`);
	assert.equal((await leaves(started, () => undefined)).code, 0);
});

test("a command that somebody waits for keeps the program", nobody, async () => {
	const started = await program(`const sb = await Sandbox.create(options); const p = await sb.spawn("sleep 0.5; exit 3", { stdout: "ignore", stderr: "ignore" }); console.log("ready");
		p.wait().then(async (end) => { console.log(end.exitCode); await sb.close(); });`);
	const end = await started.ended;
	assert.deepEqual([end.code, end.stdout], [0, "ready\n3\n"]);
	assert.deepEqual(await untilEmpty(() => leftOf(started.home)), []);
});

test("a sandbox that was collected", nobody, async () => {
	const started = await program(
		`async function forget() { const sb = await Sandbox.create(options); const p = await sb.spawn("sleep 1000"); await sb.bash("sleep 1000 & echo x"); await sb.files.watch("/tmp"); }
		for (let i = 0; i < 3; i++) await forget();
		console.log("ready"); process.stdin.once("data", async () => { for (;;) { gc(); await sleep(50); } });`,
		{ args: ["--expose-gc"] },
	);
	assert.ok(processesOf(started.home).length >= 3);
	started.child.stdin.write("now\n");
	assert.deepEqual(await untilEmpty(() => leftOf(started.home)), []);
	assert.equal(started.child.exitCode, null, "the program itself has ended");
	started.child.kill("SIGKILL");
	await started.ended;
});

test("a sandbox that is in use is not collected", nobody, async () => {
	const started = await program(
		`const make = async () => { const sb = await Sandbox.create(options); return [sb.bash("sleep 1; echo done"), (await sb.spawn("sleep 1; exit 4")).wait()]; };
		const calls = await make(); const collecting = setInterval(gc, 20); console.log("ready");
		const [r, end] = await Promise.all(calls); clearInterval(collecting); console.log(r.stdout, end.exitCode);`,
		{ args: ["--expose-gc"] },
	);
	const end = await started.ended;
	assert.match(end.stdout, /done\n 4/, end.stderr);
	assert.deepEqual(await untilEmpty(() => leftOf(started.home)), []);
});

test("workers have sandboxes of their own, and leave none when they end or are ended", nobody, async () => {
	const started = await program(`
		import { Worker } from "node:worker_threads"; import { once } from "node:events";
		const text = "const { Sandbox } = require('bvisor'); const { parentPort, workerData } = require('node:worker_threads');" +
			"(async () => { const sb = await Sandbox.create(workerData.options); const r = await sb.bash('echo ' + workerData.i); sb.bash('sleep 1000'); sb.spawn('sleep 1000'); parentPort.postMessage(r.stdout);" +
			" if (workerData.i % 2) setTimeout(() => process.exit(), 100); })();";
		const answers = await Promise.all([...Array(6).keys()].map(async (i) => {
			const worker = new Worker(text, { eval: true, execArgv: [], workerData: { options, i } });
			const [said] = await once(worker, "message");
			if (i % 2) await once(worker, "exit"); else { await sleep(100); await worker.terminate(); }
			return said;
		}));
		console.log(answers.join("")); console.log("ready");
		await once(process.stdin, "data"); const sb = await Sandbox.create(options); console.log((await sb.bash("echo main")).stdout); await sb.close(); process.stdin.destroy();`);
	assert.equal(started.said.stdout, "0\n1\n2\n3\n4\n5\n\nready\n");
	assert.deepEqual(await untilEmpty(() => leftOf(started.home)), []);
	assert.equal(started.child.exitCode, null);
	started.child.stdin.write("now\n");
	const end = await started.ended;
	assert.equal(end.code, 0, end.stderr);
	assert.match(end.stdout, /main/);
});

test("the addon stays loaded for its threads when the only worker that had loaded it ends", nobody, async () => {
	const text = `import { Worker } from "node:worker_threads"; import { once } from "node:events"; import { setTimeout as sleep } from "node:timers/promises"; import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
		for (let i = 0; i < 3; i++) { const w = new Worker("require('bvisor').Sandbox.list({ store: '/nonexistent' })", { eval: true, execArgv: [] }); await once(w, "exit"); }
		await sleep(${LONG ? 12_000 : 100}); console.log(readFileSync("/proc/self/maps", "utf8").includes("/bvisor.node"));`;
	const child = spawn(process.execPath, ["--input-type=module", "-e", text], { stdio: ["ignore", "pipe", "inherit"] });
	let said = "";
	for await (const data of child.stdout) said += data;
	assert.equal(said, "true\n");
});

test("the supervisor that is killed takes its commands with it, and is an error", nobody, async () => {
	const started = await program(`const sb = await Sandbox.create(options); const r = sb.bash("sleep 1000").catch((e) => e.code + " " + e.name); await sb.bash("true"); console.log("ready"); console.log(await r); console.log((await sb.bash("echo").catch((e) => e)).constructor.name); await sb.close();`);
	for (const pid of processesOf(started.home)) if (comm(pid) === "bvisor-supervis") process.kill(Number(pid), "SIGKILL");
	const end = await started.ended;
	assert.match(end.stdout, /ECONNRESET SupervisorDied/, end.stderr);
	assert.deepEqual(await untilEmpty(() => processesOf(started.home)), []);
});

function comm(pid) {
	try {
		return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
	} catch {
		return "";
	}
}
