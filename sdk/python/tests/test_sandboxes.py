"""Sandboxes: options, files, changes, snapshots, network, limits."""

from __future__ import annotations

import errno
import gc
import os
import pathlib
import sys
import threading

import bvisor
import pytest
from bvisor import Limits, Sandbox
from conftest import processes_with, unique_nap, wait_until


def test_kept_sandboxes(store: pathlib.Path) -> None:
    with Sandbox("work", keep=True, env={"A": "1"}) as sb:
        sb.files.write("/tmp/kept", "yes")
        assert sb.name == "work" and sb.dir.startswith(str(store)) and sb.place is None
        with pytest.raises(bvisor.SandboxExists, match="work"):
            Sandbox("work")
    assert wait_until(lambda: [(info.name, info.running, info.env) for info in Sandbox.list()] == [("work", False, ("A=1",))])
    with Sandbox.open("work") as sb:
        assert sb.bash("cat /tmp/kept; echo $A").stdout == "yes1\n"
        sb.remove()
    assert Sandbox.list() == []
    with pytest.raises(bvisor.SandboxNotFound, match="work") as e:
        Sandbox.open("work")
    assert e.value.errno == errno.ENOENT


def test_sandboxes_that_are_not_kept(store: pathlib.Path) -> None:
    with Sandbox("short") as sb:
        assert sb.bash("echo x >/tmp/bvisor-short").ok
        assert [info.name for info in Sandbox.list()] == ["short"]
    assert wait_until(lambda: Sandbox.list() == [])
    with pytest.raises(bvisor.SandboxClosed, match="closed"):
        sb.bash("true")
    sb.close()
    with Sandbox():
        assert len(Sandbox.list()) == 1
    assert Sandbox.list() == []  # also of one in which nothing ran


def test_options_that_make_no_sense(store: pathlib.Path) -> None:
    for options in ({"name": "../x"}, {"allow": "not a rule!"}, {"hostname": "a b"}, {"backend": "nowhere"}, {"limits": {"memory": "many"}}, {"continuous": True}, {"net": "some"}):
        with pytest.raises(bvisor.InvalidArgument) as e:
            Sandbox(**options)  # type: ignore[arg-type]
        assert e.value.errno == errno.EINVAL and str(e.value) and isinstance(e.value, ValueError)
    with pytest.raises(bvisor.BvisorError, match="nowhere.*make it first") as missing:
        Sandbox(rw="/nowhere")
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(TypeError):
        Sandbox(limits={"speed": 1})
    assert Sandbox.list() == []


def test_what_a_sandbox_is_made_of(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("real", "hidden"):
        (tmp_path / name).mkdir()
    with Sandbox(rw=tmp_path / "real", hide=[tmp_path / "hidden"], hostname="elsewhere", kernel_release="6.1.0-test", fake_root=True, backend="dir") as sb:
        assert sb.bash("hostname; uname -r; id -u").stdout == "elsewhere\n6.1.0-test\n0\n"
        sb.bash(f"echo x >{tmp_path}/real/file", check=True)
        assert not sb.files.exists(tmp_path / "hidden")
    assert (tmp_path / "real" / "file").read_text() == "x\n"
    with Sandbox(read_only=True) as sb:
        assert "Read-only" in sb.bash(f"touch {tmp_path}/new").stderr
        with pytest.raises(bvisor.FileError) as e:
            sb.files.write(tmp_path / "new", "")
        assert e.value.errno == errno.EROFS


def test_files(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    sb.files.write(tmp_path / "a", "first\n")
    sb.files.write(tmp_path / "a", b"second\n", append=True)
    assert sb.files.read(tmp_path / "a") == b"first\nsecond\n" and sb.files.read_text(tmp_path / "a") == "first\nsecond\n"
    with sb.files.open(tmp_path / "a") as file:
        assert file.readline() == b"first\n"
    with pytest.raises(FileExistsError):
        sb.files.write(tmp_path / "a", "", exclusive=True)
    with pytest.raises(FileNotFoundError):
        sb.files.write(tmp_path / "x/y", "")
    sb.files.write(tmp_path / "x/y", "", parents=True, mode=0o600)
    assert sb.files.stat(tmp_path / "x/y").mode == 0o100600
    sb.files.make_dir(tmp_path / "d")
    with pytest.raises(FileExistsError):
        sb.files.make_dir(tmp_path / "d")
    sb.files.make_dir(tmp_path / "d/e/f", parents=True)
    sb.bash(f"ln -s a {tmp_path}/link; ln -s nowhere {tmp_path}/dangling; mkfifo {tmp_path}/fifo", check=True)
    names = {entry.name: entry.type for entry in sb.files.list(tmp_path) if entry.name != "store"}
    assert names == {"a": "file", "x": "directory", "d": "directory", "link": "symlink", "dangling": "symlink", "fifo": "fifo"}
    assert [entry.path for entry in sb.files.list(tmp_path / "d", recursive=True)] == [f"{tmp_path}/d/e", f"{tmp_path}/d/e/f"]
    link = sb.files.stat(tmp_path / "link", follow=False)
    assert (link.type, sb.files.stat(tmp_path / "link").size) == ("symlink", 13)
    assert sb.files.exists(tmp_path / "a") and not sb.files.exists(tmp_path / "dangling") and not sb.files.exists(tmp_path / "a/b")
    sb.files.rename(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileExistsError):
        sb.files.rename(tmp_path / "b", tmp_path / "x", replace=False)
    with pytest.raises(bvisor.FileError):
        sb.files.remove(tmp_path / "d")
    sb.files.remove(tmp_path / "d", recursive=True)
    with pytest.raises(IsADirectoryError):
        sb.files.read(tmp_path)
    with pytest.raises(NotADirectoryError, match="stat"):
        sb.files.list(tmp_path / "b")
    with pytest.raises(FileNotFoundError, match="none"):
        sb.files.read(tmp_path / "none")
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("store", "snapshots")] == []


def test_paths_that_are_no_text(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    sb.bash(f"touch {tmp_path}/$'\\xff\\xfe'", check=True)
    assert name in [entry.name for entry in sb.files.list(tmp_path)] and sb.files.exists(tmp_path / name)
    assert f"{tmp_path}/{name}" in [change.path for change in sb.diff([tmp_path])]


def test_watches(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    sb.files.make_dir(tmp_path / "w/sub", parents=True)
    with sb.files.watch(tmp_path / "w", recursive=True) as watch:
        assert watch.read(timeout=0) == []
        sb.files.write(tmp_path / "w/sub/a", "x")
        seen = {(event.what, event.path) for _ in range(3) for event in watch.read(timeout=1)}
        assert ("created", f"{tmp_path}/w/sub/a") in seen
        sb.files.rename(tmp_path / "w/sub/a", tmp_path / "w/b")
        renamed = next(event for event in watch if event.what == "renamed")
        assert (renamed.path, renamed.old_path) == (f"{tmp_path}/w/b", f"{tmp_path}/w/sub/a")
        sb.files.remove(tmp_path / "w", recursive=True)
        assert "removed" in [event.what for event in watch]
    with pytest.raises(bvisor.SandboxClosed):
        watch.read()


def test_changes(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    for name in ("modified", "deleted", "moved"):
        (tmp_path / name).write_text(name)
    r = sb.bash("echo x >added; echo x >modified; rm deleted; mv moved renamed", cwd=tmp_path)
    changes = {os.path.basename(change.path): change for change in r.changes if change.path.startswith(str(tmp_path))}
    assert {name: change.kind for name, change in changes.items()} == {"added": "added", "modified": "modified", "deleted": "deleted", "renamed": "renamed"}
    assert "content" in changes["modified"].diff and changes["renamed"].old_path == f"{tmp_path}/moved" and changes["deleted"].type is None
    sb.bash("rm added", cwd=tmp_path)
    assert r.changes is r.changes and "added" not in [os.path.basename(change.path) for change in sb.diff([tmp_path])]


def test_apply(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    sb.bash("echo new >a; echo new >b; echo new >c", cwd=tmp_path)
    (tmp_path / "b").write_text("of the host")
    assert {(applied.result, os.path.basename(applied.path)) for applied in sb.apply([tmp_path], dry_run=True)} == {("would apply", "a"), ("conflict", "b"), ("would apply", "c")}
    assert (tmp_path / "a").read_text() == "old"
    done = {os.path.basename(applied.path): applied for applied in sb.apply([tmp_path / "a", tmp_path / "b"])}
    assert done["a"].result == "applied" and done["b"].result == "conflict" and done["b"].reason
    assert (tmp_path / "a").read_text() == "new\n" and (tmp_path / "b").read_text() == "of the host" and not (tmp_path / "c").exists()


def test_paths_of_changes(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    sb.bash("echo new >real/added; echo new >other", cwd=tmp_path, check=True)
    assert [change.path for change in sb.diff([tmp_path / "link/added", tmp_path / "nothing"])] == [f"{tmp_path}/real/added"]
    with pytest.raises(bvisor.BvisorError, match=f"{tmp_path}/nothing: the sandbox changed nothing there") as caught:
        sb.apply([tmp_path / "link/added", tmp_path / "nothing"])
    assert caught.value.errno == errno.ENODATA and not (tmp_path / "real/added").exists()
    assert [applied.path for applied in sb.apply([f"{tmp_path}/link/"])] == [f"{tmp_path}/real/added"]
    assert (tmp_path / "real/added").exists() and not (tmp_path / "other").exists()


def test_snapshots(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with Sandbox("work") as sb:
        sb.files.write("/tmp/state", "1")
        first = sb.snapshot(place, message="the first", tags=["a", "b"])
        assert (first.name, first.number, first.files) == ("work", 1, 1)
        assert sb.snapshot(place, if_changed=True).number == 1
        sb.files.write("/tmp/state", "2")
        assert sb.snapshot(place).number == 2
        with pytest.raises(bvisor.InvalidArgument, match="backend"):
            sb.sync()
    assert [(state.name, state.number, state.message) for state in Sandbox.snapshots("work", from_=place)] == [("work", 1, "the first"), ("work", 2, None)]
    with Sandbox.restore("work@1", from_=place, name="again", keep=False) as sb:
        assert sb.files.read("/tmp/state") == b"1" and sb.name == "again"
    with Sandbox.restore("work", from_=place, prefetch=True) as sb:
        assert sb.files.read("/tmp/state") == b"2"
        sb.remove()
    with pytest.raises(bvisor.SnapshotNotFound, match="work"):
        Sandbox.restore("work@9", from_=place)
    with pytest.raises(bvisor.BvisorError):
        Sandbox.snapshots(from_=tmp_path / "nowhere")
    assert Sandbox.list() == []


def test_an_encrypted_place(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "key").write_text("5a" * 32)
    with Sandbox("work") as sb:
        sb.files.write("/tmp/state", "secret")
        sb.snapshot(place, key_file=tmp_path / "key")
    with pytest.raises(bvisor.SnapshotKeyError):
        Sandbox.restore("work", from_=place)
    with Sandbox.restore("work", from_=place, key_file=tmp_path / "key", prefetch=True, keep=False) as sb:
        assert sb.files.read("/tmp/state") == b"secret"


def test_forks(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with Sandbox("work", cwd=tmp_path) as sb:
        sb.files.write("state", "common")
        forks = sb.fork(2, to=place, keep=False)
        assert [fork.name for fork in forks] == ["work-1", "work-2"]
        for i, fork in enumerate(forks):
            fork.bash(f"echo {i} >>state", check=True)
        assert [fork.files.read_text("state") for fork in forks] == ["common0\n", "common1\n"] and sb.files.read_text("state") == "common"
        with pytest.raises(bvisor.SandboxExists):
            sb.fork(1, names=["work-1"], to=place)
        for fork in forks:
            fork.close()
    assert wait_until(lambda: Sandbox.list() == [])


def test_the_network_can_be_changed(store: pathlib.Path) -> None:
    with Sandbox(allow="127.0.0.1:1") as sb:
        assert (sb.net.mode, sb.net.rules, sb.net.denied) == ("none", ["127.0.0.1:1"], [])
        sb.net.allow("10.0.0.0/8", "example.org:443")
        assert sb.net.rules == ["127.0.0.1:1", "10.0.0.0/8", "example.org:443"]
        sb.net.deny("10.0.0.0/8")
        assert "10.0.0.0/8" not in sb.net.rules
        sb.net.mode = "internet"
        assert sb.net.mode == "internet"
        with pytest.raises(bvisor.InvalidArgument, match="'all' is no mode"):
            sb.net.mode = "all"
        with pytest.raises(bvisor.InvalidArgument):
            sb.net.allow("no rule!")
        with pytest.raises(bvisor.BvisorError):
            sb.net.deny("10.0.0.0/8")


def test_a_published_port(store: pathlib.Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Sandbox(net="none", publish=port) as sb:
        server = f"import socket; s = socket.create_server(('127.0.0.1', {port})); print('ready', flush=True); s.accept()[0].sendall(b'inside')"
        with sb.spawn([sys.executable, "-c", server]) as p:
            assert p.stdout and p.stdout.readline(timeout=20) == "ready\n"
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                assert client.recv(100) == b"inside"
        assert sb.net.published == [f"127.0.0.1:{port}:{port}"]


def test_limits(store: pathlib.Path) -> None:
    with Sandbox(limits=Limits(nofile=64, disk="2M", pids=50)) as sb:
        assert sb.limits == [] and sb.warning is None
        assert sb.bash("ulimit -n").stdout == "64\n"
        r = sb.bash("fallocate -l 50M /tmp/bvisor-large")
        assert not r.ok and {limit.name: limit.hits > 0 for limit in r.limits}["disk"] and "disk" in r.remark
        assert {limit.name: limit.limit for limit in sb.limits} == {"nofile": 64, "disk": 2 << 20, "pids": 50}
        assert "calls" in sb.stats()
    with Sandbox(limits={"pids": 100, "io_write": 1000000}, best_effort=True) as sb:
        assert sb.bash("true").ok
    assert "nofile=5" in repr(Limits(nofile=5)) and Limits(memory=1) == Limits(memory=1) != Limits()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes CAP_SYS_ADMIN")
def test_a_pid_namespace_of_its_own(store: pathlib.Path) -> None:
    with Sandbox(pidns=True) as sb:
        try:
            assert int(sb.bash("echo $$").stdout) < 1000 and sb.pidns
        except bvisor.BvisorError as e:
            assert e.errno == errno.EPERM
            pytest.skip(str(e))
        nap = unique_nap()
        before = len(os.listdir("/proc/self/fd"))
        with sb.spawn(["sleep", nap]) as p:
            with pytest.raises(TimeoutError):
                p.wait(0.2)
            assert [process.pid for process in sb.processes()] == [p.pid]
            p.kill(15)
            assert p.wait(10) == -15
        assert sb.bash(f"sleep {nap}", timeout=0.3).timed_out
        del p
        gc.collect()
        assert wait_until(lambda: not processes_with(nap) and len(os.listdir("/proc/self/fd")) == before)
        sb.spawn(["sleep", nap])
    assert wait_until(lambda: not processes_with(nap))


def test_limits_of_copies(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = f"dir:{tmp_path}/place"
    with Sandbox("work", keep=True, limits=Limits(nofile=64, pids=60)) as sb:
        for fork, want in zip([*sb.fork(1, to=place, keep=False), *sb.fork(1, names=["other"], to=place, keep=False, limits={"nofile": 50})], ("64", "50"), strict=True):
            with fork:
                r = fork.bash("ulimit -n")
                assert r.stdout.strip() == want and {limit.name for limit in r.limits} == {"nofile", "pids"}
        state = sb.snapshot(place)
        for limits, want in ((None, False), (Limits(nofile=40), True)):
            with Sandbox.restore(f"{state.name}@{state.number}", from_=place, name="copy", keep=False, limits=limits) as copy:
                assert (copy.bash("ulimit -n").stdout == "40\n") == want and len(copy.limits) == want
        sb.remove(force=True)


def test_other_limits(store: pathlib.Path) -> None:
    with Sandbox("work", keep=True) as sb:
        assert sb.bash("ulimit -n").stdout != "77\n"
        sb.stop()
        sb.set_limits(Limits(nofile=77))
        assert sb.bash("ulimit -n").stdout == "77\n" and [limit.name for limit in sb.limits] == ["nofile"]
        sb.remove(force=True)


def test_stopping(store: pathlib.Path) -> None:
    with Sandbox("work", keep=True) as sb:
        p = sb.spawn(["sleep", unique_nap()])
        sb.stop()
        assert p.wait(10) == -9 and sb.processes() == [] and sb.stats() == {}
        assert sb.bash("echo again").stdout == "again\n"
        sb.remove(force=True)


def test_doctor(store: pathlib.Path) -> None:
    features = bvisor.doctor()
    assert {"seccomp-notify", "landlock"} <= {feature.name for feature in features} and all(feature.works for feature in features if feature.required)


def test_many_threads_on_one_sandbox(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    wrong: list[object] = []

    def work(i: int) -> None:
        for k in range(5):
            r = sb.bash(f"echo {i}.{k}; cat", stdin=f"in {i}")
            sb.files.write(tmp_path / f"t{i}", r.stdout)
            if r.stdout != f"{i}.{k}\nin {i}" or sb.files.read_text(tmp_path / f"t{i}") != r.stdout:
                wrong.append(r)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
