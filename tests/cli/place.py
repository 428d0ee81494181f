"""What the tests of the command line share: a store, a home and a directory of its own for each test, and the loop over the tests."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BVISOR = os.environ.get("BVISOR", str(ROOT / "build/dev/bin/bvisor"))


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def must(condition, *what):
    if not condition:
        raise Failed(" ".join(str(w) for w in what))


class Place:
    def __init__(self, root):
        self.root, self.home, self.store, self.work = root, root / "home", root / "store", root / "work"
        self.home.mkdir()
        self.work.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "BVISOR_", "NO_COLOR"))}
        self.env.update(HOME=str(self.home), BVISOR_HOME=str(self.store), BVISOR_PAGER="", PATH="/usr/local/bin:/usr/bin:/bin", LC_ALL="C.UTF-8")
        if "BVISOR_MASK" in os.environ:
            self.env["BVISOR_MASK"] = os.environ["BVISOR_MASK"]

    def bvisor(self, *args, code=0, env=None, cwd=None, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([BVISOR, *map(str, args)], env=dict(self.env, **(env or {})), cwd=cwd or self.work, capture_output=True, timeout=120, **more)
        must(code is None or done.returncode == code, args, "gave", done.returncode, "not", code, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def out(self, *args, **more):
        return self.bvisor(*args, **more).stdout.decode(errors="surrogateescape")

    def error(self, *args, code=125, **more):
        return self.bvisor(*args, code=code, **more).stderr.decode(errors="surrogateescape")

    def json(self, *args, **more):
        return json.loads(self.bvisor(*args, **more).stdout.decode())

    def sh(self, script, name="s", *options, **more):
        return self.out("run", "--name", name, *options, "--", "sh", "-ec", script, **more)


def run_one(function):
    root = pathlib.Path(tempfile.mkdtemp(prefix="bvisor-cli-"))
    place = Place(root)
    try:
        function(place)
        return None
    except (Failed, Skipped, AssertionError, OSError, ValueError, KeyError, IndexError, TypeError, subprocess.SubprocessError) as e:
        return e
    finally:
        subprocess.run([BVISOR, "--no-config", "rm", "--force", "--all"], env=place.env, capture_output=True)
        shutil.rmtree(root, ignore_errors=True)


def main(label, tests):
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    failed = skipped = 0
    for function in chosen:
        problem = run_one(function)
        if isinstance(problem, Skipped):
            skipped += 1
            print(f"{function.__name__}: skipped: {problem}", flush=True)
        elif problem:
            failed += 1
            print(f"{function.__name__}: FAILED\n  {function.__doc__}\n  {type(problem).__name__}: {problem}", flush=True)
    print(f"{label}: {len(chosen) - failed - skipped} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed > 0
