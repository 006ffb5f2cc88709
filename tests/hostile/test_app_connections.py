"""Hostile connections to the running app: its eight threads wait for EHRs, never for the clients of its pages.

Sources: RFC 9112 (HTTP/1.1 message syntax), OWASP testing guide (slow HTTP attacks)
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# `conftest` loads it first: tests are no packages.
from hostile_sockets import SLOWEST, Running, free_port, nonsense, part, status

from smart_app.issuers import Issuer, Issuers

pytestmark = pytest.mark.network

THREADS = 8
FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def slow_ehr() -> Iterator[str]:
    """The base URL of an EHR that takes two seconds to say that it knows nothing of SMART."""

    class Ehr(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(2)
            with contextlib.suppress(OSError):
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ehr)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/fhir"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, slow_ehr: str) -> Callable[[], object]:
    """Starts an app; all of them share the vocabulary that the first one builds."""
    folder: Path = tmp_path_factory.mktemp("hostile-app")
    (folder / "home").mkdir()
    Issuers(folder / "home").add(Issuer(slow_ehr, "app-there", "Slow EHR"))

    def begin() -> object:
        port = free_port()
        environment = {
            "BATON_HOME": str(folder / "home"),
            "BATON_SECRET_KEY": "a key for tests only, long enough to be one",
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_PORT_APP": str(port),
        }
        return part("app", port, environment, folder / f"{port}.log", "/healthz")

    return begin


@pytest.fixture(scope="module")
def running(start: Callable[[], contextlib.AbstractContextManager[Running]]) -> Iterator[Running]:
    with start() as found:
        yield found


def is_page(answer: bytes) -> bool:
    """Whether an answer is a page of the app with its safe headers and its number."""
    head, _, body = answer.partition(b"\r\n\r\n")
    names = head.lower()
    return b"</html>" in body and all(
        name in names
        for name in (
            b"content-security-policy:",
            b"x-content-type-options: nosniff",
            b"x-request-id:",
            b"no-store",
        )
    )


def test_a_body_of_a_byte_a_second_holds_nobody_up(running: Running) -> None:
    slow = [running.connect() for _ in range(4 * THREADS)]
    for connection in slow:
        connection.sendall(running.head("POST /c/x/end HTTP/1.1", FORM, "Content-Length: 5000") + b"a=")
    for _ in range(5):
        for connection in slow:
            connection.sendall(b"b")
        assert running.ordinary() < SLOWEST
        assert status(running.raw(running.head("GET /launch HTTP/1.1"))) == 400
        time.sleep(0.2)
    for connection in slow:
        connection.close()
    assert running.ordinary() < SLOWEST


def test_heads_that_never_end_and_idle_connections_hold_nobody_up(running: Running) -> None:
    opened = [running.connect() for _ in range(500)]
    for connection in opened[:100]:
        connection.sendall(b"GET /launch HTTP/1.1\r\nHost: x\r\nX-")
    assert running.ordinary() < SLOWEST
    for connection in opened:
        connection.close()


def test_readers_who_never_read_hold_nobody_up(running: Running) -> None:
    deaf = []
    for _ in range(4 * THREADS):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(running.head("GET /static/vendor/inter-latin-ext-wght-normal.woff2 HTTP/1.1") * 20)
        deaf.append(connection)
    for _ in range(5):
        assert running.ordinary() < SLOWEST
    for connection in deaf:
        connection.close()


@pytest.mark.parametrize(
    ("coding", "body", "code"),
    [
        ("Transfer-Encoding: chunked", b"ffff\r\na=b", 400),
        ("Transfer-Encoding: chunked", b"3\r\na=b\r\nZZ\r\n", 400),
        ("Content-Length: 99", b"a=b", 400),
        ("Transfer-Encoding: chunked", b"50000\r\n" + b"a" * 0x50000 + b"\r\n0\r\n\r\n", 413),
    ],
)
def test_a_body_that_broke_off_or_is_too_long_is_answered_with_a_page(
    running: Running, coding: str, body: bytes, code: int
) -> None:
    answer = running.raw(running.head("POST /c/x/end HTTP/1.1", FORM, coding) + body, half_close=True)
    assert status(answer) in (0, code)
    assert not answer or is_page(answer)


def test_a_body_that_says_that_it_is_too_long_is_not_received(running: Running) -> None:
    started = time.perf_counter()
    head = running.head(
        "POST /c/x/end HTTP/1.1", FORM, "Content-Length: 30000000", "Sec-Fetch-Site: same-origin"
    )
    answer = running.raw(head + b"a=")
    assert 400 <= status(answer) < 500
    assert is_page(answer)
    assert time.perf_counter() - started < SLOWEST + 1


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"X-B: \xe9\xff", 400),
        (b"Host: evil.example", 400),
        (b"X-L: " + b"a" * 40_000, 431),
    ],
)
def test_headers_that_are_refused_are_answered_with_a_page(running: Running, header: bytes, code: int) -> None:
    answer = running.raw(running.head("GET /launch HTTP/1.1")[:-2] + header + b"\r\n\r\n")
    assert status(answer) == code
    assert is_page(answer)
    assert b"evil" not in answer


def test_nonsense_is_refused_and_harms_nobody(running: Running) -> None:
    for data in nonsense(running, "/launch"):
        answer = running.raw(data)
        assert status(answer) < 500, (data[:80], answer[:200])
        assert b"evil.example" not in answer
    assert running.ordinary() < SLOWEST


def test_bytes_that_were_changed_at_random_break_nothing(running: Running, seeded: random.Random) -> None:
    good = [data for data in nonsense(running, "/launch") if len(data) < 1_000]
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


def launch(running: Running, ehr: str, answers: list[bytes]) -> threading.Thread:
    """A launch from an EHR, under way; its answer is added to the list."""

    def ask() -> None:
        with running.connect() as connection:
            connection.settimeout(40)
            connection.sendall(running.head(f"GET /launch?launch=a&iss={ehr} HTTP/1.1"))
            answer = b""
            while got := connection.recv(65_536):
                answer += got
            answers.append(answer)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_an_ehr_that_answers_slowly_holds_nobody_else_up(running: Running, slow_ehr: str) -> None:
    answers: list[bytes] = []
    waiting = [launch(running, slow_ehr, answers) for _ in range(THREADS - 1)]
    time.sleep(0.5)
    assert running.ordinary() < 1
    for thread in waiting:
        thread.join()
    assert len(answers) == THREADS - 1
    assert all(is_page(answer) for answer in answers)


def test_what_is_under_way_when_the_app_is_stopped_is_answered(
    start: Callable[[], contextlib.AbstractContextManager[Running]], slow_ehr: str
) -> None:
    with start() as stopped:
        answers: list[bytes] = []
        waiting = [launch(stopped, slow_ehr, answers) for _ in range(3)]
        time.sleep(0.7)
        stopped.process.send_signal(signal.SIGTERM)
        for thread in waiting:
            thread.join()
        assert stopped.process.wait(10) == 0
        assert [is_page(answer) for answer in answers] == [True] * 3


def test_the_log_tells_of_no_failure_of_ours(running: Running) -> None:
    text = running.log.read_text()
    assert '"level":"ERROR"' not in text
    assert "evil" not in text


@pytest.mark.long
def test_a_body_that_does_not_come_is_not_waited_for(running: Running) -> None:
    started = time.perf_counter()
    with running.connect() as connection:
        connection.sendall(running.head("POST /c/x/end HTTP/1.1", FORM, "Content-Length: 500") + b"a")
        connection.settimeout(40)
        answer = b""
        while got := connection.recv(65_536):
            answer += got
    assert status(answer) == 408
    assert is_page(answer)
    assert 19 < time.perf_counter() - started < 25


@pytest.mark.slow
def test_who_would_wait_too_long_for_a_thread_is_told_so(running: Running, slow_ehr: str) -> None:
    answers: list[bytes] = []
    crowd = [launch(running, slow_ehr, answers) for _ in range(9 * THREADS)]
    for thread in crowd:
        thread.join()
    codes = [status(answer) for answer in answers]
    assert len(codes) == 9 * THREADS
    assert 429 in codes
    assert codes.count(429) < len(codes) / 2
    assert all(is_page(answer) for answer in answers)
    assert running.ordinary() < SLOWEST
