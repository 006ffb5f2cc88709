"""One sender's connection: frames in, acknowledgements out in the same order, at the pace of the slower side.

One task reads and hands messages on to be stored, another one answers. Between them are at most `pipelined`
messages; beyond that nothing more is read, and TCP makes the sender wait. An application acknowledgement goes
out when its message has been processed, between two others.
Sources: HL7 MLLP Release 2 section 2.3; HL7 v2.5.1, 2.9.3
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from server.hl7v2.modes import is_due, word_of
from server.hl7v2.received import Origin, Receipt, Received
from server.mllp.counts import Counts
from server.mllp.framing import Frame, Framer, framed
from server.mllp.limits import Limits
from server.storage.hl7v2_log import Outcome

_READ_BYTES = 65_536
_DRAINED = 4  # times the limit of a message: so much of one that is too large is read for its end
_RESTARTS_MAXIMUM = 100  # messages without an end
_LATER_MAXIMUM = 1_000  # application acknowledgements that a connection waits for; more are owed in the log


class House(Protocol):
    """What a connection needs of the listener around it."""

    limits: Limits
    counts: Counts
    held: int  # bytes of messages that are being received, of all connections

    def store(self, received: Received) -> Awaitable[Receipt]:
        """The receipt of a message, once it is durable."""

    async def processed(self, id: int) -> Outcome:
        """What has become of a message, once that is final."""

    async def later(self, id: int, outcome: Outcome, code: str) -> bytes:
        """The application acknowledgement of a message."""

    def answered(self, id: int, code: str) -> None:
        """Note that it was sent, or ("") that none is due."""

    def lingers(self, source: str) -> bool:
        """Whether a sender that sends no more is answered later on the same connection."""

    def joins(self, connection: Connection, source: str) -> bool:
        """The connection turned out to be of this source; False where it has too many."""


class _Closed(Exception):
    """The connection is to be ended; the text is the reason, for the counts."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that waits for its turn to be answered. at: when its last byte came, in seconds."""

    receipt: Awaitable[Receipt]
    at: float


class Connection:
    """A sender that is connected. origin: who it is."""

    def __init__(
        self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: Origin
    ) -> None:
        self._house = house
        self._reader = reader
        self._writer = writer
        self._origin = origin
        self._framer = Framer(house.limits.message_bytes)
        self._held = 0
        self._began = 0.0  # when the message began that is being received, by the loop's clock
        self._sent: asyncio.Queue[_Sent | None] = asyncio.Queue(house.limits.pipelined)
        self._later: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.source = ""

    async def run(self) -> None:
        """Serve the sender until it goes, or until `stop`. Raises nothing but cancellation."""
        answering = asyncio.create_task(self._answer_all())
        reading = asyncio.create_task(self._read_all())
        stopping = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[Any]] = [answering, reading, stopping]
        try:
            await asyncio.wait((reading, answering, stopping), return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            await asyncio.wait((reading,))
            if not answering.done():
                ending = asyncio.create_task(self._sent.put(None))
                tasks.append(ending)
                await asyncio.wait((answering,))
            if self._later and not self._stopping.is_set() and self._house.lingers(self.source):
                await asyncio.wait(self._later, timeout=self._house.limits.linger_seconds)
        finally:
            tasks.extend(self._later)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._hold(0)
            await self._close()

    def stop(self) -> None:
        """Read no more, answer what was read, and end."""
        self._stopping.set()

    # -- reading

    async def _read_all(self) -> None:
        framer, most = self._framer, self._house.limits.message_bytes
        try:
            while data := await self._read():
                fresh = not framer.inside
                frames = framer.feed(data)
                if fresh or frames:
                    self._began = asyncio.get_running_loop().time()
                self._count(data)
                self._hold(framer.held)
                for frame in frames:
                    await self._take(frame)
                if framer.size > _DRAINED * most:
                    await self._give_up("too-large")
                if framer.restarts > _RESTARTS_MAXIMUM:
                    await self._give_up("restarts")
            for frame in framer.end():
                await self._take(frame)
        except _Closed as closed:
            self._house.counts.closed[str(closed)] += 1

    async def _read(self) -> bytes:
        """The next bytes, b"" at the end. Raises: _Closed for a message that does not come on."""
        while True:
            try:
                async with asyncio.timeout(self._patience()):
                    return await self._reader.read(_READ_BYTES)
            except TimeoutError:
                if not self._framer.ending:
                    await self._give_up("too-slow")
                for frame in self._framer.settle():
                    await self._take(frame)
            except OSError:  # the connection was reset
                return b""

    def _patience(self) -> float | None:
        """Seconds to wait for the next byte; None for as long as it takes."""
        limits, framer = self._house.limits, self._framer
        if framer.ending:
            return limits.settle_seconds
        if not framer.inside:
            return None
        ends = self._began + limits.grace_seconds + framer.size / limits.bytes_per_second
        return min(limits.idle_seconds, max(0.0, ends - asyncio.get_running_loop().time()))

    async def _give_up(self, reason: str) -> NoReturn:
        for frame in self._framer.end():
            await self._take(frame)
        raise _Closed(reason)

    def _count(self, data: bytes) -> None:
        counts, framer = self._house.counts, self._framer
        counts.received_bytes += len(data)
        counts.noise_bytes += framer.noise
        framer.noise = 0

    def _hold(self, size: int) -> None:
        """Note how much of a message is in memory; where all connections hold too much, pass it over."""
        self._house.held += size - self._held
        self._held = size
        if size and self._house.held > self._house.limits.held_bytes:
            self._framer.shed()
            self._house.held += self._framer.held - self._held
            self._held = self._framer.held

    async def _take(self, frame: Frame) -> None:
        receipt = self._house.store(Received(frame.data, self._origin, frame.flaw, frame.warnings))
        await self._sent.put(_Sent(receipt, time.monotonic()))

    # -- answering

    async def _answer_all(self) -> None:
        try:
            while (sent := await self._sent.get()) is not None:
                receipt = await sent.receipt
                self._house.counts.messages[receipt.outcome] += receipt.messages
                await self._answer(receipt)
                self._house.counts.answered(time.monotonic() - sent.at)
                if receipt.source and not self.source:
                    self.source = receipt.source
                    if not self._house.joins(self, receipt.source):
                        raise _Closed("source-full")
        except _Closed as closed:
            self._house.counts.closed[str(closed)] += 1
        except Exception as error:  # that of a commit: unanswered, so that the sender sends it again
            self._house.counts.closed[type(error).__name__] += 1

    async def _answer(self, receipt: Receipt) -> None:
        if receipt.waits:
            await self._send(await self._waited(receipt.ids[0]))
            return
        for answer in receipt.answers:
            await self._send(answer)
        for id, condition in receipt.later[: _LATER_MAXIMUM - len(self._later)]:
            task = asyncio.create_task(self._answer_later(id, condition))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _waited(self, id: int) -> bytes:
        """The one answer of original mode after the message was processed; AR where that takes too long."""
        processed = asyncio.ensure_future(self._house.processed(id))
        stopping = asyncio.ensure_future(self._stopping.wait())
        seconds = self._house.limits.processed_seconds
        try:
            await asyncio.wait((processed, stopping), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not processed.done():
                if stopping.done():
                    raise _Closed("stopping")  # unanswered: the sender asks again, and is answered then
                late = Outcome("received", "207 It is still being processed.")
                return await self._house.later(id, late, "AR")
            outcome = processed.result()
        finally:
            processed.cancel()
            stopping.cancel()
        code = "A" + word_of(outcome.state)
        self._house.answered(id, code)
        return await self._house.later(id, outcome, code)

    async def _answer_later(self, id: int, condition: str) -> None:
        outcome = await self._house.processed(id)
        word = word_of(outcome.state)
        if not is_due(condition, word):
            self._house.answered(id, "")
            return
        with contextlib.suppress(_Closed):
            await self._send(await self._house.later(id, outcome, "A" + word))
            self._house.answered(id, "A" + word)

    async def _send(self, message: bytes) -> None:
        """Write one frame. Raises: _Closed where the sender does not take it, or has gone."""
        self._writer.write(framed(message))
        try:
            async with asyncio.timeout(self._house.limits.write_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise _Closed("takes-no-answers") from None
        except OSError:
            raise _Closed("reset") from None

    async def _close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        self._writer.transport.abort()
