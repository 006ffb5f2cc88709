"""Hostile connections to the running server: slow, broken, endless, idle and nonsensical ones, over sockets.

One worker serves them all, so whoever could hold it up would be seen at once by the ordinary request beside.
Sources: RFC 9112 (HTTP/1.1 message syntax), OWASP testing guide (request smuggling, slow HTTP attacks)
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

# `conftest` loads it first: tests are no packages.
from hostile_sockets import SLOWEST, Running, free_port, nonsense, part, status

from server.auth.context import auth_context
from server.auth.tokens import Claims, mint
from server.settings import read_settings
from server.storage import open_store

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    port = free_port()
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
    ask, headers = "/fhir/Patient?_count=1", (f"Authorization: Bearer {token}",)
    with part("web", port, environment, folder / "web.log", ask, headers) as found:
        yield found


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
        connection.sendall(running.head("GET /fhir/metadata HTTP/1.1", own=False))
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
    head = running.head("POST /fhir HTTP/1.1", "Content-Length: 30000000", own=False)
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


def test_nonsense_is_refused_and_harms_nobody(running: Running) -> None:
    for data in nonsense(running, "/fhir/Patient"):
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
        get = running.head("GET /fhir/Patient HTTP/1.1", own=False)[:-2]
        answer = running.raw(get + header + b"\r\n\r\n")
        assert status(answer) == code, (header[:40], answer[:200])
        assert b'"OperationOutcome"' in answer
        assert b"x-request-id" in answer.lower()
    answer = running.raw(running.head("GET /fhir/Patient/" + "a" * 20_000 + " HTTP/1.1"))
    assert (status(answer), b'"OperationOutcome"' in answer) == (414, True)


def test_bytes_that_were_changed_at_random_break_nothing(running: Running, seeded: random.Random) -> None:
    good = [data for data in nonsense(running, "/fhir/Patient") if len(data) < 1_000]
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
    for start in (
        b"GET",
        b"GET / HTTP/1.1\r\nHo",
        running.head("POST /fhir HTTP/1.1", "Content-Length: 99999") + b"{",
    ):
        for _ in range(50):
            with running.connect() as connection:
                connection.sendall(start)
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
