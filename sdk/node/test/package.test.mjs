/* The package as it is installed: it needs nothing outside of itself, and is one thing however it is loaded. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import * as esm from "bvisor";
import { inside, processesOf } from "./helpers.mjs";

const require = createRequire(import.meta.url);
const home = path.dirname(require.resolve("bvisor/package.json"));

test("import and require give the same objects", () => {
	const cjs = require("bvisor");
	assert.deepEqual(Object.keys(esm).filter((name) => name !== "default").sort(), Object.keys(cjs).sort());
	for (const name of Object.keys(cjs)) assert.equal(esm[name], cjs[name]);
});

test("libraries and the supervisor are those of the package", () =>
	inside({}, async (sb) => {
		await sb.run(["true"]);
		const maps = readFileSync("/proc/self/maps", "utf8");
		const ours = [...new Set([...maps.matchAll(/\S*\/(?:bvisor\.node|libbvisor\S*|libcjson\S*|libsqlite3\S*)$/gm)].map((m) => path.dirname(m[0])))];
		assert.deepEqual(ours, [path.join(home, "prebuilds", `linux-${process.arch}`)]);
		const supervisors = processesOf(sb.dir).map((pid) => readlinkSync(`/proc/${pid}/exe`)).filter((exe) => exe.endsWith("bvisor-supervisor"));
		assert.ok(supervisors.length > 0);
		for (const exe of supervisors) assert.equal(exe, path.join(ours[0], "bvisor-supervisor"));
	}));

test("there is no other file in it than what is needed", () => {
	const listed = require("node:child_process").execFileSync("find", [home, "-type", "f", "-printf", "%P\n"], { encoding: "utf8" }).trim().split("\n");
	for (const file of listed) assert.match(file, /^(package\.json|README\.md|LICENSE|dist\/[\w.-]+\.(js|mjs|d\.ts|d\.mts)|examples\/[\w.-]+\.(ts|mjs)|prebuilds\/linux-\w+\/[\w.-]+)$/);
});
