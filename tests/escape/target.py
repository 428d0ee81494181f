"""What attempts are aimed at: a tree of files and a process on the host, made anew for each run, and what became of them."""

import array
import ctypes
import fcntl
import os
import pathlib
import pty
import select
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import uuid

FS_IOC_GETFLAGS = 0x80086601
DEVICES = ["null", "zero", "full", "random", "urandom", "tty", "ptmx"]
libc = ctypes.CDLL(None, use_errno=True)


def own_mounts():
    """What is mounted from now on is seen by nobody else, and is gone with us. Whether that can be had."""
    new_namespace, private = 0x20000, 0x44000
    return libc.unshare(new_namespace) == 0 and libc.mount(None, b"/", None, private, None) == 0


def unmount_below(top):
    """Nothing below `top` may be removed while something of the host is mounted there."""
    for _ in range(3):
        points = [line.split()[1] for line in open("/proc/self/mounts") if line.split()[1].startswith(str(top))]
        if not points:
            return
        for point in reversed(points):
            libc.umount2(os.fsencode(point), 2)
    raise RuntimeError(f"still mounted: {points}")


class Target:
    """dir/host is what may not change, dir/hidden what may not be seen; dir/rw is granted, but not rw/hidden, rw/deep/hidden and rw/env."""

    def __init__(self, base, binary, needs, env, user=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="t", dir=base))
        os.chmod(self.dir, 0o755)
        self.binary, self.needs, self.user = binary, needs, user
        self.nonce = uuid.uuid4().hex
        self.open = []
        self.make_tree()
        if "bind" in needs:
            self.bind("source", "host/bound")
            self.bind("hidden", "host/bound_hidden")
        if "kernel" in needs:
            for name in ("proc", "sys", "dev"):
                (self.dir / "kernel" / name).mkdir(parents=True)
                self.bind("/" + name, "kernel/" + name)
        if "loader" in needs:
            shutil.copy("/lib64/ld-linux-x86-64.so.2", self.dir / "hidden/ld.so")
        if "device" in needs:
            os.mknod(self.dir / "host/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            os.mknod(self.dir / "host/disk", stat.S_IFBLK | 0o666, os.stat(self.dir).st_dev)
        if user:
            self.make_privileged()
        self.start_victim(env)
        if "othertty" in needs:
            self.open_other_tty()
        (self.dir / "hidden/sock").hardlink_to(self.dir / "host/sock")

    # ---- the tree ----

    def make_tree(self):
        d, secret = self.dir, f"SECRET {self.nonce}\n"
        for sub in ("host/sub", "host/bound", "host/bound_hidden", "source", "hidden", "rw/hidden", "rw/deep/hidden"):
            (d / sub).mkdir(parents=True)
        for name in ("host/file", "host/other", "source/file", "source/other"):
            (d / name).write_text("content of the host\n" * 100)
        for name in ("host/leased", "host/locked", "host/sub/inner", "rw/inside"):
            (d / name).write_text(name + "\n" * 100)
        for name in ("hidden/key", "rw/hidden/key", "rw/deep/hidden/key", "rw/env"):
            (d / name).write_text(secret)
        (d / "hidden/script").write_text(f"#!/bin/sh\necho {secret}")
        (d / "hidden/script").chmod(0o755)
        for name, to in (("host/link", "file"), ("host/to_hidden", "../hidden"), ("host/to_key", "../hidden/key"), ("host/abs_key", d / "hidden/key"),
                         ("hidden/link", "key"), ("alias", ".")):
            (d / name).symlink_to(to)
        try:
            os.setxattr(d / "host/file", "user.kept", b"kept")
        except OSError:
            pass
        self.shm = pathlib.Path(f"/dev/shm/escape-{self.nonce[:20]}")
        self.shm.write_text("shared\n")

    def make_privileged(self):
        for name in ("host/setuid", "host/capable"):
            shutil.copy(self.binary, self.dir / name)
        for path in [self.dir, *self.dir.rglob("*")]:
            os.lchown(path, self.user, self.user)
        os.chown(self.shm, self.user, self.user)
        os.chown(self.dir / "host/setuid", 0, 0)
        os.chmod(self.dir / "host/setuid", 0o6755)
        os.chown(self.dir / "host/capable", 0, 0)
        os.setxattr(self.dir / "host/capable", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))  # CAP_NET_RAW

    def bind(self, source, where):
        if libc.mount(os.fsencode(self.dir / source), os.fsencode(self.dir / where), None, 4096, None) < 0:
            raise OSError(ctypes.get_errno(), "mount --bind")

    def one(self, path):
        st = os.lstat(path)
        content, attributes, flags = b"", (), 0
        if stat.S_ISLNK(st.st_mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISREG(st.st_mode):
            content = pathlib.Path(path).read_bytes()
        if not stat.S_ISLNK(st.st_mode):
            try:
                attributes = tuple((n, os.getxattr(path, n)) for n in os.listxattr(path))
            except OSError:
                pass
        if stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
            flags = self.flags(path)
        return (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_rdev, content, attributes, flags)

    def flags(self, path):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 8))[0]
        except OSError:
            return 0
        finally:
            os.close(fd)

    def manifest(self):
        found = {}

        def add(path):
            try:
                found[str(path)] = self.one(path)
            except OSError as e:
                found[str(path)] = e.errno

        for top in ("host", "hidden", "source", "rw/hidden", "rw/deep/hidden"):
            if top != "host" or not any(n.startswith("hosthelper=") for n in self.needs):  # which works in it
                add(self.dir / top)
            for base, dirs, files in os.walk(self.dir / top):
                for name in dirs + files:
                    if name not in ("s1", "s2"):  # these change places in races
                        add(os.path.join(base, name))
        for name in os.listdir(self.dir):
            found.setdefault(str(self.dir / name), "entry")
        for name in DEVICES:
            st = os.stat("/dev/" + name)
            found["/dev/" + name] = (st.st_mode, st.st_uid, st.st_gid, st.st_rdev)
        add(self.dir / "rw/env")
        add(self.shm)
        return found

    # ---- the victim ----

    def start_victim(self, env):
        self.victim = subprocess.Popen([self.binary, "victim", str(self.dir), self.nonce], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       env={"ESCAPE_SECRET": f"SECRET {self.nonce}", "PATH": os.environ.get("PATH", "")}, user=self.user, group=self.user,
                                       extra_groups=[] if self.user else None)
        said = self.victim.stdout.readline().split()
        if not said or not said[0].startswith("VICTIM="):
            raise RuntimeError(f"the victim does not start: {said}")
        self.env = dict(env, ESCAPE_DIR=str(self.dir), **{"ESCAPE_" + k: v for k, v in (pair.split("=", 1) for pair in said)})

    def open_other_tty(self):
        """A terminal that is nothing of the attempt's."""
        master, slave = pty.openpty()
        self.open += [master, slave]
        os.set_blocking(master, False)
        self.other_master = master
        self.env["ESCAPE_TTY"] = os.ttyname(slave)

    def shown(self):
        """What was written to it."""
        try:
            return os.read(self.other_master, 1000) if "othertty" in self.needs else b""
        except OSError:
            return b""

    def ask_victim(self):
        try:
            self.victim.stdin.write("?\n")
            self.victim.stdin.flush()
        except OSError:
            return "is gone"
        if not select.select([self.victim.stdout], [], [], 5)[0]:
            return "does not answer"
        return self.victim.stdout.readline().strip() or "is gone"

    # ---- what is given as standard input ----

    def stdin(self):
        kind = next((n[6:] for n in self.needs if n.startswith("stdin=")), None)
        d, pid = self.dir, self.victim.pid
        ways = {"dir": (d / "host", os.O_RDONLY), "opath": (d / "host", os.O_PATH), "hidden": (d / "hidden", os.O_PATH), "read": (d / "host/file", os.O_RDONLY),
                "write": (d / "host/file", os.O_RDWR), "proc": ("/proc", os.O_RDONLY), "victim": (f"/proc/{pid}", os.O_RDONLY),
                "root": (f"/proc/{pid}/root", os.O_PATH), "ns": (f"/proc/{pid}/ns/uts", os.O_RDONLY)}
        if kind in ways:
            fd = os.open(*ways[kind])
        elif kind == "pidfd":
            fd = os.pidfd_open(pid)
        elif kind == "tty":
            self.master, fd = pty.openpty()
            self.open.append(self.master)
        elif kind == "giver":
            fd = self.giver()
        else:
            return subprocess.DEVNULL
        self.open.append(fd)
        return fd

    def giver(self):
        """One end of a socket pair, in which a descriptor of the host's directory waits."""
        ours, theirs = socket.socketpair()
        fd = os.open(self.dir / "host", os.O_RDONLY)
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)
        self.open.append(ours.detach())
        return theirs.detach()

    def typed(self):
        """What was put into the terminal's input."""
        fd = next((f for f in self.open if os.isatty(f) and f != getattr(self, "master", None)), None)
        if fd is None:
            return b""
        os.set_blocking(fd, False)
        try:
            return os.read(fd, 1000)
        except OSError:
            return b""

    # ---- before and after ----

    def note(self):
        self.before, self.report = self.manifest(), self.ask_victim()

    def harm(self):
        after, report = self.manifest(), self.ask_victim()
        harm = sorted(k for k in self.before.keys() | after.keys() if self.before.get(k) != after.get(k))
        if report != self.report:
            old = set(self.report.split())
            harm.append("the victim: " + " ".join(w for w in report.split() if w not in old))
        harm += [f"the terminal: {text}" for text in (self.typed(), self.shown()) if text]
        return harm

    def release(self):
        for fd in self.open:
            os.close(fd)
        try:
            self.victim.stdin.close()
            self.victim.wait(timeout=1)  # it removes what it has made
        except (OSError, subprocess.TimeoutExpired):
            self.victim.kill()
            self.victim.wait()
        self.victim.stdout.close()
        self.shm.unlink(missing_ok=True)
        unmount_below(self.dir)
        for top in (self.dir, self.dir.with_name(self.dir.name + ".moved")):
            for base, names, _ in os.walk(top):
                for name in names:
                    if not os.path.islink(os.path.join(base, name)):
                        os.chmod(os.path.join(base, name), 0o700)
            shutil.rmtree(top, ignore_errors=True)
