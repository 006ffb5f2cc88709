"""Hostile connections to the running server: slow, broken, endless, idle and nonsensical ones, over sockets.

One worker serves them all, so whoever could hold it up would be seen at once by the ordinary request beside.
Sources: RFC 9112 (HTTP/1.1 message syntax), OWASP testing guide (request smuggling, slow HTTP attacks)
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.auth.context import auth_context
from server.auth.tokens import Claims, mint
from server.settings import read_settings
from server.storage import open_store

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]
SLOWEST = 2.0


@dataclass
class Running:
    """One worker of `baton serve web`. token: may do everything."""

    port: int
    token: str
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def raw(self, data: bytes, *, half_close: bool = False) -> bytes:
        """What comes back for these bytes until the server closes, or says nothing for a second."""
        with self.connect() as connection:
            answer = b""
            with contextlib.suppress(OSError):
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1)
                while got := connection.recv(65_536):
                    answer += got
            return answer

    def head(self, line: str, *headers: str, token: bool = True) -> bytes:
        """The head of a request with the headers that every honest one has."""
        own = [line, f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        if token:
            own.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join((*own, *headers, "", "")).encode("latin-1")

    def ordinary(self) -> float:
        """Ask something ordinary; the seconds it took."""
        started = time.perf_counter()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/fhir/Patient?_count=1",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        return time.perf_counter() - started

    def resident(self) -> int:
        """Bytes of memory of the worker process."""
        children = subprocess.run(
            ["ps", "-o", "rss=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return max(int(text) for text in children.stdout.split()) * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "BATON_HOME": str(folder / "home"),
        "BATON_SECRET_KEY": "a key for tests only, long enough to be one",
        "BATON_TIME_ZONE": "America/New_York",
        "BATON_PORT_WEB": str(port),
        "BATON_WORKERS": "1",
        "BATON_RATE_LIMIT_ADDRESS": "0",
    }
    settings = read_settings(environment)
    store = open_store(settings.database_url)
    store.upgrade()
    context = auth_context(
        store.authorization,
        store,
        base_url=settings.base_url,
        home=settings.home,
        secret_key=settings.secret_key,
        clock=lambda: datetime.now(UTC),
    )
    token = mint(context, Claims("test", "system/*.cruds"), timedelta(hours=1))
    store.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    log = folder / "web.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web", "--prepared"],
            cwd=ROOT,
            env=clean | environment,
            stdout=stream,
            stderr=stream,
        )
    found = Running(port, token, process, log)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                found.ordinary()
                break
            time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def status(answer: bytes) -> int:
    """The status of the first answer, 0 for none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else 0


def test_a_body_of_a_byte_a_second_holds_nobody_up(running: Running) -> None:
    slow = [running.connect() for _ in range(20)]
    for connection in slow:
        connection.sendall(running.head("POST /fhir/Patient HTTP/1.1", "Content-Length: 5000") + b'{"resource')
    for _ in range(5):
        for connection in slow:
            connection.sendall(b"T")
        assert running.ordinary() < SLOWEST
        time.sleep(0.2)
    for connection in slow:
        connection.close()
    assert running.ordinary() < SLOWEST


def test_heads_that_never_end_and_idle_connections_hold_nobody_up(running: Running) -> None:
    opened = [running.connect() for _ in range(500)]
    for connection in opened[:100]:
        connection.sendall(b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX-")
    assert running.ordinary() < SLOWEST
    more = [running.connect() for _ in range(500)]
    assert running.ordinary() < SLOWEST
    for connection in (*opened, *more):
        connection.close()


def test_readers_who_never_read_hold_nobody_up(running: Running) -> None:
    before = running.resident()
    deaf = []
    for _ in range(30):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(running.head("GET /fhir/metadata HTTP/1.1", token=False))
        deaf.append(connection)
    for _ in range(5):
        assert running.ordinary() < SLOWEST
    assert running.resident() - before < 64_000_000
    for connection in deaf:
        connection.close()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("Transfer-Encoding: chunked", b'1b\r\n{"resourceType":"Patient"} \r\n'),
        ("Transfer-Encoding: chunked", b'1a\r\n{"resourceType":"Patient"}\r\nZZ\r\n'),
        ("Transfer-Encoding: chunked", b'ffff\r\n{"resourceType":"Patient"}'),
        ("Content-Length: 99", b'{"resourceType":"Patient"}'),
    ],
)
def test_a_body_that_broke_off_is_no_body(running: Running, coding: str, body: bytes) -> None:
    head = running.head("POST /fhir/Patient HTTP/1.1", "Content-Type: application/fhir+json", coding)
    answer = running.raw(head + body, half_close=True)
    assert status(answer) in (0, 400)
    if answer:
        assert b'"OperationOutcome"' in answer


def test_without_a_token_a_large_body_is_not_received(running: Running) -> None:
    head = running.head("POST /fhir HTTP/1.1", "Content-Length: 30000000", token=False)
    started = time.perf_counter()
    answer = running.raw(head + b"{")
    assert status(answer) == 401
    assert time.perf_counter() - started < SLOWEST + 1


def test_an_endless_body_is_refused_where_it_is_too_long(running: Running) -> None:
    before = running.resident()
    head = running.head("POST /fhir/Patient HTTP/1.1", "Transfer-Encoding: chunked")
    with running.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(head)
            for _ in range(300):
                connection.sendall(b"30d40\r\n" + b" " * 200_000 + b"\r\n")
        with contextlib.suppress(OSError):
            assert status(connection.recv(65_536)) in (0, 413)
    assert running.resident() - before < 64_000_000
    assert running.ordinary() < SLOWEST


def nonsense(running: Running) -> list[bytes]:
    """Requests that are none, or nearly."""
    host = f"Host: 127.0.0.1:{running.port}".encode()
    get = b"GET /fhir/Patient HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n"
    post = b"POST /fhir/Patient HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n"
    return [
        b"\r\n" * 900,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 99,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /fhir/Patient HTTP/1.0\r\n\r\n",
        b"GET /fhir/Patient\r\n\r\n",
        b"GET http://other.example/fhir/Patient HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET http://u:p@other.example:99999/ HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"TRACE /fhir HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"get /fhir HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        get + b"\r\n" + get + b"\r\n" + get + b"\r\n",
        get + host + b"\r\n\r\n",
        get + b"Host: evil.example\r\n\r\n",
        get + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        get + b"X-B: \xe9\xff\r\n\r\n",
        get + b"If-None-Exist: name=\xe9\r\n\r\n",
        get + b"X-L: " + b"a" * 40_000 + b"\r\n\r\n",
        get + b"X-L: " + b"a" * 400_000 + b"\r\n\r\n",
        get + b"X-L: a\r\n" * 300 + b"\r\n",
        get + b" folded: yes\r\n\r\n",
        get + b"No-Colon\r\n\r\n",
        get + b"X_Forwarded_For: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        get
        + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET /fhir/Patient/%2e%2e/%00/%ff%c0%af?a=%FF HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET //fhir//Patient;a/../../etc HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET /fhir/Patient?a=\xe9\x00 HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        post + b"Content-Length: -1\r\n\r\n",
        post + b"Content-Length: 1e3\r\n\r\n",
        post + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
        post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
        post + b"Content-Length: 2, 2\r\n\r\n{}",
        post + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        post + b"Transfer-Encoding: identity\r\n\r\n{}",
        post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 90_000 + b"\r\nx\r\n0\r\n\r\n",
        post + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        post + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    ]


def test_nonsense_is_refused_and_harms_nobody(running: Running) -> None:
    for data in nonsense(running):
        answer = running.raw(data)
        assert status(answer) < 500, (data[:80], answer[:200])
        assert b"evil.example" not in answer
    assert running.ordinary() < SLOWEST


def test_what_granian_lets_through_is_refused_in_our_form(running: Running) -> None:
    expected = {
        b"X-B: \xe9\xff": 400,
        b"If-None-Exist: name=\xe9": 400,
        b"Authorization: Bearer a\r\nAuthorization: Bearer b": 400,
        b"Host: evil.example": 400,
        b"X-L: " + b"a" * 40_000: 431,
    }
    for header, code in expected.items():
        get = running.head("GET /fhir/Patient HTTP/1.1", token=False)[:-2]
        answer = running.raw(get + header + b"\r\n\r\n")
        assert status(answer) == code, (header[:40], answer[:200])
        assert b'"OperationOutcome"' in answer
        assert b"x-request-id" in answer.lower()
    answer = running.raw(running.head("GET /fhir/Patient/" + "a" * 20_000 + " HTTP/1.1"))
    assert (status(answer), b'"OperationOutcome"' in answer) == (414, True)


def test_bytes_that_were_changed_at_random_break_nothing(running: Running, seeded: random.Random) -> None:
    good = [data for data in nonsense(running) if len(data) < 1_000]
    for _ in range(60):
        data = bytearray(seeded.choice(good))
        for _ in range(seeded.randint(1, 8)):
            data[seeded.randrange(len(data))] = seeded.randrange(256)
        with running.connect() as connection:
            connection.settimeout(0.3)
            with contextlib.suppress(OSError):
                connection.sendall(data)
                assert status(connection.recv(65_536)) < 500, bytes(data)
    assert running.ordinary() < SLOWEST


def test_clients_that_leave_in_the_middle_are_forgotten(running: Running) -> None:
    for part in (
        b"GET",
        b"GET / HTTP/1.1\r\nHo",
        running.head("POST /fhir HTTP/1.1", "Content-Length: 99999") + b"{",
    ):
        for _ in range(50):
            with running.connect() as connection:
                connection.sendall(part)
    for _ in range(50):
        with running.connect() as connection:
            connection.sendall(running.head("GET /fhir/metadata HTTP/1.1"))
    assert running.ordinary() < SLOWEST


def test_the_log_tells_of_no_failure_of_ours(running: Running) -> None:
    assert '"level":"ERROR"' not in running.log.read_text()


@pytest.mark.long
def test_a_body_that_does_not_come_is_not_waited_for(running: Running) -> None:
    answers: list[tuple[int, float]] = []

    def send() -> None:
        started = time.perf_counter()
        with running.connect() as connection:
            connection.sendall(running.head("POST /fhir/Patient HTTP/1.1", "Content-Length: 500") + b"{")
            connection.settimeout(40)
            answers.append((status(connection.recv(65_536)), time.perf_counter() - started))

    clients = [threading.Thread(target=send) for _ in range(10)]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        assert running.ordinary() < SLOWEST
        time.sleep(0.5)
    assert [code for code, _ in answers] == [408] * 10
    assert all(19 < seconds < 25 for _, seconds in answers), answers
