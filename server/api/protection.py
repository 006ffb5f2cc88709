"""What holds for every answer, whichever part gives it: one host, safe headers, cross-origin rules (WSGI).

Sources: OWASP secure headers, RFC 9110 section 15.5.20 (421), fetch.spec.whatwg.org (CORS)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from server.api.cross_origin import ANSWER_HEADERS, PREFLIGHT_HEADERS, is_open, is_preflight
from server.api.errors import error_parts
from server.errors import FhirError

# A key of the WSGI environment: (kind, text) of what the server in front has already decided to turn away.
REFUSAL = "baton.refusal"
# A key of the WSGI environment: the scheme a trusted proxy was asked by.
FORWARDED_SCHEME = "baton.forwarded_scheme"
# For whoever looks after the process by whatever address it has.
_ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics"})

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Name -> value where the answer does not set it itself.
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def protected(application: WSGIApplication, base_url: str) -> WSGIApplication:
    """The application behind the rules for every answer.

    base_url: the configured origin. A GET that comes by another host name is sent there (308); anything else is
    refused (421), so that no link, cookie or token is ever made for a name somebody else chose.
    """
    split = urlsplit(base_url)
    host = _without_default_port(split.netloc, split.scheme)
    https = split.scheme == "https"
    always = _DEFAULTS | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        origin = environ.get("HTTP_ORIGIN", "")
        open_to_others = bool(origin) and is_open(path)

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            given = {name.lower() for name, _ in headers}
            for name, value in always.items():
                if name.lower() not in given:
                    headers.append((name, value))
            if open_to_others and "access-control-allow-origin" not in given:
                headers.extend(ANSWER_HEADERS)
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        if (
            path not in _ANY_HOST
            and REFUSAL not in environ
            and (
                _without_default_port(environ.get("HTTP_HOST", ""), split.scheme) != host
                # Taken by a proxy without TLS; a connection of our own is what the operator made it.
                or (https and environ.get(FORWARDED_SCHEME) == "http")
            )
        ):
            return _other_host(environ, start, base_url)
        if open_to_others and is_preflight(
            environ["REQUEST_METHOD"], origin, environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "")
        ):
            start("204 No Content", list(PREFLIGHT_HEADERS))
            return []
        return application(environ, start)

    return serve


def _without_default_port(netloc: str, scheme: str) -> str:
    return netloc.lower().removesuffix(":443" if scheme == "https" else ":80")


def _other_host(environ: WSGIEnvironment, start_response: StartResponse, base_url: str) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        path = quote(environ.get("PATH_INFO", "/").encode("latin-1"), safe="/:@!$&'()*+,;=-._~")
        query = quote(environ.get("QUERY_STRING", ""), safe="/?:@!$&'()*+,;=-._~%|")
        target = base_url + "/" + path.lstrip("/") + ("?" + query if query else "")
        start_response("308 Permanent Redirect", [("Location", target), ("Content-Length", "0")])
        return [b""]
    error = FhirError("misdirected", "this server does not answer for this host")
    line, headers, body = error_parts(environ.get("PATH_INFO", ""), error)
    start_response(line, headers)
    return [body]
