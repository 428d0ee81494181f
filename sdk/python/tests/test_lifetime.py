"""Nothing is left: whatever threads, forks, exceptions, signals and the garbage collector do."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import bvisor
import pytest
from bvisor import Sandbox
from conftest import LONG, descriptors, processes_with, supervisors_of, unique_nap, wait_until


def memory() -> int:
    """Resident, in KiB."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def use_one(i: int, tmp: pathlib.Path) -> None:
    """A sandbox made, used and closed: what it wrote is its own."""
    with Sandbox() as sb:
        r = sb.bash(f"cat {tmp}/shared 2>/dev/null; echo {i} >{tmp}/shared; cat {tmp}/shared")
        if r.stdout != f"{i}\n" or len(sb.diff([tmp])) != 1:
            raise AssertionError(repr(r))


def test_sandboxes_from_eight_threads_leave_nothing(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """125 each with BVISOR_LONG=1."""
    use_one(0, tmp_path)
    gc.collect()
    before = descriptors(), threading.active_count()
    wrong: list[BaseException] = []
    half: list[int] = []

    def work(thread: int) -> None:
        try:
            for k in range(125 if LONG else 6):
                use_one(thread * 1000 + k, tmp_path)
                if k == 25:
                    half.append(memory())
        except BaseException as e:
            wrong.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert (descriptors(), threading.active_count()) == before
    assert wait_until(lambda: not supervisors_of(store) and Sandbox.list() == [])
    gc.collect()
    if LONG:
        assert memory() < max(half) + 4096
    assert not (tmp_path / "shared").exists()


def test_a_sandbox_that_nobody_refers_to_is_gone(store: pathlib.Path) -> None:
    nap = unique_nap()
    before = descriptors()
    sb = Sandbox()
    p = sb.spawn(["sleep", nap])
    assert processes_with(nap)
    del sb
    gc.collect()
    assert processes_with(nap)  # the process refers to it
    del p
    gc.collect()
    assert wait_until(lambda: not processes_with(nap) and not supervisors_of(store)) and descriptors() == before


def test_an_exception_in_the_block_ends_everything(store: pathlib.Path) -> None:
    nap = unique_nap()
    with pytest.raises(ZeroDivisionError):
        with Sandbox() as sb:
            sb.spawn(["sleep", nap])
            1 / 0
    assert wait_until(lambda: not processes_with(nap) and not supervisors_of(store))


def test_closing_from_another_thread_ends_who_waits(store: pathlib.Path) -> None:
    nap = unique_nap()
    sb = Sandbox()
    ends: list[BaseException | None] = []

    def wait() -> None:
        try:
            sb.run(["sleep", nap])
            ends.append(None)
        except BaseException as e:
            ends.append(e)

    thread = threading.Thread(target=wait)
    thread.start()
    assert wait_until(lambda: processes_with(nap))
    sb.close()
    thread.join(20)
    assert not thread.is_alive() and isinstance(ends[0], bvisor.SandboxClosed)
    assert wait_until(lambda: not processes_with(nap))


def test_closing_at_any_moment_leaves_nothing(store: pathlib.Path) -> None:
    nap = unique_nap()
    for i in range(16):
        sb = Sandbox()
        starting = threading.Event()

        def wait() -> None:
            starting.set()
            with pytest.raises((bvisor.SandboxClosed, bvisor.SupervisorDied)):
                sb.run(["sleep", nap])

        thread = threading.Thread(target=wait)
        thread.start()
        starting.wait()
        time.sleep(i / 1000)
        sb.close()
        thread.join(20)
        assert not thread.is_alive(), i
    assert wait_until(lambda: not processes_with(nap) and not supervisors_of(store))


def ends_of(script: list[str], nap: str, sig: int) -> subprocess.CompletedProcess[str]:
    """Starts it, sends the signal when its guest runs, and waits for both."""
    usual = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - what is started in the background by a shell ignores it
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=usual) as program:
        try:
            assert wait_until(lambda: processes_with(nap, "sleep"))
            program.send_signal(sig)
            out, err = program.communicate(timeout=30)
        finally:
            program.kill()
    assert wait_until(lambda: not processes_with(nap))
    return subprocess.CompletedProcess(script, program.returncode, out, err)


@pytest.mark.parametrize("call", ["sb.run(['sleep', nap])", "sb.spawn(['sleep', nap]).wait()", "list(sb.spawn(['sleep', nap]))", "sb.pty(['sleep', nap]).read()"])
def test_ctrl_c_ends_the_command(store: pathlib.Path, script: Callable[..., list[str]], call: str) -> None:
    nap = unique_nap()
    text = f"""
import sys, bvisor
nap = sys.argv[1]
with bvisor.Sandbox() as sb:
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted", sb.bash("echo usable").stdout)
"""
    ended = ends_of(script(text, nap), nap, signal.SIGINT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted usable\n\n", "")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_is_killed_leaves_nothing(store: pathlib.Path, script: Callable[..., list[str]], sig: int) -> None:
    nap = unique_nap()
    ended = ends_of(script("import sys, bvisor\nsb = bvisor.Sandbox()\nsb.run(['sleep', sys.argv[1]])", nap), nap, sig)
    assert ended.returncode == -sig and wait_until(lambda: not supervisors_of(store) and Sandbox.list() == [])


def test_a_program_that_ends_without_closing_leaves_nothing(store: pathlib.Path, script: Callable[..., list[str]]) -> None:
    nap = unique_nap()
    text = "import sys, bvisor\nsb = bvisor.Sandbox()\np = sb.spawn(['sleep', sys.argv[1]])\nassert sb.bash('true').ok"
    done = subprocess.run(script(text, nap), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_until(lambda: not processes_with(nap) and not supervisors_of(store) and Sandbox.list() == [])


def in_child(body: Callable[[], object]) -> None:
    """Runs it in a fork of this process, where it must succeed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException as e:
            os.write(2, f"{e!r}\n".encode())
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_forked_child_has_no_part_in_the_sandbox(store: pathlib.Path) -> None:
    with Sandbox() as sb:
        p = sb.spawn("read line; echo got $line")

        def child() -> None:
            with pytest.raises(bvisor.SandboxClosed, match="parent"):
                sb.bash("true")
            with pytest.raises(bvisor.SandboxClosed):
                p.kill()
            sb.close()
            p.close()
            gc.collect()
            with Sandbox() as own:
                assert own.bash("echo own").stdout == "own\n"

        in_child(child)
        assert sb.bash("echo on").stdout == "on\n"
        p.send_stdin("yes\n")
        assert p.stdout and p.stdout.readline(timeout=10) == "got yes\n" and p.wait(10) == 0
        p.close()


def test_a_child_that_lives_on_does_not_keep_the_sandbox(store: pathlib.Path) -> None:
    nap = unique_nap()
    sb = Sandbox()
    sb.spawn(["sleep", nap])
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        sb.close()
        assert wait_until(lambda: not processes_with(nap) and not supervisors_of(store))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_fork_while_other_threads_use_it(store: pathlib.Path) -> None:
    with Sandbox() as sb:
        stop = threading.Event()
        wrong: list[object] = []

        def work() -> None:
            while not stop.is_set():
                r = sb.bash("echo x")
                if r.stdout != "x\n":
                    wrong.append(r)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            in_child(lambda: sb.close())
            time.sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong


def test_descriptors_of_this_program_do_not_reach_commands(sb: Sandbox) -> None:
    p = sb.spawn(["cat"])
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)
        assert sb.run(["ls", "/proc/self/fd"]).stdout.split() == ["0", "1", "2", "3"]  # the last is the directory that is listed
    p.close()
