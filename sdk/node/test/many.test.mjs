/* Many at once, and one after the other: nothing is mixed up, and nothing is left. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { Sandbox } from "bvisor";
import { inside, leftOf, LONG, processesOf, store, untilEmpty } from "./helpers.mjs";

async function use(number) {
	return inside({}, async (sb) => {
		const r = await sb.bash(`echo ${number} >/tmp/number; cat /tmp/number`, { check: true });
		await sb.files.write("/tmp/written", `w${number}`);
		assert.equal(r.stdout, `${number}\n`);
		assert.equal(await sb.files.readText("/tmp/written"), `w${number}`);
	});
}

test("50 promises at once, each with a sandbox", { timeout: 120_000 }, async () => {
	await Promise.all(Array.from({ length: 50 }, (_, i) => use(i)));
	assert.deepEqual(await untilEmpty(() => leftOf(store)), []);
});

test("a supervisor that stands still holds up neither the event loop nor node's own threads", { timeout: 60_000 }, () =>
	inside({}, async (sb) => {
		await sb.run(["true"]);
		const [supervisor] = processesOf(sb.dir).filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("bvisor-sup"));
		process.kill(Number(supervisor), "SIGSTOP");
		try {
			const calls = Promise.all(Array.from({ length: 10 }, (_, i) => sb.files.write(`/tmp/${i}`, String(i))));
			let done = false;
			calls.then(() => (done = true));
			for (let i = 0; i < 10; i++) await sleep(10);
			assert.ok((await readFile("/etc/passwd")).length > 0);
			assert.equal(done, false);
			process.kill(Number(supervisor), "SIGCONT");
			await calls;
		} finally {
			process.kill(Number(supervisor), "SIGCONT");
		}
		assert.equal((await sb.bash("cat /tmp/[0-9]")).stdout, "0123456789");
	}));

test("50 commands that wait at once leave libuv's threads alone", { timeout: 120_000 }, () =>
	inside({}, async (sb) => {
		const waiting = Array.from({ length: 50 }, () => sb.bash("while [ ! -e /tmp/go ]; do sleep 0.2; done; echo went"));
		await sleep(500);
		assert.ok((await readFile("/etc/passwd")).length > 0);
		await sb.files.write("/tmp/go", "");
		assert.deepEqual(new Set((await Promise.all(waiting)).map((r) => r.stdout)), new Set(["went\n"]));
	}));

function counts() {
	return { fds: readdirSync("/proc/self/fd").length, threads: readdirSync("/proc/self/task").length, rss: Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) };
}

async function cycles(count) {
	for (let i = 0; i < count; i += 4) await Promise.all([0, 1, 2, 3].map((n) => use(i + n)));
	global.gc?.();
	await sleep(100);
	global.gc?.();
}

test(`${LONG ? 1000 : 100} sandboxes leave no process, descriptor or memory`, { timeout: 1_200_000 }, async (t) => {
	await cycles(LONG ? 200 : 40);
	const before = counts();
	await cycles(LONG ? 1000 : 100);
	const now = counts();
	t.diagnostic(`before: ${JSON.stringify(before)}, after: ${JSON.stringify(now)}`);
	assert.ok(now.fds <= before.fds, `descriptors: ${before.fds}, then ${now.fds}`);
	assert.ok(now.threads <= before.threads + 16, `threads: ${before.threads}, then ${now.threads}`);
	assert.ok(now.rss < before.rss + 24 * 1024, `KiB: ${before.rss}, then ${now.rss}`);
	assert.deepEqual(await untilEmpty(() => leftOf(store)), []);
});

test("many commands in one sandbox leave nothing in this process", { timeout: 120_000 }, () =>
	inside({}, async (sb) => {
		await sb.run(["true"]);
		await sleep(100);
		const before = counts();
		for (let i = 0; i < (LONG ? 2000 : 100); i++) await sb.run(["true"]);
		await sleep(100);
		assert.ok(counts().fds <= before.fds, `descriptors: ${before.fds}, then ${counts().fds}`);
	}));

test("close while calls are under way waits for them", { timeout: 60_000 }, async () => {
	for (let i = 0; i < 20; i++) {
		const sb = await Sandbox.create({ store, cwd: "/tmp" });
		const settled = Promise.allSettled([sb.run(["true"]), sb.files.write("/tmp/x", "x"), sb.diff(), sb.processes(), sb.bash("sleep 30")]);
		await sleep(i);
		await sb.close();
		for (const result of await settled) assert.ok(result.status === "fulfilled" || ["EBADF", "ECONNRESET", "ECHILD", "ECANCELED"].includes(result.reason.code), String(result.reason));
	}
	assert.deepEqual(await untilEmpty(() => leftOf(store)), []);
});
