"""The bvisor command as the job tests and the benchmark use it: one object is one named sandbox."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def find_bvisor():
    """$BVISOR, else the newest build of this tree."""
    if os.environ.get("BVISOR"):
        return os.path.abspath(os.environ["BVISOR"])
    built = [os.path.join(ROOT, "build", preset, "bin", "bvisor") for preset in ("release", "dev")]
    built = [path for path in built if os.access(path, os.X_OK)]
    if not built:
        sys.exit("no bvisor: build it, or set BVISOR=PATH")
    return max(built, key=os.path.getmtime)


def cache_dir():
    path = os.environ.get("BVISOR_TEST_CACHE") or f"/var/tmp/bvisor-test-cache-{os.getuid()}"
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


def own_dir(name):
    """A directory that no other run of the tests has, until this program ends."""
    path = tempfile.mkdtemp(prefix=f"{name}.", dir=cache_dir())
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.chmod(path, 0o755)
    return path


class Refused(Exception):
    """bvisor itself failed; the text is what it said."""


class Sandbox:
    def __init__(self, name, bvisor, home, backend=None, net=None):
        self.name, self.bvisor, self.backend, self.net = name, bvisor, backend, net
        self.env = dict(os.environ, BVISOR_HOME=home)

    def _call(self, *args):
        done = subprocess.run([self.bvisor, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            raise Refused(f"bvisor {' '.join(args)}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def run_argv(self, argv, cwd=None):
        where = ["--cwd", cwd] if cwd else []
        backend = ["--backend", self.backend] if self.backend else []
        net = ["--net", self.net] if self.net else []
        return [self.bvisor, "run", "--name", self.name, *backend, *net, *where, "--", *argv]

    def exec(self, *argv):
        return self._call("exec", self.name, "--", *argv)

    def cat(self, path):
        return self._call("cat", self.name, path)

    def diff(self):
        """[(kind letter, path, old path or None)] as `bvisor diff --json` has it."""
        answer = json.loads(self._call("diff", "--json", self.name))
        return [(row["kind"][0].upper(), row["path"], row.get("old_path")) for row in answer["changes"]]

    def store(self):
        return os.path.join(self.env["BVISOR_HOME"], "sandboxes", self.name)

    def remove(self):
        subprocess.run([self.bvisor, "rm", "--force", self.name], env=self.env, stdin=subprocess.DEVNULL, capture_output=True)


class NativeTwin:
    """Stands where a Sandbox stands but runs everything natively on the second copy: what the two runs then differ in is the job's own
    randomness, which its VOLATILE and LOOSE lines must cover. For writing jobs, and for testing this harness."""

    def __init__(self, before_of, changes):
        self.before_of, self.changes, self.env = before_of, changes, {"BVISOR_HOME": "/nonexistent"}

    def run_argv(self, argv, cwd=None):
        self.tree = cwd
        self.before = self.before_of(cwd)
        return argv

    def exec(self, *argv):
        return subprocess.run(argv, check=True, capture_output=True).stdout

    def cat(self, path):
        with open(path, "rb") as f:
            return f.read()

    def diff(self):
        return [(kind, f"{self.tree}/{path}", None) for path, kind in self.changes(self.before, self.before_of(self.tree)).items()]

    def remove(self):
        pass


def flatten(rows, before):
    """{path: letter} with every rename spelled out as a deletion and additions, which is how two trees compared see it. `before` has
    the absolute paths of the host's objects. Rows come parents first, so what lies below a new name refers to that name."""
    flat = {}
    for kind, path, old in rows:
        if kind == "R":
            flat[old] = "D"
            flat[path] = "A"
            prefix = old + "/"
            flat.update((path + "/" + p[len(prefix):], "A") for p in before if p.startswith(prefix))
        elif kind == "D" and flat.get(path) == "A":
            below = path + "/"
            for gone in [p for p in flat if p == path or p.startswith(below)]:
                del flat[gone]
        elif not (kind in "MT" and flat.get(path) == "A"):
            flat[path] = kind
    deleted = {p for p, kind in flat.items() if kind == "D"}
    reused = {p: "T" if p in flat and flat[p] == "A" else None for p in deleted & set(flat)}
    flat.update({p: k for p, k in reused.items() if k})
    return {p: k for p, k in flat.items() if k != "D" or not any(q in deleted for q in ancestors(p))}


def ancestors(path):
    while path.count("/") > 1:
        path = path.rpartition("/")[0]
        yield path
