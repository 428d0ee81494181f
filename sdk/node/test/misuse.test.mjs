/* What strangers do: arguments that make no sense, streams that break, and what must be the same as in the Python package. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BvisorError, CommandNotFound, FileError, InvalidArgument, Sandbox, SandboxClosed, SandboxExists, WorkingDirectoryError } from "bvisor";
import { inside, store, work } from "./helpers.mjs";

let sb;
const at = (name) => path.join(work, name);
const refused = (promise) => assert.rejects(promise, (e) => e instanceof InvalidArgument && e.code === "EINVAL" && e.message.length > 0);
const soon = { timeout: 60_000 };

before(async () => (sb = await Sandbox.create({ store, cwd: work })));
after(() => sb.close());

test("options that are not known, or of another type, are refused, and not left out", soon, async () => {
	const wrong = { hide: "/etc", rw: "/tmp", show: 5, allow: "example.org", publish: 80, readOnly: 1, readonly: true, net: 5, name: 5, env: "A=1", limits: "1G", keep: "yes", store: 5, backend: {}, hostname: null, spool: NaN };
	for (const [name, value] of Object.entries(wrong)) await refused(Sandbox.create({ store, [name]: value }));
	for (const hide of [[undefined], [null], [, "/etc"], [["/etc"]], [5]]) await refused(Sandbox.create({ store, hide }));
	for (const limits of [{ pids: 1.5 }, { pids: 1e300 }, { pids: 0 }, { cpus: "2" }, { cpus: Infinity }, { memory: 0 }, { memory: "much" }, { speed: 1 }]) await refused(Sandbox.create({ store, limits }));
	for (const env of [{ A: null }, { "A=B": "c" }, { "": "c" }, { A: {} }]) await refused(Sandbox.create({ store, env }));
	for (const options of [null, 5, "x", []]) await refused(Sandbox.create(options));
	await refused(Sandbox.open(5));
	await refused(Sandbox.list(store));
	await refused(Sandbox.restore());
	await refused(sb.net.allow(["example.org"]));
	await refused(sb.net.setMode("all"));
	await refused(sb.snapshot({ tags: "x" }));
	for (const signal of [NaN, 1.5, "SIGNOTHING", "toString", {}]) await refused(sb.kill(signal));
	assert.deepEqual(await sb.processes(), []);
});

test("what is applied is never more than was asked for", soon, async () => {
	await sb.files.write(at("of-sandbox"), "x");
	for (const options of [{ paths: at("nothing") }, [at("nothing")], { paths: [undefined] }, { dryrun: true }, { dryRun: "yes" }, { paths: [""] }]) await refused(sb.apply(options));
	assert.deepEqual([await sb.apply({ paths: [] }), await sb.diff({ paths: [] })], [[], []]);
	assert.equal(existsSync(at("of-sandbox")), false);
	assert.ok((await sb.diff()).some((change) => change.path === at("of-sandbox")));
});

test("paths and contents", soon, async () => {
	for (const wrong of [undefined, null, 5, {}, ["/tmp"]]) {
		for (const name of ["read", "list", "stat", "exists", "remove", "makeDir", "readLink", "watch"]) await refused(sb.files[name](wrong));
		await refused(sb.files.rename(at("a"), wrong));
		await refused(sb.files.write(wrong, "x"));
	}
	await sb.files.write(at("kept"), "kept");
	for (const wrong of [undefined, null, 5, { a: 1 }, new ArrayBuffer(3)]) await refused(sb.files.write(at("kept"), wrong));
	for (const mode of [-1, 1e20, NaN, "600", 0o10000]) await refused(sb.files.write(at("kept"), "x", { mode }));
	await refused(sb.files.write(at("kept"), "x", { mode: null }));
	await refused(sb.files.remove(at("kept"), { recursve: true }));
	assert.equal(await sb.files.readText(at("kept")), "kept");
	await sb.files.write(at("kept"), new DataView(new Uint8Array([65, 66, 67]).buffer, 1));
	assert.equal(await sb.files.readText(at("kept")), "BC");
	for (const text of ["/tmp/\0", "/tmp/\ud800"]) await assert.rejects(sb.files.read(text), (e) => e instanceof InvalidArgument && e.message.includes("/tmp/"));
});

test("what is wrong with a command is found before it is started", soon, async () => {
	const script = `touch ${at("ran")}; exec sleep 1000`;
	const wrong = [
		...[NaN, -1, "5", null].map((timeout) => ({ timeout })),
		...[NaN, -1, "many"].map((outputLimit) => ({ outputLimit })),
		...[5, {}, new ArrayBuffer(1), (function* () {})()].map((stdin) => ({ stdin })),
		...[{ onStdout: 5 }, { onStderr: "x" }, { encoding: "nonsense" }, { encoding: "nonsense", onStdout() {} }, { signal: "SIGTERM" }, { env: { A: null } }, { env: { "A=B": "" } }, { cwd: 5 }, { Timeout: 5 }],
	];
	for (const options of wrong) await refused(sb.bash(script, options));
	for (const options of [{ stdin: "nothing" }, { stdin: -3 }, { stdout: 1.5 }, { stderr: process.stderr }, { timeout: 5 }]) await refused(sb.spawn(script, options));
	for (const options of [{ rows: NaN }, { cols: -1 }, { rows: 70_000 }, { command: [] }]) await refused(sb.pty({ command: script, ...options }));
	for (const command of [undefined, null, 5, [], ["echo", 5], ["echo", undefined], [, "x"]]) {
		await refused(sb.run(command));
		await refused(sb.spawn(command));
	}
	for (const text of [undefined, 5, ["echo"]]) await refused(sb.bash(text));
	assert.equal(await sb.files.exists(at("ran")), false);
	assert.deepEqual(await sb.processes(), []);
});

test("sizes and times of any kind that makes sense", soon, async () => {
	for (const options of [{ outputLimit: "10M" }, { outputLimit: Infinity }, { timeout: Infinity }, { timeout: 1e12 }, { stdin: null }]) assert.equal((await sb.bash("echo x", options)).stdout, "x\n");
	assert.ok((await sb.bash("echo x", { outputLimit: 0 })).outputLimited);
	assert.equal((await sb.run("echo $((1 + 2))")).stdout, "3\n");
});

test("input that cannot be read ends the command, and is the error", soon, async () => {
	const breaking = Readable.from((async function* () {
		yield "a";
		throw new RangeError("broken");
	})());
	await assert.rejects(sb.bash("cat; sleep 1000", { stdin: breaking }), RangeError);
	const destroyed = Readable.from(["a"]);
	destroyed.destroy();
	await assert.rejects(sb.bash("cat", { stdin: destroyed }), { code: "ERR_STREAM_PREMATURE_CLOSE" });
	assert.deepEqual(await sb.processes(), []);
	for (const objects of [[{ a: 1 }], ["a", 1]]) await refused(sb.bash("cat; sleep 1000", { stdin: Readable.from(objects) }));
	assert.deepEqual(await sb.processes(), []);
	const large = Readable.from((function* () {
		for (let i = 0; i < 100; i++) yield Buffer.alloc(100_000, "x");
	})());
	assert.equal((await sb.bash("sleep 0.2; wc -c", { stdin: large })).stdout, "10000000\n");
	const late = new Readable({ read() {} });
	late.push("a");
	assert.equal((await sb.run(["head", "-c", "1"], { stdin: late })).stdout, "a");
	late.destroy(new Error("nobody reads it any more"));
	await sleep(10);
});

test("callbacks may be asynchronous", soon, async () => {
	const heard = [];
	await sb.bash("echo x", { onStdout: async (text) => (await sleep(100), heard.push(text)) });
	assert.deepEqual(heard, ["x\n"]);
	await assert.rejects(sb.bash("echo x; sleep 1000", { onStdout: async () => { throw new RangeError("later"); } }), RangeError);
	assert.deepEqual(await sb.processes(), []);
	await inside({}, async (other) => {
		const r = await other.bash("echo x; sleep 1000", { onStdout: () => other.close() });
		assert.equal(r.signal, "SIGKILL");
	});
});

test("errors of a start name the program, the directory and the way out", soon, async () => {
	await assert.rejects(sb.run(["no-such-program"], { env: { PATH: "/usr/bin:/bin" } }), (e) => e instanceof CommandNotFound && /no-such-program.*PATH/.test(e.message) && e.code === "ENOENT");
	await assert.rejects(sb.run(["true"], { cwd: "nowhere" }), (e) => e instanceof WorkingDirectoryError && e.message.includes(at("nowhere")));
});

test("a directory is as seen from the sandbox's", soon, async () => {
	mkdirSync(at("below"));
	assert.equal((await sb.run(["pwd"], { cwd: "below" })).stdout, `${at("below")}\n`);
	const from = process.cwd();
	process.chdir(work);
	try {
		await inside({ cwd: "below" }, async (other) => {
			process.chdir(from);
			assert.equal((await other.run(["pwd"])).stdout, `${at("below")}\n`);
		});
	} finally {
		process.chdir(from);
	}
});

test("each event of a watch is for one of those who wait", soon, async () => {
	await sb.files.makeDir(at("watched"));
	const watch = await sb.files.watch(at("watched"));
	const waiting = [watch.next(), watch.next()];
	await sb.files.makeDir(at("watched/1"));
	await sleep(300);
	await sb.files.makeDir(at("watched/2"));
	const events = await Promise.all(waiting);
	assert.deepEqual(events.map((event) => event.value.path), [at("watched/1"), at("watched/2")]);
	await watch.close();
});

test("a loop of links is nothing, a file is no directory", soon, async () => {
	await sb.bash("ln -s b a; ln -s a b; echo x >file", { check: true });
	assert.equal(await sb.files.exists(at("a")), false);
	await assert.rejects(sb.files.list(at("file")), (e) => e instanceof FileError && e.code === "ENOTDIR");
	await assert.rejects(sb.files.list(`${at("file")}`, { recursive: true }), (e) => e.code === "ENOTDIR");
});

test("a stopped sandbox has no counters", soon, () =>
	inside({}, async (other) => {
		assert.deepEqual(await other.stats(), {});
		await other.bash("true");
		assert.ok(Object.keys(await other.stats()).length > 0);
	}));

test("as many forks as there are names, also of a sandbox that nobody has used", soon, () =>
	inside({ name: "used-by-none" }, async (other) => {
		const forks = await other.fork(undefined, { names: ["fork-a", "fork-b"] });
		assert.deepEqual(forks.map((fork) => fork.name), ["fork-a", "fork-b"]);
		for (const [count, names] of [[3, ["x"]], [1, ["x", "y"]], [NaN], [-1], [1.5], ["2"]]) await refused(other.fork(count, names && { names }));
		await assert.rejects(other.fork(1, { names: ["fork-a"] }), SandboxExists);
		for (const fork of forks) await fork.close();
		await other.close();
		await assert.rejects(other.apply({ paths: [] }), SandboxClosed);
	}));

test("changes can be asked for again when that failed", soon, async () => {
	const other = await Sandbox.create({ store, cwd: "/tmp" });
	const r = await other.bash("true");
	await other.close();
	const first = r.changes();
	await assert.rejects(first, BvisorError);
	await sleep(1);
	assert.notEqual(r.changes(), first);
	await assert.rejects(r.changes(), BvisorError);
});
