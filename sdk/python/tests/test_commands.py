"""Commands: what they get, what they leave, how they end."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import signal
import sys
import time

import bvisor
import pytest
from bvisor import DEVNULL, STDOUT, Sandbox
from conftest import processes_with, unique_nap, wait_until


def test_a_result_tells_the_end(sb: Sandbox) -> None:
    r = sb.bash("echo out; echo err >&2; exit 3")
    assert (r.stdout, r.stderr, r.exit_code, r.signal, r.ok, bool(r)) == ("out\n", "err\n", 3, 0, False, False)
    r = sb.bash("kill -SEGV $$")
    assert (r.exit_code, r.signal) == (-1, signal.SIGSEGV) and "signal 11" in str(bvisor.CommandFailed(r))
    assert "stdout='out\\n'" in repr(sb.bash("echo out"))


def test_words_are_not_read_by_a_shell(sb: Sandbox) -> None:
    assert sb.run(["printf", "%s|", "a b", "$HOME", "*"]).stdout == "a b|$HOME|*|"
    assert sb.run("echo $((1 + 2))").stdout == "3\n"


def test_stdin(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    assert sb.run(["cat"]).stdout == ""
    assert sb.run(["cat"], stdin="text").stdout == "text"
    assert sb.run(["cat"], stdin=b"\xff\x00", text=False).stdout == b"\xff\x00"
    assert sb.run(["cat"], stdin="").stdout == ""
    large = "x" * 3_000_000
    assert sb.run(["cat"], stdin=large).stdout == large
    assert sb.run(["head", "-c1"], stdin=large).stdout == "x"
    (tmp_path / "input").write_text("of a file")
    with open(tmp_path / "input") as file:
        assert sb.run(["cat"], stdin=file).stdout == "of a file"


def test_output_elsewhere(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    assert sb.bash("echo a; echo b >&2; echo c", stderr=STDOUT).stdout == "a\nb\nc\n"
    r = sb.bash("echo a; echo b >&2", stdout=DEVNULL)
    assert (r.stdout, r.stderr) == ("", "b\n")
    with open(tmp_path / "log", "wb") as log:
        sb.bash("echo a; echo b >&2", stdout=log, stderr=STDOUT)
    assert (tmp_path / "log").read_text() == "a\nb\n"
    with pytest.raises(bvisor.InvalidArgument):
        sb.run(["true"], stdout=-7)
    with pytest.raises(io.UnsupportedOperation):
        sb.run(["true"], stdout=io.BytesIO())


def test_environment_and_directory(store: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "1")
    monkeypatch.setenv("GONE", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "below").mkdir()
    with Sandbox(env={"INNER": "a=b"}, cwd=tmp_path) as sb:
        assert sb.env == {"INNER": "a=b"}
        show = "echo $OUTER,$INNER,$MORE,${GONE-unset},${AWS_SECRET_ACCESS_KEY-unset}; pwd"
        assert sb.bash(show).stdout == f"1,a=b,,1,unset\n{tmp_path}\n"
        assert sb.bash(show, env={"MORE": "2", "GONE": None}, cwd="below").stdout == f"1,a=b,2,unset,unset\n{tmp_path}/below\n"
        with pytest.raises(bvisor.WorkingDirectoryError, match="nowhere: No such file"):
            sb.run(["true"], cwd="nowhere")


def test_what_cannot_be_started(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    with pytest.raises(bvisor.CommandNotFound, match="no-such-program: No such file.*PATH") as e:
        sb.run(["no-such-program", "x"], env={"PATH": "/usr/bin:/bin"})  # a directory that this user may not search would be EACCES
    assert e.value.errno == 2 and isinstance(e.value, OSError)
    (tmp_path / "text").write_text("text")
    with pytest.raises(bvisor.CommandNotExecutable, match="text: Permission denied"):
        sb.run([tmp_path / "text"])
    with pytest.raises(bvisor.InvalidArgument, match="empty"):
        sb.run([])
    with pytest.raises(bvisor.InvalidArgument, match="timeout"):
        sb.run(["true"], timeout=-1)
    assert sb.bash("no-such-program").exit_code == 127


def test_streaming(sb: Sandbox) -> None:
    came: list[tuple[float, str]] = []
    r = sb.bash("echo one; sleep 0.3; echo two; echo three >&2", on_stdout=lambda text: came.append((time.monotonic(), text)), on_stderr=lambda text: came.append((0, text)))
    assert [text for _, text in came if text != "three\n"] == ["one\n", "two\n"] and (0, "three\n") in came
    assert came[1][0] - came[0][0] > 0.2 and r.stdout == "one\ntwo\n"
    pieces: list[str] = []
    sb.bash(r"printf '\xc3'; sleep 0.1; printf '\xa4'; printf '\xff'", on_stdout=pieces.append)
    assert "".join(pieces) == "ä\ufffd"


def test_an_exception_of_a_callback_ends_the_command(sb: Sandbox) -> None:
    nap = unique_nap()
    def fail(text: str) -> None:
        raise KeyError(text)

    with pytest.raises(KeyError, match="x"):
        sb.bash(f"echo x; sleep {nap}", on_stdout=fail)
    assert wait_until(lambda: not processes_with(nap))


def test_output_limit(sb: Sandbox) -> None:
    r = sb.run(["yes"], output_limit="100K")
    assert r.output_exceeded and not r.timed_out and not r.ok and len(r.stdout) == 102400
    with pytest.raises(bvisor.OutputLimitExceeded, match="output limit"):
        sb.run(["yes"], output_limit=1000, check=True)
    assert sb.bash("printf 12345", output_limit=5).ok


def test_a_timeout_keeps_what_was_written_and_ends_children(sb: Sandbox) -> None:
    nap, other_nap = unique_nap(), unique_nap()
    r = sb.bash(f"echo before; sleep {nap}; echo after", timeout=0.5)
    assert r.timed_out and r.stdout == "before\n" and r.signal == signal.SIGKILL and r.duration < 5
    assert wait_until(lambda: not processes_with(nap))
    started = time.monotonic()
    r = sb.bash(f"setsid sleep {other_nap} & exit 0", timeout=0.5)
    assert r.timed_out and time.monotonic() - started < 5
    sb.kill()
    assert not processes_with(other_nap)


def test_signals_that_python_ignores_are_not_ignored_in_commands(sb: Sandbox) -> None:
    assert sb.bash("yes | head -n1; echo ${PIPESTATUS[0]}").stdout == "y\n141\n"


def test_a_program_that_is_talked_to(sb: Sandbox) -> None:
    with sb.spawn("while read line; do echo got $line; echo err $line >&2; done; exit 5") as p:
        assert p.poll() is None and p.pid in [process.pid for process in sb.processes()]
        p.send_stdin("one\n")
        assert p.stdout and p.stderr and p.stdout.readline(timeout=10) == "got one\n" and p.stderr.readline(timeout=10) == "err one\n"
        with pytest.raises(TimeoutError, match="no more output"):
            p.stdout.readline(timeout=0.05)
        with pytest.raises(TimeoutError, match="did not end"):
            p.wait(timeout=0.05)
        p.send_stdin("two\nthree\n")
        p.close_stdin()
        assert sorted(p) == ["err three\n", "err two\n", "got three\n", "got two\n"]
        assert p.wait(10) == 5 and p.poll() == 5 and p.exit_code == 5
        p.kill()  # is over: no error
        with pytest.raises(bvisor.BvisorError, match="stdin is not open"):
            p.send_stdin("x")


def test_neither_stream_waits_for_the_other(sb: Sandbox) -> None:
    p = sb.spawn([sys.executable, "-c", "import sys; sys.stderr.write('e' * 1000000); sys.stderr.flush(); sys.stdout.write('o' * 1000000)"])
    assert p.stdout and p.stderr and p.stdout.read(timeout=20) == "o" * 1000000 and p.stderr.read(timeout=20) == "e" * 1000000
    p.close()
    p = sb.spawn(["cat"])
    p.send_stdin("z" * 1000000)  # more than two pipes hold
    assert p.communicate(timeout=20).stdout == "z" * 1000000


def test_signals_and_ends_of_processes(sb: Sandbox) -> None:
    nap = unique_nap()
    with sb.spawn(["sleep", nap]) as p:
        p.kill(signal.SIGUSR1)
        assert p.wait(10) == -signal.SIGUSR1 and p.signal == signal.SIGUSR1
    with sb.spawn(["sleep", nap]) as p:
        pass
    assert wait_until(lambda: not processes_with(nap))
    result = sb.spawn(f"cat; sleep {nap}").communicate("in", timeout=0.5)
    assert result.timed_out and result.stdout == "in"


def test_a_terminal(sb: Sandbox) -> None:
    with sb.pty("stty size; read line; stty size; echo got $line", rows=33, cols=77, env={"TERM": "dumb"}) as t:
        assert t.read(timeout=10).startswith("33 77")
        t.resize(44, 88)
        t.write("typed\n")
        shown = ""
        while text := t.read(timeout=10):
            shown += text
        assert "44 88" in shown and "got typed" in shown and t.wait(10) == 0
    with sb.pty(["cat"]) as t:
        t.write("\x03")
        assert t.wait(10) == -signal.SIGINT


def test_a_detached_command_goes_on(store: pathlib.Path) -> None:
    nap = unique_nap()
    with Sandbox("kept", keep=True) as sb:
        p = sb.spawn(["sleep", nap], detach=True, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    assert processes_with(nap)
    with pytest.raises(bvisor.SandboxClosed):
        p.kill()
    with Sandbox.open("kept") as sb:
        assert [process.args for process in sb.processes()] == [("sleep", nap)]
        with pytest.raises(bvisor.SandboxBusy):
            sb.remove()
        sb.remove(force=True)
    assert not processes_with(nap)


def test_results_can_be_pickled(sb: Sandbox) -> None:
    r = pickle.loads(pickle.dumps(sb.bash("echo x; exit 1")))
    assert (r.stdout, r.exit_code) == ("x\n", 1) and r.changes == []
    e = pickle.loads(pickle.dumps(bvisor.CommandFailed(r)))
    assert e.result.exit_code == 1 and "exit code 1" in str(e)


def test_the_streams_of_this_program_can_be_given(sb: Sandbox, script: object, tmp_path: pathlib.Path) -> None:
    import subprocess

    assert callable(script)
    text = "from bvisor import *\nwith Sandbox() as sb: sb.bash('cat; echo err >&2', stdin=INHERIT, stdout=INHERIT, stderr=STDOUT)"
    done = subprocess.run(script(text), input="through\n", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("through\nerr\n", "")
    assert os.getpid()
