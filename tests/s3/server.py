"""S3 servers for tests: real ones, as ordinary processes on free ports of 127.0.0.1, with all that they write in one directory.

    with server.start("versitygw", directory) as s3:
        s3.endpoint, s3.keys["full"], s3.keys["none"], s3.region, s3.buckets

Kinds: `swift` (OpenStack Swift with its s3api, from Debian's packages; no conditional put) and `versitygw` (a gateway of the Go module proxy over a directory; with
conditional put). Each has the users `full` (owns the bucket) and `none` (may do nothing with it), and the bucket `bucket`.
"""
import contextlib
import hashlib
import hmac
import datetime
import fcntl
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

VERSITYGW = "v1.8.0"
SERVER_SECRETS = {"full": "fullsecretPq7Zt2Lw9Xk4", "none": "nonesecretRm3Vc8Hy6Bn1"}


class Missing(Exception):
    """The server cannot be had here."""


def free_ports(count):
    """Ports below those that the kernel gives to whoever asks for any: until the server has it, no connection of another test takes one."""
    sockets = []
    while len(sockets) < count:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.randrange(10000, 32000)))
            sockets.append(s)
        except OSError:
            s.close()
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A running server: its processes end with it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.processes = []
        self.endpoint = None
        self.region = "us-east-1"
        self.keys = {}

    def run(self, name, argv, **options):
        log = open(self.directory / f"{name}.log", "ab")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options)
        log.close()
        self.processes.append(process)
        return process

    def wait_for(self, port, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(p.poll() is not None for p in self.processes):
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"no server on port {port}; {self.logs()}")

    def logs(self):
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in sorted(self.directory.glob("*.log")))

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, sign)
            end = time.monotonic() + 3
            while time.monotonic() < end and any(p.poll() is None for p in self.processes):
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def request(self, method, path, query="", body=b"", user="full"):
        """A signed request, for what the tests have to prepare; independent of the code under test."""
        status, text = signed(method, self.endpoint + path + ("?" + query if query else ""), body, self.keys[user], self.region)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text[:300]!r}")
        return text


def signed(method, url, body, keys, region):
    parts = urllib.parse.urlsplit(url)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": payload, "x-amz-date": now}
    names = ";".join(headers)
    canonical = "\n".join([method, parts.path, parts.query, *(f"{k}:{v}" for k, v in headers.items()), "", names, payload])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    key = ("AWS4" + keys[1]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope},SignedHeaders={names},"
                                f"Signature={hmac.new(key, text.encode(), 'sha256').hexdigest()}")
    request = urllib.request.Request(url, data=body or None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextlib.contextmanager
def fault_proxy(s3, seed, faults):
    """The endpoint of a proxy in front of the server that does what `faults`, options of tests/s3/faultproxy, say."""
    program = pathlib.Path(__file__).resolve().with_name("faultproxy")
    process = subprocess.Popen([program, "--to", s3.endpoint.split("//")[1], "--seed", str(seed), *faults], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        _, counts = process.communicate("")
        print(counts.strip()[-400:], flush=True)


# ---- versitygw ----

def versitygw_binary():
    """Built once from the Go module proxy, into the cache of the tests. Whoever comes meanwhile waits."""
    cache = pathlib.Path(os.environ.get("BVISOR_TEST_CACHE") or f"/var/tmp/bvisor-test-cache-{os.getuid()}") / f"versitygw-{VERSITYGW}"
    shared = pathlib.Path(f"/var/tmp/bvisor-test-cache-0/versitygw-{VERSITYGW}")  # root's
    with contextlib.suppress(OSError), open(shared / "lock", encoding="ascii") as lock:
        if os.fstat(lock.fileno()).st_uid == 0:
            fcntl.flock(lock, fcntl.LOCK_SH)
    if (cache / "versitygw").exists():
        return cache / "versitygw"
    if os.access(shared / "versitygw", os.X_OK) and (shared / "versitygw").stat().st_uid == 0:
        return shared / "versitygw"
    if not shutil.which("go"):
        raise Missing("versitygw: no go to build it with")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cache / "versitygw" if (cache / "versitygw").exists() else build_versitygw(cache)


def build_versitygw(cache):
    environment = {**os.environ, "GOBIN": str(cache / "bin"), "GOFLAGS": "-buildvcs=false", "GOPATH": str(cache / "go"), "GOCACHE": str(cache / "gocache"), "CGO_ENABLED": "0"}
    run = subprocess.run(["go", "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"], env=environment, capture_output=True, text=True, timeout=900)
    if run.returncode:
        raise Missing(f"versitygw: cannot be built: {run.stderr[-300:].strip()}")
    os.replace(cache / "bin/versitygw", cache / "versitygw")
    subprocess.run(["chmod", "-R", "u+w", cache / "go"], check=False)
    for leftover in ("go", "gocache", "bin"):
        shutil.rmtree(cache / leftover, ignore_errors=True)
    return cache / "versitygw"


def start_versitygw(server, tls=None):
    binary = versitygw_binary()
    data, users = server.directory / "data", server.directory / "users"
    (data / "bucket").mkdir(parents=True)
    users.mkdir()
    port, = free_ports(1)
    server.keys = {"full": ("fullkeyid", SERVER_SECRETS["full"]), "none": ("nonekeyid", SERVER_SECRETS["none"])}
    argv = [binary, "--access", "fullkeyid", "--secret", SERVER_SECRETS["full"], "--port", f"127.0.0.1:{port}", "--iam-dir", users, "--quiet", "--keep-alive"]
    if tls:
        argv += ["--cert", tls[0], "--key", tls[1]]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "VGW_", "ROOT_"))}
    server.run("versitygw", [*map(str, argv), "posix", str(data)], env=clean)
    server.wait_for(port)
    server.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    if not tls:
        account = "<Account><Access>nonekeyid</Access><Secret>%s</Secret><Role>user</Role></Account>" % SERVER_SECRETS["none"]
        server.request("PATCH", "/create-user", body=account.encode())


# ---- Swift ----

SWIFT_CONF = """[swift-hash]
swift_hash_path_suffix = tests
[storage-policy:0]
name = only
default = yes
"""

SWIFT_STORAGE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {directory}/devices
mount_check = false
swift_dir = {directory}
user = {user}
workers = 0
log_level = ERROR
log_address = {directory}/no-log
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

SWIFT_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {directory}
user = {user}
workers = 0
log_level = ERROR
log_address = {directory}/no-log
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
allow_multipart_uploads = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_full = {full} .admin
user_test_none = {none}
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def start_swift(server):
    for program in ("swift-proxy-server", "swift-object-server", "swift-ring-builder", "memcached"):
        if not shutil.which(program):
            raise Missing(f"swift: no {program} (scripts/deps --tests installs it)")
    directory = server.directory
    (directory / "devices/d1").mkdir(parents=True)
    probe = directory / "devices/d1/xattr"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.test", b"x")
    except OSError as error:
        raise Missing(f"swift: the file system of {directory} has no extended attributes: {error}") from None
    user = pwd.getpwuid(os.getuid()).pw_name
    ports = dict(zip(("proxy", "account", "container", "object", "memcached"), free_ports(5)))
    (directory / "swift.conf").write_text(SWIFT_CONF)
    for kind in ("account", "container", "object"):
        builder = directory / f"{kind}.builder"
        for arguments in (["create", "4", "1", "1"], ["add", f"r1z1-127.0.0.1:{ports[kind]}/d1", "1"], ["rebalance"]):
            subprocess.run(["swift-ring-builder", builder, *arguments], check=True, capture_output=True)
        (directory / f"{kind}.conf").write_text(SWIFT_STORAGE.format(port=ports[kind], directory=directory, user=user, kind=kind))
    (directory / "proxy.conf").write_text(SWIFT_PROXY.format(port=ports["proxy"], memcached=ports["memcached"], directory=directory, user=user, **SERVER_SECRETS))
    server.run("memcached", ["memcached", "-l", "127.0.0.1", "-p", str(ports["memcached"]), "-U", "0", "-m", "64", *(["-u", user] if os.getuid() == 0 else [])])
    for kind in ("account", "container", "object", "proxy"):
        server.run(kind, [f"swift-{kind}-server", directory / f"{kind}.conf"])
    for name, port in ports.items():
        server.wait_for(port)
    server.endpoint = f"http://127.0.0.1:{ports['proxy']}"
    server.keys = {user: (f"test:{user}", secret) for user, secret in SERVER_SECRETS.items()}
    for attempt in range(40):  # the storage servers need a moment more than their ports
        try:
            server.request("PUT", "/bucket")
            break
        except RuntimeError:
            if attempt == 39:
                raise
            time.sleep(0.25)


KINDS = {"versitygw": start_versitygw, "swift": start_swift}


def start(kind, directory, **options):
    """A running server; Missing if it cannot be had here."""
    path = pathlib.Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    server = Server(path)
    try:
        KINDS[kind](server, **options)
    except BaseException:
        server.stop()
        raise
    return server
