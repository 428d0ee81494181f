/* One state, several ways on from it; the best one is kept. */
import { Sandbox } from "bvisor";

async function main(): Promise<void> {
	await using sb = await Sandbox.create({ cwd: "/tmp" });
	await sb.files.write("/tmp/bvisor-numbers", "3\n1\n2\n");

	const forks = await sb.fork(2);
	const ways = ["sort", "sort -r"];
	const results = await Promise.all(forks.map((fork, i) => fork.bash(`${ways[i] ?? "cat"} /tmp/bvisor-numbers`)));
	results.forEach((r, i) => console.log(ways[i], r.stdout.split("\n").join(" ")));
	await Promise.all(forks.map((fork) => fork.close()));
}

void main();
