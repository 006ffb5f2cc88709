"""The MLLP listener: accepts connections, joins them to the intake, and ends in good order.

One event loop; the database is asked from threads. What is under way when it is told to stop is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, TypeVar

from server.errors import FhirError
from server.hl7v2.intake import Intake
from server.hl7v2.received import Origin, Receipt, Received
from server.hl7v2.sources import UNKNOWN, Sources
from server.logs import Log, describe
from server.mllp.commits import Commits
from server.mllp.connection import Connection
from server.mllp.counts import Counts
from server.mllp.limits import Limits
from server.mllp.outcomes import Outcomes
from server.mllp.tls import Certificates, names_of
from server.storage.hl7v2_log import Hl7v2Log, Outcome

Answer = TypeVar("Answer")
Networks = tuple[IPv4Network | IPv6Network, ...]
_BACKLOG = 1_024
_SENDING_BYTES = 65_536  # that the kernel keeps of answers which a sender does not take
_RELOAD_SECONDS = 5.0
_PROBES, _PROBE_SECONDS = 4, 30  # of TCP keepalive, once it has begun


@dataclass(slots=True)
class Listener:
    """A listener. networks: from where one may connect at all. certificates: of the TLS port, None for none."""

    intake: Intake
    messages: Hl7v2Log
    sources: Sources
    clock: Callable[[], datetime]
    log: Log
    networks: Networks
    limits: Limits = field(default_factory=Limits)
    certificates: Certificates | None = None
    counts: Counts = field(default_factory=Counts)
    held: int = 0
    _commits: Commits = field(init=False)
    _outcomes: Outcomes = field(init=False)
    _connections: dict[Connection, asyncio.Task[object]] = field(default_factory=dict)
    _of_source: Counter[str] = field(default_factory=Counter)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _answered: list[tuple[int, str]] = field(default_factory=list)
    _asking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "hl7v2-asking"))

    def __post_init__(self) -> None:
        self._commits = Commits(self._take, self.limits.window_milliseconds / 1000)
        self._outcomes = Outcomes(lambda ids: self.ask(self.messages.outcomes, ids))

    # -- beginning and end

    async def start(self) -> None:
        """Begin to store; ports are opened with `listen`."""
        self._tasks = [
            asyncio.create_task(self._commits.run()),
            asyncio.create_task(self._outcomes.run()),
            asyncio.create_task(self._note_answers()),
        ]
        if self.certificates is not None:
            self._tasks.append(asyncio.create_task(self._reload()))

    async def listen(self, host: str, port: int, *, tls: bool = False) -> int:
        """Open a port; its number. Raises: OSError where that cannot be."""
        context = self.certificates.context if tls and self.certificates else None
        server = await asyncio.start_server(
            self._accepted,
            host,
            port,
            ssl=context,
            backlog=_BACKLOG,
            reuse_address=True,
            ssl_handshake_timeout=float(self.limits.handshake_seconds) if context else None,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Accept nothing more, answer what was read, end within `shutdown_seconds`."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=self.limits.shutdown_seconds)
        for task in (*self._tasks, *self._connections.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._connections.values(), return_exceptions=True)
        self._commits.close()
        await self._write_answers()
        self._asking.shutdown()

    # -- connections

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal = self._refusal(writer)
        if refusal:
            self.counts.refused[refusal] += 1
            writer.transport.abort()
            return
        self._adjust(writer)
        connection = Connection(self, reader, writer, self._origin(writer))
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        self.counts.accepted += 1
        self.counts.connections += 1
        try:
            await connection.run()
        except Exception as error:
            self.log("ERROR", "mllp-connection", **describe(error))
        finally:
            del self._connections[connection]
            self.counts.connections -= 1
            if connection.source:
                self._of_source[connection.source] -= 1

    def _refusal(self, writer: asyncio.StreamWriter) -> str:
        if len(self._connections) >= self.limits.connections:
            return "full"
        try:
            address = ip_address(_peer(writer).partition("%")[0])
        except ValueError:
            return "network"
        address = getattr(address, "ipv4_mapped", None) or address
        return "" if any(address in network for network in self.networks) else "network"

    @staticmethod
    def _origin(writer: asyncio.StreamWriter) -> Origin:
        certificate = writer.get_extra_info("peercert")
        return Origin("mllp", _peer(writer), names_of(certificate), waits=True)

    def _adjust(self, writer: asyncio.StreamWriter) -> None:
        plain: socket.socket | None = writer.get_extra_info("socket")
        if plain is None:
            return
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENDING_BYTES)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.limits.keepalive_seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)

    # -- what connections ask (`connection.House`)

    def store(self, received: Received) -> Awaitable[Receipt]:
        """The receipt of a message, once it is durable."""
        return self._commits.put(received)

    async def processed(self, id: int) -> Outcome:
        """What has become of a message, once that is final."""
        return await self._outcomes.of(id)

    async def later(self, id: int, outcome: Outcome, code: str) -> bytes:
        """The application acknowledgement of a message."""

        def make() -> bytes:
            error = "" if code == "AA" else outcome.error
            return self.intake.later(self.messages.raw(id), code, error, self.clock())

        return await self.ask(make)

    def answered(self, id: int, code: str) -> None:
        """Note that an application acknowledgement was sent, or ("") that none is due."""
        self._answered.append((id, code))

    def lingers(self, source: str) -> bool:
        """Whether a sender that sends no more is answered later on the same connection: where it has named a
        return address, what is written to one that has gone would be lost."""
        known = self.sources.named(source)
        return known is None or not known.settings.return_address

    def joins(self, connection: Connection, source: str) -> bool:
        """Count a connection as one of this source; False where it has too many."""
        self._of_source[source] += 1
        known = self.sources.named(source)
        return known is None or source == UNKNOWN or self._of_source[source] <= known.settings.connections

    @property
    def awaited(self) -> frozenset[int]:
        """Messages whose application acknowledgement goes out on an open connection."""
        return frozenset(self._outcomes.ids)

    async def ask(self, question: Callable[..., Answer], *arguments: Any) -> Answer:
        """What a function that asks the database returns. One thread does so for all: each has connections of
        its own, with their memory."""
        return await asyncio.get_running_loop().run_in_executor(self._asking, question, *arguments)

    # -- beside

    def _take(self, received: Sequence[Received]) -> list[Receipt]:
        self.counts.commits += 1
        return self.intake.take(received)

    async def _note_answers(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            await self._write_answers()

    async def _write_answers(self) -> None:
        if not self._answered:
            return
        noted, self._answered = self._answered, []
        try:
            await self.ask(self.messages.answered, noted)
        except FhirError:
            self._answered = [*noted, *self._answered]

    async def _reload(self) -> None:
        assert self.certificates is not None
        while True:
            await asyncio.sleep(_RELOAD_SECONDS)
            try:
                if self.certificates.reload():
                    self.log("INFO", "mllp-certificate-loaded")
            except (OSError, ValueError) as error:
                self.log("ERROR", "mllp-certificate-unusable", **describe(error))


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return str(name[0]) if name else ""


def why_not(error: OSError) -> str:
    """In words, why a port cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return "somebody else listens there"
    return error.strerror or "it cannot be opened"
