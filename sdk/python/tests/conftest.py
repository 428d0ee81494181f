"""What the tests share: a store of their own, and a look at the machine for what was left there."""

from __future__ import annotations

import gc
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from bvisor import Sandbox

LONG = os.environ.get("BVISOR_LONG") == "1"
long = pytest.mark.skipif(not LONG, reason="BVISOR_LONG=1 runs it")


def wait_until(condition: Callable[[], object], seconds: float = 20) -> bool:
    """What happens soon, but not at once."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


_naps = itertools.count(1)


def unique_nap() -> str:
    """An argument for sleep(1) that no other process has: hours."""
    return f"{10000 + next(_naps)}.{os.getpid()}"


def processes_with(text: str, program: str | None = None) -> list[int]:
    """All that have it in their command line (and are this program), but this one."""
    found = []
    for name in os.listdir("/proc"):
        try:
            words = pathlib.Path(f"/proc/{name}/cmdline").read_text(errors="replace").split("\0") if name.isdigit() and int(name) != os.getpid() else []
        except OSError:
            continue
        if text in "\0".join(words) and program in (None, words[0]):
            found.append(int(name))
    return found


def supervisors_of(store: pathlib.Path) -> list[int]:
    """Those that have a file below the store open."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and pathlib.Path(f"/proc/{name}/comm").read_text().startswith("bvisor-superv"):
                links = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
                if any(link.startswith(str(store)) for link in links):
                    found.append(int(name))
        except OSError:
            pass
    return found


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="session", autouse=True)
def own_umask() -> None:
    os.umask(0o022)


@pytest.fixture
def store(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """An empty store, in which nothing may run afterwards."""
    gc.collect()  # what other tests have forgotten: descriptors are counted
    path = tmp_path / "store"
    monkeypatch.setenv("BVISOR_HOME", str(path))
    monkeypatch.setenv("BVISOR_SNAPSHOTS", str(tmp_path / "snapshots"))
    yield path
    assert wait_until(lambda: not supervisors_of(path)), "a supervisor is left"


@pytest.fixture
def sb(store: pathlib.Path) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def script(tmp_path: pathlib.Path) -> Callable[..., list[str]]:
    """The command line of a program in Python that has this text."""

    def write(text: str, *args: str) -> list[str]:
        path = tmp_path / "script.py"
        path.write_text(text)
        return [sys.executable, str(path), *args]

    return write
