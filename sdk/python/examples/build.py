"""Builds a project in a sandbox and takes over one of the files that it made. Usage: build.py DIRECTORY COMMAND RESULT"""

import sys

from bvisor import CommandFailed, Limits, Sandbox


def main(directory: str, command: str, wanted: str) -> int:
    limits = Limits(memory="2G", pids=500, best_effort=True)
    with Sandbox(cwd=directory, net="none", limits=limits) as sb:
        try:
            sb.bash(command, timeout=600, check=True, on_stdout=sys.stdout.write, on_stderr=sys.stderr.write)
        except CommandFailed as e:
            print(e, file=sys.stderr)
            return 1
        for change in sb.diff():
            print(f"{change.kind:8} {change.path}")
        for applied in sb.apply([wanted]):
            print(f"{applied.result}: {applied.path}")
            if applied.result != "applied":
                return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
