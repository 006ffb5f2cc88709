"""One part as a process of its own, and what can be said to it over a socket.

Source: RFC 9112 (HTTP/1.1 message syntax)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOWEST = 2.0


@dataclass
class Running:
    """A part with one worker process. ask: the path of something ordinary, with these headers."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    ask: str
    headers: tuple[str, ...] = ()

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

    def head(self, line: str, *headers: str, own: bool = True) -> bytes:
        """The head of a request with the headers that every honest one has. own: with those of `headers`."""
        given = [line, f"Host: 127.0.0.1:{self.port}", "Connection: close", *(self.headers if own else ())]
        return "\r\n".join((*given, *headers, "", "")).encode("latin-1")

    def ordinary(self) -> float:
        """Ask something ordinary; the seconds it took."""
        started = time.perf_counter()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.ask}",
            headers=dict(header.split(": ", 1) for header in self.headers),
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


def slowest() -> float:
    """How many seconds an answer may take: two, and more on a machine that has more to do than it has cores."""
    return SLOWEST * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def part(
    name: str, port: int, environment: Mapping[str, str], log: Path, ask: str, headers: tuple[str, ...] = ()
) -> Iterator[Running]:
    """`baton serve NAME`, from its first ordinary answer on; stopped at the end."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("BATON_")}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", name, "--prepared"],
            cwd=ROOT,
            env=clean | environment,
            stdout=stream,
            stderr=stream,
        )
    found = Running(port, process, log, ask, headers)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                found.ordinary()
                break
            assert process.poll() is None, log.read_text()
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


def nonsense(running: Running, path: str) -> list[bytes]:
    """Requests of a path that are none, or nearly."""
    host = f"Host: 127.0.0.1:{running.port}".encode()
    target = path.encode()
    get = b"GET " + target + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n"
    post = b"POST " + target + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n"
    return [
        b"\r\n" * 900,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 99,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + target + b" HTTP/1.0\r\n\r\n",
        b"GET " + target + b"\r\n\r\n",
        b"GET http://other.example" + target + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET http://u:p@other.example:99999/ HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"TRACE " + target + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"get " + target + b" HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
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
        b"GET "
        + target
        + b"/%2e%2e/%00/%ff%c0%af?a=%FF HTTP/1.1\r\n"
        + host
        + b"\r\nConnection: close\r\n\r\n",
        b"GET /" + target + b";a/../../etc HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
        b"GET " + target + b"?a=\xe9\x00 HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n",
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
