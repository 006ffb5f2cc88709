"""The parts of the server as foreground processes (entry points `baton.parts`). Settings are read here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Event

from server.settings import Settings, read_settings


def _settings() -> Settings:
    return read_settings(os.environ)


def web() -> None:
    """FHIR API, authorization server, console, and in demo mode the demo EHR: granian, one thread a worker."""
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.log import LogLevels
    from granian.server import Server

    settings = _settings()
    Server(
        "server.wsgi:web",
        factory=True,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        address=settings.host,
        port=settings.port_web,
        workers=settings.workers,
        blocking_threads=1,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        ssl_protocol_min=SSLProtocols.tls12,
        ssl_cert=_path(settings.tls_cert),
        ssl_key=_path(settings.tls_key),
    ).serve()


def worker() -> None:
    """Housekeeping beside the requests: audit segments, outbox, checkpoints."""
    from server.app import now
    from server.logs import Log, configure_logging, describe
    from server.storage import open_store
    from server.workers.housekeeping import run, tasks

    settings = _settings()
    log = Log(settings.log_level)
    configure_logging(log)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(settings.database_url)
    run(
        tasks(store, settings.home, now, consumers=()),
        stop,
        lambda name, error: log("ERROR", "task-failed", task=name, **describe(error)),
    )
    store.close()


def _path(text: str) -> Path | None:
    return Path(text) if text else None
