"""The part `mllp`: the HL7 v2 listener and the drop folder, joined from the settings of this process."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import UTC, datetime

from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.folder import Folder
from server.hl7v2.intake import Intake
from server.hl7v2.received import Receipt, Received
from server.hl7v2.sources import Sources
from server.logs import Log, describe
from server.mllp.counts import Counts
from server.mllp.limits import Limits
from server.mllp.listener import Listener, why_not
from server.mllp.return_address import Returns
from server.mllp.tls import Certificates
from server.process import open_connections
from server.settings import Settings
from server.storage import open_store

_LOOK_SECONDS = 1.0
_COUNTS_SECONDS = 5.0


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class ListeningError(Exception):
    """The listener cannot start; the text says what to do."""


def run(settings: Settings, log: Log) -> None:
    """Receive messages until SIGTERM or SIGINT. Raises: ListeningError."""
    open_connections()
    asyncio.run(_run(settings, log))


async def _run(settings: Settings, log: Log) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = open_store(settings.database_url)
    sources = Sources(store.hl7v2_sources, lambda: microseconds(now()))
    intake = Intake(store.hl7v2_log, sources, now, settings.time_zone, log)
    listener = Listener(
        intake,
        store.hl7v2_log,
        sources,
        now,
        log,
        settings.mllp_allow,
        Limits(**settings.mllp_limits),
        _certificates(settings),
    )
    await listener.start()
    returns = Returns(
        store.hl7v2_log,
        store.hl7v2_sources,
        intake,
        now,
        settings.outbound_allow,
        lambda: listener.awaited,
        listener.ask,
        log,
    )
    beside = [
        asyncio.create_task(returns.run()),
        asyncio.create_task(_count(listener.counts, settings)),
    ]
    try:
        await _open(listener, settings)
        if settings.hl7v2_folder is not None:
            beside.append(asyncio.create_task(_look(settings, listener, log)))
        await stop.wait()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await listener.stop()
        Counts.withdraw(settings.home)
        store.close()


def _certificates(settings: Settings) -> Certificates | None:
    if not settings.port_mllps:
        return None
    try:
        return Certificates(settings.mllp_tls_cert, settings.mllp_tls_key, settings.mllp_client_ca)
    except (OSError, ValueError):  # they could be used when the deployment was prepared
        raise ListeningError("the files of BATON_MLLP_TLS_CERT and BATON_MLLP_TLS_KEY cannot be used") from None


async def _open(listener: Listener, settings: Settings) -> None:
    ports = (("BATON_PORT_MLLP", settings.port_mllp, False), ("BATON_PORT_MLLPS", settings.port_mllps, True))
    for name, port, tls in ports:
        if not port:
            continue
        try:
            await listener.listen(settings.host_mllp, port, tls=tls)
        except OSError as error:
            raise ListeningError(f"{settings.host_mllp}:{port} ({name}): {why_not(error)}") from None


async def _count(counts: Counts, settings: Settings) -> None:
    while True:
        with suppress(OSError):  # a full disk: the numbers are missing, messages are what counts
            await asyncio.to_thread(counts.write, settings.home)
        await asyncio.sleep(_COUNTS_SECONDS)


async def _look(settings: Settings, listener: Listener, log: Log) -> None:
    """Look into the drop folder again and again. Its messages are stored with those of the connections."""
    assert settings.hl7v2_folder is not None
    loop = asyncio.get_running_loop()

    def take(received: list[Received]) -> list[Receipt]:
        return [asyncio.run_coroutine_threadsafe(_taken(listener, one), loop).result() for one in received]

    folder = Folder(settings.hl7v2_folder, take, listener.limits.message_bytes)
    await _until_it_works(folder.prepare, log)
    while True:
        await _until_it_works(folder.look, log)
        await asyncio.sleep(_LOOK_SECONDS)


async def _taken(listener: Listener, one: Received) -> Receipt:
    receipt = await listener.store(one)
    listener.counts.messages[receipt.outcome] += receipt.messages
    return receipt


async def _until_it_works(work: Callable[[], object], log: Log) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
            return
        except (OSError, FhirError, CancelledError) as error:
            log("ERROR", "hl7v2-folder", **describe(error))
            await asyncio.sleep(30 * _LOOK_SECONDS)


def main(settings: Settings, log: Log) -> None:
    """`run`, and plain words with status 1 where it cannot start."""
    try:
        run(settings, log)
    except ListeningError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
