#!/bin/bash
# Runs one step of one job: driver.bash NAME prepare|run. The current directory is the job's tree; HOME and TMPDIR lie in it, so that
# everything a job writes is seen. A job file defines prepare (fills the empty tree, may use the network, runs once and is cached) and run
# (what is compared: its standard output, its exit code, and what it leaves in the tree). Exit code 77 of prepare: not possible here.
set -eu
job=$1 step=$2
export PATH=${JOB_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export LC_ALL=C.UTF-8 TZ=UTC PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=1700000000
export GIT_AUTHOR_NAME=job GIT_AUTHOR_EMAIL=job@example.org GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=job GIT_COMMITTER_EMAIL=job@example.org GIT_COMMITTER_DATE='1700000000 +0000'
export GIT_CONFIG_NOSYSTEM=1
umask 022

# need PROGRAM...: prepare gives up when one of them is not installed.
need()
{
	local p
	for p; do
		command -v "$p" >/dev/null || { echo "$p is not installed" >&2; exit 77; }
	done
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
	local tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $((tries -= 1)) -gt 0 ] || { echo "gave up waiting for: $*"; return 1; }
		sleep 0.05
	done
}

# debian_source PACKAGE: unpacks Debian's source package into ./PACKAGE-*; uses its own lists, so that it needs no root and no deb-src line.
debian_source()
{
	need apt-get dpkg-source
	local state=$PWD/apt
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/sources.list.d" "$state/get"
	find /etc/apt/sources.list.d -name '*.sources' -exec cat {} + | sed 's/^Types:.*/Types: deb-src/' >"$state/sources.list.d/src.sources"
	if [ -e /etc/apt/sources.list ]; then
		sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$state/sources.list.d/src.list"
	fi
	local options=(-q -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o Dir::Etc::sourcelist=/dev/null
		-o Dir::Etc::sourceparts="$state/sources.list.d" -o APT::Sandbox::User="$(id -un)")
	apt-get "${options[@]}" update >&2
	(cd "$state/get" && apt-get "${options[@]}" source --download-only "$1" >&2)
	dpkg-source --no-check -x "$state"/get/*.dsc "$PWD/$1" >&2
	rm -rf "$state"
}

. "$(dirname "$0")/jobs.d/$job.bash"
"$step"
