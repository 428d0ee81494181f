"""What a command left behind."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Callable

    from ._native import Change, LimitInfo


class _Result:
    """What both kinds of results have."""

    __slots__ = ("args", "stdout", "stderr", "exit_code", "signal", "core_dumped", "duration", "timed_out", "output_exceeded", "timeout", "remark", "limits", "_diff", "_changes")

    def __init__(
        self,
        args: tuple[str, ...],
        stdout: Any,
        stderr: Any,
        status: tuple[int, int, bool],
        duration: float,
        *,
        timed_out: bool = False,
        output_exceeded: bool = False,
        timeout: float | None = None,
        remark: str = "",
        limits: list[LimitInfo] | None = None,
        diff: Callable[[], Any] | None = None,
    ) -> None:
        self.args = args
        """The command line, as it was started."""
        self.stdout: Any = stdout
        """What it wrote: str, or bytes with `text=False`; empty when it went elsewhere."""
        self.stderr: Any = stderr
        """The same of its standard error."""
        self.exit_code = status[0]
        """0 to 255, or -1 when a signal ended it."""
        self.signal = status[1]
        """0, or the signal that ended it."""
        self.core_dumped = status[2]
        """Whether that left a core file."""
        self.duration = duration
        """Seconds from its start to the end of its output."""
        self.timed_out = timed_out
        """Whether it was killed as `timeout` had passed."""
        self.output_exceeded = output_exceeded
        """Whether it was killed as it wrote more than `output_limit`."""
        self.timeout = timeout
        """The timeout that it had, in seconds."""
        self.remark = remark
        """What went wrong in the sandbox beside the command (a limit was reached, a file could not be fetched), for people; else ""."""
        self.limits: list[LimitInfo] = limits if limits is not None else []
        """The limits of the sandbox, with how often this command reached them."""
        self._diff = diff
        self._changes: list[Change] | None = None

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out and not self.output_exceeded

    @property
    def command_line(self) -> str:
        """The command for people: what would be typed into a shell."""
        import shlex

        return self.args[2] if self.args[:2] == ("bash", "-c") and len(self.args) == 3 else shlex.join(self.args)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        end = f"signal={self.signal}" if self.signal else f"exit_code={self.exit_code}"
        also = ", timed_out=True" if self.timed_out else ", output_exceeded=True" if self.output_exceeded else ""
        return f"<{type(self).__name__} {self.command_line!r} {end}{also} stdout={self.stdout!r:.80} stderr={self.stderr!r:.80}>"

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        state = {name: getattr(self, name) for name in _Result.__slots__}
        state["_diff"] = None
        return None, state


class Result(_Result):
    """The end of a command. `if result:` asks whether it succeeded."""

    __slots__ = ()

    @property
    def changes(self) -> list[Change]:
        """What differs between the sandbox and the host: all that its commands did so far, not only this one. Looked up when it is first asked for (so ask before the sandbox is closed), and kept."""
        if self._changes is None:
            if self._diff is None:
                return []
            self._changes = self._diff()
        return self._changes


class AsyncResult(_Result):
    """The end of a command of an `AsyncSandbox`: as `Result`, but `await result.changes()`."""

    __slots__ = ()

    async def changes(self) -> list[Change]:
        """As `Result.changes`."""
        if self._changes is None:
            if self._diff is None:
                return []
            waiting: Coroutine[Any, Any, list[Change]] = self._diff()
            self._changes = await waiting
        return self._changes
