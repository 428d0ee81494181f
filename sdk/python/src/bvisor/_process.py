"""A command that runs in a sandbox, and its streams.

Streams are pipes that belong to the Process. One thread at a time (that has `_turn`) moves what comes through all of them into memory, so a command that writes to the one while
the other is read never waits; others that wait for something (`_followers`) are woken after each move, to see whether it was that. Waiting is done in poll(2) here, not in the library: Ctrl-C ends it."""

from __future__ import annotations

import codecs
import errno as _errno
import os
import select
import time
from _thread import allocate_lock

from . import _native
from ._errors import (
    BvisorError,
    CommandFailed,
    CommandNotExecutable,
    CommandNotFound,
    CommandTimeout,
    InvalidArgument,
    OutputLimitExceeded,
    SandboxClosed,
    SupervisorDied,
    WorkingDirectoryError,
)
from ._options import command_environment
from ._result import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import IO, Any, Callable, TypeVar, Union

    from ._options import StrPath
    from ._sandbox import Sandbox

    Command = Union[str, Sequence[StrPath]]
    Input = Union[None, str, bytes, bytearray, memoryview, int, IO[Any]]
    Output = Union[int, IO[Any]]
    OnOutput = Callable[[Any], object]
    Self = TypeVar("Self", bound="Process")

PIPE = -1
"""For `stdin`, `stdout`, `stderr` of `Sandbox.spawn`: a pipe to this program."""
DEVNULL = -3
"""For these: /dev/null."""
STDOUT = -2
"""For `stderr`: wherever stdout goes."""
INHERIT = -4
"""For these: this program's own."""

SIGKILL, SIGTERM = 9, 15  # the module signal takes longer to import than all of this

_LIBRARY_NULL = -2  # BV_FD_NULL
_LIBRARY_INHERIT = -1  # BV_FD_INHERIT
_CHUNK = 1 << 16
_KILL_GRACE = 0.2  # for what was written before the kill, as in the library
_LONGEST = 86400.0  # that poll(2) and locks are asked to wait at once: they have limits


def command_line(command: Command) -> list[str]:
    """The words of a command; text is a script for bash."""
    if isinstance(command, str):
        return ["bash", "-c", command]
    words = [os.fsdecode(word) for word in command]
    if not words:
        raise InvalidArgument(_errno.EINVAL, "the command is empty: a list with the program and its arguments is wanted, or text for bash")
    return words


class _Pipe:
    """Our end of an output stream, and what came through it."""

    __slots__ = ("fd", "buffer", "decoder", "callback", "reader", "before_close", "lock")

    def __init__(self, fd: int, encoding: str | None, errors: str, callback: OnOutput | None) -> None:
        self.fd = fd
        self.buffer = bytearray()
        self.lock = allocate_lock()  # protects the buffer; held for moments
        self.callback = callback
        decoder = codecs.getincrementaldecoder(encoding) if encoding else None
        self.decoder = decoder(errors) if decoder and callback else None
        self.reader = decoder(errors) if decoder else None
        self.before_close: Callable[[int], None] | None = None

    def take(self, data: bytes) -> None:
        """More has come; b"": the end."""
        with self.lock:
            self.buffer += data
        if self.callback:
            chunk: Any = self.decoder.decode(data, final=not data) if self.decoder else data
            if chunk:
                self.callback(chunk)

    def decode(self, data: bytes, last: bool = False) -> Any:
        """What was taken of the buffer, without half a character at its end: that comes with the next, unless nothing does."""
        return self.reader.decode(data, final=last or (self.fd < 0 and not self.buffer)) if self.reader else data

    def close(self) -> None:
        if self.fd >= 0:
            if self.before_close:
                self.before_close(self.fd)
            os.close(self.fd)
            self.fd = -1


def start(
    sandbox: Sandbox,
    command: Command,
    fds: Sequence[int],
    *,
    cwd: StrPath | None,
    env: Mapping[str, str | None] | None,
    tty: bool = False,
    detach: bool = False,
    tied: bool = False,
) -> tuple[_native.Handle, tuple[str, ...]]:
    """Starts a command with these descriptors; its handle and its words."""
    words = command_line(command)
    options: dict[str, Any] = {"argv": words, "cwd": sandbox._directory(cwd), "tty": tty, "detach": detach, "default_signals": True}
    if env:
        options["env"] = command_environment(sandbox._env, env)
    try:
        handle = _native.spawn(sandbox._handle, options, fds[0], fds[1], fds[2], tied)
    except (CommandNotFound, CommandNotExecutable) as e:
        way_out = "is it installed, and in the PATH of the sandbox?" if isinstance(e, CommandNotFound) else "is it a program, and executable?"
        raise type(e)(e.errno or 0, f"{words[0]}: {e}; {way_out}") from None
    except WorkingDirectoryError as e:
        raise WorkingDirectoryError(e.errno or 0, f"cannot start in {options['cwd'] or 'the current directory'}: {e}; cwd= starts it elsewhere") from None
    return handle, tuple(words)


def _open_pidfd(pid: int) -> int:
    """Becomes readable when the process ends; -1: it has. The supervisor has told the number just now."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def _wait_in_thread(process: Process) -> int:
    """The same for a process whose number means nothing here. The thread refers to the process and its handle for moments only, so neither garbage collection nor closing waits for its end."""
    import threading
    import weakref

    ended, told = os.pipe()
    reference = weakref.ref(process)

    def wait() -> None:
        try:
            while (waited_for := reference()) and not _native.wait(waited_for._handle, 50):
                del waited_for
        except BvisorError:
            pass  # whoever waits will be told
        finally:
            os.close(told)

    threading.Thread(target=wait, name=f"bvisor-{process.pid}", daemon=True).start()
    return ended


def _remaining(deadline: float | None) -> int | None:
    """Milliseconds for poll."""
    return None if deadline is None else max(0, int(min(deadline - time.monotonic(), _LONGEST) * 1000 + 0.999))


def poll_until(poller: select.poll, deadline: float | None) -> list[tuple[int, int]]:
    """What is ready; empty when the deadline has passed."""
    while True:
        ready = poller.poll(_remaining(deadline))
        if ready or deadline is None or time.monotonic() >= deadline:
            return ready


def deadline_of(timeout: float | None) -> float | None:
    """The moment that a timeout means."""
    if timeout is None:
        return None
    try:
        if timeout >= 0:
            return time.monotonic() + timeout
    except (TypeError, OverflowError):
        pass
    raise InvalidArgument(_errno.EINVAL, f"a timeout of {timeout!r:.100} s makes no sense: it is a number, or None")


class Stream:
    """The output of a process, as it comes: `read`, `readline`, or iteration by lines. str, or bytes with `text=False`."""

    def __init__(self, process: Process, pipe: _Pipe) -> None:
        self._process = process
        self._pipe = pipe

    def read(self, size: int = -1, timeout: float | None = None) -> Any:
        """All until the end of the stream; or, with a size, what is there of so many bytes, of which the first is waited for. Empty at the end. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        buffer = self._pipe.buffer
        while True:
            self._process._wait_for_more(lambda: self._pipe.fd < 0 or size == 0 or (size > 0 and len(buffer) > 0), deadline)
            text = self._process._take(self._pipe, len(buffer) if size < 0 else size)
            if text or size <= 0 or (self._pipe.fd < 0 and not buffer):
                return text  # else it was half a character

    def readline(self, timeout: float | None = None) -> Any:
        """One line with its end; empty at the end of the stream. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        buffer, at, searched = self._pipe.buffer, -1, 0

        def is_there() -> bool:
            nonlocal at, searched
            begin, searched = searched, len(buffer)
            at = buffer.find(b"\n", begin)
            return at >= 0 or self._pipe.fd < 0

        self._process._wait_for_more(is_there, deadline)
        return self._process._take(self._pipe, at + 1 if at >= 0 else len(buffer))

    def __iter__(self) -> Iterator[Any]:
        while line := self.readline():
            yield line


class Process:
    """A command that was started with `Sandbox.spawn`. It goes on until it ends, is killed, or the sandbox is closed; leaving a `with` block kills it."""

    def __init__(self, sandbox: Sandbox, handle: _native.Handle, args: tuple[str, ...], *, encoding: str | None, errors: str = "replace", shared: bool = True) -> None:
        self._sandbox = sandbox
        self._handle = handle
        self._encoding, self._errors = encoding, errors
        self._status: tuple[int, int, bool] | None = None
        self._pipes: list[_Pipe] = []
        self._stdin = -1
        self._input: memoryview | None = None
        self._room: int | None = None
        self._flooded = False
        self._turn = allocate_lock()
        self._moves = 0
        self._followers: list[Any] = []
        self._started = time.monotonic()
        self._owner = os.getpid()
        self._closed = False
        self._wake, self._waker = os.pipe() if shared else (-1, -1)  # for who waits in poll while another thread closes it
        self.args = args
        """The command line, as it was started."""
        self.pid = _native.pid(handle)
        """The process id, the same on the host (but in a pid namespace)."""
        self.stdout: Stream | None = None
        """Its output, if that is a pipe."""
        self.stderr: Stream | None = None
        """Its standard error, likewise."""
        self._pidfd = -1
        self._pidfd = _wait_in_thread(self) if sandbox.pidns else _open_pidfd(self.pid)
        self._exited = self._pidfd < 0

    # ---- streams ----

    def _take(self, pipe: _Pipe, size: int, last: bool = False) -> Any:
        with pipe.lock:
            if size < len(pipe.buffer):
                data = bytes(pipe.buffer[:size])
                del pipe.buffer[:size]
            else:
                data = bytes(pipe.buffer)
                pipe.buffer.clear()
            return pipe.decode(data, last)

    def _check_open(self) -> None:
        if self._closed or self._owner != os.getpid():
            raise SandboxClosed(_errno.EBADF, f"{self.args[0]}: the process object is closed, or belongs to the parent of this process; the command itself may go on")

    def _wait_for_more(self, is_there: Callable[[], bool], deadline: float | None) -> None:
        if not self._wait_until(is_there, deadline):
            raise TimeoutError(f"{self.args[0]}: no more output within the timeout; a larger timeout= waits longer")

    def _wait_until(self, is_there: Callable[[], bool], deadline: float | None) -> bool:
        """False: the deadline has passed."""
        while True:
            seen = self._moves
            if is_there():
                return True
            if not self._step(deadline, seen):
                return is_there()

    def _step(self, deadline: float | None, seen: int) -> bool:
        """Waits until something has happened since there were `seen` moves, by taking it, or by another thread that does; False: the deadline has passed."""
        if not self._turn.acquire(False):
            woken = allocate_lock()
            woken.acquire()
            self._followers.append(woken)
            try:
                if not self._turn.acquire(False):
                    # whoever has it finds us in the list when it ends
                    if self._moves != seen or deadline is None:
                        return self._moves != seen or woken.acquire()
                    return woken.acquire(timeout=max(0.0, min(deadline - time.monotonic(), _LONGEST))) or time.monotonic() < deadline
            finally:
                try:
                    self._followers.remove(woken)
                except ValueError:
                    pass  # it was woken
        try:
            if self._moves != seen:
                return True
            try:
                return self._move(deadline)
            finally:
                self._moves += 1
        finally:
            self._turn.release()
            self._wake_followers()

    def _wake_followers(self) -> None:
        while self._followers:
            try:
                self._followers.pop().release()
            except IndexError:  # another thread does the same
                return

    def _poller(self) -> select.poll:
        poller = select.poll()
        if self._wake >= 0:
            poller.register(self._wake, select.POLLIN)
        return poller

    def _move(self, deadline: float | None) -> bool:
        self._check_open()
        poller = self._poller()
        waiting = False
        for pipe in self._pipes:
            if pipe.fd >= 0:
                poller.register(pipe.fd, select.POLLIN)
                waiting = True
        if self._input is not None:
            poller.register(self._stdin, select.POLLOUT)
            waiting = True
        if not self._exited:
            poller.register(self._pidfd, select.POLLIN)
            waiting = True
        if not waiting:
            return True
        ready = dict(poll_until(poller, deadline))
        self._check_open()
        for pipe in self._pipes:
            if pipe.fd in ready:
                self._read(pipe)
        if self._input is not None and self._stdin in ready:
            self._write_input()
        self._exited = self._exited or self._pidfd in ready
        return bool(ready)

    def _read(self, pipe: _Pipe) -> None:
        try:
            data = os.read(pipe.fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as e:
            if e.errno != _errno.EIO:  # the end of a terminal
                raise
            data = b""
        if self._room is not None:
            data, more = data[: self._room], data[self._room :]
            self._room -= len(data)
            if more:
                if data:
                    pipe.take(data)
                if self._flooded:
                    return
                self._flooded = True
                raise _Flood
        if not data:
            pipe.close()
        pipe.take(data)

    def _write_input(self) -> None:
        assert self._input is not None
        try:
            n = os.write(self._stdin, self._input[:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            n = len(self._input)
        self._input = self._input[n:]
        if not self._input:
            self._input = None
            self.close_stdin()

    def __iter__(self) -> Iterator[Any]:
        """The lines of stdout and stderr, in the order in which they came (as far as two pipes tell)."""
        while True:
            open_pipe, seen = False, self._moves
            for pipe in self._pipes:
                while (at := pipe.buffer.find(b"\n")) >= 0:
                    yield self._take(pipe, at + 1)
                if pipe.fd < 0 and pipe.buffer:
                    yield self._take(pipe, len(pipe.buffer))
                open_pipe = open_pipe or pipe.fd >= 0
            if not open_pipe:
                return
            self._step(None, seen)

    def send_stdin(self, data: str | bytes) -> None:
        """Writes all of it to the command's stdin. Raises BrokenPipeError when it does not read any more."""
        rest = as_bytes(data, self._encoding)
        self._check_input()
        while rest:
            self._check_input()
            try:
                rest = rest[os.write(self._stdin, rest) :]
            except BlockingIOError:
                self._wait_to_write(self._stdin)

    def _check_input(self) -> None:
        if self._stdin < 0 or self._owner != os.getpid():
            raise BvisorError(_errno.EBADF, f"{self.args[0]}: stdin is not open; Sandbox.spawn makes it a pipe with stdin=PIPE")

    def _wait_to_write(self, fd: int) -> None:
        poller = self._poller()
        poller.register(fd, select.POLLOUT)
        for pipe in self._pipes:
            if pipe.fd >= 0:
                poller.register(pipe.fd, select.POLLIN | (select.POLLOUT if pipe.fd == fd else 0))
        poller.poll()
        self._step(0, self._moves)  # it may wait for us to read first

    def close_stdin(self) -> None:
        """End of file for the command's stdin."""
        fd, self._stdin = self._stdin, -1
        if fd >= 0:
            os.close(fd)

    # ---- the end ----

    def poll(self) -> int | None:
        """The exit code (minus the signal, if one ended it), or None: it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the command: its exit code, or minus the signal that ended it. Output that nobody reads meanwhile is kept in memory. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        if not self._wait_until(lambda: self._exited, deadline):
            raise TimeoutError(f"{self.args[0]} did not end within {timeout:g} s; kill() ends it")
        status = self._end()
        return status[0] if not status[1] else -status[1]

    def _end(self) -> tuple[int, int, bool]:
        """The status of what has ended: the supervisor tells it in a moment."""
        while self._status is None:
            try:
                self._status = _native.wait(self._handle, 1000)
            except SupervisorDied:
                if not self._sandbox._stopped:
                    raise
                self._status = (-1, SIGKILL, False)
        return self._status

    @property
    def exit_code(self) -> int | None:
        """The exit code; -1: a signal ended it; None: it runs, or nobody has waited for it."""
        return None if self._status is None else self._status[0]

    @property
    def signal(self) -> int | None:
        """The signal that ended it, or 0; None: it runs, or nobody has waited for it."""
        return None if self._status is None else self._status[1]

    def kill(self, signal: int = SIGKILL) -> None:
        """Sends a signal to the command and its process group. One that has ended is no error."""
        try:
            _native.signal(self._handle, signal)
        except OverflowError:
            raise InvalidArgument(_errno.EINVAL, f"{signal} is no signal") from None
        except BvisorError as e:
            if e.errno != _errno.ESRCH:
                raise

    def terminate(self) -> None:
        """Asks it to end: SIGTERM."""
        self.kill(SIGTERM)

    def communicate(self, input: str | bytes | None = None, timeout: float | None = None) -> Result:
        """Feeds `input` to stdin, closes it, collects the rest of the output until everybody has closed it, and waits. When `timeout` seconds have passed, the command is killed (`Result.timed_out`)."""
        if input is not None:
            self._feed(input)
        else:
            self.close_stdin()
        return self._run(timeout)

    def _feed(self, data: str | bytes | bytearray | memoryview) -> None:
        view = as_bytes(data, self._encoding)
        if view:
            self._check_input()
            self._input = view
        else:
            self.close_stdin()

    def _run(self, timeout: float | None) -> Result:
        deadline = deadline_of(timeout)
        timed_out = False
        try:
            timed_out = not self._wait_until(lambda: self._input is None and self._exited and all(pipe.fd < 0 for pipe in self._pipes), deadline)
        except _Flood:
            pass
        except BaseException:
            self.kill()
            raise
        if timed_out or self._flooded:
            self._kill_and_collect()
        return self._result(timed_out, timeout)

    def _kill_and_collect(self) -> None:
        """Takes what was written before the end, as far as there is room. Children that have left its process group may keep the pipes open, so this does not wait for the end of the streams."""
        self.kill()
        self.close_stdin()
        self._input = None
        self._flooded, flooded = True, self._flooded
        deadline = time.monotonic() + _KILL_GRACE
        self._wait_until(lambda: all(pipe.fd < 0 for pipe in self._pipes), deadline)
        self.wait()
        self._flooded = flooded

    def _result(self, timed_out: bool, timeout: float | None) -> Result:
        status = self._end()
        duration = time.monotonic() - self._started
        outputs = {stream: self._take(stream._pipe, len(stream._pipe.buffer), last=True) for stream in (self.stdout, self.stderr) if stream}
        empty = "" if self._encoding else b""
        return Result(
            self.args,
            outputs[self.stdout] if self.stdout else empty,
            outputs[self.stderr] if self.stderr else empty,
            status,
            duration,
            timed_out=timed_out,
            output_exceeded=self._flooded,
            timeout=timeout,
            remark=self.remark,
            limits=_native.process_limits(self._handle) if self._sandbox._limited else [],
            diff=self._sandbox.diff,
        )

    @property
    def remark(self) -> str:
        """After its end: what went wrong in the sandbox beside it, for people; else ""."""
        return _native.remark(self._handle)

    def close(self) -> None:
        """Closes its streams and forgets it, also for who waits for it now; the command itself goes on."""
        self._closed = True
        self.close_stdin()
        waker, self._waker = self._waker, -1
        if waker >= 0:
            os.write(waker, b"x")  # a forked child may have it, too: the end of file would wait for that
            os.close(waker)
        here = self._owner == os.getpid()  # in a forked child the turn may be that of a thread which is not there
        if here:
            self._turn.acquire()
        try:
            for pipe in self._pipes:
                pipe.close()
            for name in ("_pidfd", "_wake"):
                fd = getattr(self, name)
                setattr(self, name, -1)
                if fd >= 0:
                    os.close(fd)
        finally:
            if here:
                self._turn.release()
                self._wake_followers()
        _native.close(self._handle)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if self._status is None:
                self.kill()
        finally:
            self.close()

    def __del__(self) -> None:
        descriptors = (getattr(self, name, -1) for name in ("_stdin", "_pidfd", "_wake", "_waker"))
        for fd in (*descriptors, *(pipe.fd for pipe in getattr(self, "_pipes", ()))):
            if fd >= 0:
                os.close(fd)

    def __repr__(self) -> str:
        state = "running or not waited for" if self._status is None else f"exit_code={self._status[0]}" if not self._status[1] else f"signal={self._status[1]}"
        return f"<{type(self).__name__} {self.pid} {' '.join(self.args)!r} {state}>"


class _Flood(Exception):
    """More was written than output_limit allows."""


class PtyProcess(Process):
    """A command with a terminal: `read`, `write`, `resize`."""

    _terminal: Stream

    def _attach(self, master: int) -> None:
        os.set_blocking(master, False)
        pipe = _Pipe(master, self._encoding, self._errors, None)
        self._pipes.append(pipe)
        self._terminal = self.stdout = Stream(self, pipe)

    def fileno(self) -> int:
        """Readable when the terminal shows something."""
        return self._terminal._pipe.fd

    def read(self, size: int = _CHUNK, timeout: float | None = None) -> Any:
        """What the terminal shows next: waits for something. Empty when everybody has closed it. Raises TimeoutError."""
        return self._terminal.read(size, timeout)

    def write(self, data: str | bytes) -> None:
        """Types it. Raises BvisorError when everybody has closed the terminal."""
        rest = as_bytes(data, self._encoding)
        while rest:
            fd = self._terminal_fd()
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                self._wait_to_write(fd)

    def resize(self, rows: int, cols: int) -> None:
        """The size of the window; the command gets SIGWINCH."""
        set_window_size(self._terminal_fd(), rows, cols)

    def _terminal_fd(self) -> int:
        self._check_open()
        if self._terminal._pipe.fd < 0:
            raise BvisorError(_errno.EIO, f"{self.args[0]}: everybody has closed the terminal; Sandbox.pty starts a command with another one")
        return self._terminal._pipe.fd

    def send_stdin(self, data: str | bytes) -> None:
        """As `write`."""
        self.write(data)

    def close_stdin(self) -> None:
        """A terminal has no end of file of its own: write "\\x04" for that."""


def set_window_size(fd: int, rows: int, cols: int) -> None:
    """The size of the terminal at a descriptor."""
    import fcntl
    import struct
    import termios

    if not all(isinstance(n, int) and 0 < n < 1 << 16 for n in (rows, cols)):
        raise InvalidArgument(_errno.EINVAL, f"{rows!r} rows and {cols!r} columns are no size of a terminal")
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def as_bytes(data: str | bytes | bytearray | memoryview, encoding: str | None) -> memoryview:
    """What is written to a command."""
    return memoryview(data.encode(encoding or "utf-8") if isinstance(data, str) else data).cast("B")


class Streams:
    """The descriptors of a command that is about to start: what it gets (`theirs`), and our ends. `with` closes what was not handed over."""

    __slots__ = ("theirs", "ours", "feed", "_close")

    def __init__(self) -> None:
        self.theirs = [_LIBRARY_NULL, _LIBRARY_NULL, _LIBRARY_NULL]
        self.ours = [-1, -1, -1]
        self.feed: memoryview | None = None
        self._close: list[int] = []

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for fd in self._close:
            os.close(fd)
        if kind:
            for fd in self.ours:
                if fd >= 0:
                    os.close(fd)

    def set_input(self, stdin: Input, encoding: str | None) -> None:
        """`stdin` as callers give it: None is /dev/null."""
        if isinstance(stdin, (str, bytes, bytearray, memoryview)):
            self.feed = as_bytes(stdin, encoding)
            self._pipe(0)
        elif stdin is not None:
            self._set(0, stdin)

    def set_output(self, i: int, target: Output) -> None:
        """`stdout` or `stderr` as callers give it."""
        if i == 2 and isinstance(target, int) and target == STDOUT:
            self.theirs[2] = 1 if self.theirs[1] == _LIBRARY_INHERIT else self.theirs[1]
        else:
            self._set(i, target)

    def _set(self, i: int, target: Any) -> None:
        if not isinstance(target, int):
            if not hasattr(target, "fileno"):
                raise InvalidArgument(_errno.EINVAL, f"{target!r:.100} is no stream: PIPE, DEVNULL, INHERIT, a descriptor or a file are, and for stdin text or bytes (of a generator: joined)")
            self.theirs[i] = target.fileno()
        elif target == PIPE:
            self._pipe(i)
        elif target in (DEVNULL, INHERIT):
            self.theirs[i] = _LIBRARY_NULL if target == DEVNULL else _LIBRARY_INHERIT
        elif target >= 0:
            self.theirs[i] = target
        else:
            raise InvalidArgument(_errno.EINVAL, f"{target} is no stream: PIPE, DEVNULL, INHERIT, a descriptor or a file are")

    def _pipe(self, i: int) -> None:
        read, write = os.pipe()
        self.theirs[i], self.ours[i] = (read, write) if i == 0 else (write, read)
        self._close.append(self.theirs[i])
        os.set_blocking(self.ours[i], False)

    def attach(self, process: Process, on_stdout: OnOutput | None, on_stderr: OnOutput | None) -> None:
        """Hands our ends to the process."""
        process._stdin = self.ours[0]
        for i, callback in ((1, on_stdout), (2, on_stderr)):
            if self.ours[i] < 0:
                continue
            pipe = _Pipe(self.ours[i], process._encoding, process._errors, callback)
            process._pipes.append(pipe)
            stream = Stream(process, pipe)
            if i == 1:
                process.stdout = stream
            else:
                process.stderr = stream
        self.ours = [-1, -1, -1]
        if self.feed is not None:
            process._feed(self.feed)


def without_pipe(stdin: Input) -> Input:
    """For `run`: nobody can write to a pipe of it."""
    return b"" if isinstance(stdin, int) and stdin == PIPE else stdin


def check_result(result: Any) -> None:
    """Raises what `check=True` raises."""
    if result.ok:
        return
    raise (CommandTimeout if result.timed_out else OutputLimitExceeded if result.output_exceeded else CommandFailed)(result)
