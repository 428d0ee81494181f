# npm ci with an empty cache: every package comes from the registry.
# NET: host (where this machine gets packages from may be near it)
# TIER: long
# VOLATILE: npmcache/* *.tsbuildinfo node_modules/.package-lock.json
# LOOSE: npmcache/* tmp/*
. "$(dirname "$0")/jobs.d/npm.bash"
eval "$(declare -f prepare | sed '1s/prepare/npm_prepare/')"

prepare()
{
	npm_prepare
	rm -rf npmcache
}

run()
{
	npm_env "$PWD/npmcache"
	npm ci --ignore-scripts >npm.log 2>&1 || { cat npm.log; return 1; }
	rm npm.log
	npx tsc
	node dist/server.js
	find node_modules -type f | wc -l
}
