"""MLLP frames out of a stream of bytes, however the network cuts it (pure).

A frame is a start block (0x0B), the message, an end block (0x1C) and a carriage return. What senders get wrong
is taken as far as it is safe: an end block without its carriage return ends the message when a start block
follows or when nothing follows for a while (`settle`); bytes between frames are counted and passed over; a
start block inside of a message begins anew. Each byte is looked at once.
Source: HL7 Version 3 Standard: Transport Specification - MLLP, Release 2, section 2
"""

from __future__ import annotations

import re
from dataclasses import dataclass

START, END, RETURN = b"\x0b", b"\x1c", b"\r"
_START, _END, _RETURN = START[0], END[0], RETURN[0]
# Start blocks, or an end block that is one as far as can be seen: before anything else it is data.
_MARK = re.compile(rb"\x0b+|\x1c(?=[\r\x0b]|\Z)")
# Of a message that is too large, what names it: MSH with its control id.
HEAD_BYTES = 4096


def framed(message: bytes) -> bytes:
    """A message as it goes over the wire. It must not hold a start block or an end of frame itself."""
    return START + message + END + RETURN


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame held.

    flaw, warnings: as in `server.hl7v2.received.Received`. size: bytes of the whole message.
    """

    data: bytes
    flaw: str = ""
    size: int = 0
    warnings: tuple[str, ...] = ()


class Framer:
    """Takes the bytes of one connection. most: bytes that one message may have.

    noise: bytes that belonged to no message. restarts: messages that another one began within.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = bytearray()
        self._inside = False
        self._ending = False  # the last byte was an end block
        self._shed = ""  # why the rest of the message is passed over
        self._size = 0
        self._warnings: tuple[str, ...] = ()
        self.noise = 0
        self.restarts = 0

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._inside

    @property
    def ending(self) -> bool:
        """Whether the last byte was an end block, which a pause makes the end."""
        return self._ending

    @property
    def held(self) -> int:
        """Bytes kept in memory."""
        return len(self._buffer)

    @property
    def size(self) -> int:
        """Bytes of the current message so far, those that were passed over included."""
        return self._size

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within these bytes, in order."""
        found: list[Frame] = []
        at, length = 0, len(data)
        while at < length:
            if self._ending:
                at = self._after_end(data, at, found)
            elif not self._inside:
                start = data.find(START, at)
                self.noise += (length if start < 0 else start) - at
                if start < 0:
                    break
                self._begin()
                at = start + 1
            else:
                at = self._through(data, at, found)
        return found

    def settle(self) -> list[Frame]:
        """Nothing came for a while: an end block that waits for its carriage return is the end."""
        found: list[Frame] = []
        if self._ending:
            self._warnings += ("no-carriage-return",)
            self._finish(found)
        return found

    def end(self) -> list[Frame]:
        """Nothing more will come: what was begun is truncated."""
        found = self.settle()
        if self._inside:
            self._break_off(found)
        return found

    def shed(self) -> None:
        """Forget the current message but for its head, and pass over the rest of it."""
        if self._inside and not self._shed:
            self._shed = "busy"
            del self._buffer[HEAD_BYTES:]

    def _begin(self) -> None:
        self._inside, self._ending, self._shed, self._size, self._warnings = True, False, "", 0, ()

    def _through(self, data: bytes, at: int, found: list[Frame]) -> int:
        """Take bytes of the message up to the next one that means something; where to go on."""
        mark = _MARK.search(data, at)
        self._keep(data, at, mark.start() if mark else len(data))
        if mark is None:
            return len(data)
        if data[mark.start()] == _END:
            self._ending = True
        elif self._size:
            self.restarts += 1
            self._break_off(found)
            self._begin()
        return mark.end()

    def _after_end(self, data: bytes, at: int, found: list[Frame]) -> int:
        byte = data[at]
        if byte == _RETURN:
            self._finish(found)
            return at + 1
        if byte == _START:
            self._warnings += ("no-carriage-return",)
            self._finish(found)
            return at  # where the next one begins
        self._ending = False
        self._keep(END, 0, 1)  # it was data
        return at

    def _keep(self, data: bytes, start: int, stop: int) -> None:
        self._size += stop - start
        if not self._shed:
            self._buffer += data[start:stop]
            if self._size > self._most:
                self._shed = "too-large"
                del self._buffer[HEAD_BYTES:]

    def _finish(self, found: list[Frame]) -> None:
        if self._size:
            found.append(Frame(bytes(self._buffer), self._shed, self._size, self._warnings))
        self._reset()

    def _break_off(self, found: list[Frame]) -> None:
        """The message has no end. What does not even begin like one is noise."""
        if bytes(self._buffer[:64]).lstrip()[:3] in (b"MSH", b"FHS", b"BHS"):
            flaw = self._shed or "truncated"
            found.append(Frame(bytes(self._buffer), flaw, self._size, self._warnings))
        else:
            self.noise += self._size
        self._reset()

    def _reset(self) -> None:
        self._inside = self._ending = False
        self._shed, self._size = "", 0
        self._buffer = bytearray()
