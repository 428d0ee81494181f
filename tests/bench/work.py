"""What the benchmark measures: whole jobs with their bars, and the bars of single calls.

A Work is prepared by a job of tests/jobs (its cached input), set up natively, and then only `script` is timed. Bars are ratios to native
unless the text says otherwise; they are the project's targets, and the benchmark reports them as ok or missed but never fails."""

from typing import NamedTuple


class Work(NamedTuple):
    name: str
    bar: float
    job: str  # whose input tree; "" for none
    setup: str  # run natively, not timed, in the fresh tree
    script: str  # timed; may print `seconds N` to be timed by itself without bvisor's start
    env: dict = {}


NPM = "export npm_config_cache=$PWD/npmcache npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false " \
      "npm_config_logs_max=0 npm_config_omit_lockfile_registry_resolved=true npm_config_progress=false\n"
SELF_TIMED = "begin=$EPOCHREALTIME\n{}\nend=$EPOCHREALTIME\nawk \"BEGIN {{ print \\\"seconds\\\", $end - $begin }}\"\n"

WORKS = [
    Work("git clone, status x5, checkout x2", 1.7, "git", "",
         "git clone -q origin w && cd w && for i in 1 2 3 4 5; do git status >/dev/null; done; git checkout -q v1~2; git checkout -q main"),
    Work("npm ci", 1.15, "npm", "", NPM + "npm ci --prefer-offline --ignore-scripts >/dev/null 2>&1"),
    Work("make -j2", 1.1, "cmake", "cmake -S cjson -B build -DENABLE_CJSON_UTILS=On -DCMAKE_C_FLAGS=-Wno-error >/dev/null 2>&1",
         "make -C build -j2 >/dev/null 2>&1"),
    Work("tar x of 20,000 files", 1.25, "files", "", "mkdir x && tar -C x -xf tree.tar"),
    Work("python venv + compileall", 1.25, "python", "",
         "/usr/bin/python3 -m venv v && rm -rf $(find v -name __pycache__) && v/bin/python -m compileall -q v/lib"),
    Work("2,000 fork+exec in bash", 1.2, "", "", "for ((i = 0; i < 2000; i++)); do /bin/true; done"),
    Work("find with stat over a warm /usr", 5.0, "", "find /usr -xdev -printf '%s\\n' >/dev/null",
         SELF_TIMED.format("find /usr -xdev -printf '%s\\n' >/dev/null")),
    Work("rm -rf of the npm tree", 2.0, "npm", NPM + "npm ci --prefer-offline --ignore-scripts >/dev/null 2>&1", "rm -rf node_modules"),
    Work("50 MiB copy-on-write edit", 1.2, "", "head -c 52428800 /dev/urandom >big; sync big",
         "[ -z \"$BENCH_NATIVE\" ] || copy='cp --reflink=auto big big2'\n" + SELF_TIMED.format("$copy\n\"$COWEDIT\" big${copy:+2}")),
    Work("sqlite3, 1,000 transactions with fsync", 1.5, "", "",
         "{ for ((i = 0; i < 1000; i++)); do echo 'insert into t values (1);'; done; } >sql; sqlite3 a.db 'create table t(a)'; sqlite3 a.db <sql"),
    Work("CPU only, two at once in one sandbox", 1.1, "", "",
         "for g in 1 2; do awk 'BEGIN { for (i = 0; i < 40000000; i++) s += i }' & done; wait"),
]

# name: (bar, what it is a ratio to). "floor": bare notify + CONTINUE of the same call, measured in the same run.
CALL_BARS = {
    "stat": (1.5, "floor"),
    "open_close": (1.7, "floor"),
    "create_write_unlink": (60 / 21, "native"),
    "rename": (3.0, "native"),
    "read_4k": (1.0, "native"),
    "write_4k": (1.0, "native"),
    "mmap_touch_munmap": (1.0, "native"),
    "lseek": (1.0, "native"),
}
NOISE = 0.05  # a ratio of 1.0 cannot be measured closer than this
