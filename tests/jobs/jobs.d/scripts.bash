# shell, perl and python scripts with #! that are written inside, also as each other's interpreter.
# TIER: ci
prepare()
{
	need perl /usr/bin/python3 bash
	mkdir bin
	printf '#!/bin/sh\necho "host script $0 $*"\n' >bin/host.sh
	chmod +x bin/host.sh
}

write()
{
	cat >"$1"
	chmod +x "$1"
}

run()
{
	mkdir -p "in side/bin"
	cd "in side/bin"
	write one.sh <<-'S'
		#!/bin/sh
		echo "$0 in $(basename "$(dirname "$0")"): $# arguments: $*"
		exit 3
	S
	write two.pl <<-'S'
		#!/usr/bin/perl -w
		use strict; use FindBin;
		print "$0 $FindBin::Script @ARGV\n"; exit 4;
	S
	write three.py <<-'S'
		#!/usr/bin/env python3
		import os, sys
		print(sys.argv, os.path.basename(__file__), os.path.exists(sys.argv[0]), open("/proc/self/comm").read().strip())
		sys.exit(5)
	S
	local s
	for s in ./one.sh "$PWD/one.sh" ./two.pl ./three.py; do
		"$s" a "b c" || echo "exit $?"
	done
	PATH=$PWD:$PATH
	one.sh by path || echo "exit $?"
	cd ../..
	printf '#!%s -x\nbody\n' "$PWD/interp" >nested
	write interp <<-'S'
		#!/bin/sh
		echo "interpreter $0 got: $*"
	S
	chmod +x nested
	./nested arg
	cp /bin/ls "in side/myls"
	"in side/myls" "in side/bin"
	printf '#!/no/such/interpreter\n' >bad
	chmod +x bad
	./bad 2>/dev/null || echo "bad interpreter: $?"
	printf 'echo no magic $1\n' >plain
	chmod +x plain
	./plain line
	chmod -x bin/host.sh
	bin/host.sh 2>/dev/null || echo "not executable: $?"
	chmod +x bin/host.sh
	sed -i 's/host script/edited/' bin/host.sh
	bin/host.sh again
	(cd "in side/bin" && mv one.sh moved.sh && ./moved.sh m) || echo "exit $?"
	bash -c 'exec -a other "in side/myls" bin'
	xargs -n1 "in side/bin/moved.sh" <<<"x y" || echo "xargs $?"
}
