"""The tree that the guest programs work on, and the manifest that shows whether anything in it changed."""

import hashlib
import os
import socket
import stat

EPOCH = 1_500_000_000 * 10**9  # mtime of everything: far from "now", so that a changed time shows


def write(path, data=b"", mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def make_files(root):
    write(root / "file", b"hello, fixture\n")
    write(root / "file2", b"second file\n")
    write(root / "empty")
    write(root / "big", bytes(range(256)) * 4096 * 2)  # 2 MiB: more than is copied up inline
    write(root / "private", b"mine only\n", 0o600)
    write(root / "readonly", b"read only\n", 0o444)
    write(root / "writeonly", b"write only\n", 0o222)
    write(root / "noperm", b"no permission\n", 0o000)
    write(root / "setid", b"setuid and setgid\n", 0o6755)
    write(root / "hard1", b"two names\n")
    os.link(root / "hard1", root / "hard2")
    with open(root / "sparse", "wb") as f:
        f.write(b"start")
        f.seek(1 << 20)
        f.write(b"end")
    write(root / "xattrs", b"has attributes\n")
    try:
        os.setxattr(root / "xattrs", "user.one", b"1")
        os.setxattr(root / "xattrs", "user.two", b"second value")
    except OSError:
        pass  # a file system without user attributes: both runs see the same lack


def make_scripts(root):
    write(root / "script.sh", b"#!/bin/sh\necho \"script $0 $*\"\n", 0o755)
    write(root / "noexec.sh", b"#!/bin/sh\necho never\n", 0o644)
    write(root / "nointerp", b"#!/nonexistent/interp\n", 0o755)
    write(root / "garbage", b"\x00\x01\x02 not a program\n", 0o755)
    write(root / "noshebang", b"echo plain text $0\n", 0o755)


def make_dirs(root):
    (root / "dir/sub/deep").mkdir(parents=True)
    write(root / "dir/a", b"a\n")
    write(root / "dir/b", b"bb\n")
    write(root / "dir/sub/c", b"ccc\n")
    write(root / "dir/sub/deep/d", b"dddd\n")
    (root / "emptydir").mkdir()
    (root / "other").mkdir()
    write(root / "other/x", b"x\n")
    for name, mode in (("setgid", 0o2775), ("sticky", 0o1777), ("rodir", 0o555), ("closed", 0o000), ("noread", 0o311)):
        (root / name).mkdir()
        if name in ("rodir", "noread", "sticky"):
            write(root / name / "inside", b"inside\n")
        os.chmod(root / name, mode)
    (root / "names").mkdir()
    names = os.fsencode(root / "names")
    for name in (b"new\nline", b"bad\xff\xfeutf8", b"n" * 255, b" space ", b"back\\slash", b"-dash"):
        write(names + b"/" + name, b"odd\n")


def make_special(root):
    os.symlink("file", root / "link")
    os.symlink("dir", root / "dirlink")
    os.symlink("nowhere", root / "dangling")
    os.symlink("newdir/newfile", root / "dangling2")
    os.symlink("loop2", root / "loop1")
    os.symlink("loop1", root / "loop2")
    os.symlink("selfloop", root / "selfloop")
    os.symlink("../other/x", root / "dir/uplink")
    os.symlink("link", root / "linklink")
    for i in range(42):  # chain0 -> chain1 -> ... -> file; 40 is the kernel's limit
        os.symlink("file" if i == 41 else f"chain{i + 1}", root / f"chain{i}")
    os.mkfifo(root / "fifo", 0o644)
    with socket.socket(socket.AF_UNIX) as s:
        here = os.open(root, os.O_PATH)
        s.bind(f"/proc/self/fd/{here}/sock")  # short whatever the length of root
        os.close(here)


def make_many(root):
    (root / "many").mkdir()
    for i in range(10000):
        with open(root / f"many/entry-{i:05d}", "wb"):
            pass


def make_touch(root):
    """For hosttouch.c: a set of objects for each of its rows and ways; and what the runner hides."""
    for i in range(480):
        here = root / f"touch/{i:03d}"
        (here / "dir").mkdir(parents=True)
        for name in ("lower", "upper", "gone", "aim", "aid", "dir/in"):
            write(here / name, f"body of {name}\n".encode())
        try:
            os.setxattr(here / "lower", "user.old", b"1")
        except OSError:
            pass
        os.symlink("aim", here / "link")
    write(root / "secret", b"nobody may see this\n", 0o666)
    (root / "concealed").mkdir()
    write(root / "concealed/in", b"nor this\n", 0o666)


def settle(root):
    """Gives everything the same old times, deepest first."""
    for folder, dirs, files in os.walk(root, topdown=False):
        for name in files + dirs:
            os.utime(os.path.join(folder, name), ns=(EPOCH, EPOCH), follow_symlinks=False)
    os.utime(root, ns=(EPOCH, EPOCH))


def build(root, extras=()):
    root.mkdir(parents=True)
    make_files(root)
    make_scripts(root)
    make_dirs(root)
    make_special(root)
    if "many" in extras:
        make_many(root)
    if "touch" in extras:
        make_touch(root)
    settle(root)


def digest(path, st):
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(st.st_mode):
        return b""
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()
    except PermissionError:
        return b"unreadable"  # mtime and ctime still tell of a change


def xattrs(path):
    try:
        return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def describe(path):
    st = os.lstat(path)
    return (stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_size, st.st_nlink, st.st_ino, st.st_mtime_ns, st.st_ctime_ns,
            st.st_rdev, digest(path, st), xattrs(path))


def manifest(root):
    """{path: everything about it but atime}; ctime too, because no change of metadata escapes it."""
    root = os.fsencode(root)
    out = {b".": describe(root)}
    for folder, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(folder, name)
            out[os.path.relpath(path, root)] = describe(path)
    return out


def changes(before, after):
    """Lines that name each difference of two manifests."""
    lines = [f"removed {p!r}" for p in before.keys() - after.keys()] + [f"added {p!r}" for p in after.keys() - before.keys()]
    lines += [f"changed {p!r}: {before[p]} -> {after[p]}" for p in before.keys() & after.keys() if before[p] != after[p]]
    return sorted(lines)


def remove(root):
    """rm -rf, also for a user who made directories without permissions."""
    for folder, dirs, _ in os.walk(root):
        for name in dirs:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                try:
                    os.chmod(path, 0o700)
                except OSError:
                    pass
    import shutil
    shutil.rmtree(root, ignore_errors=True)
