"""Run any command on a copy-on-write view of this machine, see what it changed, keep the changes or throw them away.

```python
from bvisor import Sandbox

with Sandbox() as sb:
    r = sb.bash("./configure && make", check=True)
    print(r.stdout, [change.path for change in r.changes])
```

`Sandbox` is where everything begins; `AsyncSandbox` is the same for asyncio. Errors are `BvisorError`."""

from __future__ import annotations

import os as _os

from . import _errors, _native
from ._errors import (
    BvisorError,
    CommandFailed,
    CommandNotExecutable,
    CommandNotFound,
    CommandTimeout,
    FileError,
    InvalidArgument,
    LimitError,
    OutputLimitExceeded,
    SandboxBusy,
    SandboxClosed,
    SandboxExists,
    SandboxFileExists,
    SandboxFileNotFound,
    SandboxIsADirectory,
    SandboxNotADirectory,
    SandboxNotFound,
    SandboxPermissionError,
    SnapshotKeyError,
    SnapshotNotFound,
    SupervisorDied,
    WorkingDirectoryError,
)
from ._files import Files, Watch
from ._native import Applied, Change, Denied, Entry, Feature, LimitInfo, ProcessInfo, SandboxInfo, Snapshot, SnapshotInfo, WatchEvent
from ._options import Limits
from ._process import DEVNULL, INHERIT, PIPE, STDOUT, Process, PtyProcess, Stream
from ._result import AsyncResult, Result
from ._sandbox import Net, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._async import AsyncFiles, AsyncNet, AsyncProcess, AsyncPtyProcess, AsyncSandbox, AsyncWatch
    from ._options import StrPath

_native.set_error_factory(_errors.from_library)
_os.register_at_fork(after_in_child=_native.after_fork)

__version__ = _native.version()

_OF_ASYNC = ("AsyncSandbox", "AsyncProcess", "AsyncPtyProcess", "AsyncFiles", "AsyncNet", "AsyncWatch")


def __getattr__(name: str) -> object:
    """asyncio takes longer to import than all the rest: only who uses it shall wait for that."""
    if name in _OF_ASYNC:
        from . import _async

        globals().update((each, getattr(_async, each)) for each in _OF_ASYNC)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def doctor(store: StrPath | None = None) -> list[Feature]:
    """Tries each feature of this machine that bvisor can use."""
    return _native.doctor(store)


__all__ = [
    "Sandbox",
    "AsyncSandbox",
    "Limits",
    "Result",
    "AsyncResult",
    "Process",
    "PtyProcess",
    "Stream",
    "Files",
    "Watch",
    "Net",
    "AsyncProcess",
    "AsyncPtyProcess",
    "AsyncFiles",
    "AsyncNet",
    "AsyncWatch",
    "Change",
    "Applied",
    "Entry",
    "WatchEvent",
    "ProcessInfo",
    "SandboxInfo",
    "Snapshot",
    "SnapshotInfo",
    "LimitInfo",
    "Denied",
    "Feature",
    "PIPE",
    "DEVNULL",
    "STDOUT",
    "INHERIT",
    "doctor",
    "BvisorError",
    "InvalidArgument",
    "SandboxNotFound",
    "SandboxExists",
    "SandboxBusy",
    "SandboxClosed",
    "SupervisorDied",
    "LimitError",
    "SnapshotNotFound",
    "SnapshotKeyError",
    "CommandFailed",
    "CommandTimeout",
    "OutputLimitExceeded",
    "CommandNotFound",
    "CommandNotExecutable",
    "WorkingDirectoryError",
    "FileError",
    "SandboxFileNotFound",
    "SandboxFileExists",
    "SandboxPermissionError",
    "SandboxIsADirectory",
    "SandboxNotADirectory",
]
