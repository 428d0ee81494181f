"""The first steps of somebody who tries it, line by line."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

import pytest
from bvisor import CommandFailed, CommandTimeout, Sandbox
from conftest import long


class Server:
    """Answers on a port of the host's loopback, and counts who comes."""

    def __init__(self) -> None:
        outer = self
        self.came = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.came += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hello from the host\n")

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    both = Server(), Server()
    yield both
    for each in both:
        each.server.shutdown()
        each.server.server_close()


def make_package(directory: pathlib.Path) -> None:
    directory.mkdir()
    (directory / "package.json").write_text(json.dumps({"name": "greeting", "version": "1.0.0", "main": "index.js"}))
    (directory / "index.js").write_text("module.exports = () => 'hello';\n")


def test_first_steps(store: pathlib.Path, tmp_path: pathlib.Path, servers: tuple[Server, Server]) -> None:
    allowed, denied = servers
    mark = f"/tmp/bvisor-test-{os.getpid()}.txt"
    with Sandbox(cwd=tmp_path, allow=f"127.0.0.1:{allowed.port}") as sb:
        r = sb.bash("echo hello")
        assert r.stdout == "hello\n" and r.exit_code == 0 and r.ok

        r = sb.bash("ls /")
        assert "usr" in r.stdout.split()

        assert sb.bash(f"touch {mark}").ok
        assert sb.bash(f"ls {mark}").stdout == f"{mark}\n"
        assert not os.path.exists(mark)

        r = sb.bash(f"curl -sS --max-time 20 http://127.0.0.1:{allowed.port}/")
        assert r.stdout == "hello from the host\n", r
        r = sb.bash(f"curl -sS --max-time 20 http://127.0.0.1:{denied.port}/")
        assert r.exit_code == 7 and denied.came == 0 and "curl" in r.stderr
        assert [attempt.to for attempt in sb.net.denied] == [f"127.0.0.1:{denied.port}"]

        r = sb.bash("sleep 5", timeout=0.3)
        assert r.timed_out and not r.ok and 0.3 <= r.duration < 4
        with pytest.raises(CommandTimeout) as timeout:
            sb.bash("sleep 5", timeout=0.3, check=True)
        assert "sleep 5: ran longer than the timeout of 0.3 s" in str(timeout.value) and isinstance(timeout.value, TimeoutError)

        with pytest.raises(CommandFailed) as failed:
            sb.bash("chroot /tmp", check=True)
        assert failed.value.result.exit_code == 125 and "exit code 125" in str(failed.value) and "chroot" in failed.value.result.stderr

        assert [change.path for change in sb.bash("true").changes if not change.path.startswith(str(tmp_path))] == [mark]
    assert not os.path.exists(mark)


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm_installs_a_local_package(sb: Sandbox, tmp_path: pathlib.Path) -> None:
    make_package(tmp_path / "greeting")
    work = tmp_path / "work"
    work.mkdir()
    (work / "package.json").write_text('{"name": "work", "version": "1.0.0"}')
    sb.bash("npm pack ../greeting && npm install ./greeting-1.0.0.tgz", cwd=work, env={"npm_config_cache": str(tmp_path / "cache"), "npm_config_offline": "true"}, check=True, timeout=120)
    assert sb.run(["node", "-p", "require('greeting')()"], cwd=work).stdout == "hello\n"
    assert f"{work}/node_modules" in [change.path for change in sb.diff([work])]
    assert sorted(os.listdir(work)) == ["package.json"]


@long
@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm_installs_from_the_registry(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with Sandbox(net="host", cwd=tmp_path) as sb:
        sb.bash("npm init -y && npm install is-number", check=True, timeout=300)
        assert sb.bash("node -p \"require('is-number')(5)\"").stdout == "true\n"
        assert not (tmp_path / "node_modules").exists()
