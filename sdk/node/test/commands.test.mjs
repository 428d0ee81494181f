/* Commands: input, output, environment, signals, streams, terminals. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { BvisorError, CommandFailed, OutputLimitExceeded, Sandbox, SandboxClosed } from "bvisor";
import { inside, store } from "./helpers.mjs";

let sb;

before(async () => (sb = await Sandbox.create({ store, cwd: "/tmp", env: { OF_SANDBOX: "yes" } })));
after(() => sb.close());

async function textOf(stream) {
	let text = "";
	for await (const chunk of stream) text += chunk;
	return text;
}

test("stdin is text, bytes, a stream, or nothing", async () => {
	assert.equal((await sb.run(["cat"], { stdin: "text" })).stdout, "text");
	assert.equal((await sb.run(["cat"], { stdin: Buffer.from([65, 66]) })).stdout, "AB");
	assert.equal((await sb.run(["cat"], { stdin: Readable.from(["a", "b", "c"]) })).stdout, "abc");
	assert.equal((await sb.run(["cat"])).stdout, "");
});

test("input that nobody reads is no error", async () => {
	const r = await sb.run(["true"], { stdin: "x".repeat(1 << 20) });
	assert.equal(r.exitCode, 0);
});

test("large streams do not block each other", async () => {
	const data = "0123456789abcdef".repeat(1 << 18);
	const r = await sb.bash("tee /dev/stderr", { stdin: data });
	assert.ok(r.stdout === data && r.stderr === data);
});

test("output is text, or bytes if one asks for them", async () => {
	assert.equal((await sb.bash("printf '\\303\\244'")).stdout, "ä");
	assert.deepEqual((await sb.bash("printf '\\303\\244'", { encoding: "buffer" })).stdout, Buffer.from([0xc3, 0xa4]));
});

test("output comes while the command runs, characters are whole", async () => {
	const pieces = [];
	const r = await sb.bash("printf 'a\\303'; sleep 0.3; printf '\\244'; echo e >&2", { onStdout: (text) => pieces.push(text), onStderr: (text) => pieces.push(text) });
	assert.deepEqual(pieces.slice(0, 1), ["a"]);
	assert.equal(pieces.join(""), "aäe\n");
	assert.equal(r.stdout, "aä");
});

test("what a callback throws ends the command", async () => {
	const begun = performance.now();
	await assert.rejects(sb.bash("echo x; sleep 20", { onStdout: () => { throw new RangeError("no more"); } }), RangeError);
	assert.ok(performance.now() - begun < 10_000);
});

test("output beyond its limit ends the command", async () => {
	const r = await sb.bash("yes", { outputLimit: 1000 });
	assert.ok(r.outputLimited && !r.ok && r.stdout.length === 1000);
	await assert.rejects(sb.bash("yes", { outputLimit: 10, check: true }), (e) => e instanceof OutputLimitExceeded && e instanceof CommandFailed && /output limit/.test(e.message));
});

test("an abort signal ends the command, with its reason", async () => {
	const controller = new AbortController();
	const reason = new Error("enough");
	const begun = performance.now();
	setTimeout(() => controller.abort(reason), 200);
	await assert.rejects(sb.bash("sleep 20", { signal: controller.signal }), (e) => e === reason);
	assert.ok(performance.now() - begun < 10_000);
	await assert.rejects(sb.bash("true", { signal: controller.signal }), (e) => e === reason);
	assert.deepEqual((await sb.processes()).filter((p) => p.comm === "sleep"), []);
});

test("a command in the background does not keep the result, and goes on", async () => {
	const r = await sb.bash("sleep 30 & echo $!; echo said");
	assert.match(r.stdout, /^\d+\nsaid\n$/);
	assert.ok(r.duration < 10_000);
	const pid = Number(r.stdout.split("\n")[0]);
	assert.ok((await sb.processes()).some((p) => p.pid === pid && p.comm === "sleep" && p.args.join(" ") === "sleep 30" && p.start instanceof Date));
	await sb.bash(`kill ${pid}`);
});

test("SIGPIPE has its default action, though node ignores it", async () => {
	assert.equal((await sb.bash("yes | head -n 1; echo ${PIPESTATUS[0]}")).stdout, "y\n141\n");
});

test("how a command was ended is told", async () => {
	const r = await sb.bash("kill -TERM $$");
	assert.deepEqual([r.exitCode, r.signal, r.ok], [null, "SIGTERM", false]);
	assert.equal((await sb.bash("exit 3")).exitCode, 3);
});

test("variables come from here, the sandbox and the command, in this order", async () => {
	process.env.FROM_HERE = "here";
	const show = "echo $FROM_HERE $OF_SANDBOX $OF_COMMAND";
	assert.equal((await sb.bash(show)).stdout, "here yes\n");
	assert.equal((await sb.bash(show, { env: { OF_COMMAND: "c", OF_SANDBOX: "no" } })).stdout, "here no c\n");
	assert.equal((await sb.bash(show, { env: { FROM_HERE: undefined } })).stdout, "yes\n");
	assert.equal((await sb.run(["/usr/bin/env"], { clearEnv: true, env: { A: "1" } })).stdout.trim().split("\n").sort().join(), "A=1,OF_SANDBOX=yes");
	process.env.AWS_SECRET_ACCESS_KEY = "of the host";
	assert.equal((await sb.bash("echo ${AWS_SECRET_ACCESS_KEY-withheld}")).stdout, "withheld\n");
	assert.equal((await sb.bash("echo $AWS_SECRET_ACCESS_KEY", { env: { AWS_SECRET_ACCESS_KEY: "given" } })).stdout, "given\n");
});

test("the directory is the command's, else the sandbox's, else this process's", async () => {
	assert.equal((await sb.run(["pwd"])).stdout, "/tmp\n");
	assert.equal((await sb.run(["pwd"], { cwd: "/usr" })).stdout, "/usr\n");
	await inside({ cwd: undefined }, async (other) => assert.equal((await other.run(["pwd", "-P"])).stdout, `${process.cwd()}\n`));
});

test("text with a NUL is refused before anything happens", async () => {
	await assert.rejects(sb.bash("echo a\0b"), (e) => e instanceof BvisorError && e.code === "EINVAL");
	assert.equal((await sb.bash("printf '%s' '\\u0000'")).stdout, "\\u0000");
});

test("a spawned command is written to, read from and waited for", async () => {
	const p = await sb.spawn(["cat"]);
	assert.ok(p.pid > 0 && p.ended === null);
	p.stdin.write("one\n");
	const [first] = await once(p.stdout, "data");
	assert.equal(String(first), "one\n");
	p.stdin.end("two\n");
	assert.equal(await textOf(p.stdout), "two\n");
	assert.deepEqual((await p.wait()).exitCode, 0);
	assert.equal(p.ended.exitCode, 0);
	assert.deepEqual(await p.wait(), await p.wait());
	assert.equal(await p.kill(), false);
});

test("a spawned command is killed", async () => {
	const p = await sb.spawn("sleep 60 & sleep 60", { stdout: "ignore", stdin: "ignore" });
	assert.equal(p.stdout, null);
	assert.equal(await p.kill("SIGTERM"), true);
	assert.equal((await p.wait()).signal, "SIGTERM");
	await assert.rejects(p.kill("SIGNOTHING"), (e) => e.code === "EINVAL");
});

test("what was written before the end can be read after it", async () => {
	const p = await sb.spawn(["echo", "late"]);
	await p.wait();
	assert.equal(await textOf(p.stdout), "late\n");
});

test("a terminal has a size, which can change, and a shell on it talks", async () => {
	const p = await sb.pty({ command: ["bash", "--norc"], rows: 30, cols: 100, env: { PS1: "> " } });
	const said = textOf(p);
	await p.write("stty size; tty -s && echo on a terminal\n");
	await sleep(300);
	await p.resize(40, 120);
	await p.write("stty size\nexit 5\n");
	assert.equal((await p.wait()).exitCode, 5);
	const text = await said;
	assert.match(text, /30 100\r\n/);
	assert.match(text, /40 120\r\n/);
	assert.match(text, /on a terminal\r\n/);
});

test("^C on a terminal interrupts what runs on it", async () => {
	const p = await sb.pty({ command: ["sleep", "60"] });
	p.output.resume();
	await sleep(200);
	await p.write("\x03");
	assert.equal((await p.wait()).signal, "SIGINT");
});

test("after close there is an error, and no command", async () => {
	const other = await Sandbox.create({ store, cwd: "/tmp" });
	const p = await other.spawn(["sleep", "60"]);
	const running = other.bash("sleep 60");
	await sleep(200);
	await other.close();
	assert.equal((await p.wait()).signal, "SIGKILL");
	assert.equal((await running).signal, "SIGKILL");
	await other.close();
	await assert.rejects(other.bash("true"), SandboxClosed);
	await assert.rejects(other.files.read("/etc/passwd"), SandboxClosed);
	assert.equal(await p.kill(), false);
});
