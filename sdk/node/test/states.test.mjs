/* What changed, applying it, snapshots, forks; sandboxes that are kept; limits and network. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BvisorError, LimitError, Sandbox, SandboxBusy, SandboxExists, SandboxNotFound, SnapshotNotFound, version } from "bvisor";
import { directoriesOf, inside, leftOf, serve, store, untilEmpty, work } from "./helpers.mjs";

const place = path.join(work, "place");
mkdirSync(place);

test("changes are told, tried, and applied; conflicts are left", async () => {
	const tree = path.join(work, "tree");
	mkdirSync(tree);
	for (const name of ["changed", "deleted", "raced"]) writeFileSync(path.join(tree, name), "host\n");
	await inside({ cwd: tree }, async (sb) => {
		await sb.bash("echo guest >changed; rm deleted; echo new >added; echo guest >raced", { check: true });
		const changes = await sb.diff({ paths: [tree] });
		assert.deepEqual(changes.map((c) => `${c.kind} ${path.basename(c.path)}`), ["added added", "modified changed", "deleted deleted", "modified raced"]);
		assert.deepEqual(changes[1].differs.includes("content"), true);
		assert.deepEqual(await sb.diff({ paths: [path.join(tree, "added")] }).then((c) => c.length), 1);
		writeFileSync(path.join(tree, "raced"), "host, later\n");
		const tried = await sb.apply({ paths: [tree], dryRun: true });
		assert.deepEqual(tried.map((i) => i.result).sort(), ["conflict", "would apply", "would apply", "would apply"]);
		assert.equal(readFileSync(path.join(tree, "changed"), "utf8"), "host\n");
		const applied = await sb.apply({ paths: [tree] });
		assert.deepEqual(applied.find((i) => i.result === "conflict").path, path.join(tree, "raced"));
		assert.equal(readFileSync(path.join(tree, "changed"), "utf8"), "guest\n");
		assert.equal(readFileSync(path.join(tree, "raced"), "utf8"), "host, later\n");
		assert.ok(existsSync(path.join(tree, "added")) && !existsSync(path.join(tree, "deleted")));
	});
});

test("paths are those of symbolic links, and one without a change is an error", async () => {
	const tree = path.join(work, "linked");
	mkdirSync(path.join(tree, "real"), { recursive: true });
	symlinkSync("real", path.join(tree, "link"));
	await inside({ cwd: tree }, async (sb) => {
		await sb.bash("echo new >real/added; echo new >other", { check: true });
		assert.deepEqual((await sb.diff({ paths: ["link/added", "nothing"] })).map((c) => c.path), [path.join(tree, "real/added")]);
		const error = await sb.apply({ paths: ["link/added", "nothing"] }).catch((e) => e);
		assert.ok(error instanceof BvisorError && error.code === "ENODATA" && error.message.includes(path.join(tree, "nothing")), String(error));
		assert.equal(existsSync(path.join(tree, "real/added")), false);
		assert.deepEqual((await sb.apply({ paths: ["link/"] })).map((i) => i.path), [path.join(tree, "real/added")]);
		assert.ok(existsSync(path.join(tree, "real/added")) && !existsSync(path.join(tree, "other")));
	});
});

test("a snapshot is restored, and its states are listed", async () => {
	await inside({ name: "origin" }, async (sb) => {
		await sb.files.write("/tmp/state", "1");
		const first = await sb.snapshot({ to: place, message: "the first", tags: ["t"] });
		assert.deepEqual([first.name, first.number, String(first)], ["origin", 1, "origin@1"]);
		await sb.files.write("/tmp/state", "2");
		await sb.snapshot({ to: place });
		const again = await sb.snapshot({ to: place, ifChanged: true });
		assert.equal(again.number, 2);
		const listed = await Sandbox.snapshots({ from: place, name: "origin" });
		assert.deepEqual(listed.map((s) => [s.number, s.message]), [[1, "the first"], [2, null]]);
		assert.ok(listed[0].time instanceof Date);
		const old = await Sandbox.restore(first, { from: place, store, name: "old", keep: false });
		assert.equal(await old.files.readText("/tmp/state"), "1");
		assert.equal((await old.run(["cat", "/tmp/state"])).stdout, "1");
		await old.close();
		assert.equal(directoriesOf(store).includes("old"), false);
	});
	await assert.rejects(Sandbox.restore("nothing@7", { from: place, store }), (e) => e instanceof SnapshotNotFound && e.code === "ENOENT");
});

const bucket = process.env.BVISOR_TEST_S3;
test("a snapshot in a bucket is restored, and tells what was wrong", { skip: !bucket && "no S3 server: tests/s3/server" }, () =>
	inside({ name: "bucketed" }, async (sb) => {
		await sb.files.write("/tmp/state", "of a bucket");
		const taken = await sb.snapshot({ to: bucket });
		const again = await Sandbox.restore(taken, { from: bucket, store, name: "from-bucket", keep: false });
		assert.equal(await again.files.readText("/tmp/state"), "of a bucket");
		assert.equal((await again.run(["cat", "/tmp/state"])).stdout, "of a bucket");
		await again.close();
		await assert.rejects(sb.snapshot({ to: bucket.replace("bucket", "no-such-bucket") }), (e) => e.code === "ENODEV");
	}));

test("what a sandbox changes is in its bucket seconds later", { skip: !bucket && "no S3 server: tests/s3/server", timeout: 60_000 }, async () => {
	const sb = await Sandbox.create({ store, cwd: "/tmp", name: "followed", backend: bucket, continuous: true, keep: true });
	await sb.files.write("/tmp/state", "brought");
	const p = await sb.spawn("sleep 1000", { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
	const states = () => Sandbox.snapshots({ from: bucket, name: "followed.sync" }).catch(() => []);
	for (let i = 0; i < 200 && (await states()).length === 0; i++) await sleep(100);
	assert.ok((await states()).length > 0);
	await p.kill();
	const again = await Sandbox.restore("followed.sync", { from: bucket, store, name: "followed-again", keep: false });
	assert.equal(await again.files.readText("/tmp/state"), "brought");
	await again.close();
	await sb.remove({ force: true });
});

test("forks go on from one state, each its own way", async () => {
	await inside({ name: "parent" }, async (sb) => {
		await sb.files.write("/tmp/shared", "before");
		const forks = await sb.fork(3, { to: place });
		assert.deepEqual(forks.map((f) => f.name), ["parent-1", "parent-2", "parent-3"]);
		await Promise.all(forks.map((f, i) => f.bash(`echo ${i} >>/tmp/shared`, { check: true })));
		assert.deepEqual(await Promise.all(forks.map((f) => f.files.readText("/tmp/shared"))), ["before0\n", "before1\n", "before2\n"]);
		assert.equal(await sb.files.readText("/tmp/shared"), "before");
		const [more] = await sb.fork(1, { to: place });
		assert.equal(more.name, "parent-4");
		await assert.rejects(sb.fork(1, { to: place, names: ["parent-1"] }), BvisorError);
		await Promise.all([...forks, more].map((f) => f.close()));
	});
	assert.deepEqual(await untilEmpty(() => directoriesOf(store).filter((name) => name.startsWith("parent"))), []);
});

test("a fork needs no place to be named", () =>
	inside({ name: "placeless" }, async (sb) => {
		await sb.files.write("/tmp/x", "x");
		const [fork] = await sb.fork();
		assert.equal(await fork.files.readText("/tmp/x"), "x");
		await fork.close();
	}));

test("a kept sandbox is listed, opened again and removed; another is gone when it is closed", async () => {
	const kept = await Sandbox.create({ store, name: "kept", keep: true, cwd: "/tmp" });
	await kept.bash("echo there >/tmp/file", { check: true });
	await assert.rejects(Sandbox.create({ store, name: "kept" }), (e) => e instanceof SandboxExists && e.code === "EEXIST");
	await kept.close();
	assert.deepEqual((await Sandbox.list({ store })).filter((s) => s.name === "kept").map((s) => [s.unnamed, s.damage, s.created instanceof Date]), [[false, null, true]]);
	const again = await Sandbox.open("kept", { store, cwd: "/tmp" });
	const p = await again.spawn(["sleep", "60"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
	await assert.rejects(again.remove(), SandboxBusy);
	await p.kill();
	await p.wait();
	assert.equal((await again.run(["cat", "/tmp/file"])).stdout, "there\n");
	await again.remove();
	await assert.rejects(Sandbox.open("kept", { store }), (e) => e instanceof SandboxNotFound && /kept/.test(e.message));
	await inside({ name: "passing" }, async () => assert.ok(directoriesOf(store).includes("passing")));
	assert.deepEqual(await untilEmpty(() => leftOf(store)), []);
});

test("limits are enforced and told", () =>
	inside({ limits: { nofile: 64, disk: "1M" } }, async (sb) => {
		assert.equal((await sb.bash("ulimit -n")).stdout, "64\n");
		const r = await sb.bash("yes >/tmp/much", { timeout: 30_000 });
		assert.ok(!r.ok && !r.timedOut, JSON.stringify(r));
		const disk = (await sb.limits()).find((l) => l.name === "disk");
		assert.equal(disk.limit, 1 << 20);
		assert.ok(disk.hits > 0 && r.limits.find((l) => l.name === "disk").hits > 0, JSON.stringify([disk, r.limits]));
		assert.match(r.remark, /disk/);
		await assert.rejects(sb.files.write("/tmp/more", Buffer.alloc(2 << 20)), (e) => e.code === "EDQUOT");
	}));

test("copies have limits, too", async () => {
	const name = "limited", to = `dir:${store}/limited`;
	const sb = await Sandbox.create({ store, name, keep: true, limits: { nofile: 64, pids: 60 } });
	const open = async (copy) => (await copy.bash("ulimit -n")).stdout.trim();
	try {
		const state = await sb.snapshot({ to });
		const [same] = await sb.fork(1, { to, keep: false });
		const [other] = await sb.fork(1, { to, keep: false, names: [`${name}-other`], limits: { nofile: 50 } });
		const restored = await Sandbox.restore(state, { from: to, store, name: `${name}-copy`, keep: false, limits: { nofile: 40 } });
		assert.deepEqual([await open(same), await open(other), await open(restored)], ["64", "50", "40"]);
		assert.deepEqual(await Promise.all([same, other, restored].map(async (copy) => (await copy.limits()).length)), [2, 2, 1]);
		for (const copy of [same, other, restored]) await copy.close();
	} finally {
		await sb.remove({ force: true });
	}
});

test("limits that make no sense are refused", async () => {
	for (const limits of [{ memory: "lots" }, { cpus: 0 }, { pids: -1 }, { disk: "" }])
		await assert.rejects(Sandbox.create({ store, limits }), (e) => e instanceof BvisorError && e.code === "EINVAL", JSON.stringify(limits));
	const wide = await Sandbox.create({ store, limits: { nofile: 2 ** 40 } });
	await assert.rejects(wide.run(["true"]), LimitError);
	await wide.close();
});

test("rules of the network are added, taken off, and told", async () => {
	const server = await serve();
	await inside({ net: "none" }, async (sb) => {
		const reach = async () => (await sb.bash(`curl -s --max-time 10 http://${server.address}/`)).ok;
		assert.equal(await reach(), false);
		await sb.net.allow(server.address);
		assert.deepEqual([await sb.net.mode(), await sb.net.rules()], ["none", [server.address]]);
		assert.equal(await reach(), true);
		await sb.net.deny(server.address);
		assert.equal(await reach(), false);
		assert.ok((await sb.net.denied())[0].time instanceof Date);
		await assert.rejects(sb.net.allow("not a rule!"), (e) => e.code === "EINVAL");
		await sb.net.setMode("internet");
		assert.equal(await sb.net.mode(), "internet");
	});
	await server.close();
});

test("a published port is the host's, too", async () => {
	const reserved = await serve();
	await reserved.close();
	const port = Number(reserved.address.split(":")[1]);
	await inside({ publish: [port] }, async (sb) => {
		const p = await sb.spawn(["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/usr/share", String(port)], { stdin: "ignore" });
		await once(p.stdout, "data"); // it listens
		p.stdout.resume();
		p.stderr.resume();
		const answer = await fetch(`http://127.0.0.1:${port}/`);
		assert.equal(answer.status, 200);
		assert.deepEqual(await sb.net.published(), [`127.0.0.1:${port}:${port}`]);
		await p.kill();
	});
});

test("names of the machine, a fake root, hidden and granted paths", async () => {
	const [hidden, granted] = ["hidden", "granted"].map((name) => path.join(work, name));
	for (const directory of [hidden, granted]) {
		mkdirSync(directory);
		writeFileSync(path.join(directory, "file"), "host\n");
	}
	await inside({ hostname: "elsewhere", kernelRelease: "6.1.0-bvisor", fakeRoot: true, hide: [hidden], rw: [granted] }, async (sb) => {
		assert.equal((await sb.bash("uname -nr; id -u")).stdout, "elsewhere 6.1.0-bvisor\n0\n");
		assert.equal(await sb.files.exists(path.join(hidden, "file")), false);
		await sb.files.write(path.join(granted, "file"), "guest\n");
	});
	assert.equal(readFileSync(path.join(granted, "file"), "utf8"), "guest\n");
});

test("a pid namespace of their own: small pids, and ends that are told", async (t) => {
	const sb = await Sandbox.create({ store, cwd: "/tmp", pidns: true });
	try {
		const r = await sb.bash("echo $$; exit 3");
		assert.ok(Number(r.stdout) < 100, r.stdout);
		assert.equal(r.exitCode, 3);
		const p = await sb.spawn(["sleep", "60"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
		await p.kill();
		assert.equal((await p.wait()).signal, "SIGTERM");
	} catch (error) {
		if (error.code !== "EPERM") throw error;
		t.skip("this user may not make one");
	} finally {
		await sb.close();
	}
});

test("counters are told of a running sandbox, and every process can be ended", () =>
	inside({}, async (sb) => {
		const p = await sb.spawn(["sleep", "60"], { stdout: "ignore", stderr: "ignore", stdin: "ignore" });
		assert.equal(typeof (await sb.stats()), "object");
		assert.deepEqual((await sb.processes()).map((i) => i.pid), [p.pid]);
		await sb.kill();
		assert.deepEqual(await sb.processes(), []);
		assert.equal((await p.wait()).signal, "SIGKILL");
		assert.equal(await sb.warning(), null);
		assert.match(version, /^\d+\.\d+\.\d+$/);
	}));
