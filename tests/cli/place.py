"""What the tests of the command line share: a store, a home and a directory of its own for each test, and the loop over the tests."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BVISOR = os.environ.get("BVISOR", str(ROOT / "build/dev/bin/bvisor"))
LONG = os.environ.get("BVISOR_LONG") == "1"
SLOWER = int(os.environ.get("BVISOR_TEST_SLOWER", "1"))  # than a machine of today, so many times (an emulated one)
SCRIPT = os.path.realpath(sys.argv[0])
tests = []


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def must(condition, *what):
    if not condition:
        raise Failed(" ".join(str(w) for w in what))


def test(function):
    """A test, which main() calls if it is of the script that was started."""
    tests.append(function)
    return function


def load(path):
    """A script of these tests as a module, for what it has; its tests are not run."""
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    loader.exec_module(module)
    return module


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


def run_one(function, make, label="cli", where=None):
    """Calls a test with what `make` makes of a new directory (a tuple is several arguments). Returns what it failed or was skipped with; None: it passed. No sandbox
    in that directory is left."""
    root = pathlib.Path(tempfile.mkdtemp(prefix=f"bvisor-{label}-", dir=where))
    try:
        made = make(root)
        function(*made if isinstance(made, tuple) else [made])
        return None
    except Exception as problem:  # whatever it is, the others go on
        return problem
    finally:
        for sandboxes in root.glob("*/sandboxes"):
            subprocess.run([BVISOR, "--no-config", "rm", "--all", "--force"], env=dict(os.environ, BVISOR_HOME=str(sandboxes.parent)), capture_output=True, check=False)
        shutil.rmtree(root, ignore_errors=True)
        if root.exists():  # a directory in it may not be written
            subprocess.run(["chmod", "-R", "u+rwX", str(root)], capture_output=True, check=False)
            shutil.rmtree(root, ignore_errors=True)


def lines_of(problem):
    """Where a test was when it failed: the lines of the script that was started."""
    return ", ".join(str(f.lineno) for f in traceback.extract_tb(problem.__traceback__) if os.path.realpath(f.filename) == SCRIPT)


def name_of(test):
    """Without what says how it is run."""
    return test.__name__.split()[0]


def main(label, make=Place, where=None):
    """Runs the tests of the script that was started, or those that its arguments name, as run_one does, below the directory `where`. Returns the exit code."""
    own = [t for t in tests if t.__module__ == "__main__"]
    unknown = set(sys.argv[1:]) - {name_of(t) for t in own}
    if unknown:
        sys.exit(f"{label}: no such test: {' '.join(sorted(unknown))}")
    chosen = [t for t in own if not sys.argv[1:] or name_of(t) in sys.argv[1:]]
    failed = skipped = 0
    for function in chosen:
        began = time.monotonic()
        problem = run_one(function, make, label, where)
        if isinstance(problem, Skipped):
            skipped += 1
            print(f"{function.__name__}: skipped: {str(problem).strip()}", flush=True)
        elif problem:
            failed += 1
            print(f"{function.__name__}: FAILED\n  {function.__doc__}\n  {type(problem).__name__} (line {lines_of(problem)}): {problem}"[:4000], flush=True)
        elif SLOWER > 1:
            print(f"ok   {function.__name__} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{label}: {len(chosen) - failed - skipped} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0
