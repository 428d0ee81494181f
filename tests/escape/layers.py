"""Attempts that wait in a sandbox's layer for who looks at it or applies it on the host. Each makes a layer, maybe changes the host, then uses bvisor as its user
would; it returns what went wrong, or None."""

import json
import os
import pathlib
import subprocess
import tempfile
import threading


class Layer:
    """dir/host is what the sandbox changes, dir/outside what nobody may change."""

    def __init__(self, runner, script, *args):
        self.runner = runner
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="layer", dir=runner.work))
        self.name = self.dir.name
        for sub in ("host/sub", "outside", "hidden"):
            (self.dir / sub).mkdir(parents=True)
        for name in ("host/file", "host/sub/inner", "outside/inner", "outside/other", "hidden/key"):
            (self.dir / name).write_text(f"{name}\n")
        (self.dir / "host/link").symlink_to("../outside")
        self.outside = self.look_outside()
        self.code, self.out = runner.call([runner.bvisor, "run", "--name", self.name, "--cwd", self.dir, "--hide", self.dir / "hidden", "--", "/bin/sh", "-c", script, "sh", *args],
                                          runner.env)

    def look_outside(self):
        found = {}
        for top in ("outside", "hidden"):
            for base, dirs, files in os.walk(self.dir / top):
                for name in dirs + files:
                    path = pathlib.Path(base, name)
                    st = path.lstat()
                    found[str(path)] = (st.st_ino, st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        return found

    def swap(self):
        """host/sub becomes a link to outside."""
        (self.dir / "host/sub").rename(self.dir / "host/was_sub")
        (self.dir / "host/sub").symlink_to("../outside")

    def bvisor(self, *args, timeout=60):
        return self.runner.call([self.runner.bvisor, *args], self.runner.env, timeout=timeout)

    def trouble(self, *more):
        found = [m for m in more if m]
        if self.code != 0:
            found.append(f"the layer could not be made: {self.out.strip()[-200:]}")
        after = self.look_outside()
        changed = sorted(k for k in self.outside.keys() | after.keys() if self.outside.get(k) != after.get(k))
        if changed:
            found.append("outside was changed: " + ", ".join(changed))
        self.bvisor("rm", "-f", self.name)
        return "; ".join(found)


def apply_swapped(script):
    def body(runner):
        layer = Layer(runner, script)
        layer.swap()
        layer.bvisor("apply", layer.name)
        return layer.trouble()
    return body


def apply_plain(script):
    def body(runner):
        layer = Layer(runner, script)
        code, out = layer.bvisor("apply", layer.name)
        return layer.trouble(code is None and "apply hangs")
    return body


def apply_race(runner):
    """While changes are applied, host/sub is a directory at one moment and a link to outside at the next."""
    layer = Layer(runner, 'i=0; while [ $i -lt 300 ]; do echo new > host/sub/$i; i=$((i + 1)); done; echo x >> host/sub/inner; chmod 600 host/sub/inner')
    stop = threading.Event()
    a, b = layer.dir / "host/sub", layer.dir / "host/other_sub"

    def flip():
        while not stop.is_set():
            for name in ("../outside", None):
                try:
                    os.rename(a, b)
                    os.symlink("../outside", a)
                    os.unlink(a)
                    os.rename(b, a)
                except OSError:
                    pass
    t = threading.Thread(target=flip)
    t.start()
    try:
        hangs = [1 for _ in range(4) if layer.bvisor("apply", layer.name)[0] is None]
    finally:
        stop.set()
        t.join()
    return layer.trouble(hangs and "apply hangs")


def control_characters(runner):
    layer = Layer(runner, r'''cd host && printf x > "$(printf 'a\033[2Jb')" && printf x > "$(printf 'line\nM forged')" && printf x > "$(printf '\r\b\177 \302\233 end')" &&
        ln -s "$(printf 'to\033]0;owned\007\n')" odd && mkdir "$(printf 'd\n\033[31m')" && mv file "$(printf 'moved\tto')"''')
    found = []
    for args in (["diff"], ["diff", "--stat"], ["diff", "-p"], ["apply", "--dry-run"]):
        code, out = layer.bvisor(*args, layer.name)
        out = "\n".join(line for line in out.split("\n") if "-p" not in args or line[:1] not in "+- ")  # the texts of a patch are as they are
        bad = {c for c in out if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160}
        if code is None or bad:
            found.append(f"{' '.join(args)} prints {bad}")
        if any(line.startswith("M forged") for line in out.splitlines()):
            found.append(f"{' '.join(args)} prints a forged line")
    code, out = layer.bvisor("diff", "--json", layer.name)
    try:
        json.loads(out)
    except ValueError as e:
        found.append(f"diff --json: {e}")
    return layer.trouble(*found)


def special_files(runner):
    layer = Layer(runner, 'mkfifo host/fifo && ln -sf /dev/zero host/sub/zero && rm host/file && mkfifo host/file; mknod host/mem c 1 1; mknod host/disk b 254 0; true')
    found = []
    for args in (["diff", "-p", layer.name], ["cat", layer.name, layer.dir / "host/fifo"], ["apply", layer.name]):
        code, _ = layer.bvisor(*args, timeout=30)
        found.append(code is None and f"{args[0]} hangs")
    for path in layer.dir.rglob("*"):
        found.append((path.is_char_device() or path.is_block_device()) and not path.is_symlink() and f"{path} is a device on the host")
    return layer.trouble(*found)


def in_hidden(runner):
    layer = Layer(runner, 'mkdir -p hidden && echo owned > hidden/key && echo owned > hidden/new')
    layer.bvisor("apply", layer.name)
    return layer.trouble()


def in_store(runner):
    record = runner.store / "sandboxes/other/sandbox.json"
    before = record.read_bytes(), record.stat().st_ino, sorted(os.listdir(record.parent))
    layer = Layer(runner, 'mkdir -p "$1/sandboxes/other"; echo owned > "$1/sandboxes/other/sandbox.json"; echo owned > "$1/sandboxes/other/new"; true', runner.store)
    layer.bvisor("apply", layer.name)
    after = record.read_bytes(), record.stat().st_ino, sorted(os.listdir(record.parent))
    return layer.trouble(before != after and "the store was changed")


def of_grant(runner):
    """A link below a grant is on the host at once, and apply must not go through it."""
    layer = Layer(runner, 'echo changed > host/sub/inner && mkdir host/new && echo x > host/new/inner')
    subprocess.run(["ln", "-s", "../outside", str(layer.dir / "host/new")], check=True)
    layer.bvisor("apply", layer.name)
    return layer.trouble()


LAYERS = [
    ("apply_change", "a file changed below what has become a link", apply_swapped("echo changed > host/sub/inner")),
    ("apply_new", "a file made below what has become a link", apply_swapped("echo new > host/sub/new && mkdir host/sub/dir")),
    ("apply_remove", "files removed below what has become a link", apply_swapped("rm host/sub/inner")),
    ("apply_remove_tree", "a directory removed that has become a link", apply_swapped("rm -r host/sub")),
    ("apply_metadata", "mode and times of a file below what has become a link", apply_swapped("chmod 777 host/sub/inner host/sub && touch -d @1 host/sub")),
    ("apply_link", "a hard link made below what has become a link", apply_swapped("ln host/file host/sub/other && ln host/sub/inner host/name")),
    ("apply_rename", "a file moved below what has become a link", apply_swapped("mv host/file host/sub/inner && mv host/sub/inner host/sub/moved")),
    ("apply_directory_for_link", "a directory in the place of a link", apply_plain("rm host/link && mkdir host/link && echo owned > host/link/inner")),
    ("apply_link_for_directory", "a link in the place of a directory with changes", apply_plain("echo owned > host/sub/inner && mv host/sub host/sub2 && ln -s ../outside host/sub")),
    ("apply_through_link", "changes through a link of its own",
     apply_plain("ln -s ../outside host/own && mkdir host/way && echo owned > host/way/inner && rm -r host/way && ln -s ../outside host/way && chmod 700 host/sub")),
    ("apply_race", "directories that become links while changes are applied", apply_race),
    ("apply_to_new_link", "a directory of the sandbox's own whose name has become a link", of_grant),
    ("control_characters", "names and links with control characters", control_characters),
    ("special_files", "FIFOs and devices, which must neither stop who looks nor come onto the host", special_files),
    ("in_hidden", "names below what is hidden, which look free", in_hidden),
    ("in_store", "names below the store, which look free", in_store),
]
