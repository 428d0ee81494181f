"""What a sandbox is made of: options as people write them, for the library."""

from __future__ import annotations

import errno as _errno
import os as _os

from ._errors import InvalidArgument
from . import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Union

    StrPath = Union[str, "_os.PathLike[str]"]
    Size = Union[int, float, str]
    Strings = Union[str, Iterable[str]]
    Paths = Union[StrPath, Iterable[StrPath]]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_in_bytes(size: Size, what: str) -> int:
    """512, "512M", "1.5GiB": in units of 1024."""
    if isinstance(size, (int, float)):
        number: float = size
    elif not isinstance(size, str):
        number = -1
    else:
        text = size.strip().upper()
        text = text[:-2] if text.endswith("IB") else text[:-1] if text.endswith("B") else text
        unit = text[-1:] if text[-1:] in _UNITS and text[-1:] else ""
        try:
            number = float(text[: len(text) - len(unit)]) * _UNITS[unit]
        except ValueError:
            number = -1
    if number < 0 or number != number or number >= 1 << 63:
        raise InvalidArgument(_errno.EINVAL, f"{what}: {size!r} is no size; write bytes as a number, or text such as '512M' or '1.5G'")
    return int(number)


class Limits:
    """What all commands of a sandbox together may use. What is None has no limit; sizes are bytes, or text such as "512M" and "1.5G".

    What this machine cannot enforce makes the first command fail with `LimitError`, unless `best_effort`: then `Sandbox.warning` tells it."""

    __slots__ = ("memory", "cpus", "pids", "io_read", "io_write", "disk", "disk_files", "nofile", "best_effort")

    def __init__(
        self,
        memory: Size | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        io_read: Size | None = None,
        io_write: Size | None = None,
        disk: Size | None = None,
        disk_files: int | None = None,
        nofile: int | None = None,
        best_effort: bool = False,
    ) -> None:
        self.memory = memory
        """Bytes of memory and swap: beyond that a process of the sandbox is killed."""
        self.cpus = cpus
        """Processors: 1.5."""
        self.pids = pids
        """Processes and threads: EAGAIN."""
        self.io_read = io_read
        """Bytes per second read from each disk."""
        self.io_write = io_write
        """The same written to each disk."""
        self.disk = disk
        """Bytes of what the sandbox changed: EDQUOT."""
        self.disk_files = disk_files
        """And of how many objects: EDQUOT."""
        self.nofile = nofile
        """Descriptors of each process: EMFILE."""
        self.best_effort = best_effort
        """What cannot be enforced here is a warning, not an error."""

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__ if getattr(self, name) not in (None, False))
        return f"Limits({given})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def _for_library(self, best_effort: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"best_effort": self.best_effort or best_effort}
        for name in ("memory", "io_read", "io_write", "disk"):
            if getattr(self, name) is not None:
                options[name] = size_in_bytes(getattr(self, name), name)
        for name in ("cpus", "pids", "disk_files", "nofile"):
            if getattr(self, name) is not None:
                options[name] = _count(getattr(self, name), name)
        for name, value in options.items():
            if name != "best_effort" and value == 0:
                raise InvalidArgument(_errno.EINVAL, f"{name}: 0 is no limit; None, as without it, is unlimited")
        return options


def _count(value: Any, name: str) -> Any:
    if not isinstance(value, (int, float) if name == "cpus" else int) or not 0 <= value < 1 << 63:
        raise InvalidArgument(_errno.EINVAL, f"{name}: {value!r} is no such limit: it is a number above 0" + ("" if name == "cpus" else ", and a whole one"))
    return value


def chosen_limits(limits: Limits | Mapping[str, Any] | None, best_effort: bool = False) -> dict[str, Any] | None:
    """As the library takes them; None: none were chosen."""
    if limits is None:
        return None
    return (limits if isinstance(limits, Limits) else Limits(**limits))._for_library(best_effort)


def strings(value: Strings | None) -> list[str] | None:
    """One string is a list of one."""
    return None if value is None else [value] if isinstance(value, str) else list(value)


def paths(value: Paths | None) -> list[str] | None:
    """One path is a list of one."""
    if value is None:
        return None
    return [_os.fspath(p) for p in ([value] if isinstance(value, (str, _os.PathLike)) else value)]


def environment(env: Mapping[str, str]) -> list[str]:
    """NAME=value, as the library takes it."""
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise InvalidArgument(_errno.EINVAL, f"env: {name!r} is no name of a variable: it is text without '='")
        if not isinstance(value, (str, int, float, _os.PathLike)):
            raise InvalidArgument(_errno.EINVAL, f"env: {value!r} is no value of {name}: it is text" + ("; None takes one away in run(), bash(), spawn() and pty()" if value is None else ""))
    return [f"{name}={value}" for name, value in env.items()]


def text_codec(encoding: str | None, errors: str) -> None:
    """Finds out now, and not when a command has run, that there is no such encoding (None: bytes)."""
    if encoding is None:
        return
    import codecs

    try:
        codecs.lookup(encoding)
        codecs.lookup_error(errors)
    except LookupError as e:
        raise InvalidArgument(_errno.EINVAL, f"{e}; encoding= and errors= are those of str.encode") from None


def permissions(mode: int) -> int:
    """Those of a new file."""
    if not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise InvalidArgument(_errno.EINVAL, f"mode: {mode!r} are no permissions: a number up to 0o7777 is")
    return mode


def variables(entries: Iterable[str]) -> dict[str, str]:
    """The other way."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def command_environment(sandbox: Iterable[str], added: Mapping[str, str | None]) -> list[str]:
    """What a command gets: the caller's variables without what is withheld from commands, the sandbox's, and `added` (None takes one away)."""
    env = {name: value for name, value in _os.environ.items() if not _native.withholds(name)}
    env.update(variables(sandbox))
    given = {name: value for name, value in added.items() if value is not None}
    environment(given)
    for name in added:
        env.pop(name, None)
    env.update(given)
    return environment(env)


def key_options(key_file: StrPath | None, passphrase_file: StrPath | None) -> dict[str, str] | None:
    """The key of a place of snapshots; None: the environment says."""
    if key_file is None and passphrase_file is None:
        return None
    given = {"key_file": key_file, "passphrase_file": passphrase_file}
    return {name: _os.fspath(path) for name, path in given.items() if path is not None}


def given(**options: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in options.items() if value is not None}
