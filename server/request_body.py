"""Receive the body of an RSGI request: whole or not at all, within a size, a pace and the memory of a process.

Nothing here blocks: a client that sends a byte a second holds no other one up, and is sent away in time.
Sources: granian's RSGI specification (github.com/emmett-framework/granian), RFC 9112 section 7.1 (chunked)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class BodyProtocol(Protocol):
    """The part of granian's HTTP protocol that gives the body."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a body may take: `grace` seconds, and a second more for every `bytes_per_second` received."""

    grace: float = 20.0
    bytes_per_second: int = 20_000


class NotReceived(Exception):
    """There is no whole body; `kind` is the error that answers it (a key of `errors.KINDS`)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class BodyReader:
    """Reads the bodies of one process; together they hold `most_held` bytes at any moment."""

    def __init__(self, most_held: int = 96_000_000, pace: Pace = Pace()) -> None:
        self.held = 0
        self._most_held = most_held
        self._pace = pace

    def reserve(self, size: int) -> None:
        """Count bytes as held. Raises: NotReceived throttled when too many are held already."""
        if self.held + size > self._most_held:
            raise NotReceived("throttled", "too many large requests are being received; try again shortly")
        self.held += size

    def release(self, size: int) -> None:
        """The bytes are held no longer."""
        self.held -= size

    async def read(self, protocol: BodyProtocol, length: int | None, most: int) -> bytes:
        """The body. length: of Content-Length, None for a chunked body. most: bytes that are accepted.

        Its bytes stay counted until `release(len(body))`.
        Raises: NotReceived too-large, request-timeout, throttled, or invalid-request for one that broke off.
        """
        chunks: list[bytes] = []
        received = reserved = 0
        ended = False
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            if length is not None:
                self.reserve(length)
                reserved = length
            async with asyncio.timeout_at(started + self._pace.grace) as patience:
                async for chunk in protocol:
                    # granian gives one empty chunk at the end of a whole body, and one more before it where the
                    # body broke off or was not coded as it should be.
                    if ended:
                        raise NotReceived("invalid-request", "the body ended before it was complete")
                    ended = not chunk
                    received += len(chunk)
                    if received > most:
                        raise NotReceived("too-large", f"the body may have {most} bytes at most")
                    if received > reserved:
                        self.reserve(received - reserved)
                        reserved = received
                    chunks.append(chunk)
                    patience.reschedule(started + self._pace.grace + received / self._pace.bytes_per_second)
            if length is not None and received != length:
                raise NotReceived("invalid-request", "the body ended before its Content-Length")
        except BaseException as error:
            self.release(reserved)
            if isinstance(error, TimeoutError):
                raise NotReceived("request-timeout", "the body came too slowly") from None
            raise
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
