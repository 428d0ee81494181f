/* A command on a copy of this machine, what it changed, and nothing of that on the host. */
import { existsSync } from "node:fs";
import { Sandbox } from "bvisor";

async function main(): Promise<void> {
	await using sb = await Sandbox.create({ cwd: "/tmp", limits: { nofile: 256 } });

	const r = await sb.bash("echo hello from $(pwd); echo 1 > bvisor-example.txt", { timeout: 10_000, check: true });
	console.log(r.stdout.trim());

	for (const change of await r.changes()) console.log(change.kind, change.path, change.size);
	console.log("on the host:", existsSync("/tmp/bvisor-example.txt"));

	await sb.files.write("/tmp/bvisor-example.txt", "2\n", { append: true });
	console.log("in the sandbox:", JSON.stringify(await sb.files.readText("/tmp/bvisor-example.txt")));
}

void main();
