/* What can go wrong, and how it is told. */
import { BvisorError, CommandFailed, CommandNotFound, CommandTimeout, Sandbox } from "bvisor";

async function attempt(what: string, action: () => Promise<unknown>): Promise<void> {
	try {
		await action();
		console.log(what, "- fine");
	} catch (error) {
		if (error instanceof CommandTimeout) console.log(what, "- too slow, it had said:", error.result.stdout.toString().trim());
		else if (error instanceof CommandFailed) console.log(what, "- exit code", error.result.exitCode);
		else if (error instanceof CommandNotFound) console.log(what, "- not found");
		else if (error instanceof BvisorError) console.log(what, "-", error.code);
		else throw error;
	}
}

async function main(): Promise<void> {
	await using sb = await Sandbox.create({ cwd: "/tmp", net: "none" });
	const controller = new AbortController();

	await attempt("true", () => sb.run(["true"], { check: true, signal: controller.signal }));
	await attempt("chroot", () => sb.bash("chroot /tmp", { check: true }));
	await attempt("slow", () => sb.bash("echo started; sleep 10", { check: true, timeout: 300 }));
	await attempt("no command", () => sb.run(["/usr/bin/no-such-command"]));
	await attempt("no file", () => sb.files.read("/no/such/file"));
}

void main();
