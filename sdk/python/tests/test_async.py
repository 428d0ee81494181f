"""The same for asyncio."""

from __future__ import annotations

import asyncio
import gc
import pathlib
import sys
import time
from collections.abc import Awaitable, Callable

import bvisor
import pytest
from bvisor import AsyncSandbox
from conftest import descriptors, processes_with, unique_nap, wait_until


def run(body: Callable[[AsyncSandbox], Awaitable[None]]) -> None:
    """In a loop that complains about what is slow or forgotten."""

    async def main() -> None:
        async with AsyncSandbox() as sb:
            await body(sb)

    asyncio.run(main(), debug=True)


def test_commands(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        r = await sb.bash("echo out; echo err >&2; exit 3")
        assert (r.stdout, r.stderr, r.exit_code) == ("out\n", "err\n", 3)
        assert (await sb.run(["cat"], stdin="x" * 1000000)).stdout == "x" * 1000000
        r = await sb.bash("echo before; sleep 50", timeout=0.4)
        assert r.timed_out and r.stdout == "before\n"
        assert (await sb.run(["yes"], output_limit="10K")).output_exceeded
        with pytest.raises(bvisor.CommandFailed, match="exit code 1"):
            await sb.bash("false", check=True)
        with pytest.raises(bvisor.CommandNotFound):
            await sb.run(["no-such-program"], env={"PATH": "/usr/bin:/bin"})
        await sb.bash("echo x >/tmp/bvisor-async", check=True)
        assert [change.path for change in await r.changes()] == ["/tmp/bvisor-async"]
        assert (await sb.bash("kill -9 $$")).signal == 9

    run(body)


def test_commands_run_beside_each_other_and_the_loop_goes_on(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        longest = 0.0

        async def beat() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)

        await sb.bash("true")
        beating = asyncio.create_task(beat())
        before = time.monotonic()
        results = await asyncio.gather(*(sb.bash(f"sleep 1; echo {i}") for i in range(8)))
        assert [r.stdout for r in results] == [f"{i}\n" for i in range(8)] and time.monotonic() - before < 6
        beating.cancel()
        assert longest < 0.9  # not as long as a command

    run(body)


def test_streaming_and_callbacks(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        came: list[str] = []

        async def slow(text: str) -> None:
            await asyncio.sleep(0.05)
            came.append(text)

        r = await sb.bash("for i in 1 2 3; do echo $i; sleep 0.02; done", on_stdout=slow)
        assert "".join(came) == r.stdout == "1\n2\n3\n"
        nap = unique_nap()

        def fail(text: str) -> None:
            raise KeyError(text)

        with pytest.raises(KeyError):
            await sb.bash(f"echo x; sleep {nap}", on_stdout=fail)
        assert wait_until(lambda: not processes_with(nap))

    run(body)


def test_cancelling_kills(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        await sb.bash("true")
        for delay in (0, 0.001, 0.02, 0.3):  # before, while and after it is started
            nap = unique_nap()
            task = asyncio.create_task(sb.run(["sleep", nap]))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)
            assert wait_until(lambda: not processes_with(nap)), delay
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sb.bash("sleep 100"), 0.2)

    run(body)


def test_processes(store: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        async with await sb.spawn("while read line; do echo got $line; echo err >&2; done; exit 5") as p:
            assert p.stdout and p.stderr and await p.poll() is None
            await p.send_stdin("one\n")
            assert await p.stdout.readline(timeout=10) == "got one\n" and await p.stderr.readline() == "err\n"
            with pytest.raises(TimeoutError):
                await p.stdout.readline(timeout=0.05)
            with pytest.raises(TimeoutError):
                await p.wait(timeout=0.05)
            await p.send_stdin("two\n")
            p.close_stdin()
            assert sorted([line async for line in p]) == ["err\n", "got two\n"]
            assert await p.wait() == 5 and p.exit_code == 5
        p = await sb.spawn(["cat"])
        result = await p.communicate("y" * 1000000, timeout=20)
        assert result.stdout == "y" * 1000000
        await p.close()
        p = await sb.spawn([sys.executable, "-c", "import sys; sys.stderr.write('e' * 1000000); sys.stdout.write('o' * 1000000)"])
        assert p.stdout and await p.stdout.read() == "o" * 1000000
        await p.close()
        t = await sb.pty("read line; echo got $line", env={"TERM": "dumb"})
        await t.write("typed\n")
        shown = ""
        while text := await t.read(timeout=10):
            shown += text
        assert "got typed" in shown and await t.wait() == 0
        await t.close()

    run(body)


def test_files_and_watches(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    async def body(sb: AsyncSandbox) -> None:
        await sb.files.make_dir(tmp_path / "d/e", parents=True)
        async with await sb.files.watch(tmp_path / "d", recursive=True) as watch:
            assert await watch.read(timeout=0.01) == []
            await sb.files.write(tmp_path / "d/e/f", "text")
            async for event in watch:
                assert (event.what, event.path) == ("created", f"{tmp_path}/d/e/f")
                break
            await sb.files.remove(tmp_path / "d", recursive=True)
            assert [event async for event in watch]
        await sb.files.write(tmp_path / "a", "text")
        await sb.files.rename(tmp_path / "a", tmp_path / "b")
        assert await sb.files.read(tmp_path / "b") == b"text" and await sb.files.read_text(tmp_path / "b") == "text"
        assert (await sb.files.stat(tmp_path / "b")).size == 4 and await sb.files.exists(tmp_path / "b")
        assert "b" in [entry.name for entry in await sb.files.list(tmp_path)]
        with pytest.raises(FileNotFoundError):
            await sb.files.read(tmp_path / "none")

    run(body)


def test_snapshots_forks_and_the_rest(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    async def main() -> None:
        async with AsyncSandbox("work", allow="127.0.0.1:1", limits={"nofile": 100}) as sb:
            await sb.files.write("/tmp/state", "1")
            assert (await sb.snapshot(place)).number == 1
            forks = await sb.fork(2, to=place, keep=False)
            assert await asyncio.gather(*(fork.files.read("/tmp/state") for fork in forks)) == [b"1", b"1"]
            await asyncio.gather(*(fork.close() for fork in forks))
            await sb.net.allow("127.0.0.1:2")
            await sb.net.deny("127.0.0.1:1")
            assert await sb.net.rules() == ["127.0.0.1:2"] and await sb.net.mode() == "none" and await sb.net.denied() == []
            assert [limit.name for limit in await sb.limits()] == ["nofile"] and await sb.stats() and sb.name == "work"
        again = await AsyncSandbox.restore("work@1", from_=place, keep=False)
        assert [applied.path for applied in await again.apply(["/tmp/state"], dry_run=True)] == ["/tmp/state"]
        await again.close()
        with pytest.raises(bvisor.SnapshotNotFound):
            await AsyncSandbox.restore("none", from_=place)
        with pytest.raises(bvisor.SandboxNotFound):
            await AsyncSandbox.open("none")

    asyncio.run(main(), debug=True)


def test_nothing_is_left(store: pathlib.Path) -> None:
    async def main() -> None:
        before = descriptors()
        for _ in range(3):
            async with AsyncSandbox() as sb:
                await asyncio.gather(*(sb.bash("echo x") for _ in range(5)))
                p = await sb.spawn("cat")
                del p  # forgotten
        for _ in range(200):
            await asyncio.sleep(0.01)
            gc.collect()
            if descriptors() == before:
                break
        assert descriptors() == before
        unused = AsyncSandbox()
        with pytest.raises(bvisor.SandboxClosed, match="not made yet"):
            await unused.bash("true")

    asyncio.run(main())
