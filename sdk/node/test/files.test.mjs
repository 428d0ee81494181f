/* Files without a command, and what is told of them. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BvisorError, FileError, Sandbox } from "bvisor";
import { inside, store, work } from "./helpers.mjs";

let sb;
const at = (name) => path.join(work, name);
const failsWith = (code) => (e) => e instanceof BvisorError && e.code === code;

before(async () => {
	writeFileSync(at("of-host"), "host\n");
	symlinkSync("of-host", at("link"));
	sb = await Sandbox.create({ store, cwd: work });
});
after(() => sb.close());

test("a file is written, read, added to, and the host has none of it", async () => {
	await sb.files.write(at("new"), "ä\n");
	assert.equal(await sb.files.readText(at("new")), "ä\n");
	await sb.files.write(at("new"), Buffer.from([0, 255]), { append: true });
	assert.deepEqual(await sb.files.read(at("new")), Buffer.from([0xc3, 0xa4, 10, 0, 255]));
	assert.equal((await sb.run(["wc", "-c", at("new")])).stdout.split(" ")[0], "5");
	assert.equal(existsSync(at("new")), false);
});

test("a large file and an empty one come back as they are", async () => {
	const data = Buffer.alloc(20 << 20, "0123456789");
	await sb.files.write(at("large"), data);
	assert.ok(data.equals(await sb.files.read(at("large"))));
	await sb.files.write(at("empty"), "");
	assert.equal((await sb.files.read(at("empty"))).length, 0);
	await sb.files.remove(at("large"));
});

test("the host's file is read, and changed for the sandbox only", async () => {
	assert.equal(await sb.files.readText(at("of-host")), "host\n");
	await sb.files.write(at("of-host"), "changed\n");
	assert.equal((await sb.run(["cat", at("of-host")])).stdout, "changed\n");
	assert.equal(readFileSync(at("of-host"), "utf8"), "host\n");
});

test("options of a write: parents, exclusive, mode", async () => {
	await assert.rejects(sb.files.write(at("a/b/c"), "x"), failsWith("ENOENT"));
	await sb.files.write(at("a/b/c"), "x", { parents: true, mode: 0o600 });
	assert.equal((await sb.files.stat(at("a/b/c"))).mode, 0o600);
	await assert.rejects(sb.files.write(at("a/b/c"), "y", { exclusive: true }), failsWith("EEXIST"));
});

test("what is at a path is told", async () => {
	const file = await sb.files.stat(at("of-host"));
	assert.deepEqual([file.type, file.name, file.path], ["file", "of-host", at("of-host")]);
	assert.ok(file.mtime instanceof Date && Math.abs(file.mtime - Date.now()) < 600_000);
	assert.deepEqual([(await sb.files.stat(at("link"))).type, (await sb.files.stat(at("link"), { followSymlinks: false })).type], ["file", "symlink"]);
	assert.equal(await sb.files.readLink(at("link")), "of-host");
	assert.deepEqual([await sb.files.exists(at("link")), await sb.files.exists(at("nothing")), await sb.files.exists(at("of-host/x"))], [true, false, false]);
});

test("directories are made, listed, renamed and removed", async () => {
	await sb.files.makeDir(at("d/e"), { parents: true });
	await sb.files.makeDir(at("d/e"), { parents: true });
	await assert.rejects(sb.files.makeDir(at("d")), failsWith("EEXIST"));
	await sb.files.write(at("d/f"), "1");
	await sb.files.write(at("d/e/g"), "22");
	assert.deepEqual((await sb.files.list(at("d"))).map((e) => [e.name, e.type, e.size > 0]).map((e) => e.slice(0, 2)), [["e", "directory"], ["f", "file"]]);
	assert.deepEqual((await sb.files.list(at("d"), { recursive: true })).map((e) => e.path), [at("d/e"), at("d/e/g"), at("d/f")]);
	await sb.files.rename(at("d/f"), at("d/h"));
	await assert.rejects(sb.files.rename(at("d/h"), at("d/e/g"), { replace: false }), failsWith("EEXIST"));
	await assert.rejects(sb.files.remove(at("d")), failsWith("ENOTEMPTY"));
	await sb.files.remove(at("d"), { recursive: true });
	assert.equal(await sb.files.exists(at("d")), false);
	await assert.rejects(sb.files.remove(at("d")), failsWith("ENOENT"));
});

test("errors name the path and the reason", async () => {
	await assert.rejects(sb.files.read(at("nothing")), (e) => failsWith("ENOENT")(e) && e instanceof FileError && e.message.includes(at("nothing")) && e.errno === -2);
	await assert.rejects(sb.files.write("relative", "x"), failsWith("EINVAL"));
	await assert.rejects(sb.files.write(at("of-host/below"), "x"), failsWith("ENOTDIR"));
});

test("nothing can be changed in a read-only sandbox", () =>
	inside({ readOnly: true }, async (other) => {
		await assert.rejects(other.files.write(at("x"), "x"), failsWith("EROFS"));
		assert.equal(await other.files.readText(at("of-host")), "host\n");
	}));

test("a watch tells what commands do, and ends when it is closed", async () => {
	await sb.files.makeDir(at("watched/below"), { parents: true });
	const watch = await sb.files.watch(at("watched"), { recursive: true });
	const events = [];
	const reading = (async () => {
		for await (const event of watch) events.push(event);
	})();
	await sb.bash(`cd ${at("watched")}; echo 1 >new; mv new newer; echo 2 >below/deep; rm newer`, { check: true });
	const has = (what, name) => events.some((e) => e.what.includes(what) && e.path === at(`watched/${name}`));
	for (let i = 0; i < 100 && !has("removed", "newer"); i++) await sleep(50);
	await watch.close();
	await reading;
	assert.ok(has("created", "new") && has("created", "below/deep") && has("removed", "newer"), JSON.stringify(events));
	assert.ok(events.some((e) => e.what.includes("renamed") && e.oldPath === at("watched/new") && e.path === at("watched/newer")), JSON.stringify(events));
	assert.deepEqual(await watch.next(), { value: undefined, done: true });
});

test("a watch ends with what is watched, with a break, and with its sandbox", async () => {
	await sb.files.makeDir(at("gone"));
	const watch = await sb.files.watch(at("gone"));
	await sb.files.remove(at("gone"));
	for await (const event of watch) assert.ok(event);
	await sb.files.makeDir(at("broken"));
	const other = await sb.files.watch(at("broken"));
	await sb.files.write(at("broken/x"), "");
	for await (const event of other) {
		assert.equal(event.path, at("broken/x"));
		break;
	}
	assert.equal((await other.next()).done, true);
	await inside({}, async (short) => {
		const last = await short.files.watch("/tmp");
		const end = last.next();
		await sleep(100);
		await short.close();
		assert.equal((await end).done, true);
	});
});
