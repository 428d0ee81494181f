// Output while it comes, a command that is talked to, and a watch.
import { Sandbox } from "bvisor";

const sb = await Sandbox.create({ cwd: "/tmp" });
await sb.bash("for i in 1 2 3; do echo line $i; done", { onStdout: (text) => process.stdout.write(text) });

const sort = await sb.spawn(["sort", "-n"]);
sort.stdin.end("10\n9\n");
for await (const chunk of sort.stdout) process.stdout.write(chunk);
console.log("sort ended with", (await sort.wait()).exitCode);

await sb.files.makeDir("/tmp/bvisor-watched");
const watch = await sb.files.watch("/tmp/bvisor-watched");
await sb.files.write("/tmp/bvisor-watched/file", "x");
for await (const event of watch) {
	console.log(event.what.join(), event.path);
	break;
}
await sb.close();
