/* A first session, line by line. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { BvisorError, CommandFailed, CommandNotExecutable, CommandNotFound, CommandTimeout, Sandbox, WorkingDirectoryError } from "bvisor";
import { LONG, serve, store, work } from "./helpers.mjs";

let sb, open, closed;

before(async () => {
	open = await serve();
	closed = await serve();
	sb = await Sandbox.create({ store, cwd: work, allow: [open.address] });
});
after(async () => {
	await sb.close();
	await Promise.all([open.close(), closed.close()]);
});

test("a command says something", async () => {
	const r = await sb.bash("echo hello; echo there >&2");
	assert.equal(r.stdout, "hello\n");
	assert.equal(r.stderr, "there\n");
	assert.equal(r.exitCode, 0);
	assert.equal(r.signal, null);
	assert.ok(r.ok && r.duration > 0 && !r.timedOut && r.remark === null);
});

test("it sees the host's files", async () => {
	const r = await sb.bash("ls /");
	for (const name of ["bin", "etc", "tmp", "usr"]) assert.ok(r.stdout.split("\n").includes(name), r.stdout);
});

test("a file is seen by the next command, and not by the host", async () => {
	const file = path.join(work, "test.txt");
	await sb.bash(`touch ${file}`, { check: true });
	assert.equal((await sb.bash(`ls ${file}`)).stdout, `${file}\n`);
	assert.equal(existsSync(file), false);
	const r = await sb.bash("true");
	assert.deepEqual((await r.changes()).map((c) => [c.kind, c.path, c.type]), [["added", file, "file"]]);
	assert.equal(await r.changes(), await r.changes());
});

test("an allowed server is reached, another one is not", async () => {
	assert.equal((await sb.bash(`curl -s http://${open.address}/`)).stdout, "from the host\n");
	const r = await sb.bash(`curl -s --max-time 10 http://${closed.address}/`);
	assert.notEqual(r.exitCode, 0);
	assert.equal(r.stdout, "");
	assert.deepEqual([open.came(), closed.came()], [1, 0]);
	assert.ok((await sb.net.denied()).some((d) => d.to === closed.address && d.protocol === "tcp"));
});

test("npm installs a package, which the host does not get", async () => {
	const [project, module] = [path.join(work, "project"), path.join(work, "module")];
	for (const [directory, name] of [[project, "project"], [module, "a-module"]]) {
		mkdirSync(directory);
		writeFileSync(path.join(directory, "package.json"), JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
	}
	writeFileSync(path.join(module, "index.js"), "module.exports = 42;\n");
	await sb.bash("npm install --offline --no-audit --no-fund ../module", { cwd: project, check: true, env: { npm_config_cache: path.join(work, "cache") } });
	assert.equal((await sb.bash("node -p 'require(\"a-module\")'", { cwd: project })).stdout, "42\n");
	assert.deepEqual(readdirSync(project), ["package.json"]);
});

test("npm installs a package of the registry", { skip: !LONG && "BVISOR_LONG=1" }, async () => {
	const other = await Sandbox.create({ store, cwd: work, net: "host" });
	const r = await other.bash("mkdir online; cd online; npm init -y >&2; npm install --no-audit --no-fund ms >&2; node -p 'require(\"ms\")(\"2 days\")'", { timeout: 120_000 });
	await other.close();
	assert.equal(r.stdout, "172800000\n", r.stderr);
});

test("what takes too long is ended", async () => {
	const r = await sb.bash("echo before; sleep 5", { timeout: 300 });
	assert.ok(r.timedOut && !r.ok);
	assert.equal(r.signal, "SIGKILL");
	assert.equal(r.stdout, "before\n");
	assert.ok(r.duration < 4000, `${r.duration} ms`);
	await assert.rejects(sb.bash("sleep 5", { timeout: 100, check: true }), (e) => e instanceof CommandTimeout && e instanceof CommandFailed && e.code === "ETIMEDOUT");
});

test("chroot is refused, and that is an error if one asks for it", async () => {
	await assert.rejects(sb.bash("chroot /tmp /bin/true", { check: true }), (e) => {
		assert.ok(e instanceof CommandFailed && e instanceof BvisorError && e instanceof Error);
		assert.match(e.message, /chroot \/tmp.*exit code 125\n.*cannot change root/s);
		assert.equal(e.result.exitCode, 125);
		return true;
	});
	assert.equal((await sb.bash("chroot /tmp /bin/true")).exitCode, 125);
});

test("a command that does not exist has an error of its own", async () => {
	await assert.rejects(sb.run(["/usr/bin/no-such-command"]), (e) => e instanceof CommandNotFound && e.code === "ENOENT" && e.errno === -2 && e.stage === "exec");
	await assert.rejects(sb.run(["true"], { cwd: "/no/such" }), (e) => e instanceof WorkingDirectoryError && e.code === "ENOENT" && e.stage === "cwd");
	await assert.rejects(sb.run(["/etc/passwd"]), (e) => e instanceof CommandNotExecutable && e.code === "EACCES");
});
