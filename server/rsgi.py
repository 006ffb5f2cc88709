"""The WSGI application behind granian's asynchronous interface: requests wait outside, one at a time goes in.

A WSGI server gives a thread to every request from its first byte to its last, so a slow client costs a thread.
Here the event loop receives bodies and sends large answers, and the application runs in the loop between two of
its steps: a request is in it for its own work only, never for its client's connection. An application that
waits for others gets threads, and requests that wait for one of these wait in the loop. What the loop turns
away itself it hands on as `baton.refusal`, so that every answer, refusals included, comes from the application
with its headers, its log line and its form (`server.api.admission`, `smart_app.gate`).
Sources: granian's RSGI specification, PEP 3333
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from server.request_body import BodyReader, NotReceived

REFUSAL = "baton.refusal"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_ASK_FROM = 65_536  # a smaller body is received without asking whether anybody wants it
_SEND_WHOLE = 262_144  # a larger answer is sent in pieces, each when the one before is gone
_MOST_UNSENT = 256_000_000  # bytes of large answers that wait for their readers, in one process
_PIECE_SECONDS = 30.0
_BUSY = "the server has more to do than it can; try again shortly"
# granian itself reads up to HEAD_BYTES of a request's head; it refuses more with 431 and no words.
HEADER_BYTES = 32_768
HEAD_BYTES = 65_536
# Header -> its WSGI name; filled as names are seen, up to a bound, because a name costs more than a lookup.
_NAMES = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, content."""


class NotReadable(Exception):
    """The headers cannot be taken as they are; kind as in `errors.KINDS`."""

    def __init__(self, text: str, kind: str = "invalid-request") -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(slots=True)
class Door:
    """One process's way from granian to the application.

    most_body: how many bytes of body the application wants of a request, seen its head. most_wait: seconds a
    request may have waited for others before it is sent away (429). threads: how many requests the application
    may be in at once because it waits for others itself; 0 where one at a time is the fastest way.
    """

    application: WSGIApplication
    most_body: Callable[[WSGIEnvironment], int]
    bodies: BodyReader
    most_wait: float = 5.0
    threads: int = 0
    unsent: int = 0
    _turn: float = 0.0
    _pool: Executor | None = None
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def __post_init__(self) -> None:
        if self.threads:
            self._pool = ThreadPoolExecutor(self.threads)
            self._free = asyncio.Semaphore(self.threads)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        held = 0
        try:
            environ = environment(scope)
        except NotReadable as error:
            environ = environment(scope, headers=())
            environ[REFUSAL] = (error.kind, str(error))
        else:
            if scope.method in _WITH_BODY:
                body = await self._body(scope, protocol, environ)
                held = len(body)
                environ["wsgi.input"] = io.BytesIO(body)
        if self._turn == 0.0:
            self._turn = loop.time()
            loop.call_soon(self._end_turn)
        elif loop.time() - self._turn > self.most_wait:
            environ.setdefault(REFUSAL, ("throttled", _BUSY))
        if self.unsent > _MOST_UNSENT:
            environ.setdefault(REFUSAL, ("throttled", _BUSY))
        try:
            if self._pool is None or REFUSAL in environ:
                status, headers, content = run(self.application, environ)
            else:
                status, headers, content = await self._in_thread(self._pool, environ)
        finally:
            self.bodies.release(held)
        if len(content) <= _SEND_WHOLE or scope.method == "HEAD":
            protocol.response_bytes(status, headers, content)
        else:
            await self._send(protocol, status, headers, content)

    # A request that had to wait stands behind others in the same turn of the loop: the turn's age is its wait.
    def _end_turn(self) -> None:
        self._turn = 0.0

    async def _in_thread(self, pool: Executor, environ: WSGIEnvironment) -> Answer:
        """The application's answer from a thread, once one is free; a refusal where none is for too long."""
        try:
            async with asyncio.timeout(self.most_wait):
                await self._free.acquire()
        except TimeoutError:
            environ[REFUSAL] = ("throttled", _BUSY)
            return run(self.application, environ)
        try:
            environ["wsgi.multithread"] = True
            return await asyncio.get_running_loop().run_in_executor(pool, run, self.application, environ)
        finally:
            self._free.release()

    async def _body(self, scope: Any, protocol: Any, environ: WSGIEnvironment) -> bytes:
        text = environ.get("CONTENT_LENGTH", "")
        if not text and "HTTP_TRANSFER_ENCODING" not in environ:
            return b""
        length = int(text) if text else None
        try:
            if length is None or length > _ASK_FROM:
                most = self.most_body(environ)
                if not most or (length is not None and length > most):
                    return b""  # the application refuses it by its head: no token, or too long
            else:
                most = length
            return await self.bodies.read(protocol, length, most)
        except NotReceived as error:
            environ[REFUSAL] = (error.kind, error.text)
            return b""

    async def _send(self, protocol: Any, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        """Send a large answer at its reader's pace; who reads nothing for half a minute gets no more of it."""
        self.unsent += len(content)
        view = memoryview(content)
        try:
            stream = protocol.response_stream(status, headers)
            for start in range(0, len(view), _SEND_WHOLE):
                async with asyncio.timeout(_PIECE_SECONDS):
                    await stream.send_bytes(bytes(view[start : start + _SEND_WHOLE]))
        except (TimeoutError, RuntimeError):  # granian's errors of a closed connection are RuntimeErrors
            return
        finally:
            self.unsent -= len(content)


def environment(scope: Any, headers: Iterable[tuple[str, str]] | None = None) -> WSGIEnvironment:
    """The WSGI environment of an RSGI scope. headers: instead of the scope's.

    Raises: NotReadable for a header value beyond ASCII (granian leaves it out, and a condition that is left out
    changes what a request means) and for a repeated header that must be one.
    """
    given = scope.headers
    path: str = scope.path
    client: str = scope.client.rpartition(":")[0]
    # One literal: a dictionary that grows is built several times, and this is done for every request.
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": "HTTP/" + scope.http_version,
        "SERVER_SOFTWARE": "granian",
        "REMOTE_ADDR": client.strip("[]") if client.startswith("[") else client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
    pairs = given.items() if headers is None else headers
    size = 0
    for name, value in pairs:
        own = _NAMES.get(name)
        if own is None:
            own = _wsgi_name(name)
        size += len(value)
        if not own:
            continue
        if own in environ:
            if name in _SINGLE:
                raise NotReadable(f"the header {name} is given more than once")
            value = f"{environ[own]}, {value}" if name != "cookie" else f"{environ[own]}; {value}"
        environ[own] = value
    if size > HEADER_BYTES:
        raise NotReadable(f"the headers may have {HEADER_BYTES} bytes", "headers-too-large")
    if headers is None and len(dict(pairs)) < len(given):
        raise NotReadable("a header has characters beyond ASCII")
    if scope.authority and scope.http_version in ("1", "1.0", "1.1"):
        environ["HTTP_HOST"] = scope.authority  # a target with a host of its own wins (RFC 9112 section 3.2.2)
    return environ


# Two of these would leave it to chance which one counts.
_SINGLE = frozenset(
    ("authorization", "content-length", "content-type", "host", "if-modified-since", "if-none-exist", "origin")
)


def _wsgi_name(name: str) -> str:
    # CGI spells "-" and "_" alike: X_Forwarded_For would pass for X-Forwarded-For, so it is left out.
    own = "" if "_" in name else "HTTP_" + name.upper().replace("-", "_")
    if len(_NAMES) < 500:
        _NAMES[name] = own
    return own


def run(application: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The application's answer."""
    started: list[Any] = []

    def start_response(
        line: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        started[:] = (int(line[:3]), headers)
        return _no_write

    parts = application(environ, start_response)
    try:
        content = parts[0] if type(parts) is tuple and len(parts) == 1 else b"".join(parts)
    finally:
        if (close := getattr(parts, "close", None)) is not None:
            close()
    status, headers = started
    return status, headers, content


def _no_write(data: bytes) -> None:
    raise TypeError("the application of this server returns its answers; it does not write them")


def door(
    application: WSGIApplication,
    most_body: Callable[[WSGIEnvironment], int],
    *,
    threads: int = 0,
    most_wait: float = 5.0,
) -> Door:
    """What granian asks in this process, for `serving.serve`; the arguments are those of `Door`."""
    return Door(application, most_body, BodyReader(), most_wait, threads)


def web() -> Door:
    """The web server of this process, from the environment; granian calls it in each. Raises: SettingsError."""
    from server import wsgi

    app = wsgi.web()
    return door(app.wsgi_app, app.extensions["baton.most_body"])
