"""A tree as a table: path -> (type, mode, owner, size, mtime, content), and the difference of two such tables.

This is the independent side of the job tests: it looks at a tree with plain system calls and knows nothing of bvisor. It runs three
ways: on the host before and after a sandboxed run (nothing may differ), on the native run's tree (the expected change set), and inside
the sandbox (the whole view must equal the native tree). As a program it prints one JSON array a line: manifest.py ROOT."""

import hashlib
import json
import os
import stat
import sys
from typing import NamedTuple

TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFSOCK: "s", stat.S_IFCHR: "c", stat.S_IFBLK: "b"}


class Entry(NamedTuple):
    type: str
    mode: int
    owner: str
    size: int  # 0 for directories: it says how the file system stores them, not what they hold
    mtime: int  # ns
    nlink: int  # 1 for directories, for the same reason
    content: str  # digest of a file, target of a symlink


def file_digest(path):
    """Python's byte code begins with the source's modification time, which is another one in each run: it is left out."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as f:
        if path.endswith(".pyc"):
            f.seek(16)
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def entry_of(path):
    st = os.lstat(path)
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    content = ""
    if kind == "f":
        content = file_digest(path)
    elif kind == "l":
        content = os.readlink(path)
    is_dir = kind == "d"
    return Entry(kind, stat.S_IMODE(st.st_mode), f"{st.st_uid}:{st.st_gid}", 0 if is_dir else st.st_size, st.st_mtime_ns,
                 1 if is_dir else st.st_nlink, content)


def scan(root):
    """Every object below root, keyed by the path relative to it; "." is root itself. Names are bytes on disk, surrogate-escaped here."""
    table = {".": entry_of(root)}
    pending = [""]
    while pending:
        below = pending.pop()
        for name in os.listdir(os.path.join(root, below)):
            path = os.path.join(below, name)
            table[path] = entry_of(os.path.join(root, path))
            if table[path].type == "d":
                pending.append(path)
    return table


def dump(table, out):
    for path in sorted(table):
        out.write(json.dumps([path, *table[path]]) + "\n")


def load(lines):
    return {row[0]: Entry(*row[1:]) for row in map(json.loads, lines)}


def parents(path):
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def same(a, b):
    """Directory times follow from their entries and are no change of their own."""
    if a.type == "d":
        return (a.type, a.mode, a.owner) == (b.type, b.mode, b.owner)
    return a._replace(nlink=0) == b._replace(nlink=0)


def changes(before, after):
    """{path: "A" | "M" | "D" | "T"}; what lies below a deleted directory is not listed."""
    found = {}
    for path, entry in after.items():
        if path not in before:
            found[path] = "A"
        elif before[path].type != entry.type:
            found[path] = "T"
        elif not same(before[path], entry):
            found[path] = "M"
    for path in before:
        if path not in after and all(p in after and after[p].type == "d" for p in parents(path)):
            found[path] = "D"
    return found


if __name__ == "__main__":
    dump(scan(sys.argv[1]), sys.stdout)
