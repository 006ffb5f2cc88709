"""Application acknowledgements whose connection is gone, to the return address of their source.

Enhanced mode promises an answer after the message has been processed. Where the sender has hung up by then, it
is sent to the address that the source's settings name, if it is one that BATON_OUTBOUND_ALLOW opens; without an
address nothing more is owed.
Source: HL7 v2.5.1, 2.9.3.3
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any

from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.intake import Intake
from server.hl7v2.modes import is_due, word_of
from server.hl7v2.sources import known_source
from server.logs import Log
from server.mllp.framing import framed
from server.outbound_networks import Networks, OutboundError, Target, check_address
from server.storage.hl7v2_log import Hl7v2Log, Owed
from server.storage.hl7v2_sources import Hl7v2Sources, SourceRow

_PAUSE = 2.0
_LEFT_ALONE = timedelta(seconds=10)  # whoever received the message may still be at it
_GIVEN_UP = timedelta(hours=24)
_PAGE = 100
_SECONDS = 10.0  # for one delivery

Awaited = Callable[[], frozenset[int]]
# A function that asks the database, and its arguments -> what it returns.
Ask = Callable[..., Awaitable[Any]]


class Returns:
    """Delivers what is owed. awaited: messages that an open connection answers itself. ask: `Listener.ask`."""

    def __init__(
        self,
        messages: Hl7v2Log,
        sources: Hl7v2Sources,
        intake: Intake,
        clock: Callable[[], datetime],
        allow: Networks,
        awaited: Awaited,
        ask: Ask,
        log: Log,
    ) -> None:
        self._messages = messages
        self._sources = sources
        self._intake = intake
        self._clock = clock
        self._allow = allow
        self._awaited = awaited
        self._ask = ask
        self._log = log

    async def run(self) -> None:
        """Deliver again and again, until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(FhirError):
                await self.deliver()

    async def deliver(self) -> None:
        """One round: each acknowledgement that is due is sent, or tried again in the next round."""
        now, after = self._clock(), 0
        before = microseconds(now - _LEFT_ALONE)
        unreachable: set[str] = set()
        while owed := await self._ask(partial(self._messages.owed, before=before, after=after, limit=_PAGE)):
            after = owed[-1].id
            done = []
            for one in owed:
                if one.id not in self._awaited():
                    code = await self._deliver(one, now, unreachable)
                    if code is not None:
                        done.append((one.id, code))
            if done:
                await self._ask(self._messages.answered, done)

    async def _deliver(self, one: Owed, now: datetime, unreachable: set[str]) -> str | None:
        """The code that was sent, "" where none is due or nobody is there to take it, None to try again."""
        word = word_of(one.outcome.state)
        if not is_due(one.condition, word):
            return ""
        row: SourceRow | None = await self._ask(self._sources.get, one.source)
        address = known_source(row).settings.return_address if row else ""
        if not address or one.received < microseconds(now - _GIVEN_UP):
            return ""
        if address in unreachable:
            return None
        code = "A" + word
        message = self._intake.later(one.raw, code, "" if code == "AA" else one.outcome.error, now)
        try:
            async with asyncio.timeout(_SECONDS):
                await self._send(address, message)
        except (OSError, TimeoutError, OutboundError) as error:
            unreachable.add(address)
            self._log("WARNING", "hl7v2-acknowledgement-not-delivered", error=type(error).__name__)
            return None
        return code

    async def _send(self, address: str, message: bytes) -> None:
        host, _, port = address.rpartition(":")
        target = Target("mllp", host.strip("[]").lower(), int(port))
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        for *_, sockaddr in found:
            check_address(target, ip_address(str(sockaddr[0]).partition("%")[0]), self._allow)
        reader, writer = await asyncio.open_connection(str(found[0][4][0]), target.port)
        try:
            writer.write(framed(message))
            await writer.drain()
            writer.write_eof()
            while await reader.read(4096):  # what it says to that is of no consequence
                pass
        finally:
            writer.close()
