"""The C half: bvisor.h. Structures of the library are tuples with names."""

from typing import Any, Callable, NamedTuple, Optional

class Handle: ...

class Change(NamedTuple):
    """A difference between the sandbox and the host."""

    kind: str
    path: str
    old_path: Optional[str]
    diff: tuple[str, ...]
    type: Optional[str]
    mode: int
    old_mode: int
    size: int
    uid: int
    gid: int
    mtime: float
    link_to: Optional[str]
    host_path: Optional[str]

class Applied(NamedTuple):
    """What became of one change on the host."""

    kind: str
    result: str
    path: str
    old_path: Optional[str]
    reason: Optional[str]
    link_to: Optional[str]

class SandboxInfo(NamedTuple):
    """A sandbox of a store."""

    name: str
    dir: str
    backend: Optional[str]
    created: float
    running: bool
    unnamed: bool
    command: tuple[str, ...]
    cwd: Optional[str]
    env: tuple[str, ...]
    damage: Optional[str]

class Denied(NamedTuple):
    """What a command tried to reach and was refused."""

    to: str
    protocol: str
    why: str
    attempts: int
    time: int
    pid: int
    comm: str

class LimitInfo(NamedTuple):
    """A limit, and what was used of it."""

    name: str
    limit: float
    peak: int
    hits: int
    by: str

class Feature(NamedTuple):
    """A feature of this machine that bvisor can use."""

    name: str
    works: bool
    required: bool
    reason: str
    consequence: str

class ProcessInfo(NamedTuple):
    """A process of a sandbox."""

    pid: int
    ppid: int
    comm: str
    args: tuple[str, ...]
    state: str
    start: int
    id: int

class Snapshot(NamedTuple):
    """A state of a sandbox that was stored or restored."""

    name: str
    number: int
    id: str
    files: int
    size: int
    new_bytes: int
    moved: int
    requests: int
    pause: float
    unsteady: bool
    missing: int
    base_files: int
    base_size: int

class SnapshotInfo(NamedTuple):
    """A state in a place of snapshots."""

    name: str
    number: int
    id: str
    message: Optional[str]
    sandbox: Optional[str]
    taken: int
    files: int
    size: int
    stored: int
    damage: Optional[str]

class Entry(NamedTuple):
    """A file or directory as a command of the sandbox sees it."""

    path: str
    name: str
    type: str
    mode: int
    size: int
    uid: int
    gid: int
    mtime: float
    ino: int
    links: int
    target: Optional[str]
    flags: tuple[str, ...]

class WatchEvent(NamedTuple):
    """A change of something that is watched."""

    path: str
    what: str
    old_path: Optional[str]

_Options = Optional[dict[str, Any]]

def version() -> str: ...
def set_error_factory(factory: Callable[[str, int, str, str], BaseException]) -> None: ...
def close(handle: Handle) -> None: ...
def tie(handle: Handle, tied: bool) -> None: ...
def after_fork() -> None: ...
def create(options: _Options) -> Handle: ...
def open_sandbox(store: Any, name: Optional[str]) -> Handle: ...
def list_sandboxes(store: Any) -> list[SandboxInfo]: ...
def doctor(store: Any) -> list[Feature]: ...
def about(sandbox: Handle) -> tuple[str, str, str, str, bool, bool, list[str]]: ...
def stop(sandbox: Handle) -> None: ...
def remove(sandbox: Handle, force: bool) -> None: ...
def kill(sandbox: Handle, signal: int) -> None: ...
def set_network(sandbox: Handle, options: _Options) -> None: ...
def network(sandbox: Handle) -> list[tuple[str, list[str], list[str], list[Denied], int]]: ...
def limits(sandbox: Handle) -> list[LimitInfo]: ...
def set_limits(sandbox: Handle, limits: _Options) -> None: ...
def given_limits(sandbox: Handle) -> dict[str, Any]: ...
def stats(sandbox: Handle) -> str: ...
def diff(sandbox: Handle, options: _Options) -> list[Change]: ...
def apply(sandbox: Handle, options: _Options) -> list[Applied]: ...
def spawn(sandbox: Handle, options: _Options, stdin: int, stdout: int, stderr: int, tied: bool) -> Handle: ...
def wait(process: Handle, timeout_ms: int) -> Optional[tuple[int, int, bool]]: ...
def signal(process: Handle, signal: int) -> None: ...
def pid(process: Handle) -> int: ...
def remark(process: Handle) -> str: ...
def process_limits(process: Handle) -> list[LimitInfo]: ...
def ps(sandbox: Handle) -> list[ProcessInfo]: ...
def withholds(variable: str) -> bool: ...
def snapshot(sandbox: Handle, options: _Options) -> Snapshot: ...
def sync(sandbox: Handle, key: _Options) -> Optional[Snapshot]: ...
def set_key(sandbox: Handle, key: _Options) -> None: ...
def restore(snapshot: str, options: _Options) -> tuple[Handle, Snapshot]: ...
def fork(snapshot: str, name: str, options: _Options) -> Snapshot: ...
def snapshots(options: _Options) -> list[SnapshotInfo]: ...
def open_file(sandbox: Handle, path: str) -> int: ...
def list_dir(sandbox: Handle, path: str, recursive: bool) -> list[Entry]: ...
def stat(sandbox: Handle, path: str, follow: bool) -> list[Entry]: ...
def write_file(sandbox: Handle, path: str, data: Any, append: bool, exclusive: bool, parents: bool, mode: int) -> None: ...
def make_dir(sandbox: Handle, path: str, parents: bool, mode: int) -> None: ...
def remove_file(sandbox: Handle, path: str, recursive: bool) -> None: ...
def rename_file(sandbox: Handle, source: str, to: str, replace: bool) -> None: ...
def watch(sandbox: Handle, path: str, recursive: bool) -> Handle: ...
def watch_fd(watch: Handle) -> int: ...
def watch_read(watch: Handle, timeout_ms: int) -> list[WatchEvent]: ...
