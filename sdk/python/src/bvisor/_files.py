"""Files of a sandbox, and what happens to them."""

from __future__ import annotations

import errno as _errno
import os
import select

from . import _native
from ._errors import FileError, SandboxClosed, SandboxFileNotFound, SandboxNotADirectory
from ._options import permissions
from ._process import deadline_of, poll_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO

    from ._native import Entry, WatchEvent
    from ._options import StrPath
    from ._sandbox import Sandbox


class Files:
    """Files of a sandbox, as a command in it would see and change them: with its rules, limits and errors. A relative path begins at the sandbox's `cwd`, or else at this program's.

    What goes wrong is a `FileError`, and also the exception that `open` has for it: `except FileNotFoundError` works."""

    __slots__ = ("_sandbox",)

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _path(self, path: StrPath) -> str:
        text = os.fspath(path)
        if not text:  # joined it would be the directory that paths begin at
            raise SandboxFileNotFound(_errno.ENOENT, "'': there is no file with an empty name")
        return self._sandbox._absolute(text)

    def open(self, path: StrPath) -> BinaryIO:
        """A binary file object for reading."""
        return open(_native.open_file(self._sandbox._handle, self._path(path)), "rb")

    def read(self, path: StrPath) -> bytes:
        """All bytes of a file."""
        with self.open(path) as file:
            return file.read()

    def read_text(self, path: StrPath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of a file as text."""
        return self.read(path).decode(encoding, errors)

    def write(
        self,
        path: StrPath,
        data: str | bytes | bytearray | memoryview,
        *,
        append: bool = False,
        exclusive: bool = False,
        parents: bool = False,
        mode: int = 0o666,
        encoding: str = "utf-8",
    ) -> None:
        """Makes `data` the content of a file, or adds it (`append`). `exclusive`: it must not be there; `parents`: missing directories above are made; `mode` (less the umask): of a new one.

        A disk or limit that is full leaves what there was room for. Write to another name and `rename` if the old content must survive that."""
        content = data.encode(encoding) if isinstance(data, str) else data if isinstance(data, bytes) else bytes(memoryview(data))
        _native.write_file(self._sandbox._handle, self._path(path), content, append, exclusive, parents, permissions(mode))

    def list(self, path: StrPath = ".", *, recursive: bool = False) -> builtins.list[Entry]:
        """What is in a directory, by name; `recursive`: and below it, each directory before what is in it."""
        found = _native.list_dir(self._sandbox._handle, self._path(path), recursive)
        if len(found) == 1 and found[0].type != "directory" and os.path.normpath(found[0].path) == os.path.normpath(self._path(path)):
            raise SandboxNotADirectory(_errno.ENOTDIR, f"{found[0].path}: {os.strerror(_errno.ENOTDIR)}; stat() tells about a file")
        return found

    def stat(self, path: StrPath, *, follow: bool = True) -> Entry:
        """What is at a path; `follow=False`: a symbolic link itself."""
        return _native.stat(self._sandbox._handle, self._path(path), follow)[0]

    def exists(self, path: StrPath) -> bool:
        """Whether something is at a path; a dangling symbolic link is not."""
        try:
            self.stat(path)
        except (SandboxFileNotFound, SandboxNotADirectory):
            return False
        except FileError as e:
            if e.errno == _errno.ELOOP:
                return False
            raise
        return True

    def remove(self, path: StrPath, *, recursive: bool = False) -> None:
        """Removes a file, a symbolic link or an empty directory; `recursive`: also what is in it."""
        _native.remove_file(self._sandbox._handle, self._path(path), recursive)

    def rename(self, source: StrPath, to: StrPath, *, replace: bool = True) -> None:
        """Renames, atomically; `replace=False`: the new name must not be there."""
        _native.rename_file(self._sandbox._handle, self._path(source), self._path(to), replace)

    def make_dir(self, path: StrPath, *, parents: bool = False, mode: int = 0o777) -> None:
        """Makes a directory; `parents`: also those above, and one that is there is no error."""
        _native.make_dir(self._sandbox._handle, self._path(path), parents, permissions(mode))

    def watch(self, path: StrPath = ".", *, recursive: bool = False) -> Watch:
        """Tells from now on what processes of the sandbox do to a file or to what is in a directory."""
        made = Watch(_native.watch(self._sandbox._handle, self._path(path), recursive), self._sandbox)
        self._sandbox._keep_in_mind(made)
        return made


class Watch:
    """Events of what is watched: iterate over it, or `read`. Iteration ends when what is watched is removed, and when it or the sandbox is closed. Close it, or use `with`."""

    def __init__(self, handle: _native.Handle, sandbox: Sandbox) -> None:
        self._handle = handle
        self._sandbox = sandbox
        self._over = False
        self._wake, self._waker = os.pipe()  # a descriptor that is closed wakes nobody who waits for it

    def fileno(self) -> int:
        """Readable when there are events."""
        return _native.watch_fd(self._handle)

    def read(self, timeout: float | None = None) -> builtins.list[WatchEvent]:
        """The next events, in their order; empty when none came within `timeout` seconds. Raises SandboxFileNotFound after what is watched was removed."""
        deadline = deadline_of(timeout)
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while True:
            if not poll_until(poller, deadline):
                return []
            if events := self.read_ready():
                return events

    def read_ready(self) -> builtins.list[WatchEvent]:
        """Those that are there now."""
        if self._over:
            raise SandboxClosed(_errno.EBADF, "the watch is closed, or its sandbox is; Files.watch makes another one")
        try:
            return _native.watch_read(self._handle, 0)
        except OSError as e:
            if e.errno != _errno.ENOENT:
                raise
            raise SandboxFileNotFound(_errno.ENOENT, f"{e}") from None

    def __iter__(self) -> Iterator[WatchEvent]:
        while True:
            try:
                events = self.read()
            except SandboxFileNotFound:
                return
            except OSError:
                if self._over:
                    return
                raise
            yield from events

    def close(self) -> None:
        """Ends it, also for who reads it now."""
        self._end()
        _native.close(self._handle)

    def _end(self) -> None:
        self._over = True
        waker, self._waker = self._waker, -1
        if waker >= 0:
            os.write(waker, b"x")  # a forked child may have it, too: the end of file would wait for that
            os.close(waker)

    def __del__(self) -> None:
        for fd in (getattr(self, "_wake", -1), getattr(self, "_waker", -1)):
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
