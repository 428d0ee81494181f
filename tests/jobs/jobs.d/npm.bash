# npm ci of express, typescript, eslint and webpack; then tsc, and a node server that answers on loopback.
# The packages were fetched at prepare; the run installs from npm's own cache, so that it is repeatable. npm-registry is the same from the network.
# TIER: ci
# VOLATILE: npmcache/* *.tsbuildinfo node_modules/.package-lock.json
# LOOSE: npmcache/* tmp/*
npm_env()
{
	export npm_config_cache=$1 npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
	export npm_config_logs_max=0 npm_config_omit_lockfile_registry_resolved=true npm_config_progress=false
}

prepare()
{
	need node npm
	npm_env "$PWD/npmcache"
	cat >package.json <<-'J'
		{
		  "name": "job", "version": "1.0.0", "private": true,
		  "dependencies": { "express": "^4.19.0" },
		  "devDependencies": { "typescript": "^5.4.0", "eslint": "^8.57.0", "webpack": "^5.91.0", "webpack-cli": "^5.1.0", "@types/node": "^20.0.0", "@types/express": "^4.17.0" }
		}
	J
	cat >tsconfig.json <<-'J'
		{ "compilerOptions": { "target": "es2022", "module": "commonjs", "strict": true, "esModuleInterop": true, "outDir": "dist", "sourceMap": true }, "include": ["src"] }
	J
	mkdir src
	cat >src/server.ts <<-'T'
		import express from "express";
		import { greet } from "./greet";
		const app = express();
		app.get("/hello/:name", (req, res) => { res.json({ text: greet(req.params.name) }); });
		const server = app.listen(0, "127.0.0.1", async () => {
			const address = server.address();
			if (address === null || typeof address === "string") throw new Error("no port");
			const reply = await fetch(`http://127.0.0.1:${address.port}/hello/guest`);
			console.log(reply.status, await reply.text());
			server.close();
		});
	T
	cat >src/greet.ts <<-'T'
		export function greet(name: string): string {
			return `hello ${name}`;
		}
	T
	npm install --ignore-scripts >&2
	! grep -q '"resolved"' package-lock.json
	rm -rf node_modules
	npm ci --ignore-scripts >&2
	rm -rf node_modules
}

run()
{
	npm_env "$PWD/npmcache"
	npm ci --prefer-offline --ignore-scripts >npm.log 2>&1 || { cat npm.log; return 1; }
	rm npm.log
	npx tsc
	node dist/server.js
	npx webpack --mode production --entry ./dist/greet.js -o bundle --no-stats
	npx eslint --no-eslintrc --parser-options=ecmaVersion:2022 --rule '{"no-unused-vars":2}' dist/greet.js || echo "eslint $?"
	ls node_modules/.bin | wc -l
	find node_modules -type f | wc -l
	rm -rf node_modules/typescript
}
