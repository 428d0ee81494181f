"""Sandboxes."""

from __future__ import annotations

import errno as _errno
import os

from . import _native
from ._errors import BvisorError, InvalidArgument, SandboxExists
from ._files import Files
from ._options import Limits, chosen_limits, environment, given, key_options, paths, size_in_bytes, strings, text_codec, variables
from ._process import PIPE, SIGKILL, Process, PtyProcess, Streams, check_result, deadline_of, set_window_size, start, without_pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Any, TypeVar

    from ._files import Watch
    from ._native import Applied, Change, Denied, LimitInfo, ProcessInfo, SandboxInfo, Snapshot, SnapshotInfo
    from ._options import Paths, Size, StrPath, Strings
    from ._process import Command, Input, OnOutput, Output
    from ._result import Result

    Self = TypeVar("Self", bound="Sandbox")


class Sandbox:
    """A copy-on-write view of this machine, in which commands run. On the host nothing changes until `apply`.

    ```python
    with Sandbox() as sb:
        print(sb.bash("ls /").stdout)
    ```

    Options:

    - `name`: of the sandbox, for `open`; without, one is made up.
    - `keep`: it stays in the store when it is closed. Without, it is deleted then, however this program ends.
    - `store`: directory of the store; None: `$BVISOR_HOME`, else `~/.local/share/bvisor`.
    - `backend`: where its data are: "dir" (in the store), "dir:PATH", "tmpfs", or a place of snapshots ("s3://BUCKET/PREFIX").
    - `rw`: paths below which changes go straight to the host. `hide`: paths that commands shall not see. `show`: paths to take off the default hidden list.
    - `env`: variables that each command gets beside this program's. `cwd`: where commands start, else this program's current directory.
    - `net`: "internet" (public addresses), "none" or "host". `allow`: what may be reached beside, one rule or a list: "NAME", "*.NAME", "ADDRESS", "ADDRESS/BITS", each perhaps with ":PORT"; ":PORT";
      "unix:PATH". With such rules the default of `net` is "none", else "internet".
    - `publish`: ports of commands that are the host's, too: "[[ADDRESS:]HOSTPORT:]PORT". `dns`: whom names are asked of: "ADDRESS[:PORT],...".
    - `limits`: what its commands together may use. `best_effort`: what cannot be enforced here is told by `warning`, and no error.
    - `fake_root`: commands see themselves as root, who owns what this user owns. `read_only`: every change is refused.
    - `pidns`: commands are in a pid namespace of their own (root alone may make one).
    - `hostname`, `kernel_release`: what commands see as these.
    - `continuous`: what changes is brought to the backend, a place of snapshots, all the time (needs `keep`). `spool`: bytes of files, which that place has, that stay here.
    - `key_file`, `passphrase_file`: of a backend that is an encrypted place of snapshots.

    All of it may be used from any number of threads at once. A sandbox belongs to the process that made it: in a forked child it is closed. Without `with` it lives until `close`, or until nothing refers to it."""

    def __init__(
        self,
        name: str | None = None,
        *,
        keep: bool = False,
        store: StrPath | None = None,
        backend: str | None = None,
        rw: Paths | None = None,
        hide: Paths | None = None,
        show: Paths | None = None,
        env: Mapping[str, str] | None = None,
        cwd: StrPath | None = None,
        net: str | None = None,
        allow: Strings | None = None,
        publish: Strings | int | Iterable[int | str] | None = None,
        dns: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        best_effort: bool = False,
        fake_root: bool = False,
        read_only: bool = False,
        pidns: bool = False,
        hostname: str | None = None,
        kernel_release: str | None = None,
        continuous: bool = False,
        spool: Size | None = None,
        key_file: StrPath | None = None,
        passphrase_file: StrPath | None = None,
    ) -> None:
        ports = [publish] if isinstance(publish, (int, str)) else publish
        options = given(
            name=name,
            store=store,
            backend=backend,
            rw=paths(rw),
            hide=paths(hide),
            show=paths(show),
            env=environment(env) if env else None,
            cwd=cwd,
            net=net,
            allow=strings(allow),
            publish=[str(port) for port in ports] if ports is not None else None,
            dns=dns,
            limits=chosen_limits(limits, best_effort),
            hostname=hostname,
            kernel_release=kernel_release,
            spool=None if spool is None else size_in_bytes(spool, "spool"),
        )
        options.update(ephemeral=not keep, read_only=read_only, fake_root=fake_root, pidns=pidns, continuous=continuous)
        self._begin(_native.create(options), store=store, cwd=cwd, limited=limits is not None)
        key = key_options(key_file, passphrase_file)
        if key:
            _native.set_key(self._handle, key)

    def _begin(self, handle: _native.Handle, *, store: StrPath | None, cwd: StrPath | None = None, limited: bool = False, discard: bool = False) -> None:
        self._handle = handle
        self._store = store
        self._limited = limited
        self._discard = discard
        self._stopped = False
        self._watches: Any = None
        self._cwd = os.path.abspath(cwd) if cwd is not None else None
        self.name, self.dir, place, _, self.continuous, self.pidns, self._env = _native.about(handle)
        self.place: str | None = place or None

    @classmethod
    def _adopt(cls: type[Self], handle: _native.Handle, **options: Any) -> Self:
        sandbox = cls.__new__(cls)
        sandbox._begin(handle, **options)
        return sandbox

    # ---- sandboxes of a store ----

    @classmethod
    def open(cls: type[Self], name: str | None = None, *, store: StrPath | None = None, cwd: StrPath | None = None) -> Self:
        """A sandbox that is kept; without a name, the newest one. Raises SandboxNotFound."""
        return cls._adopt(_native.open_sandbox(store, name), store=store, cwd=cwd, limited=True)

    @staticmethod
    def list(store: StrPath | None = None) -> builtins.list[SandboxInfo]:
        """The sandboxes of a store, newest first."""
        return _native.list_sandboxes(store)

    @classmethod
    def restore(
        cls: type[Self],
        snapshot: str,
        *,
        from_: StrPath | None = None,
        name: str | None = None,
        keep: bool = True,
        store: StrPath | None = None,
        backend: str | None = None,
        show: Paths | None = None,
        cwd: StrPath | None = None,
        prefetch: bool = False,
        continuous: bool = False,
        in_place: bool = False,
        limits: Limits | Mapping[str, Any] | None = None,
        best_effort: bool = False,
        spool: Size | None = None,
        key_file: StrPath | None = None,
        passphrase_file: StrPath | None = None,
    ) -> Self:
        """A new sandbox with all that a snapshot has: "NAME", "NAME@NUMBER". The bytes of a file come when it is first opened, or with `prefetch` now. Raises SnapshotNotFound.

        `limits` and `best_effort` are as of a new sandbox: a snapshot has none. With `in_place` it is the stopped sandbox of that name that becomes so, which keeps its own.

        It is kept; with `keep=False` it is removed when it is closed (if this program is killed before that, it stays)."""
        options = given(
            from_=from_,
            name=name,
            store=store,
            backend=backend,
            show=paths(show),
            key=key_options(key_file, passphrase_file),
            limits=chosen_limits(limits, best_effort),
            spool=None if spool is None else size_in_bytes(spool, "spool"),
        )
        handle, _ = _native.restore(snapshot, {**options, "prefetch": prefetch, "continuous": continuous, "in_place": in_place})
        return cls._adopt(handle, store=store, cwd=cwd, limited=limits is not None or in_place, discard=not keep)

    @staticmethod
    def snapshots(name: str | None = None, *, from_: StrPath | None = None, key_file: StrPath | None = None, passphrase_file: StrPath | None = None) -> builtins.list[SnapshotInfo]:
        """The states in a place of snapshots, or those of one name, oldest first."""
        return _native.snapshots(given(name=name, from_=from_, key=key_options(key_file, passphrase_file)))

    # ---- commands ----

    def run(
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
    ) -> Result:
        """Runs a command to its end: a list of words, or text for bash. Ctrl-C and other exceptions kill it.

        - `env`: further variables; None takes one away. `cwd`: where it starts.
        - `stdin`: text or bytes to feed to it, a file or descriptor; None: /dev/null. Nobody could write to a PIPE: it is empty.
        - `timeout` (seconds) and `output_limit` (bytes of stdout and stderr together): beyond them it is killed, and `Result.timed_out` or `Result.output_exceeded` tells it.
        - `check`: raises CommandFailed, CommandTimeout or OutputLimitExceeded, which have the result, unless it succeeded.
        - `on_stdout`, `on_stderr`: are called with what it writes, as it comes (the result has it, too).
        - `stdout`, `stderr`: a file, a descriptor, DEVNULL, INHERIT; for stderr also STDOUT.
        - `text=False`: bytes; else what is no text in `encoding` is replaced (`errors`).

        It waits until everybody has closed the output: start what shall go on with `spawn`, or send its output elsewhere ("server >log 2>&1 &").
        Raises CommandNotFound, CommandNotExecutable, WorkingDirectoryError when it cannot be started."""
        deadline_of(timeout)
        room = None if output_limit is None else size_in_bytes(output_limit, "output_limit")
        process = self._start(command, cwd, env, without_pipe(stdin), stdout, stderr, encoding if text else None, errors, on_stdout, on_stderr, tied=True)
        try:
            process._room = room
            result = process._run(timeout)
        finally:
            process.close()
        if check:
            check_result(result)
        return result

    def bash(self, script: str, **options: Any) -> Result:
        """Runs a script with bash; the options of `run`."""
        return self.run(["bash", "-c", script], **options)

    def spawn(
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
    ) -> Process:
        """Starts a command and returns at once. Options as of `run`; `detach`: it goes on after this sandbox is closed (of one that is kept)."""
        return self._start(command, cwd, env, stdin, stdout, stderr, encoding if text else None, errors, detach=detach, shared=True)

    def _start(
        self,
        command: Command,
        cwd: StrPath | None,
        env: Mapping[str, str | None] | None,
        stdin: Input,
        stdout: Output,
        stderr: Output,
        encoding: str | None,
        errors: str,
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        *,
        detach: bool = False,
        tied: bool = False,
        shared: bool = False,
    ) -> Process:
        self._stopped = False
        text_codec(encoding, errors)
        with Streams() as streams:
            streams.set_input(stdin, encoding)
            streams.set_output(1, stdout)
            streams.set_output(2, stderr)
            handle, words = start(self, command, streams.theirs, cwd=cwd, env=env, detach=detach, tied=tied)
            process = Process(self, handle, words, encoding=encoding, errors=errors, shared=shared)
            streams.attach(process, on_stdout, on_stderr)
        return process

    def pty(
        self,
        command: Command = ("bash",),
        rows: int = 24,
        cols: int = 80,
        *,
        cwd: StrPath | None = None,
        env: Mapping[str, str | None] | None = None,
        text: bool = True,
        encoding: str = "utf-8",
        errors: str = "replace",
    ) -> PtyProcess:
        """Starts a command with a terminal of its own."""
        text_codec(encoding if text else None, errors)
        master, slave = os.openpty()
        try:
            set_window_size(master, rows, cols)
            handle, words = start(self, command, (slave, slave, slave), cwd=cwd, env=env, tty=True)
            process = PtyProcess(self, handle, words, encoding=encoding if text else None, errors=errors)
            process._attach(master)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return process

    def processes(self) -> builtins.list[ProcessInfo]:
        """Its processes; none if it is stopped."""
        return _native.ps(self._handle)

    def kill(self, signal: int = SIGKILL) -> None:
        """Sends a signal to all of its processes; with SIGKILL they are gone when it returns."""
        try:
            _native.kill(self._handle, signal)
        except OverflowError:
            raise InvalidArgument(_errno.EINVAL, f"{signal} is no signal") from None

    def stop(self) -> None:
        """Kills all of its processes and writes everything to the disk. One that is not kept is over then."""
        self._stopped = True
        _native.stop(self._handle)

    def _directory(self, cwd: StrPath | None) -> str | None:
        """Where a command starts; None: this program's current directory."""
        if cwd is None:
            return self._cwd
        return self._absolute(os.fspath(cwd))

    def _absolute(self, path: str) -> str:
        """Without a look at this program's directory, which may be gone, if that does not matter."""
        return path if os.path.isabs(path) else os.path.join(self._cwd or os.getcwd(), path)

    # ---- files and changes ----

    @property
    def files(self) -> Files:
        """Its files: read, write, list, watch ..."""
        return Files(self)

    def diff(self, paths: Paths | None = None, *, raw: bool = False) -> builtins.list[Change]:
        """What differs between the sandbox and the host (only at and below `paths`, in whose directories symbolic links are followed; None: everywhere), by path. `raw`: also what was changed and changed back."""
        chosen = self._below(paths)
        return _native.diff(self._handle, {**chosen, "raw": raw}) if chosen.get("paths", ".") else []

    def apply(self, paths: Paths | None = None, *, dry_run: bool = False) -> builtins.list[Applied]:
        """Makes its changes (only at and below `paths`; None: all) on the host, where that is unchanged since the sandbox first used it; what it says of each is in `Applied.result`: "applied", "conflict" or "failed".
        `dry_run`: only tells what would be done. A path where the sandbox never changed anything raises BvisorError (ENODATA), and nothing is applied."""
        chosen = self._below(paths)
        return _native.apply(self._handle, {**chosen, "dry_run": dry_run}) if chosen.get("paths", ".") else []

    def _below(self, chosen: Paths | None) -> dict[str, Any]:
        """To the library an empty list means everything. Joined, an empty path would be the directory that paths begin at."""
        listed = paths(chosen)
        if listed and not all(listed):
            raise InvalidArgument(_errno.EINVAL, "paths: one of them is empty; without paths= it is about all changes")
        return given(paths=None if listed is None else [self._absolute(path) for path in listed])

    # ---- snapshots ----

    def snapshot(
        self,
        to: StrPath | None = None,
        *,
        name: str | None = None,
        message: str | None = None,
        tags: Strings | None = None,
        with_base: bool = False,
        if_changed: bool = False,
        key_file: StrPath | None = None,
        passphrase_file: StrPath | None = None,
    ) -> Snapshot:
        """Stores what it is now, running or not, as a new state of `name` (else its own name) in a place: a directory or "s3://BUCKET/PREFIX"; None: its backend, `$BVISOR_SNAPSHOTS`, or the store.

        `with_base`: with the host's files that its commands have used, for a machine that lacks them. `if_changed`: no new state if nothing changed."""
        options = given(to=to, name=name, message=message, tags=strings(tags), key=key_options(key_file, passphrase_file))
        return _native.snapshot(self._handle, {**options, "with_base": with_base, "if_changed": if_changed})

    def sync(self) -> Snapshot | None:
        """Brings what it is now to its backend, a place of snapshots. None: nothing had changed."""
        return _native.sync(self._handle, None)

    def fork(
        self: Self,
        n: int = 1,
        *,
        names: Iterable[str] | None = None,
        to: StrPath | None = None,
        keep: bool = True,
        limits: Limits | Mapping[str, Any] | None = None,
        key_file: StrPath | None = None,
        passphrase_file: StrPath | None = None,
    ) -> builtins.list[Self]:
        """n sandboxes that go on from its files as they are now: one snapshot is taken (in `to`), and nothing is copied. Without `names` they are the first of NAME-1, NAME-2 ... that are free. `keep` as of `restore`.
        They have its limits, but for those in `limits`."""
        theirs = _native.given_limits(self._handle)
        allowed = {**theirs, **(chosen_limits(limits, theirs["best_effort"]) or {})}
        chosen = None if names is None else strings(names)
        count = n if chosen is None else len(chosen)
        if not isinstance(count, int) or count < 0:
            raise InvalidArgument(_errno.EINVAL, f"{n!r} is no number of forks")
        key = key_options(key_file, passphrase_file)
        state = self.snapshot(to, key_file=key_file, passphrase_file=passphrase_file)
        place = to if to is not None else self.place
        forks: builtins.list[Self] = []
        tried = 0
        try:
            while len(forks) < count:
                tried += 1
                name = chosen[len(forks)] if chosen is not None else f"{self.name}-{tried}"
                try:
                    _native.fork(f"{state.name}@{state.number}", name, given(from_=place, key=key))
                    handle, _ = _native.restore(name, given(from_=place, name=name, store=self._store, key=key, limits=allowed))
                except SandboxExists:
                    if chosen is not None or tried > count + 10_000:
                        raise
                    continue
                forks.append(type(self)._adopt(handle, store=self._store, cwd=self._cwd, limited=True, discard=not keep))
        except BaseException:
            for made in forks:
                made._close(remove=True)
            raise
        return forks

    # ---- network, limits, counters ----

    @property
    def net(self) -> Net:
        """What it may reach."""
        return Net(self)

    @property
    def limits(self) -> builtins.list[LimitInfo]:
        """Its limits and what was used of them since its first command started; of a stopped one as it was when its last command ended. Empty before the first command."""
        try:
            return _native.limits(self._handle)
        except BvisorError as e:
            if e.errno == _errno.ESRCH:
                return []
            raise

    def set_limits(self, limits: Limits | Mapping[str, Any]) -> None:
        """Other limits, from the next command on that starts it. Raises SandboxBusy while it runs."""
        _native.set_limits(self._handle, chosen_limits(limits))
        self._limited = True

    def stats(self) -> dict[str, Any]:
        """Counters and features; empty if it is stopped."""
        import json

        try:
            counters: dict[str, Any] = json.loads(_native.stats(self._handle))
        except BvisorError as e:
            if e.errno == _errno.ESRCH:
                return {}
            raise
        return counters

    @property
    def env(self) -> dict[str, str]:
        """The variables that each command gets beside this program's."""
        return variables(self._env)

    @property
    def warning(self) -> str | None:
        """After its first command: the limits that are not enforced here, a line each (best effort)."""
        return _native.about(self._handle)[3] or None

    # ---- the end ----

    def remove(self, *, force: bool = False) -> None:
        """Deletes it with all that is in it, and closes it. Raises SandboxBusy while a command runs, unless `force` ends that."""
        _native.remove(self._handle, force)
        self._discard = False
        self._end_watches()
        _native.close(self._handle)

    def close(self) -> None:
        """Ends its commands (but detached ones). Unless it is kept, everything in it is gone. May be called again."""
        self._close(remove=self._discard)

    def _close(self, *, remove: bool) -> None:
        self._discard = False
        self._end_watches()
        try:
            if remove:
                _native.remove(self._handle, True)
        finally:
            _native.close(self._handle)

    def _keep_in_mind(self, watch: Watch) -> None:
        import weakref

        if self._watches is None:
            self._watches = weakref.WeakSet()
        self._watches.add(watch)

    def _end_watches(self) -> None:
        for watch in list(self._watches or ()):
            watch._end()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_discard", False):
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Net:
    """What a sandbox may reach over the network. Changes count at once."""

    __slots__ = ("_sandbox",)

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _ask(self) -> tuple[str, list[str], list[str], list[Denied], int]:
        return _native.network(self._sandbox._handle)[0]

    def allow(self, *rules: str) -> None:
        """Opens what these rules name (see `Sandbox`)."""
        _native.set_network(self._sandbox._handle, {"allow": rules})

    def deny(self, *rules: str) -> None:
        """Takes rules off, as `rules` shows them. What is connected stays so."""
        _native.set_network(self._sandbox._handle, {"deny": rules})

    @property
    def mode(self) -> str:
        """"internet", "none" or "host". May be set, but a running sandbox stays in or out of the host's network."""
        return self._ask()[0]

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in ("internet", "none", "host"):
            raise InvalidArgument(_errno.EINVAL, f"'{mode}' is no mode of the network: 'internet', 'none' and 'host' are")
        _native.set_network(self._sandbox._handle, {"net": mode})

    @property
    def rules(self) -> list[str]:
        """What may be reached beside."""
        return self._ask()[1]

    @property
    def published(self) -> list[str]:
        """Ports of commands that are the host's, too: "ADDRESS:HOSTPORT:PORT"."""
        return self._ask()[2]

    @property
    def denied(self) -> list[Denied]:
        """What commands tried to reach and were refused since it runs: the last of it, each kind once."""
        return self._ask()[3]

    @property
    def denied_attempts(self) -> int:
        """How often that was."""
        return self._ask()[4]
