"""How the content of an answer is sent: as it is, as gzip, or, to HEAD, only described (WSGI).

Whatever part answers, HEAD is done as GET and the content left out here, so that its headers are those of GET.
Pages are never compressed: they hold secrets of forms beside words of the caller, and their length under
compression would tell of the secrets (CVE-2013-3587, "BREACH"); FHIR answers hold none.
Sources: RFC 9110 sections 8.4, 8.8.3.3 (ETags), 9.3.2 (HEAD), 12.5.5 (Vary), 15.4.5 (304)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from server.api.content_coding import GZIP, packed, takes_gzip
from server.api.headers import FHIR_JSON, JSON, NDJSON

SMALLEST = 1_400  # bytes; what fits into one packet of a network gains nothing
_COMPRESSED = frozenset({FHIR_JSON, JSON, NDJSON, "text/css", "text/javascript", "image/svg+xml"})
_SECRETS = "/oauth2/"  # tokens, as JSON
_UNTOUCHED = frozenset({"204", "206"})
_VARY = ("Vary", "Accept-Encoding")

Headers = list[tuple[str, str]]


def represented(application: WSGIApplication) -> WSGIApplication:
    """The application with its answers' content left out for HEAD and compressed for those who take gzip."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            started[:] = (status, headers, exc_info)
            return _no_write

        head = environ["REQUEST_METHOD"] == "HEAD"
        if head:
            environ["REQUEST_METHOD"] = "GET"
        try:
            parts = application(environ, start)
            content, headers = _sent(environ, parts, started[0][:3], started[1], head)
        finally:
            if head:
                environ["REQUEST_METHOD"] = "HEAD"
        status, _, exc_info = started
        start_response(status, headers, exc_info) if exc_info else start_response(status, headers)
        return content

    return serve


def _sent(
    environ: WSGIEnvironment, parts: Iterable[bytes], status: str, headers: Headers, head: bool
) -> tuple[Iterable[bytes], Headers]:
    """What goes out: the content, left out for HEAD, and the headers that describe it."""
    given = {name.lower(): value for name, value in headers}
    media = given.get("content-type", "").partition(";")[0]
    compressible = (
        media in _COMPRESSED
        and status not in _UNTOUCHED
        and "content-encoding" not in given
        and not environ.get("PATH_INFO", "").startswith(_SECRETS)
    )
    if compressible or status == "304":
        headers.append(_VARY)
    if compressible and takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        whole = _whole(parts)
        parts = (whole,)
        if len(whole) >= SMALLEST and len(short := packed(whole)) < len(whole):
            parts, headers = (short,), _coded(headers, len(short))
    if not head:
        return parts, headers
    whole = _whole(parts)
    if status not in ("204", "304") and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(whole))))
    return (b"",), headers


def _whole(parts: Iterable[bytes]) -> bytes:
    if type(parts) is tuple and len(parts) == 1:
        return bytes(parts[0])
    try:
        return b"".join(parts)
    finally:
        if (close := getattr(parts, "close", None)) is not None:
            close()


def _coded(headers: Headers, length: int) -> Headers:
    """The headers of the same answer as gzip: a strong ETag would say that the bytes are the same."""
    kept = [
        (name, f"W/{value}" if name.lower() == "etag" and not value.startswith("W/") else value)
        for name, value in headers
        if name.lower() != "content-length"
    ]
    return [*kept, ("Content-Encoding", GZIP), ("Content-Length", str(length))]


def _no_write(data: bytes) -> None:
    raise TypeError("the parts of this server return their answers; they do not write them")
