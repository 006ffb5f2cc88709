"""A sender of synthetic HL7 v2 messages over MLLP, byte by byte as a test wants it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field

START, END = b"\x0b", b"\x1c\r"


def admit(
    control_id: str = "m1",
    mrn: str = "4711",
    *,
    trigger: str = "A01",
    application: str = "ADT1",
    facility: str = "NORTH",
    accept: str = "",
    applies: str = "",
    version: str = "2.5.1",
    family: str = "Amber",
    more: str = "",
) -> bytes:
    """A synthetic ADT message. accept, applies: MSH-15 and MSH-16. more: further segments, each with its CR."""
    return (
        f"MSH|^~\\&|{application}|{facility}|BATON|HOME|20260102030405||ADT^{trigger}|{control_id}|P|{version}"
        f"|||{accept}|{applies}\r"
        "EVN||20260102030405\r"
        f"PID|1||{mrn}^^^NORTH^MR||{family}^Test||19700101|F\r"
        "PV1|1|I|2000^2012^01||||||||||||||||V1^^^NORTH\r"
        f"{more}"
    ).encode()


def framed(message: bytes) -> bytes:
    return START + message + END


def fields(message: bytes, segment: str) -> list[str]:
    """The fields of the first segment of that name, its name the first."""
    for line in message.decode("utf-8").split("\r"):
        if line.startswith(segment):
            return line.split("|")
    raise AssertionError(f"no {segment} in {message!r}")


@dataclass
class Sender:
    """A connection to a listener on loopback."""

    port: int
    context: ssl.SSLContext | None = None
    timeout: float = 10.0
    socket: socket.socket = field(init=False)
    _read: bytes = b""

    def __post_init__(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.context.wrap_socket(plain, server_hostname="127.0.0.1") if self.context else plain

    def raw(self, *pieces: bytes, pause: float = 0.0) -> Sender:
        """Send bytes, each piece by itself."""
        for piece in pieces:
            self.socket.sendall(piece)
            if pause:
                time.sleep(pause)
        return self

    def send(self, *messages: bytes) -> Sender:
        """Send messages by one write."""
        return self.raw(b"".join(map(framed, messages)))

    def answer(self, seconds: float | None = None) -> bytes:
        """The next message from the other side, without its frame. Raises: TimeoutError, EOFError."""
        self.socket.settimeout(seconds or self.timeout)
        while END not in self._read:
            got = self.socket.recv(65_536)
            if not got:
                raise EOFError(self._read)
            self._read += got
        frame, _, self._read = self._read.partition(END)
        assert frame.startswith(START), frame
        return frame[1:]

    def msa(self, seconds: float | None = None) -> tuple[str, str]:
        """MSA-1 and MSA-2 of the next answer."""
        found = fields(self.answer(seconds), "MSA")
        return found[1], found[2] if len(found) > 2 else ""

    def is_silent(self, seconds: float = 0.5) -> bool:
        """Whether nothing comes for a while, and the connection stands."""
        try:
            self.answer(seconds)
        except TimeoutError:
            return True
        except EOFError:
            return False
        return False

    def is_closed(self, seconds: float = 10.0) -> bool:
        """Whether the other side ends the connection."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(ConnectionError):
            try:
                while self.socket.recv(65_536):
                    pass
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
