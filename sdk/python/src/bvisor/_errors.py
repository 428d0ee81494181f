"""Exceptions. All are `BvisorError`, which is an `OSError`: `errno` is the library's, and the text names the thing, the reason and the way out."""

from __future__ import annotations

import errno as _errno
import os as _os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._result import Result


class BvisorError(OSError):
    """What went wrong in bvisor or on the machine; the base of all exceptions of this package."""

    def __init__(self, errno: int, message: str, *rest: object) -> None:
        super().__init__(errno, message)

    def __str__(self) -> str:
        return self.strerror or ""


class InvalidArgument(BvisorError, ValueError):
    """A name, path, rule, size or combination of options that makes no sense."""


class SandboxNotFound(BvisorError):
    """No sandbox of this name is in the store."""


class SandboxExists(BvisorError):
    """A sandbox of this name is in the store already."""


class SandboxBusy(BvisorError):
    """A command runs, or another program uses the sandbox."""


class SandboxClosed(BvisorError):
    """The sandbox, process or watch was closed, or belongs to the parent of this process."""


class SupervisorDied(BvisorError, ConnectionResetError):
    """The process that serves the sandbox is gone, and all its commands with it."""


class LimitError(BvisorError):
    """A limit cannot be enforced on this machine, or is above what it has. `Limits(best_effort=True)` runs without it."""


class SnapshotNotFound(BvisorError):
    """No such snapshot is in the place."""


class SnapshotKeyError(BvisorError):
    """The place of the snapshots is encrypted and the key is missing or another one, or it is not encrypted and a key was given."""


class CommandNotFound(BvisorError):
    """There is no such program in the sandbox."""


class CommandNotExecutable(BvisorError):
    """The program is there, but cannot be executed."""


class WorkingDirectoryError(BvisorError):
    """The command cannot start in its directory."""


class FileError(BvisorError):
    """A file of the sandbox cannot be read or changed; the usual reasons are also the exceptions that `open` has for them."""


class SandboxFileNotFound(FileError, FileNotFoundError):
    """No such file in the sandbox."""


class SandboxFileExists(FileError, FileExistsError):
    """It is there already."""


class SandboxPermissionError(FileError, PermissionError):
    """Not permitted to a command of the sandbox."""


class SandboxIsADirectory(FileError, IsADirectoryError):
    """It is a directory."""


class SandboxNotADirectory(FileError, NotADirectoryError):
    """It is no directory."""


class CommandFailed(BvisorError):
    """A command ended with another exit code than 0, or by a signal (`check=True`). `result` has all of it."""

    result: Result

    def __init__(self, result: Result) -> None:
        super().__init__(0, _failure(result))
        self.result = result

    def __reduce__(self) -> tuple[type[CommandFailed], tuple[Result]]:
        return type(self), (self.result,)


class CommandTimeout(CommandFailed, TimeoutError):
    """A command was killed as it ran longer than its timeout (`check=True`; without, `result.timed_out` tells it)."""


class OutputLimitExceeded(CommandFailed):
    """A command was killed as it wrote more than `output_limit` (`check=True`; without, `result.output_exceeded` tells it)."""


def _failure(result: Result) -> str:
    if result.timed_out:
        what = f"ran longer than the timeout of {result.timeout:g} s, and was killed; a larger timeout= lets it"
    elif result.output_exceeded:
        what = "wrote more than the output limit, and was killed; a larger output_limit= lets it"
    elif result.signal:
        what = f"was ended by signal {result.signal}"
    else:
        what = f"failed with exit code {result.exit_code}"
    tail = _tail(result.stderr) or _tail(result.stdout)
    lines = [f"{result.command_line}: {what}"]
    if result.remark:
        lines.append(result.remark)
    if tail:
        lines.append(tail)
    return "\n".join(lines)


def _tail(output: str | bytes, lines: int = 20, characters: int = 2000) -> str:
    """The end of it, as it is what says why."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    text = "\n".join(text.rstrip().split("\n")[-lines:])
    return text if len(text) <= characters else "..." + text[-characters:]


_BY_CALL: dict[tuple[str, int], type[BvisorError]] = {
    ("open", _errno.ENOENT): SandboxNotFound,
    ("create", _errno.EEXIST): SandboxExists,
    ("restore", _errno.EEXIST): SandboxExists,
    ("fork", _errno.EEXIST): SandboxExists,
    ("restore", _errno.ENOENT): SnapshotNotFound,
    ("fork", _errno.ENOENT): SnapshotNotFound,
    ("create", _errno.EOPNOTSUPP): LimitError,
    ("spawn", _errno.EOPNOTSUPP): LimitError,
    ("spawn", _errno.ERANGE): LimitError,
    ("spawn", _errno.EBADF): BvisorError,  # a descriptor that was given to it
    ("signal", _errno.ESRCH): BvisorError,
}
_FILE_ERRORS: dict[int, type[BvisorError]] = {
    _errno.ENOENT: SandboxFileNotFound,
    _errno.EEXIST: SandboxFileExists,
    _errno.EACCES: SandboxPermissionError,
    _errno.EPERM: SandboxPermissionError,
    _errno.EISDIR: SandboxIsADirectory,
    _errno.ENOTDIR: SandboxNotADirectory,
    _errno.ENOKEY: SnapshotKeyError,
    _errno.ECONNRESET: SupervisorDied,
}
_BY_ERRNO: dict[int, type[BvisorError]] = {
    _errno.EINVAL: InvalidArgument,
    _errno.EBADF: SandboxClosed,
    _errno.EBUSY: SandboxBusy,
    _errno.ENOKEY: SnapshotKeyError,
    _errno.ECONNRESET: SupervisorDied,
}
_NOT_FOUND = (_errno.ENOENT, _errno.ENOTDIR)


def from_library(op: str, errno: int, message: str, stage: str) -> BvisorError:
    """The exception for a call of the library that has failed. Called by the native module."""
    if op == "closed":
        return SandboxClosed(errno, "the sandbox, process or watch is closed, or belongs to the parent of this process; Sandbox.open(name) opens a kept one")
    if stage == "exec":
        kind: type[BvisorError] = CommandNotFound if errno in _NOT_FOUND else CommandNotExecutable
    elif stage == "cwd":
        kind = WorkingDirectoryError
    elif op == "file":
        kind = _FILE_ERRORS.get(errno, FileError)
    else:
        kind = _BY_CALL.get((op, errno)) or _BY_ERRNO.get(errno, BvisorError)
    return kind(errno, message)


def errno_text(errno: int) -> str:
    """The words of an errno."""
    return _os.strerror(errno)
