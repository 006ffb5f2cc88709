"""The way from granian to the application: environments, bodies, turns: server/rsgi.py, request_body.py.

Protocols are stand-ins for granian's; tests/hostile/test_connections.py has the real one.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from server.request_body import BodyReader, NotReceived, Pace
from server.rsgi import REFUSAL, Door, NotReadable, environment


class Headers:
    """granian's headers: values beyond ASCII are named, but not given."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._pairs if value.isascii()]

    def __len__(self) -> int:
        return len(dict(self._pairs))


class Protocol:
    """What a client sends, in chunks with pauses before them, and what it is answered."""

    def __init__(self, *chunks: bytes, pause: float = 0.0) -> None:
        self._chunks, self._pause = chunks, pause
        self.sent = b""
        self.answer: tuple[int, list[tuple[str, str]]] | None = None
        self.deaf = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(self._pause)
            yield chunk
        yield b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.answer, self.sent = (status, headers), content

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Protocol:
        self.answer = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.deaf:
            raise RuntimeError("closed")
        self.sent += data


def scope(method: str = "GET", *headers: tuple[str, str], **more: Any) -> SimpleNamespace:
    given = {
        "path": "/fhir/Patient",
        "query_string": "",
        "http_version": "1.1",
        "scheme": "http",
        "authority": None,
        "server": "127.0.0.1:8000",
        "client": "192.0.2.1:1234",
    }
    return SimpleNamespace(method=method, headers=Headers(headers), **given | more)


def read(reader: BodyReader, protocol: Protocol, length: int | None, most: int = 100) -> bytes:
    return asyncio.run(reader.read(protocol, length, most))


def kind(reader: BodyReader, protocol: Protocol, length: int | None, most: int = 100) -> str:
    with pytest.raises(NotReceived) as caught:
        read(reader, protocol, length, most)
    assert reader.held == 0
    return caught.value.kind


def test_a_body_is_received_whole_and_counted_until_it_is_released() -> None:
    reader = BodyReader()
    assert read(reader, Protocol(b"abc", b"de"), 5) == b"abcde"
    assert read(reader, Protocol(b"abc"), None) == b"abc"
    assert reader.held == 8
    reader.release(8)
    assert reader.held == 0


def test_a_body_that_broke_off_is_none() -> None:
    reader = BodyReader()
    assert kind(reader, Protocol(b"abc"), 5) == "invalid-request"
    assert kind(reader, Protocol(b"abc", b""), None) == "invalid-request"  # as granian tells of broken chunks


def test_a_body_is_as_long_as_it_may_be_and_no_longer() -> None:
    reader = BodyReader()
    assert read(reader, Protocol(b"a" * 100), None) == b"a" * 100
    reader.release(100)
    assert kind(reader, Protocol(b"a" * 100, b"a"), None) == "too-large"


def test_bodies_together_are_bounded() -> None:
    reader = BodyReader(most_held=150)
    read(reader, Protocol(b"a" * 100), 100)
    with pytest.raises(NotReceived) as caught:
        read(reader, Protocol(b"a" * 100), 100)
    assert (caught.value.kind, reader.held) == ("throttled", 100)


def test_a_slow_body_is_waited_for_as_long_as_it_keeps_its_pace() -> None:
    patient = BodyReader(pace=Pace(grace=0.1, bytes_per_second=100))
    assert kind(patient, Protocol(b"a", pause=0.5), 1) == "request-timeout"
    assert kind(patient, Protocol(*[b"a"] * 50, pause=0.02), 50) == "request-timeout"
    assert read(patient, Protocol(*[b"a" * 20] * 5, pause=0.08), 100) == b"a" * 100


def test_the_environment_is_that_of_cgi() -> None:
    environ = environment(
        scope(
            "GET",
            ("host", "x"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            path="/\u00e9",
        )
    )
    assert environ["PATH_INFO"] == "/\u00c3\u00a9"
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("1, 2", "a=1; b=2")
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("192.0.2.1", "8000")
    assert environment(scope(client="[::1]:99"))["REMOTE_ADDR"] == "::1"
    assert environment(scope("GET", ("host", "x"), authority="y"))["HTTP_HOST"] == "y"
    assert not any("KEY" in name for name in environ)  # nothing of the process's own environment


def test_a_name_with_an_underscore_does_not_pass_for_one_with_a_hyphen() -> None:
    environ = environment(scope("GET", ("x_forwarded_for", "1.1.1.1"), ("x_forwarded_for", "1.1.1.2")))
    assert "HTTP_X_FORWARDED_FOR" not in environ


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ([("x-a", "\u00e9")], "invalid-request"),
        ([("x-a", "a"), ("x-a", "b"), ("x-b", "\u00e9")], "invalid-request"),
        ([("if-none-exist", "name=\u00e9")], "invalid-request"),
        ([("host", "a"), ("host", "b")], "invalid-request"),
        ([("authorization", "a"), ("authorization", "b")], "invalid-request"),
        ([("x-a", "a" * 40_000)], "headers-too-large"),
    ],
)
def test_headers_that_cannot_be_taken_as_they_are_are_refused(headers: Any, refused: str) -> None:
    with pytest.raises(NotReadable) as caught:
        environment(scope("GET", *headers))
    assert caught.value.kind == refused


class Application:
    """Answers with what it was asked; notes how."""

    def __init__(self, content: bytes = b"") -> None:
        self.asked: list[dict[str, Any]] = []
        self.content = content

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.asked.append(environ)
        start_response("200 OK", [("X", "y")])
        return [self.content or environ["wsgi.input"].read()]


def door(application: Any, **more: Any) -> Door:
    return Door(application, lambda environ: 1_000, BodyReader(), **more)


def test_the_application_gets_the_body_and_the_client_its_answer() -> None:
    protocol, ours = Protocol(b"abc"), door(Application())
    asyncio.run(ours.__rsgi__(scope("POST", ("content-length", "3")), protocol))
    assert (protocol.answer, protocol.sent, ours.bodies.held) == ((200, [("X", "y")]), b"abc", 0)


def test_what_is_refused_is_answered_by_the_application() -> None:
    application = Application()
    asyncio.run(door(application).__rsgi__(scope("POST", ("content-length", "9")), Protocol(b"abc")))
    asyncio.run(door(application).__rsgi__(scope("GET", ("x", "\u00e9")), Protocol()))
    assert [environ[REFUSAL][0] for environ in application.asked] == ["invalid-request"] * 2


def test_a_body_that_nobody_wants_is_not_received() -> None:
    application, protocol = Application(b"no"), Protocol(b"a" * 99_999)
    refusing = Door(application, lambda environ: 0, BodyReader())
    asyncio.run(refusing.__rsgi__(scope("POST", ("content-length", "99999")), protocol))
    assert application.asked[0]["wsgi.input"].read() == b""
    assert application.asked[0]["CONTENT_LENGTH"] == "99999"


def test_a_large_answer_is_sent_in_pieces_and_forgotten_when_its_reader_leaves() -> None:
    content = bytes(range(256)) * 4_000
    listening, gone = Protocol(), Protocol()
    gone.deaf = True
    ours = door(Application(content))
    asyncio.run(ours.__rsgi__(scope(), listening))
    asyncio.run(ours.__rsgi__(scope(), gone))
    assert listening.sent == content
    assert ours.unsent == 0


def test_who_waited_too_long_for_others_is_sent_away() -> None:
    application = Application(b"x")
    ours = door(application, most_wait=0.05)

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        import time

        if REFUSAL not in environ:
            time.sleep(0.04)
        return application(environ, start_response)

    ours.application = slow

    async def crowd() -> None:
        await asyncio.gather(*(ours.__rsgi__(scope(), Protocol()) for _ in range(6)))
        await asyncio.sleep(0)
        await ours.__rsgi__(scope(), Protocol())  # a turn later there is room again

    asyncio.run(crowd())
    kinds = [environ.get(REFUSAL, ("",))[0] for environ in application.asked]
    assert kinds[0] == ""
    assert kinds[3:6] == ["throttled"] * 3
    assert kinds[6] == ""


def test_an_application_that_waits_for_others_does_so_in_threads_and_the_loop_goes_on() -> None:
    meeting = threading.Barrier(4)

    def waiting(environ: Any, start_response: Any) -> list[bytes]:
        meeting.wait(5)
        start_response("200 OK", [])
        return [b"x"]

    ours = door(waiting, threads=3)
    protocols = [Protocol() for _ in range(3)]

    async def crowd() -> None:
        asked = [asyncio.create_task(ours.__rsgi__(scope(), protocol)) for protocol in protocols]
        while meeting.n_waiting < 3:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(meeting.wait, 5)
        await asyncio.gather(*asked)

    asyncio.run(crowd())
    assert [protocol.sent for protocol in protocols] == [b"x"] * 3


def test_who_waits_too_long_for_a_thread_is_refused_without_one() -> None:
    go_on = threading.Event()
    application = Application(b"x")

    def waiting(environ: Any, start_response: Any) -> list[bytes]:
        if REFUSAL not in environ:
            go_on.wait(5)
        return application(environ, start_response)

    ours = door(waiting, threads=1, most_wait=0.05)

    async def crowd() -> None:
        first = asyncio.create_task(ours.__rsgi__(scope(), Protocol()))
        await asyncio.sleep(0.01)
        await ours.__rsgi__(scope(), Protocol())
        await ours.__rsgi__(scope("GET", ("x", "\u00e9")), Protocol())  # needs none to be refused
        go_on.set()
        await first
        await ours.__rsgi__(scope(), Protocol())

    asyncio.run(crowd())
    kinds = [environ.get(REFUSAL, ("",))[0] for environ in application.asked]
    assert kinds == ["throttled", "invalid-request", "", ""]


def test_a_thread_whose_request_failed_is_free_again() -> None:
    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    ours = door(failing, threads=1, most_wait=0.5)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(ours.__rsgi__(scope("POST", ("content-length", "3")), Protocol(b"abc")))
    assert ours.bodies.held == 0


def test_an_application_that_fails_leaves_nothing_held() -> None:
    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    ours = door(failing)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(ours.__rsgi__(scope("POST", ("content-length", "3")), Protocol(b"abc")))
    assert ours.bodies.held == 0


def test_the_input_is_a_file_even_where_there_is_none() -> None:
    assert isinstance(environment(scope())["wsgi.input"], io.BytesIO)
