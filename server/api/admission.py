"""What is looked at before a request goes anywhere: where it comes from, how large its head is, how often.

Sources: RFC 9110 sections 15.5.15 (414), RFC 6585 sections 4 and 5 (429, 431), RFC 7239 section 8 (proxies)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from server.api.errors import error_parts
from server.api.exchange import Authenticate
from server.api.headers import read_prefer
from server.api.protection import FORWARDED_SCHEME, REFUSAL
from server.api.rates import Rate
from server.errors import FhirError
from server.interactions.request import Limits
from server.origin import address_key

# A key of `Flask.extensions`: what `most_body` returned, for the server in front.
MOST_BODY = "baton.most_body"
# The largest form of a page or of the token endpoint; they read no more themselves.
FORM_BYTES = 131_072
# Answered to whoever looks after the process, however busy it is.
_UNCOUNTED = frozenset({"/healthz", "/readyz", "/metrics"})

Networks = tuple[IPv4Network | IPv6Network, ...]


def forwarded(application: WSGIApplication, proxies: Networks) -> WSGIApplication:
    """The application behind proxies that tell whom they ask for, by X-Forwarded-For, -Proto and -Host.

    Only what comes from one of these networks is believed, and of X-Forwarded-For only the first address from
    the right that is none of them: everything further left is the caller's own word.
    """
    if not proxies:
        return application

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_within(environ.get("REMOTE_ADDR", ""), proxies):
            for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
                address = hop.strip().strip("[]")
                if not _is_address(address):
                    break
                environ["REMOTE_ADDR"] = address
                if not _is_within(address, proxies):
                    break
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                environ[FORWARDED_SCHEME] = scheme
            if host := environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip():
                environ["HTTP_HOST"] = host
        return application(environ, start_response)

    return serve


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_within(text: str, networks: Networks) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


def admitted(application: WSGIApplication, addresses: Rate, url_bytes: int) -> WSGIApplication:
    """The application for requests of a size and a rate that it is meant for; others are told so.

    Below /fhir and at /hl7v2 the address counts for whoever is nobody when all is said; elsewhere always,
    apart from what pages are made of.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        try:
            _check_head(environ, url_bytes)
            if not (path.startswith(("/fhir", "/hl7v2")) or path in _UNCOUNTED or "/static/" in path):
                addresses.take(address_key(environ.get("REMOTE_ADDR", "")))
        except FhirError as error:
            line, headers, body = error_parts(path, error)
            start_response(line, headers)
            return [body]
        return application(environ, start_response)

    return serve


def _check_head(environ: WSGIEnvironment, url_bytes: int) -> None:
    if refusal := environ.get(REFUSAL):
        kind, text = refusal
        raise FhirError(kind, text)
    if len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) > url_bytes:
        raise FhirError("uri-too-long", f"the URL may have {url_bytes} bytes; a search can be sent to _search")


def most_body(authenticate: Authenticate, limits: Limits, messages: int) -> Callable[[WSGIEnvironment], int]:
    """How many bytes of a body are worth receiving, by the head of its request: none below /fhir and at /hl7v2
    without a token in force, so that nobody unknown can fill the memory. messages: those of HL7 v2 messages."""

    def most(environ: WSGIEnvironment) -> int:
        path = environ.get("PATH_INFO", "")
        if path not in ("/fhir", "/hl7v2") and not path.startswith("/fhir/"):
            return FORM_BYTES
        try:
            authenticate(environ.get("HTTP_AUTHORIZATION", ""))
        except Exception:
            return 0  # the application comes upon the same, answers it and logs it
        if path == "/hl7v2":
            return messages
        if path.rstrip("/") != "/fhir":
            return limits.body_bytes
        later = read_prefer(environ.get("HTTP_PREFER", "")).asynchronous
        return limits.async_bundle_bytes if later else limits.bundle_bytes

    return most
