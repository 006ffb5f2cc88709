"""The one place where the server calls other systems: checked addresses, verified TLS, limits of size and time.

A name is resolved once, every address it has is judged (`outbound_networks`), and the connection goes to one of
those very addresses, so that a name that resolves otherwise a moment later changes nothing. TLS is verified for
the name of the URL. Redirects are not followed, and nothing is kept between two calls. Of the environment only
the trusted authorities are taken (REQUESTS_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR), no proxies, no .netrc.
Sources: OWASP SSRF Prevention Cheat Sheet, RFC 9325 (TLS 1.2 or later), RFC 9110 section 15.4
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from server.outbound_networks import Networks, OutboundError, Target, check_address, read_networks, target_of

__all__ = ["Fetched", "Networks", "OutboundError", "fetch", "read_networks"]

USER_AGENT = "Baton"
_ONE_ADDRESS_SECONDS = 3.05  # then the next address of the name is tried; above TCP's first retransmission
_TOO_LATE = "no answer in time"

Sockaddr = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer. headers: names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(
    url: str,
    *,
    allow: Networks,
    accept: str,
    most: int = 262_144,
    seconds: float = 10.0,
    data: Mapping[str, str] | None = None,
) -> Fetched:
    """GET a URL, or POST it a form.

    allow: what may be called beyond https to public addresses. accept: the Accept header. most: bytes of the
    body. seconds: for everything together, from resolving the name to the last byte. data: the form.
    A redirect is an answer like any other (status 3xx).
    Raises: OutboundError; never while sending anything to an address that may not be called.
    """
    line = _Line(target_of(url), allow, time.monotonic() + seconds)
    headers = {"Accept": accept, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
    verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    try:
        # Without a requests.Session: it would take proxies and .netrc from the environment, and read the body
        # of a redirect whole.
        request = requests.Request("GET" if data is None else "POST", url, headers, data=data).prepare()
        with (
            _Adapter(line) as adapter,
            adapter.send(request, stream=True, timeout=seconds, verify=verify) as response,
        ):
            body = _body(response, most)
            fetched = Fetched(response.status_code, CaseInsensitiveDict(response.headers), body)
    except requests.exceptions.SSLError:
        raise OutboundError(
            _TOO_LATE if line.late else "its TLS certificate or version is not trusted"
        ) from None
    except requests.exceptions.Timeout:
        raise OutboundError(_TOO_LATE) from None
    except (requests.exceptions.RequestException, HTTPError, OSError, ValueError):
        raise OutboundError(
            _TOO_LATE if line.late else "it cannot be reached, or does not speak HTTP"
        ) from None
    finally:
        line.hang_up()
    if line.late:  # what was cut off may look complete
        raise OutboundError(_TOO_LATE)
    return fetched


def _body(response: requests.Response, most: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise OutboundError("the answer is compressed, which was not asked for")
    body = bytearray()
    for piece in response.raw.stream(16_384, decode_content=False):
        body += piece
        if len(body) > most:
            raise OutboundError("the answer is too large")
    return bytes(body)


class _Line:
    """The connection of one call: which addresses it may have and until when it may last."""

    def __init__(self, target: Target, allow: Networks, deadline: float) -> None:
        self._target = target
        self._allow = allow
        self._deadline = deadline
        self._end: tuple[Timer, socket.socket] | None = None
        self.late = False

    def connect(self) -> socket.socket:
        """A socket connected to an address that was judged before. Raises: OutboundError."""
        addresses = self._addresses()
        for _, sockaddr in addresses:  # all of them first: half a good name is a bad one
            check_address(self._target, ip_address(sockaddr[0]), self._allow)
        for family, sockaddr in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(min(self._remaining(), _ONE_ADDRESS_SECONDS))
                connection.connect(sockaddr)
                connection.settimeout(self._remaining())
            except OSError:
                connection.close()
                continue
            except OutboundError:
                connection.close()
                raise
            self._watch(connection)
            return connection
        raise OutboundError("it cannot be reached")

    def hang_up(self) -> None:
        """The call is over."""
        if self._end is not None:
            timer, connection = self._end
            timer.cancel()
            connection.close()

    def _addresses(self) -> list[Sockaddr]:
        """What the host resolves to, the root's dot aside. The resolver knows no deadline, hence the thread."""
        found: SimpleQueue[list[Sockaddr]] = SimpleQueue()

        def ask() -> None:
            try:
                answers = socket.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                answers = []
            found.put([(answer[0], answer[4]) for answer in answers])

        Thread(target=ask, daemon=True).start()
        try:
            addresses = found.get(timeout=self._remaining())
        except Empty:
            raise OutboundError(_TOO_LATE) from None
        if not addresses:
            raise OutboundError("its name cannot be resolved")
        return addresses

    def _remaining(self) -> float:
        """Seconds left. Raises: OutboundError when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OutboundError(_TOO_LATE)
        return left

    def _watch(self, connection: socket.socket) -> None:
        """End the connection at the deadline, however busy the other side keeps it: the timeout of a socket
        starts anew with each byte."""
        left = self._remaining()
        ours = connection.dup()  # so that TLS, which takes the socket over, is not touched
        timer = Timer(left, self._cut, (ours,))
        timer.daemon = True
        self._end = timer, ours
        timer.start()

    def _cut(self, connection: socket.socket) -> None:
        self.late = True
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, line: _Line, **more: Any) -> None:
        super().__init__(*args, **more)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.connect()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, line: _Line, **more: Any) -> None:
        super().__init__(*args, **more)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.connect()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Makes the connection of one call; everything else is as `requests` does it."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__(max_retries=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        parts = urlsplit(str(request.url))
        if parts.scheme != "https":
            return _PlainPool(str(parts.hostname), parts.port, line=self._line)
        return _TlsPool(str(parts.hostname), parts.port, ssl_context=_tls(), line=self._line)


def _tls() -> ssl.SSLContext:
    """Verification by the system's authorities, beside those that `requests` adds."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
