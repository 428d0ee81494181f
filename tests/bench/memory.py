"""The supervisor's memory: proportional set size at rest, and what each changed file adds."""

import subprocess
import time

from procs import supervisor_of, pss_kib

FILES = 20000
HOLD = "import os, sys\n" \
       "print('ready', flush=True); sys.stdin.readline()\n" \
       f"for i in range({FILES}):\n" \
       "    if i % 100 == 0: os.mkdir(f'd{i}'); os.chdir(f'd{i}')\n" \
       "    open(f'name-of-usual-length-{i}.txt', 'w').close()\n" \
       "    if i % 100 == 99: os.chdir('..')\n" \
       "print('done', flush=True); sys.stdin.readline()\n"


def expect(process, word):
    line = process.stdout.readline().decode().strip()
    if line != word:
        raise RuntimeError(f"the guest said {line!r} instead of {word!r}")


def measure_memory(sandbox, tree, table):
    argv = sandbox.run_argv(["/usr/bin/python3", "-c", HOLD], cwd=tree)
    process = subprocess.Popen(argv, env=sandbox.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tree)
    try:
        expect(process, "ready")
        pid = supervisor_of(sandbox.store())
        at_rest = pss_kib(pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        expect(process, "done")
        time.sleep(0.5)  # the write-behind of the last changes
        full = pss_kib(pid)
    finally:
        process.stdin.close()
        process.wait()
    table.add("supervisor at rest, PSS (MiB)", 0.0, at_rest / 1024, at_rest / 1024, 6.0, "Mi", "the size itself")
    each = (full - at_rest) * 1024 / FILES
    table.add(f"per changed file of {FILES}, PSS (bytes)", 0.0, each, each, 600.0, "B", "the size itself")
