"""The app's foreground processes and what is made before them; `baton` finds them by entry point.

All read the environment (BATON_*; BATON_DEMO=1 for the demonstration) and take no arguments.
"""

from __future__ import annotations

import os
import signal
from importlib.metadata import entry_points
from pathlib import Path
from threading import Event

from smart_app.settings import Settings, is_demo, read_settings


def _settings() -> Settings:
    return read_settings(os.environ, demo=is_demo(os.environ))


def prepare() -> None:
    """Make the app's key pairs and place the public ones for the server's operator."""
    from smart_app.keys import prepare_keys

    prepare_keys(Path(os.environ.get("BATON_HOME") or "var").resolve())


def _make_tables(settings: Settings) -> None:
    """Bring the sessions' tables to this release, or end with plain words where that cannot be."""
    from smart_app.session_store import NewerDatabase, SessionsUnavailable, open_session_store

    try:
        open_session_store(settings).close()
    except (NewerDatabase, SessionsUnavailable) as fault:
        raise SystemExit(f"The app cannot start: {fault}.") from None


def app() -> None:
    """Serve the SMART app until SIGTERM."""
    from smart_app.logs import configure_logging
    from terminology.rxnorm import open_rxnorm

    settings = _settings()
    configure_logging(settings.log_level)
    prepare()
    _make_tables(settings)
    open_rxnorm(settings.home / "terminology")  # built here once, before anyone waits for it
    serve = entry_points(group="baton.http")["serve"].load()
    serve(
        "smart_app.wsgi:front",
        host=settings.host,
        port=settings.port,
        workers=1,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
    )


def app_worker() -> None:
    """Look for discharges, and end old sessions, until SIGTERM."""
    from smart_app.joining import join_worker
    from smart_app.logs import configure_logging
    from smart_app.worker import run

    settings = _settings()
    configure_logging(settings.log_level)
    prepare()
    _make_tables(settings)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    look, purge = join_worker(settings)
    run(look, purge, stop)
