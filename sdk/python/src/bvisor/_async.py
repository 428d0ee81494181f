"""Sandboxes for asyncio: what `Sandbox` has, with `await`.

Streams, ends of commands and watches are descriptors that the event loop waits for; only what has none (making a sandbox, snapshots, files) is done in the loop's threads."""

from __future__ import annotations

import asyncio
import errno as _errno
import inspect
import os
import signal as _signal
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from . import _native
from ._errors import BvisorError, InvalidArgument, SandboxClosed, SandboxFileNotFound
from ._files import Files, Watch
from ._options import Limits, size_in_bytes
from ._process import PIPE, Process, PtyProcess, _CHUNK, _Flood, _KILL_GRACE, _Pipe, as_bytes, check_result, deadline_of, without_pipe
from ._result import AsyncResult
from ._sandbox import Sandbox

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType
    from typing import BinaryIO

    from ._native import Applied, Change, Denied, Entry, LimitInfo, ProcessInfo, SandboxInfo, Snapshot, SnapshotInfo, WatchEvent
    from ._options import Paths, Size, StrPath, Strings
    from ._process import Command, Input, OnOutput, Output

    Self = TypeVar("Self", bound="AsyncSandbox")
    SelfProcess = TypeVar("SelfProcess", bound="AsyncProcess")

T = TypeVar("T")


async def _in_thread(discard: Callable[[T], object] | None, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Calls it in a thread. When the caller is cancelled meanwhile, `discard` gets what it makes."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def throw_away(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and not done.exception() and discard:
                loop.run_in_executor(None, discard, done.result())

        future.add_done_callback(throw_away)
        raise


async def _until(waiters: set[asyncio.Future[None]], deadline: float | None, message: str) -> None:
    """Waits for `_wake`."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.add(future)
    try:
        await asyncio.wait_for(future, None if deadline is None else max(0.0, deadline - time.monotonic()))
    except asyncio.TimeoutError:
        raise TimeoutError(message) from None
    finally:
        waiters.discard(future)


def _wake(waiters: set[asyncio.Future[None]]) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(None)


class AsyncStream:
    """The output of a process, as it comes: `read`, `readline`, or `async for` by lines. What nobody reads is kept in memory."""

    def __init__(self, process: AsyncProcess, pipe: _Pipe) -> None:
        self._process = process
        self._pipe = pipe

    async def read(self, size: int = -1, timeout: float | None = None) -> Any:
        """All until the end of the stream; or, with a size, what is there of so many bytes, of which the first is waited for. Empty at the end. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        buffer = self._pipe.buffer
        while True:
            while self._pipe.fd >= 0 and (size < 0 or (size and not buffer)):
                await self._process._more(deadline)
            text = self._process._take(self._pipe, len(buffer) if size < 0 else size)
            if text or size <= 0 or (self._pipe.fd < 0 and not buffer):
                return text  # else it was half a character

    async def readline(self, timeout: float | None = None) -> Any:
        """One line with its end; empty at the end of the stream. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        buffer, searched = self._pipe.buffer, 0
        while (at := buffer.find(b"\n", searched)) < 0 and self._pipe.fd >= 0:
            searched = len(buffer)
            await self._process._more(deadline)
        return self._process._take(self._pipe, at + 1 if at >= 0 else len(buffer))

    async def __aiter__(self) -> AsyncIterator[Any]:
        while line := await self.readline():
            yield line


class AsyncProcess:
    """A command that was started with `AsyncSandbox.spawn`. It goes on until it ends, is killed, or the sandbox is closed; leaving an `async with` block kills it."""

    def __init__(self, sandbox: AsyncSandbox, process: Process) -> None:
        self._sandbox = sandbox
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()
        self._callbacks: list[tuple[asyncio.Task[None], asyncio.Queue[Any]]] = []
        self._reading: set[int] = set()
        self._writing: asyncio.Lock | None = None
        self._writable: tuple[int, asyncio.Future[None]] | None = None
        self._failure: Exception | None = None
        self._closed = False
        self.args = process.args
        """The command line, as it was started."""
        self.pid = process.pid
        """The process id, the same on the host."""
        self.stdout = self._stream(process.stdout._pipe if process.stdout else None)
        """Its output, if that is a pipe."""
        self.stderr = self._stream(process.stderr._pipe if process.stderr else None)
        """Its standard error, likewise."""
        if not process._exited:
            self._watch(process._pidfd, AsyncProcess._on_exit)
        sandbox._processes.add(self)  # so one that only the sandbox is there for is read
        self._write_input()

    # ---- the event loop: it must not refer to this object, so that one that is forgotten is collected ----

    def _weakly(self, method: Callable[..., None], *args: Any) -> Callable[[], None]:
        reference = weakref.ref(self)

        def call() -> None:
            if (process := reference()) is not None:
                method(process, *args)

        return call

    def _stream(self, pipe: _Pipe | None) -> AsyncStream | None:
        if not pipe:
            return None
        self._watch(pipe.fd, AsyncProcess._on_readable, pipe)
        reference = weakref.ref(self)
        pipe.before_close = lambda fd: process._give_up(fd) if (process := reference()) is not None else None
        return AsyncStream(self, pipe)

    def _watch(self, fd: int, method: Callable[..., None], *args: Any) -> None:
        self._loop.add_reader(fd, self._weakly(method, *args))
        self._reading.add(fd)

    def _unwatch(self, fd: int) -> None:
        if fd in self._reading:
            self._reading.discard(fd)
            self._loop.remove_reader(fd)
        if not self._reading:
            self._sandbox._processes.discard(self)

    def _give_up(self, fd: int) -> None:
        """It is about to be closed."""
        self._unwatch(fd)
        if self._writable and self._writable[0] == fd:
            future, self._writable = self._writable[1], None
            self._loop.remove_writer(fd)
            if not future.done():
                future.set_result(None)

    def _on_readable(self, pipe: _Pipe) -> None:
        fd = pipe.fd
        try:
            self._process._read(pipe)
        except _Flood:
            pass
        except Exception as e:
            self._failure = e
            self._unwatch(fd)
        if self._process._flooded:
            self._unwatch(fd)
        _wake(self._waiters)

    def _on_exit(self) -> None:
        self._unwatch(self._process._pidfd)
        self._process._exited = True
        _wake(self._waiters)

    def _write_input(self) -> None:
        if self._process._input is not None:
            self._loop.add_writer(self._process._stdin, self._weakly(AsyncProcess._on_writable))

    def _on_writable(self) -> None:
        fd = self._process._stdin
        try:
            self._process._write_input()
        finally:
            if self._process._input is None:
                self._loop.remove_writer(fd)
                _wake(self._waiters)

    def _consume(self, queue: asyncio.Queue[Any], callback: OnOutput) -> None:
        """Has `callback` called with what comes, one after the other, and awaited if it says so."""

        async def consume() -> None:
            while True:
                answer = callback(await queue.get())
                if inspect.isawaitable(answer):
                    await answer
                queue.task_done()

        task = self._loop.create_task(consume())
        task.add_done_callback(lambda _: _wake(self._waiters))
        self._callbacks.append((task, queue))

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxClosed(_errno.EBADF, f"{self.args[0]}: the process object is closed; the command itself may go on")

    async def _more(self, deadline: float | None) -> None:
        self._check_open()
        await _until(self._waiters, deadline, f"{self.args[0]}: no more output within the timeout; a larger timeout= waits longer")
        self._check_open()

    def _take(self, pipe: _Pipe, size: int) -> Any:
        return self._process._take(pipe, size)

    # ---- streams ----

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The lines of stdout and stderr, in the order in which they came (as far as two pipes tell)."""
        while True:
            open_pipe = False
            for pipe in self._process._pipes:
                while (at := pipe.buffer.find(b"\n")) >= 0:
                    yield self._take(pipe, at + 1)
                if pipe.fd < 0 and pipe.buffer:
                    yield self._take(pipe, len(pipe.buffer))
                open_pipe = open_pipe or pipe.fd >= 0
            if not open_pipe:
                return
            if not any(b"\n" in pipe.buffer or (pipe.fd < 0 and pipe.buffer) for pipe in self._process._pipes):
                await self._more(None)

    async def send_stdin(self, data: str | bytes) -> None:
        """Writes all of it to the command's stdin. Raises BrokenPipeError when it does not read any more."""
        await self._write(self._open_stdin, data)

    def _open_stdin(self) -> int:
        self._check_open()
        self._process._check_input()
        return self._process._stdin

    async def _write(self, descriptor: Callable[[], int], data: str | bytes) -> None:
        """One writer after the other; `descriptor` raises when there is none any more."""
        rest = as_bytes(data, self._process._encoding)
        descriptor()
        if self._writing is None:
            self._writing = asyncio.Lock()
        async with self._writing:
            while rest:
                fd = descriptor()
                try:
                    rest = rest[os.write(fd, rest) :]
                except BlockingIOError:
                    await self._wait_to_write(fd)

    async def _wait_to_write(self, fd: int) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._writable = (fd, future)
        self._loop.add_writer(fd, _wake, {future})
        try:
            await future
        finally:
            if self._writable:
                self._writable = None
                self._loop.remove_writer(fd)

    def close_stdin(self) -> None:
        """End of file for the command's stdin."""
        if self._process._input is not None:
            self._loop.remove_writer(self._process._stdin)
            self._process._input = None
        if self._process._stdin >= 0:
            self._give_up(self._process._stdin)
        self._process.close_stdin()

    # ---- the end ----

    async def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the command: its exit code, or minus the signal that ended it. Raises TimeoutError."""
        deadline = deadline_of(timeout)
        while not self._process._exited:
            self._check_open()
            await _until(self._waiters, deadline, f"{self.args[0]} did not end within the timeout; kill() ends it")
        return await _in_thread(None, self._process.wait)

    async def poll(self) -> int | None:
        """The exit code (minus the signal, if one ended it), or None: it runs."""
        return await self.wait() if self._process._exited else None

    @property
    def exit_code(self) -> int | None:
        """The exit code; -1: a signal ended it; None: it runs, or nobody has waited for it."""
        return self._process.exit_code

    @property
    def signal(self) -> int | None:
        """The signal that ended it, or 0; None: it runs, or nobody has waited for it."""
        return self._process.signal

    @property
    def remark(self) -> str:
        """After its end: what went wrong in the sandbox beside it, for people; else ""."""
        return self._process.remark

    async def kill(self, signal: int = _signal.SIGKILL) -> None:
        """Sends a signal to the command and its process group. One that has ended is no error."""
        await _in_thread(None, self._process.kill, signal)

    async def terminate(self) -> None:
        """Asks it to end: SIGTERM."""
        await self.kill(_signal.SIGTERM)

    async def communicate(self, input: str | bytes | None = None, timeout: float | None = None) -> AsyncResult:
        """Feeds `input` to stdin, closes it, collects the rest of the output until everybody has closed it, and waits. When `timeout` seconds have passed, the command is killed (`timed_out`)."""
        if input is not None:
            self._process._feed(input)
            self._write_input()
        else:
            self.close_stdin()
        try:
            return await self._run(timeout)
        except BaseException:
            self._loop.run_in_executor(None, self._end)
            raise

    def _end(self) -> None:
        try:
            self._process.kill()
        except BvisorError:
            pass  # it is over

    def _is_done(self) -> bool:
        p = self._process
        return p._flooded or (p._exited and p._input is None and all(pipe.fd < 0 for pipe in p._pipes))

    def _check_callbacks(self) -> None:
        if self._failure:
            raise self._failure
        for task, _ in self._callbacks:
            if task.done() and not task.cancelled() and task.exception():
                task.result()

    async def _run(self, timeout: float | None) -> AsyncResult:
        deadline = deadline_of(timeout)
        timed_out = False
        try:
            while not self._is_done():
                self._check_callbacks()
                await self._more(deadline)
        except TimeoutError:
            self._check_callbacks()
            timed_out = True
        if timed_out or self._process._flooded:
            await self._kill_and_collect()
        for task, queue in self._callbacks:
            joined = asyncio.ensure_future(queue.join())
            try:
                await asyncio.wait({task, joined}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                joined.cancel()
            self._check_callbacks()
        result = await _in_thread(None, self._process._result, timed_out, timeout)
        return AsyncResult(
            result.args,
            result.stdout,
            result.stderr,
            (result.exit_code, result.signal, result.core_dumped),
            result.duration,
            timed_out=timed_out,
            output_exceeded=self._process._flooded,
            timeout=timeout,
            remark=result.remark,
            limits=result.limits,
            diff=self._sandbox.diff,
        )

    async def _kill_and_collect(self) -> None:
        await self.kill()
        self.close_stdin()
        deadline = time.monotonic() + _KILL_GRACE
        try:
            while not self._is_done():
                await self._more(deadline)
        except TimeoutError:
            pass
        await self.wait()

    async def close(self) -> None:
        """Closes its streams and forgets it, also for who waits for it now; the command itself goes on."""
        self._detach()
        await _in_thread(None, self._process.close)

    def _detach(self) -> None:
        self._closed = True
        for fd in [*self._reading, *([self._writable[0]] if self._writable else [])]:
            self._give_up(fd)
        if self._process._input is not None:
            self.close_stdin()
        for task, _ in self._callbacks:
            task.cancel()
        _wake(self._waiters)

    async def __aenter__(self: SelfProcess) -> SelfProcess:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if self._process._status is None:
                await self.kill()
        finally:
            await self.close()

    def __del__(self) -> None:
        if (getattr(self, "_reading", None) or getattr(self, "_writable", None)) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._detach)

    def __repr__(self) -> str:
        return repr(self._process).replace("<", "<Async", 1)


class AsyncPtyProcess(AsyncProcess):
    """A command with a terminal: `read`, `write`, `resize`."""

    async def read(self, size: int = _CHUNK, timeout: float | None = None) -> Any:
        """What the terminal shows next: waits for something. Empty when everybody has closed it. Raises TimeoutError."""
        assert self.stdout
        return await self.stdout.read(size, timeout)

    async def write(self, data: str | bytes) -> None:
        """Types it."""
        await self._write(self._open_terminal, data)

    def _open_terminal(self) -> int:
        assert isinstance(self._process, PtyProcess)
        self._check_open()
        return self._process._terminal_fd()

    async def send_stdin(self, data: str | bytes) -> None:
        """As `write`."""
        await self.write(data)

    def resize(self, rows: int, cols: int) -> None:
        """The size of the window; the command gets SIGWINCH."""
        assert isinstance(self._process, PtyProcess)
        self._process.resize(rows, cols)


class AsyncSandbox:
    """`Sandbox` for asyncio: the same options.

    ```python
    async with AsyncSandbox() as sb:
        r = await sb.bash("ls /")
    ```

    It is made by `async with`, or by `await AsyncSandbox(...).start()`."""

    def __init__(self, name: str | None = None, **options: Any) -> None:
        self._processes: set[AsyncProcess] = set()
        self._make: Callable[[], Sandbox] | None = lambda: Sandbox(name, **options)
        self._made: Sandbox | None = None
        self._starting: asyncio.Lock | None = None

    @property
    def sandbox(self) -> Sandbox:
        """The same sandbox, for code that does not await."""
        if not self._made:
            raise SandboxClosed(_errno.EBADF, "the sandbox is not made yet; `async with` or `await start()` makes it")
        return self._made

    @classmethod
    def _adopt(cls: type[Self], sandbox: Sandbox) -> Self:
        made = cls.__new__(cls)
        made._make, made._made, made._starting, made._processes = None, sandbox, None, set()
        return made

    async def start(self: Self) -> Self:
        """Makes it."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._make and not self._made:
                self._made = await _in_thread(Sandbox.close, self._make)
        return self

    @classmethod
    async def open(cls: type[Self], name: str | None = None, *, store: StrPath | None = None, cwd: StrPath | None = None) -> Self:
        """As `Sandbox.open`."""
        return cls._adopt(await _in_thread(Sandbox.close, Sandbox.open, name, store=store, cwd=cwd))

    @staticmethod
    async def list(store: StrPath | None = None) -> builtins.list[SandboxInfo]:
        """As `Sandbox.list`."""
        return await _in_thread(None, Sandbox.list, store)

    @classmethod
    async def restore(cls: type[Self], snapshot: str, **options: Any) -> Self:
        """As `Sandbox.restore`."""
        return cls._adopt(await _in_thread(Sandbox.close, Sandbox.restore, snapshot, **options))

    @staticmethod
    async def snapshots(name: str | None = None, **options: Any) -> builtins.list[SnapshotInfo]:
        """As `Sandbox.snapshots`."""
        return await _in_thread(None, Sandbox.snapshots, name, **options)

    # ---- commands ----

    async def run(
        self,
        command: Command,
        *,
        cwd: StrPath | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: Input = None,
        timeout: float | None = None,
        output_limit: Size | None = None,
        check: bool = False,
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        stdout: Output = PIPE,
        stderr: Output = PIPE,
        text: bool = True,
        encoding: str = "utf-8",
        errors: str = "replace",
    ) -> AsyncResult:
        """As `Sandbox.run`. Cancelling it kills the command; `on_stdout` and `on_stderr` may be coroutine functions."""
        deadline_of(timeout)
        room = None if output_limit is None else size_in_bytes(output_limit, "output_limit")
        callbacks: builtins.list[tuple[asyncio.Queue[Any], OnOutput] | None] = [(asyncio.Queue(), each) if each else None for each in (on_stdout, on_stderr)]
        sinks = [each[0].put_nowait if each else None for each in callbacks]
        started = await self._start(command, cwd, env, without_pipe(stdin), stdout, stderr, encoding if text else None, errors, *sinks)
        started._room = room
        process = AsyncProcess(self, started)
        try:
            for each in callbacks:
                if each:
                    process._consume(*each)
            result = await process._run(timeout)
        finally:
            await process.close()
        if check:
            check_result(result)
        return result

    async def bash(self, script: str, **options: Any) -> AsyncResult:
        """As `Sandbox.bash`."""
        return await self.run(["bash", "-c", script], **options)

    async def spawn(
        self,
        command: Command,
        *,
        cwd: StrPath | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: Input = PIPE,
        stdout: Output = PIPE,
        stderr: Output = PIPE,
        detach: bool = False,
        text: bool = True,
        encoding: str = "utf-8",
        errors: str = "replace",
    ) -> AsyncProcess:
        """As `Sandbox.spawn`."""
        started = await self._start(command, cwd, env, stdin, stdout, stderr, encoding if text else None, errors, detach=detach)
        _native.tie(started._handle, False)
        return AsyncProcess(self, started)

    async def _start(self, *what: Any, detach: bool = False) -> Process:
        """Tied to its handle: if this is cancelled, nothing is left of it."""
        return await _in_thread(Process.close, self.sandbox._start, *what, detach=detach, tied=True)

    async def pty(self, command: Command = ("bash",), rows: int = 24, cols: int = 80, **options: Any) -> AsyncPtyProcess:
        """As `Sandbox.pty`."""

        def start() -> Process:
            return self.sandbox.pty(command, rows, cols, **options)

        def end(process: Process) -> None:
            with process:
                pass

        return AsyncPtyProcess(self, await _in_thread(end, start))

    async def processes(self) -> builtins.list[ProcessInfo]:
        """As `Sandbox.processes`."""
        return await _in_thread(None, self.sandbox.processes)

    async def kill(self, signal: int = _signal.SIGKILL) -> None:
        """As `Sandbox.kill`."""
        await _in_thread(None, self.sandbox.kill, signal)

    async def stop(self) -> None:
        """As `Sandbox.stop`."""
        await _in_thread(None, self.sandbox.stop)

    # ---- files, changes, snapshots ----

    @property
    def files(self) -> AsyncFiles:
        """As `Sandbox.files`."""
        return AsyncFiles(self.sandbox.files)

    async def diff(self, paths: Paths | None = None, *, raw: bool = False) -> builtins.list[Change]:
        """As `Sandbox.diff`."""
        return await _in_thread(None, self.sandbox.diff, paths, raw=raw)

    async def apply(self, paths: Paths | None = None, *, dry_run: bool = False) -> builtins.list[Applied]:
        """As `Sandbox.apply`."""
        return await _in_thread(None, self.sandbox.apply, paths, dry_run=dry_run)

    async def snapshot(
        self,
        to: StrPath | None = None,
        *,
        name: str | None = None,
        message: str | None = None,
        tags: Strings | None = None,
        **options: Any,
    ) -> Snapshot:
        """As `Sandbox.snapshot`."""
        return await _in_thread(None, self.sandbox.snapshot, to, name=name, message=message, tags=tags, **options)

    async def sync(self) -> Snapshot | None:
        """As `Sandbox.sync`."""
        return await _in_thread(None, self.sandbox.sync)

    async def fork(self: Self, n: int = 1, *, names: Iterable[str] | None = None, to: StrPath | None = None, **options: Any) -> builtins.list[Self]:
        """As `Sandbox.fork`."""

        def close(made: builtins.list[Sandbox]) -> None:
            for sandbox in made:
                sandbox.close()

        made: builtins.list[Sandbox] = await _in_thread(close, self.sandbox.fork, n, names=names, to=to, **options)
        return [type(self)._adopt(sandbox) for sandbox in made]

    # ---- what it is ----

    @property
    def name(self) -> str:
        """Its name."""
        return self.sandbox.name

    @property
    def dir(self) -> str:
        """Its directory in the store."""
        return self.sandbox.dir

    @property
    def place(self) -> str | None:
        """As `Sandbox.place`."""
        return self.sandbox.place

    @property
    def env(self) -> dict[str, str]:
        """As `Sandbox.env`."""
        return self.sandbox.env

    @property
    def warning(self) -> str | None:
        """As `Sandbox.warning`."""
        return self.sandbox.warning

    @property
    def net(self) -> AsyncNet:
        """As `Sandbox.net`."""
        return AsyncNet(self.sandbox)

    async def limits(self) -> builtins.list[LimitInfo]:
        """As `Sandbox.limits`."""
        return await _in_thread(None, lambda: self.sandbox.limits)

    async def set_limits(self, limits: Limits | Mapping[str, Any]) -> None:
        """As `Sandbox.set_limits`."""
        await _in_thread(None, self.sandbox.set_limits, limits)

    async def stats(self) -> dict[str, Any]:
        """As `Sandbox.stats`."""
        return await _in_thread(None, self.sandbox.stats)

    # ---- the end ----

    async def remove(self, *, force: bool = False) -> None:
        """As `Sandbox.remove`."""
        await _in_thread(None, self.sandbox.remove, force=force)

    async def close(self) -> None:
        """As `Sandbox.close`."""
        if self._made:
            await _in_thread(None, self._made.close)

    async def __aenter__(self: Self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._made.name if self._made else 'not made yet'}>"


def _close(file: BinaryIO) -> None:
    file.close()


class AsyncFiles:
    """`Files` for asyncio."""

    __slots__ = ("_files",)

    def __init__(self, files: Files) -> None:
        self._files = files

    async def open(self, path: StrPath) -> BinaryIO:
        """As `Files.open`."""
        return await _in_thread(_close, self._files.open, path)

    async def read(self, path: StrPath) -> bytes:
        """As `Files.read`."""
        return await _in_thread(None, self._files.read, path)

    async def read_text(self, path: StrPath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As `Files.read_text`."""
        return await _in_thread(None, self._files.read_text, path, encoding, errors)

    async def write(self, path: StrPath, data: str | bytes | bytearray | memoryview, **options: Any) -> None:
        """As `Files.write`."""
        await _in_thread(None, self._files.write, path, data, **options)

    async def list(self, path: StrPath = ".", *, recursive: bool = False) -> builtins.list[Entry]:
        """As `Files.list`."""
        return await _in_thread(None, self._files.list, path, recursive=recursive)

    async def stat(self, path: StrPath, *, follow: bool = True) -> Entry:
        """As `Files.stat`."""
        return await _in_thread(None, self._files.stat, path, follow=follow)

    async def exists(self, path: StrPath) -> bool:
        """As `Files.exists`."""
        return await _in_thread(None, self._files.exists, path)

    async def remove(self, path: StrPath, *, recursive: bool = False) -> None:
        """As `Files.remove`."""
        await _in_thread(None, self._files.remove, path, recursive=recursive)

    async def rename(self, source: StrPath, to: StrPath, *, replace: bool = True) -> None:
        """As `Files.rename`."""
        await _in_thread(None, self._files.rename, source, to, replace=replace)

    async def make_dir(self, path: StrPath, *, parents: bool = False, mode: int = 0o777) -> None:
        """As `Files.make_dir`."""
        await _in_thread(None, self._files.make_dir, path, parents=parents, mode=mode)

    async def watch(self, path: StrPath = ".", *, recursive: bool = False) -> AsyncWatch:
        """As `Files.watch`."""
        return AsyncWatch(await _in_thread(Watch.close, self._files.watch, path, recursive=recursive))


class AsyncWatch:
    """Events of what is watched: `async for`, or `read`. One task at a time. Close it, or use `async with`."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def read(self, timeout: float | None = None) -> builtins.list[WatchEvent]:
        """As `Watch.read`."""
        deadline = deadline_of(timeout)
        loop = asyncio.get_running_loop()
        fd = self._watch.fileno()
        waiters: set[asyncio.Future[None]] = set()
        descriptors = (fd, self._watch._wake)
        while not (events := self._watch.read_ready()):
            for each in descriptors:
                loop.add_reader(each, _wake, waiters)
            try:
                await _until(waiters, deadline, "no event within the timeout")
            except TimeoutError:
                return []
            finally:
                for each in descriptors:
                    loop.remove_reader(each)
        return events

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while True:
            try:
                events = await self.read()
            except SandboxFileNotFound:
                return
            except OSError:
                if self._watch._over:
                    return
                raise
            for event in events:
                yield event

    async def close(self) -> None:
        """Ends it."""
        await _in_thread(None, self._watch.close)

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()


class AsyncNet:
    """`Net` for asyncio; what are attributes there are methods here."""

    __slots__ = ("_sandbox",)

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def allow(self, *rules: str) -> None:
        """As `Net.allow`."""
        await _in_thread(None, self._sandbox.net.allow, *rules)

    async def deny(self, *rules: str) -> None:
        """As `Net.deny`."""
        await _in_thread(None, self._sandbox.net.deny, *rules)

    async def mode(self) -> str:
        """As `Net.mode`."""
        return await _in_thread(None, lambda: self._sandbox.net.mode)

    async def set_mode(self, mode: str) -> None:
        """As setting `Net.mode`."""
        await _in_thread(None, setattr, self._sandbox.net, "mode", mode)

    async def rules(self) -> list[str]:
        """As `Net.rules`."""
        return await _in_thread(None, lambda: self._sandbox.net.rules)

    async def published(self) -> list[str]:
        """As `Net.published`."""
        return await _in_thread(None, lambda: self._sandbox.net.published)

    async def denied(self) -> list[Denied]:
        """As `Net.denied`."""
        return await _in_thread(None, lambda: self._sandbox.net.denied)

    async def denied_attempts(self) -> int:
        """As `Net.denied_attempts`."""
        return await _in_thread(None, lambda: self._sandbox.net.denied_attempts)
