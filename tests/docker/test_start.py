"""What compose.yaml would start, started without Docker by the same scripts: secrets, parts, health, TLS.

Covers docker/init.sh, entrypoint.sh, healthcheck.sh, proxy.sh, nginx.conf and
docs/how-to/deploy-with-containers.md.
The neighbours are a throwaway PostgreSQL, Valkey with the configuration of init.sh, and Debian's nginx.
"""

from __future__ import annotations

import http.server
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from server.process import die_with_parent

Script = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
START_SECONDS = 90
pytestmark = pytest.mark.long
WEB, APP = "fhir.localhost", "app.localhost"
BUNDLE_BYTES, FORM_BYTES = 32_000_000, 262_144
AUDIENCE = {"user": 10001, "group": 10001, "extra_groups": []} if os.geteuid() == 0 else {}
"""Whoever runs the neighbours where the tests run as root: the containers never do."""


def until(condition: Callable[[], object], seconds: float = START_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass
class Machine:
    """One folder with the secrets of init.sh, and the processes started beside it."""

    folder: Path
    ports: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def start(self, name: str, command: list[Any], environment: dict[str, str], **more: Any) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
            **more,
        )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")[-3000:]

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(30)

    def healthy(self, part: str) -> bool:
        command = [DOCKER / "healthcheck.sh", part]
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=30).returncode == 0

    def ask(self, url: str, *options: str, version: str = "--http1.1") -> tuple[int, dict[str, list[str]], str]:
        """Status, headers (names in lower case) and body of what curl gets through the proxy."""
        resolve = [
            part for name in (WEB, APP) for part in ("--resolve", f"{name}:{self.ports['https']}:127.0.0.1")
        ]
        head = self.folder / "head"
        command = ["curl", "-s", version, "--cacert", self.secrets / "tls.crt", "-D", head, *resolve, *options]
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (done.returncode, done.stderr)
        blocks = head.read_text().replace("\r", "").strip().split("\n\n")
        status, *lines = blocks[-1].splitlines()  # the first may be 100 Continue
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        return int(status.split()[1]), headers, done.stdout

    def end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the unprivileged user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="baton-docker-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def machine(folder: Path, run_script: Script, cluster: Any) -> Iterator[Machine]:
    """Everything that compose.yaml starts but the proxy."""
    names = ("web", "app", "mllp", "https", "http", "valkey")
    made = Machine(folder, dict(zip(names, _free_ports(len(names)), strict=True)))
    origins = {
        "BASE_URL": f"https://{WEB}:{made.ports['https']}",
        "APP_URL": f"https://{APP}:{made.ports['https']}",
    }
    done = run_script("init.sh", folder, **origins)
    assert done.returncode == 0, done.stderr
    valkey = _valkey()
    made.start(
        "valkey",
        [valkey, made.secrets / "valkey.conf", "--port", str(made.ports["valkey"]), "--bind", "127.0.0.1",
         "--save", "", "--appendonly", "no", "--dir", "/tmp"],
        {},
        **AUDIENCE,
    )  # fmt: skip
    made.environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "BATON_HOST": "127.0.0.1",
        "BATON_PORT_WEB": str(made.ports["web"]),
        "BATON_PORT_APP": str(made.ports["app"]),
        "BATON_PORT_MLLP": str(made.ports["mllp"]),
        "BATON_DATABASE_URL": cluster.create_database("containers"),
        "DATABASE_PASSWORD_FILE": str(made.secrets / "database-password"),
        "BATON_REDIS_URL": f"redis://127.0.0.1:{made.ports['valkey']}/0",
        "REDIS_PASSWORD_FILE": str(made.secrets / "redis-password"),
        "BATON_SECRET_KEY_FILE": str(made.secrets / "secret-key"),
        "BATON_BASE_URL": origins["BASE_URL"],
        "BATON_APP_URL": origins["APP_URL"],
        "BATON_TIME_ZONE": "America/New_York",
        "BATON_WORKERS": "2",
        "BATON_TRUSTED_PROXIES": "127.0.0.1/32",
        "TRUSTED_CERTIFICATES": str(made.secrets / "tls.crt"),
    }
    homes = {"web": "server", "worker": "server", "mllp": "server", "app": "app", "app-worker": "app"}
    for part, home in homes.items():
        environment = made.environment | {"BATON_HOME": str(folder / home)}
        made.start(part, [DOCKER / "entrypoint.sh", "serve", part], environment)
    made.environment["BATON_HOME"] = str(folder / "server")
    yield made
    made.end()


@pytest.fixture(scope="module")
def proxy(machine: Machine) -> Machine:
    """The machine with nginx in front, run by the user of the containers."""
    require_nginx()
    start_proxy(machine, "proxy", machine.ports)
    return machine


def require_nginx() -> None:
    if not shutil.which("nginx") and not Path("/usr/sbin/nginx").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not installed (Debian: apt-get install nginx-light)")
        pytest.skip("TLS PROXY NOT TESTED: nginx is not installed (Debian: apt-get install nginx-light)")


def start_proxy(machine: Machine, name: str, ports: dict[str, int]) -> None:
    scratch = machine.folder / f"{name}-tmp"
    scratch.mkdir()
    if AUDIENCE:
        os.chown(scratch, AUDIENCE["user"], AUDIENCE["group"])
    environment = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "TMPDIR": str(scratch),
        "BATON_BASE_URL": f"https://{WEB}:{ports['https']}",
        "BATON_APP_URL": f"https://{APP}:{ports['https']}",
        "HTTP_PORT": str(ports["http"]),
        "WEB_UPSTREAM": f"127.0.0.1:{ports['web']}",
        "APP_UPSTREAM": f"127.0.0.1:{ports['app']}",
        "TLS_CERT": str(machine.secrets / "tls.crt"),
        "TLS_KEY": str(machine.secrets / "tls.key"),
    }
    command = [DOCKER / "proxy.sh"]
    tested = subprocess.run([*command, "test"], env=environment, capture_output=True, text=True, **AUDIENCE)
    assert tested.returncode == 0, tested.stderr
    machine.start(name, command, environment, **AUDIENCE)
    check = [*command, "healthy"]
    assert until(lambda: subprocess.run(check, env=environment).returncode == 0, 15), machine.log(name)


@pytest.mark.network
@pytest.mark.parametrize("part", ["web", "app", "worker", "mllp", "app-worker"])
def test_every_part_becomes_healthy(machine: Machine, part: str) -> None:
    assert until(lambda: machine.healthy(part)), machine.log(part)
    assert machine.processes[part].poll() is None


@pytest.mark.network
def test_both_products_keep_their_tables_apart_in_one_database(machine: Machine) -> None:
    assert until(lambda: machine.healthy("web") and machine.healthy("app"))
    with psycopg.connect(machine.environment["BATON_DATABASE_URL"]) as connection:
        rows = connection.execute("select schemaname, tablename from pg_tables").fetchall()
    assert {("app", "login"), ("app", "launch"), ("app", "chart")} <= set(rows)
    assert ("app", "resource") not in rows
    assert [table for schema, table in rows if schema == "public"].count("resource") == 1
    assert not list(machine.folder.glob("*/*.sqlite3"))


@pytest.mark.network
def test_valkey_opens_to_the_generated_password_alone(machine: Machine) -> None:
    password = (machine.secrets / "redis-password").read_text()
    for given, opens in ((password, True), ("guess", False), (None, False)):
        client = redis.Redis(port=machine.ports["valkey"], password=given)
        try:
            assert client.ping() is opens
        except redis.exceptions.RedisError:
            assert not opens


@pytest.mark.network
def test_hsts_is_sent_once_by_both_origins(proxy: Machine) -> None:
    assert until(lambda: proxy.healthy("web") and proxy.healthy("app"))
    for url in (
        f"https://{WEB}:{proxy.ports['https']}/fhir/metadata",
        f"https://{APP}:{proxy.ports['https']}/launch",
    ):
        for version in ("--http1.1", "--http2"):
            status, headers, _ = proxy.ask(url, version=version)
            assert status in (200, 400)
            assert headers["strict-transport-security"] == ["max-age=31536000"]
            assert "nginx/" not in " ".join(headers.get("server", []))


@pytest.mark.network
def test_plain_http_is_sent_to_https_and_a_foreign_name_gets_nothing(proxy: Machine) -> None:
    plain = f"http://127.0.0.1:{proxy.ports['http']}"
    status, headers, _ = proxy.ask(f"{plain}/fhir/metadata?x=1", "-H", f"Host: {WEB}")
    assert (status, headers["location"]) == (308, [f"https://{WEB}:{proxy.ports['https']}/fhir/metadata?x=1"])
    assert proxy.ask(f"{plain}/fhir/metadata", "-H", "Host: elsewhere.example")[0] == 421
    context = ssl.create_default_context(cafile=str(proxy.secrets / "tls.crt"))
    with (
        socket.create_connection(("127.0.0.1", proxy.ports["https"]), 5) as raw,
        context.wrap_socket(raw, server_hostname=WEB) as wrapped,
    ):
        assert wrapped.version() == "TLSv1.3"
    with (
        socket.create_connection(("127.0.0.1", proxy.ports["https"]), 5) as raw,
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
    ):
        context.wrap_socket(raw, server_hostname="elsewhere.example")


@pytest.mark.network
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(proxy: Machine) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.ports["https"]), 5) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(raw, server_hostname=WEB)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "path", "limit"), [(WEB, "/fhir", BUNDLE_BYTES), (APP, "/c/x/open", FORM_BYTES)]
)
def test_the_longest_body_is_that_of_baton_to_the_byte(
    proxy: Machine, name: str, path: str, limit: int
) -> None:
    assert until(lambda: proxy.healthy("web") and proxy.healthy("app"))
    url = f"https://{name}:{proxy.ports['https']}{path}"
    body = proxy.folder / "body"
    body.write_bytes(b" " * limit)
    send = ["-X", "POST", "-H", "Content-Type: application/fhir+json", "--data-binary", f"@{body}"]
    status, headers, _ = proxy.ask(url, *send)
    assert status in (401, 403)
    assert headers["x-request-id"]  # Baton's own answer
    body.write_bytes(b" " * (limit + 1))
    status, headers, text = proxy.ask(url, *send)
    assert status == 413
    assert headers["strict-transport-security"] == ["max-age=31536000"]
    assert "x-request-id" not in headers
    if name == WEB:
        assert headers["content-type"] == ["application/fhir+json"]
        assert '"code":"too-long"' in text


class Echo(http.server.BaseHTTPRequestHandler):
    """A part that answers with the headers it was sent."""

    def do_GET(self) -> None:
        body = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.network
def test_a_caller_cannot_choose_the_address_it_is_known_by(machine: Machine) -> None:
    require_nginx()
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    https, http_port = _free_ports(2)
    other = {"https": https, "http": http_port, "web": upstream.server_port, "app": upstream.server_port}
    start_proxy(machine, "echo-proxy", other)
    view = Machine(machine.folder, other)
    lies = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-Proto: http",
    ]
    options = [part for lie in [*lies, "X-Forwarded-Host: evil.example"] for part in ("-H", lie)]
    status, _, text = view.ask(f"https://{WEB}:{https}/fhir/Patient", *options)
    assert status == 200
    assert "6.6.6.6" not in text
    assert "evil.example" not in text
    lines = text.splitlines()
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert "x-forwarded-proto: https" in lines
    assert f"x-forwarded-host: {WEB}:{https}" in lines
    assert f"host: {WEB}:{https}" in lines
    upstream.shutdown()
    upstream.server_close()
    status, headers, text = view.ask(f"https://{WEB}:{https}/fhir/Patient")
    assert (status, headers["retry-after"], headers["content-type"]) == (503, ["5"], ["application/fhir+json"])
    assert headers["strict-transport-security"] == ["max-age=31536000"]
    assert '"resourceType":"OperationOutcome"' in text
    machine.stop("echo-proxy")


@pytest.mark.network
def test_the_audit_trail_has_the_callers_address_and_not_the_proxys(proxy: Machine) -> None:
    assert until(lambda: proxy.healthy("web"))
    url = f"https://{WEB}:{proxy.ports['https']}/fhir/Patient"
    lie = ["-H", "X-Forwarded-For: 6.6.6.6", "-H", "Authorization: Bearer wrong", "--interface", "127.0.0.2"]
    assert proxy.ask(url, *lie)[0] == 401

    def addresses() -> set[str]:
        with psycopg.connect(proxy.environment["BATON_DATABASE_URL"]) as connection:
            rows = connection.execute("select address from audit union select address from audit_chain")
            return {row[0] for row in rows.fetchall()}

    assert until(lambda: "127.0.0.2" in addresses(), 30), addresses()
    assert "6.6.6.6" not in addresses()


@pytest.mark.network
def test_a_part_that_ended_is_not_healthy_and_ends_in_time_when_asked(machine: Machine) -> None:
    assert until(lambda: machine.healthy("worker") and machine.healthy("web"))
    assert not machine.healthy("no-such-part")
    for part in ("worker", "web"):
        began = time.monotonic()
        assert machine.stop(part) == 0
        assert time.monotonic() - began < 15
        assert not machine.healthy(part)


def test_secrets_are_long_and_for_their_owner_alone(tmp_path: Path, run_script: Script) -> None:
    done = run_script("init.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (tmp_path / "secrets").iterdir()}
    assert set(files) == {
        "secret-key",
        "database-password",
        "redis-password",
        "valkey.conf",
        "tls.crt",
        "tls.key",
    }
    for path in [*files.values(), tmp_path / ".env"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    values = [files[name].read_text() for name in ("secret-key", "database-password", "redis-password")]
    assert [len(value) for value in values] == [96, 48, 48]
    assert len(set(values)) == 3
    shown = done.stdout + done.stderr + (tmp_path / ".env").read_text()
    assert not any(value in shown for value in values)


def test_running_it_again_changes_nothing(tmp_path: Path, run_script: Script) -> None:
    run_script("init.sh", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert (
        run_script("init.sh", tmp_path, BASE_URL="https://other.example", APP_URL="https://b.example").stdout
        == ""
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("base", "app"),
    [("https://one.example", "https://one.example"), ("https://a.example", "https://b.example:8443")],
)
def test_two_origins_are_two_names_on_one_port(tmp_path: Path, run_script: Script, base: str, app: str) -> None:
    done = run_script("init.sh", tmp_path, BASE_URL=base, APP_URL=app)
    assert done.returncode == 1
    assert "two names on one port" in done.stderr


@pytest.mark.parametrize("origin", ["http://a.example", "https://a.example/path", "https://a|b", "https://"])
def test_the_proxy_takes_https_origins_alone(run_script: Script, origin: str) -> None:
    done = run_script("proxy.sh", "test", BATON_BASE_URL=origin, BATON_APP_URL="https://app.example")
    assert done.returncode == 1
    assert "not an https origin" in done.stderr


def test_a_secret_that_cannot_be_read_or_is_empty_stops_the_part(tmp_path: Path, run_script: Script) -> None:
    (tmp_path / "empty").write_text("")
    for file, said in (("missing", "cannot be read"), ("empty", "is empty")):
        done = run_script("entrypoint.sh", "--version", DATABASE_PASSWORD_FILE=str(tmp_path / file))
        assert done.returncode == 1
        assert said in done.stderr


def test_a_part_is_given_the_passwords_and_not_the_names_of_their_files(
    tmp_path: Path, run_script: Script
) -> None:
    (tmp_path / "database").write_text("d4tabase\n")
    (tmp_path / "redis").write_text("r3dis")
    (tmp_path / "certificate").write_text("-----BEGIN CERTIFICATE-----\nown\n")
    probe = tmp_path / "bin" / "baton"
    probe.parent.mkdir()
    probe.write_text("#!/bin/sh\nenv\n")
    probe.chmod(0o755)
    program = [DOCKER / "entrypoint.sh", "serve", "web"]
    environment = {
        "PATH": f"{probe.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "DATABASE_PASSWORD_FILE": str(tmp_path / "database"),
        "REDIS_PASSWORD_FILE": str(tmp_path / "redis"),
        "BATON_REDIS_URL": "redis://valkey:6379/0",
        "TRUSTED_CERTIFICATES": str(tmp_path / "certificate"),
    }
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    given = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert given["PGPASSWORD"] == "d4tabase"
    assert given["BATON_REDIS_URL"] == "redis://:r3dis@valkey:6379/0"
    assert not {"DATABASE_PASSWORD_FILE", "REDIS_PASSWORD_FILE", "value"} & set(given)
    bundle = Path(given["REQUESTS_CA_BUNDLE"]).read_text()
    assert bundle.endswith("own\n")
    assert bundle.count("BEGIN CERTIFICATE") > 100


def _valkey() -> Path:
    spec = importlib.util.spec_from_file_location("redis_server", ROOT / "tests" / "redis_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path: Path = module.require_valkey()
    return path


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
