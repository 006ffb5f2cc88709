"""Calls to other systems, against real servers on loopback that behave and that do not.

Covers server/outbound_http.py: no address that may not be called is connected to, whatever the URL and the name
resolve to; TLS is verified for the name; size and time are limited; nothing of the environment leaks.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server import outbound_http
from server.outbound_http import Fetched, Networks, OutboundError, fetch, read_networks

LOOPBACK = read_networks(["127.0.0.1/32"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=5\r\n\r\nok"


class Peer:
    """A TCP server on loopback that tells what it got and answers by a function of the connection."""

    def __init__(
        self, answer: Callable[[socket.socket], object], context: ssl.SSLContext | None = None
    ) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self._answer, self._context = answer, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65_536)
                if not piece:
                    return
                head += piece
            self.received.append(head)
            self._answer(connection)
            connection.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """`peer(answer)`: answer is bytes, or a function of the connection."""
    made: list[Peer] = []

    def make(answer: bytes | Callable[[socket.socket], object] = OK, **more: Any) -> Peer:
        made.append(Peer((lambda c: c.sendall(answer)) if isinstance(answer, bytes) else answer, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def get(
    peer: Peer, *, host: str = "127.0.0.1", scheme: str = "http", path: str = "/jwks?a=b", **more: Any
) -> Fetched:
    return fetch(
        f"{scheme}://{host}:{peer.port}{path}", **{"allow": LOOPBACK, "accept": "application/json", **more}
    )


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A foreign name server: what it answers first, second, ...; the last one from then on."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        if not addresses:
            raise socket.gaierror
        return [
            (
                socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port) if ip_address(address).version == 4 else (address, port, 0, 0),
            )
            for address in addresses
        ]

    monkeypatch.setattr(outbound_http.socket, "getaddrinfo", getaddrinfo)
    return asked


class TestAnAnswer:
    def test_is_status_headers_and_body(self, peer: Any) -> None:
        server = peer()
        answer = get(server)
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.headers["cache-control"] == "max-age=5"
        head = server.received[0].decode().splitlines()
        assert head[0] == "GET /jwks?a=b HTTP/1.1"
        assert {"Accept: application/json", f"Host: 127.0.0.1:{server.port}", "Connection: close"} <= set(head)
        assert not [line for line in head if line.lower().startswith(("cookie", "authorization", "referer"))]

    def test_is_asked_for_by_a_form_where_data_are_given(self, peer: Any) -> None:
        def read_on(connection: socket.socket) -> None:
            connection.sendall(OK)

        server = peer(read_on)
        assert get(server, data={"grant_type": "x", "a b": "c&d"}).status == 200
        head = server.received[0]
        assert head.startswith(b"POST /jwks?a=b HTTP/1.1")
        assert b"Content-Type: application/x-www-form-urlencoded" in head

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_is_never_that_of_a_redirect(self, peer: Any, status: int) -> None:
        inner = peer()
        location = f"Location: http://127.0.0.1:{inner.port}/\r\n"
        outer = peer(f"HTTP/1.1 {status} Go\r\n{location}Content-Length: 0\r\n\r\n".encode())
        assert get(outer).status == status
        assert inner.connections == 0

    def test_of_a_length_that_is_not_reached_is_none(self, peer: Any) -> None:
        with pytest.raises(OutboundError):
            get(peer(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nshort"))

    @pytest.mark.parametrize(
        "answer", [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100]
    )
    def test_that_is_no_http_is_none(self, peer: Any, answer: bytes) -> None:
        with pytest.raises(OutboundError):
            get(peer(answer), seconds=2)


class TestWhereACallMayGo:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0",
            "[::ffff:127.0.0.1]",
        ],
    )
    def test_no_spelling_of_this_machine_is_connected_to(self, peer: Any, scheme: str, host: str) -> None:
        server = peer()
        with pytest.raises(OutboundError):
            get(server, host=host, scheme=scheme, allow=Networks())
        assert server.connections == 0

    def test_a_name_that_leads_inwards_is_not_followed(self, peer: Any, monkeypatch: Any) -> None:
        server = peer()
        resolving(monkeypatch, ["127.0.0.1"])
        with pytest.raises(OutboundError, match="BATON_OUTBOUND_ALLOW"):
            get(server, host="keys.example", scheme="https", allow=Networks())
        assert server.connections == 0

    @pytest.mark.parametrize("addresses", [["127.0.0.1", "10.0.0.7"], ["10.0.0.7", "127.0.0.1"]])
    def test_one_bad_address_among_good_ones_is_enough(
        self, peer: Any, monkeypatch: Any, addresses: list[str]
    ) -> None:
        server = peer()
        resolving(monkeypatch, addresses)
        with pytest.raises(OutboundError):
            get(server, host="keys.example")
        assert server.connections == 0

    def test_a_name_is_resolved_once_and_connected_to_as_it_was_judged(
        self, peer: Any, monkeypatch: Any
    ) -> None:
        server = peer()
        asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
        assert get(server, host="keys.example", seconds=3).body == b"ok"
        assert asked == ["keys.example"]
        assert f"Host: keys.example:{server.port}".encode() in server.received[0]

    def test_the_next_address_is_tried_where_one_does_not_answer(self, peer: Any, monkeypatch: Any) -> None:
        server = peer()
        resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        assert get(server, host="keys.example", allow=read_networks(["127.0.0.0/8"])).body == b"ok"

    def test_a_host_that_the_operator_names_is_called(self, peer: Any, monkeypatch: Any) -> None:
        server = peer()
        resolving(monkeypatch, ["127.0.0.1"])
        assert get(server, host="keys.internal", allow=read_networks(["keys.internal"])).body == b"ok"

    def test_a_name_nobody_knows_and_a_port_nobody_listens_on(self, peer: Any, monkeypatch: Any) -> None:
        with socket.socket() as deaf:  # keeps its port and listens to nobody
            deaf.bind(("127.0.0.1", 0))
            with pytest.raises(OutboundError):
                fetch(f"http://127.0.0.1:{deaf.getsockname()[1]}/", allow=LOOPBACK, accept="application/json")
        server = peer()
        resolving(monkeypatch, [])
        with pytest.raises(OutboundError, match="resolved"):
            get(server, host="keys.example")


class TestTheEnvironment:
    def test_proxies_and_netrc_are_not_asked(self, peer: Any, monkeypatch: Any, tmp_path: Path) -> None:
        proxy, server = peer(), peer()
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        assert get(server).body == b"ok"
        assert proxy.connections == 0
        assert b"Authorization" not in server.received[0]

    def test_cookies_do_not_come_back(self, peer: Any) -> None:
        server = peer(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
        get(server)
        get(server)
        assert b"Cookie" not in server.received[1]


class TestSize:
    def test_a_body_as_large_as_allowed_is_read(self, peer: Any) -> None:
        assert len(get(peer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345"), most=5).body) == 5

    @pytest.mark.parametrize("status", [200, 302, 401, 500])
    def test_an_endless_one_is_not_read_whatever_the_status(self, peer: Any, status: int) -> None:
        sent = [0]

        def forever(connection: socket.socket) -> None:
            connection.sendall(f"HTTP/1.1 {status} X\r\nLocation: /x\r\n\r\n".encode())
            while True:
                sent[0] += connection.send(b"x" * 65_536)

        with pytest.raises(OutboundError, match="large"):
            get(peer(forever), most=100_000)
        time.sleep(0.1)
        assert sent[0] < 20_000_000

    @pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
    def test_a_larger_one_is_not(self, peer: Any, head: bytes) -> None:
        body = b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n" if b"chunked" in head else b"x" * 100_000
        with pytest.raises(OutboundError, match="large"):
            get(peer(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body), most=1_000)

    def test_compressed_content_is_not_unpacked(self, peer: Any) -> None:
        with pytest.raises(OutboundError, match="compressed"):
            get(peer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"))

    @pytest.mark.parametrize(
        "head",
        [b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"],
    )
    def test_headers_have_limits_too(self, peer: Any, head: bytes) -> None:
        with pytest.raises(OutboundError):
            get(peer(b"HTTP/1.1 200 OK\r\n" + head))


def drip(connection: socket.socket, piece: bytes) -> None:
    for _ in range(200):
        connection.sendall(piece)
        time.sleep(0.05)


class TestTime:
    @contextmanager
    def limited(self, seconds: float = 0.5) -> Iterator[None]:
        began = time.monotonic()
        with pytest.raises(OutboundError, match="in time"):
            yield
        assert time.monotonic() - began < seconds + 1.5

    def test_a_server_that_says_nothing(self, peer: Any) -> None:
        with self.limited():
            get(peer(lambda _: time.sleep(5)), seconds=0.5)

    def test_a_server_that_speaks_its_headers_slowly(self, peer: Any) -> None:
        with self.limited():
            get(peer(lambda c: (c.sendall(b"HTTP/1.1 200 OK\r\nX: "), drip(c, b"y"))), seconds=0.5)

    def test_a_server_that_promises_for_ever_to_go_on(self, peer: Any) -> None:
        with self.limited():
            get(peer(lambda c: drip(c, b"HTTP/1.1 100 Continue\r\n\r\n")), seconds=0.5)

    @pytest.mark.parametrize("head", [b"", b"Content-Length: 100000\r\n", b"Transfer-Encoding: chunked\r\n"])
    def test_a_body_that_comes_byte_by_byte(self, peer: Any, head: bytes) -> None:
        piece = b"1\r\ny\r\n" if b"chunked" in head else b"y"
        with self.limited():
            get(
                peer(lambda c: (c.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n"), drip(c, piece))),
                seconds=0.5,
            )

    def test_a_name_server_that_does_not_answer(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(outbound_http.socket, "getaddrinfo", lambda *_, **__: time.sleep(3) or [])
        with self.limited():
            fetch("https://keys.example/", allow=LOOPBACK, accept="*/*", seconds=0.5)

    def test_a_handshake_that_never_ends(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, self.limited():
            fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", allow=LOOPBACK, accept="*/*", seconds=0.5)

    def test_no_watchman_stays_behind(self, peer: Any) -> None:
        server = peer()
        for _ in range(5):
            get(server, seconds=60)
        time.sleep(0.1)
        assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


# -- TLS


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


class TestTls:
    @pytest.fixture
    def secure(self, peer: Any, tmp_path: Path, monkeypatch: Any) -> Callable[..., Peer]:
        """`secure("keys.example")`: a server with a certificate of that name; it resolves to loopback."""

        def make(name: str, *, old: bool = False) -> Peer:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate(tmp_path, name))
            if old:
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            self.named: list[str | None] = []
            context.sni_callback = lambda _, sni, __: self.named.append(sni)
            return peer(context=context)

        resolving(monkeypatch, ["127.0.0.1"])
        return make

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
    def test_the_name_of_the_url_is_asked_for_and_verified(
        self, secure: Any, monkeypatch: Any, tmp_path: Path, variable: str
    ) -> None:
        server = secure("keys.example")
        monkeypatch.setenv(variable, str(tmp_path / "certificate.pem"))
        assert get(server, host="keys.example", scheme="https").body == b"ok"
        assert self.named == ["keys.example"]
        assert f"Host: keys.example:{server.port}".encode() in server.received[0]

    def test_another_name_is_refused(self, secure: Any, monkeypatch: Any, tmp_path: Path) -> None:
        server = secure("keys.example")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        with pytest.raises(OutboundError, match="TLS"):
            get(server, host="other.example", scheme="https")
        assert server.received == []

    def test_an_authority_that_nobody_trusts_is_refused(self, secure: Any) -> None:
        server = secure("keys.example")
        with pytest.raises(OutboundError, match="TLS"):
            get(server, host="keys.example", scheme="https")
        assert server.received == []

    def test_tls_older_than_1_2_is_refused(self, secure: Any, monkeypatch: Any, tmp_path: Path) -> None:
        server = secure("keys.example", old=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        with pytest.raises(OutboundError):
            get(server, host="keys.example", scheme="https")
        assert server.received == []


def test_no_error_repeats_the_address(peer: Any, monkeypatch: Any) -> None:
    resolving(monkeypatch, ["10.1.2.3"])
    for url in ("https://secret.example/token-1", "https://secret:token-1@x/", "ftp://secret.example/token-1"):
        with pytest.raises(OutboundError) as error:
            fetch(url, allow=Networks(), accept="*/*")
        assert "secret" not in str(error.value)
        assert "token-1" not in str(error.value)
        assert "10.1.2.3" not in str(error.value)
        assert error.value.__cause__ is None
