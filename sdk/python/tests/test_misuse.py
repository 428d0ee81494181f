"""What strangers do: arguments that make no sense, objects that are closed while somebody uses them."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import pathlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import bvisor
import pytest
from bvisor import PIPE, AsyncSandbox, Limits, Sandbox
from conftest import processes_with, unique_nap, wait_until


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What it gives or raises; a thread that hangs is a failure, not the end of all tests."""
    ends: list[Any] = []

    def work() -> None:
        try:
            ends.append((call(), None))
        except BaseException as e:
            ends.append((None, e))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert ends, "it hangs"
    if ends[0][1]:
        raise ends[0][1]
    return ends[0][0]


def soon(call: Callable[[], object]) -> threading.Thread:
    timer = threading.Timer(0.2, call)
    timer.start()
    return timer


def test_timeouts_of_any_size(sb: Sandbox) -> None:
    for timeout in (math.inf, 1e7, 1e12, 10**30):
        assert sb.bash("echo x", timeout=timeout).stdout == "x\n"
        with sb.spawn("echo x") as p:
            assert p.stdout and p.stdout.readline(timeout=timeout) == "x\n" and p.wait(timeout) == 0
    for wrong in (math.nan, -1, "5", 10**400, []):
        with pytest.raises(bvisor.InvalidArgument, match="timeout"):
            sb.bash("echo x", timeout=wrong)  # type: ignore[arg-type]


def test_what_is_wrong_is_found_before_a_command_is_started(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    ran = tmp_path / "ran"
    command = f"touch {ran}; exec sleep {unique_nap()}"
    wrong: list[dict[str, Any]] = [
        {"encoding": "nonsense"},
        {"encoding": "nonsense", "stdin": "x", "on_stdout": print},
        {"errors": "nonsense"},
        {"output_limit": -1},
        {"output_limit": "many"},
        {"output_limit": None, "stdin": (part for part in "abc")},
        {"timeout": -1},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": b"c"}},
        {"env": {"A": "a\0b"}},
        {"cwd": "/tmp\0"},
    ]
    before = sorted(os.listdir("/proc/self/fd"))
    for options in wrong:
        with pytest.raises(bvisor.InvalidArgument):
            sb.bash(command, **options)
        if "timeout" not in options and "output_limit" not in options and "on_stdout" not in options:
            with pytest.raises(bvisor.InvalidArgument):
                sb.spawn(command, **options)
    with pytest.raises(UnicodeEncodeError):
        sb.spawn(command, stdin="\ud800")
    gc.collect()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not sb.files.exists(ran) and sb.processes() == []


def test_text_that_no_path_can_be(sb: Sandbox) -> None:
    for path in ("/tmp/a\0b", "/tmp/\ud800"):
        for call in (sb.files.read, sb.files.exists, sb.files.remove, sb.files.list, sb.files.watch, sb.files.make_dir):
            with pytest.raises(bvisor.InvalidArgument, match="/tmp/"):
                call(path)  # type: ignore[operator]
    for make in (lambda: Sandbox("a\0b"), lambda: Sandbox(rw="\0"), lambda: Sandbox.open("a\0b"), lambda: Sandbox.restore("a\0b"), lambda: sb.bash("a\0b"), lambda: sb.run(["a", "\ud800"])):
        with pytest.raises(bvisor.InvalidArgument):
            make()


def test_an_empty_path_is_not_the_current_directory(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with Sandbox(cwd=tmp_path) as sb:
        sb.files.write("file", "x")
        assert not sb.files.exists("")
        for call in (lambda: sb.files.remove("", recursive=True), lambda: sb.files.list(""), lambda: sb.files.rename("", "x"), lambda: sb.files.watch("")):
            with pytest.raises(FileNotFoundError):
                call()
        with pytest.raises(bvisor.InvalidArgument):
            sb.apply("")
        assert sb.files.exists("file")


def test_a_current_directory_that_is_gone(sb: Sandbox, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    sb.files.write(tmp_path / "file", "x")
    assert sb.run(["cat", tmp_path / "file"]).stdout == sb.run(["cat", "file"], cwd=tmp_path).stdout == "x" and len(sb.diff([tmp_path / "file"])) == 1
    with pytest.raises(FileNotFoundError):
        sb.files.read("file")


def test_errors_are_of_what_they_are_about(sb: Sandbox) -> None:
    with pytest.raises(bvisor.BvisorError, match="descriptor 0") as e:
        sb.run(["cat"], stdin=9999)
    assert not isinstance(e.value, bvisor.SandboxClosed)
    for call in (lambda: sb.files.remove("/proc", recursive=True), lambda: sb.files.rename("/usr", "/usr/bin/x"), lambda: sb.files.write("/tmp/" + "x" * 300, "")):
        with pytest.raises(bvisor.FileError):
            call()


def test_no_paths_are_not_all_paths(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    sb.files.write(tmp_path / "file", "x")
    assert sb.diff([]) == [] and sb.apply([]) == [] and not (tmp_path / "file").exists()
    assert sb.diff() and sb.diff(iter([tmp_path]))


def test_contents_and_permissions(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    for data in (bytearray(b"x"), memoryview(b"x"), memoryview(b"xxx")[::2]):
        sb.files.write(tmp_path / "file", data)
        assert sb.files.read(tmp_path / "file") == bytes(data)
    for wrong in (None, 5, ["x"]):
        with pytest.raises(TypeError):
            sb.files.write(tmp_path / "file", wrong)  # type: ignore[arg-type]
    assert sb.files.read(tmp_path / "file") == b"xx"
    for mode in (-1, 1 << 40, 0o10000, "600"):
        with pytest.raises(bvisor.InvalidArgument, match="mode"):
            sb.files.write(tmp_path / "other", "x", mode=mode)  # type: ignore[arg-type]
        with pytest.raises(bvisor.InvalidArgument, match="mode"):
            sb.files.make_dir(tmp_path / "other", mode=mode)  # type: ignore[arg-type]
    assert not sb.files.exists(tmp_path / "other")


def test_limits_that_are_none(store: pathlib.Path) -> None:
    wrong: list[dict[str, Any]] = [{"memory": 0}, {"pids": 0}, {"pids": 1 << 70}, {"pids": 1.5}, {"pids": "1"}, {"cpus": math.nan}, {"cpus": "2"}, {"memory": None, "nofile": -1}, {"disk": []}]
    for limits in wrong:
        with pytest.raises(bvisor.InvalidArgument):
            Sandbox(limits=limits)
    with Sandbox(limits=Limits(disk=1e9, nofile=64)) as sb:
        assert sb.bash("ulimit -n", output_limit=1e6).stdout == "64\n"
    with pytest.raises(bvisor.InvalidArgument, match="None"):
        Sandbox(env={"A": None})  # type: ignore[dict-item]


def test_words_may_be_bytes(sb: Sandbox) -> None:
    r = sb.run([b"printf", b"%s", os.fsencode("\udcff")], text=False)  # type: ignore[list-item]
    assert r.stdout == b"\xff" and "printf" in repr(r)


def test_a_pipe_to_run_is_empty(sb: Sandbox) -> None:
    assert within(20, lambda: sb.run(["cat"], stdin=PIPE)).stdout == ""


def test_threads_that_wait_for_different_things_of_a_process(sb: Sandbox) -> None:
    ends: list[object] = []
    with sb.spawn("sleep 0.2; echo out; echo err >&2; sleep 0.2; echo more; read line; seq 100000; exit 3") as p:
        assert p.stdout and p.stderr
        err = p.stderr
        threads = [threading.Thread(target=lambda: ends.append(p.wait())), threading.Thread(target=lambda: ends.append(err.read()))]
        for thread in threads:
            thread.start()
        assert [p.stdout.readline(timeout=10), p.stdout.readline(timeout=10)] == ["out\n", "more\n"]
        with pytest.raises(TimeoutError):
            p.stdout.readline(timeout=0.1)
        assert p.poll() is None and not ends
        p.send_stdin("go on\n")  # from here on nobody reads but who waits
        for thread in threads:
            thread.join(20)
        assert sorted(ends, key=str) == [3, "err\n"] and p.poll() == 3
        assert p.stdout.read().splitlines()[-1] == "100000"
    with sb.spawn("for i in $(seq 2000); do echo $i; echo $i >&2; done") as p:
        assert p.stdout and p.stderr
        lines: dict[int, list[str]] = {1: [], 2: []}
        streams = {1: p.stdout, 2: p.stderr}
        readers = [threading.Thread(target=lambda i=i: lines[i].extend(streams[i])) for i in (1, 2)]  # type: ignore[misc]
        for reader in readers:
            reader.start()
        assert p.wait(60) == 0
        for reader in readers:
            reader.join(20)
        assert lines[1] == lines[2] == [f"{i + 1}\n" for i in range(2000)]


def test_input_for_who_has_no_stdin(sb: Sandbox) -> None:
    with sb.spawn(["cat"]) as p:
        p.close_stdin()
        with pytest.raises(bvisor.BvisorError, match="stdin is not open"):
            p.communicate("x", timeout=10)
        assert p.communicate(timeout=10).stdout == ""
    with sb.spawn(["cat"], stdin=bvisor.DEVNULL) as p:
        with pytest.raises(bvisor.BvisorError, match="stdin is not open"):
            p.communicate(b"x")
    with sb.pty(["cat"]) as t:
        with pytest.raises(bvisor.BvisorError, match="stdin is not open"):
            t.communicate("x")
        t.write("x\n\x04")
        assert t.communicate(timeout=10).stdout == "x\r\nx\r\n"


def test_reading_does_not_cut_characters(sb: Sandbox) -> None:
    with sb.spawn(r"printf 'äää€\xff\xe2'") as p:
        assert p.stdout and p.wait(10) == 0
        pieces = []
        while text := p.stdout.read(1, timeout=10):
            pieces.append(text)
        assert pieces == ["ä", "ä", "ä", "€", "\ufffd", "\ufffd"] and p.stdout.read(0) == ""
    with sb.spawn(r"printf 'a\xc3'; sleep 0.2; printf '\xa4b\n'") as p:
        assert p.stdout and [p.stdout.read(10, timeout=10), p.stdout.readline(timeout=10)] == ["a", "äb\n"]
    with sb.pty(r"printf '\xe2\x94'; sleep 0.2; printf '\x80'", env={"TERM": "dumb"}) as t:
        assert t.read(timeout=10) == "─"
    with sb.spawn("printf x", encoding="utf-16") as p:
        assert p.communicate().stdout == "\ufffd"


def test_closing_a_watch_ends_who_reads_it(sb: Sandbox) -> None:
    watch = sb.files.watch("/tmp")
    soon(watch.close)
    assert within(20, lambda: list(watch)) == []
    watch = sb.files.watch("/tmp")
    soon(watch.close)
    with pytest.raises(bvisor.SandboxClosed, match="watch"):
        within(20, watch.read)
    with pytest.raises(bvisor.SandboxClosed):
        watch.read(timeout=0)
    watch.close()
    other = Sandbox()
    watch = other.files.watch("/tmp")
    soon(other.close)
    assert within(20, lambda: list(watch)) == []


def test_closing_a_process_ends_who_waits_for_it(sb: Sandbox) -> None:
    nap = unique_nap()
    waits: list[Callable[[bvisor.Process], object]] = [lambda p: p.wait(), lambda p: p.stdout and p.stdout.read(), lambda p: list(p), lambda p: p.send_stdin("x" * 1_000_000)]
    for wait in waits:
        p = sb.spawn(["sleep", nap])
        closing = soon(p.close)
        with pytest.raises(bvisor.BvisorError):
            within(20, lambda: wait(p))
        closing.join()
        for use in (p.wait, p.poll, p.kill, p.communicate):
            with pytest.raises(bvisor.SandboxClosed):
                within(20, use)
        p.close()
    t = sb.pty(["sleep", nap])
    t.close()
    for talk in (lambda: t.write("x"), lambda: t.resize(3, 3)):
        with pytest.raises(bvisor.SandboxClosed):
            talk()
    with sb.spawn("true") as p:
        assert p.wait(10) == 0
    assert p.wait() == 0 and p.poll() == 0


def test_a_terminal_that_nobody_has_open(sb: Sandbox) -> None:
    t = sb.pty("true", env={"TERM": "dumb"})
    t.wait(10)
    while t.read(timeout=10):
        pass
    with pytest.raises(bvisor.BvisorError, match="terminal"):
        t.write("x" * 1_000_000)
    with pytest.raises(bvisor.BvisorError, match="terminal"):
        t.resize(3, 3)
    for rows in (-1, 0, 70_000, "24"):
        with pytest.raises(bvisor.InvalidArgument, match="size"):
            sb.pty("true", rows=rows)  # type: ignore[arg-type]


def test_writing_to_who_has_closed_its_output_does_not_spin(sb: Sandbox) -> None:
    with sb.spawn("exec >&- 2>&-; sleep 0.7; cat >/dev/null") as p:
        time.sleep(0.2)
        before = time.thread_time()
        p.send_stdin("x" * 300_000)
        assert time.thread_time() - before < 0.2


def test_a_forked_child_does_not_read_what_is_for_its_parent(sb: Sandbox) -> None:
    with sb.spawn("echo for the parent; cat") as p:
        pid = os.fork()
        if pid == 0:
            try:
                for use in (lambda: p.stdout and p.stdout.readline(timeout=5), lambda: p.send_stdin("of the child\n")):
                    try:
                        use()
                        os._exit(1)
                    except bvisor.BvisorError:
                        pass
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert p.stdout and p.stdout.readline(timeout=10) == "for the parent\n"


def test_forks_of_forks_of_a_sandbox_that_nobody_has_used(store: pathlib.Path) -> None:
    with Sandbox("work") as sb:
        names = [fork.name for _ in range(2) for fork in sb.fork(2)]
        assert names == ["work-1", "work-2", "work-3", "work-4"] and sb.fork(0) == []
        for wrong in (-1, 1.5, "2"):
            with pytest.raises(bvisor.InvalidArgument, match="number of forks"):
                sb.fork(wrong)  # type: ignore[arg-type]
        assert sb.bash("echo on").stdout == "on\n"
    for name in names:
        Sandbox.open(name).remove()


# ---- asyncio ----


def run(body: Callable[[AsyncSandbox], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncSandbox() as sb:
            await asyncio.wait_for(body(sb), 60)

    asyncio.run(main())


async def closing(awaited: Awaitable[object], close: Callable[[], Awaitable[None]]) -> object:
    """What the one gives or raises when the other is called meanwhile; TimeoutError: it hangs."""
    waiting = asyncio.ensure_future(awaited)
    await asyncio.sleep(0.1)
    await close()
    return await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 10)


def test_closing_ends_who_awaits(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        nap = unique_nap()

        async def events_of(watch: bvisor.AsyncWatch) -> list[object]:
            return [event async for event in watch]

        watch = await sb.files.watch("/tmp")
        assert await closing(events_of(watch), watch.close) == [[]]
        other = await AsyncSandbox().start()
        watch = await other.files.watch("/tmp")
        assert await closing(events_of(watch), other.close) == [[]]
        waits: list[Callable[[bvisor.AsyncProcess], Awaitable[object]]] = [lambda p: p.wait(), lambda p: p.stdout.readline() if p.stdout else p.wait(), lambda p: p.send_stdin("x" * 1_000_000)]
        for wait in waits:
            p = await sb.spawn(["sleep", nap])
            (end,) = await closing(wait(p), p.close)  # type: ignore[misc]
            assert isinstance(end, bvisor.BvisorError), end
            with pytest.raises(bvisor.SandboxClosed):
                await asyncio.wait_for(p.wait(), 10)
        p = await sb.spawn(["sleep", nap])

        async def close_stdin() -> None:
            p.close_stdin()

        (end,) = await closing(p.send_stdin("x" * 1_000_000), close_stdin)  # type: ignore[misc]
        assert isinstance(end, bvisor.BvisorError)
        await p.close()

    run(body)


def test_two_tasks_write_one_after_the_other(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        async with await sb.spawn("sleep 0.3; cat | uniq | wc -l") as p:
            await asyncio.wait_for(asyncio.gather(p.send_stdin("a\n" * 200_000), p.send_stdin("b\n" * 200_000)), 20)
            p.close_stdin()
            assert p.stdout and (await p.stdout.read()).strip() == "2"

    run(body)


def test_an_async_sandbox_that_is_forgotten_is_gone(store: pathlib.Path) -> None:
    async def main() -> None:
        nap = unique_nap()
        sb = await AsyncSandbox().start()
        p = await sb.spawn(["sleep", nap])
        assert processes_with(nap)
        del sb, p
        for _ in range(200):
            gc.collect()
            await asyncio.sleep(0.02)
            if not processes_with(nap):
                break
        assert not processes_with(nap)

    asyncio.run(main())


def test_a_process_that_is_forgotten_goes_on_with_its_sandbox(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        script = f"for i in 1 2 3 4 5; do sleep 0.1; seq 50000; done; touch {tmp_path}/done"
        await sb.spawn(script)
        for _ in range(200):
            gc.collect()
            await asyncio.sleep(0.05)
            if await sb.files.exists(tmp_path / "done"):
                break
        assert await sb.files.exists(tmp_path / "done")
        await asyncio.sleep(0.2)
        assert not sb._processes

    run(body)


def test_a_cancelled_communicate_ends_the_command(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        nap = unique_nap()
        p = await sb.spawn(["sleep", nap])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(p.communicate(), 0.2)
        assert wait_until(lambda: not processes_with(nap))
        await p.close()

    run(body)


def test_output_that_is_no_text_ends_the_command(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        nap = unique_nap()
        with pytest.raises(UnicodeDecodeError):
            await asyncio.wait_for(sb.bash(rf"printf '\xff'; sleep {nap}", errors="strict", on_stdout=print), 20)
        assert wait_until(lambda: not processes_with(nap))
        assert (await asyncio.wait_for(sb.run(["cat"], stdin=PIPE), 20)).stdout == ""
        async with await sb.spawn(r"printf 'ää\xe2'") as p:
            assert p.stdout and [await p.stdout.read(1) for _ in range(4)] == ["ä", "ä", "\ufffd", ""]
        (tmp,) = [entry for entry in await sb.files.list("/") if entry.name == "tmp"]
        assert tmp.type == "directory" and sb.place is None

    run(body)


def test_starting_twice_makes_one(store: pathlib.Path) -> None:
    async def main() -> None:
        sb = AsyncSandbox()
        await asyncio.gather(sb.start(), sb.start(), sb.start())
        assert len(await AsyncSandbox.list()) == 1
        await sb.files.write("/tmp/bvisor-x", "x")
        with await sb.files.open("/tmp/bvisor-x") as file:
            assert file.read() == b"x"
        await asyncio.gather(sb.close(), sb.close())

    asyncio.run(main())
