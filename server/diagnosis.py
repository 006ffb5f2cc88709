"""`baton doctor`: what it looks at, and what to do about each finding."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from server.settings import Settings
from server.storage import DatabaseUrlError, open_store

Finding = dict[str, str]

# SQLite releases before this one can corrupt a database when a checkpoint meets a log reset
# (sqlite.org/wal.html#walresetbug); Baton's own lock keeps the two apart.
WAL_RESET_FIXED = (3, 51, 3)
FREE_BYTES_WANTED = 1_000_000_000
EARLIEST_PLAUSIBLE = datetime(2026, 1, 1, tzinfo=UTC)


def diagnose(settings: Settings) -> list[Finding]:
    """Findings as {check, level: ok | warning | error, finding}, in the order a person would look."""
    return [*_home(settings), *_database(settings), *_sqlite(), *_keys(settings), *_clock(), *_disk(settings)]


def _row(check: str, level: str, finding: str) -> Finding:
    return {"check": check, "level": level, "finding": finding}


def _home(settings: Settings) -> Iterator[Finding]:
    if not settings.home.is_dir():
        yield _row("home", "warning", f"{settings.home} does not exist yet; `baton db upgrade` makes it")
        return
    mode = stat.S_IMODE(settings.home.stat().st_mode)
    if mode & 0o077:
        yield _row("home", "warning", f"{settings.home} is open to other users (mode {mode:o}); chmod 700 it")
    else:
        yield _row("home", "ok", str(settings.home))


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_store(settings.database_url)
    except DatabaseUrlError as error:
        yield _row("database", "error", str(error))
        return
    started = time.monotonic()
    if store.ready():
        milliseconds = (time.monotonic() - started) * 1000
        yield _row("database", "ok", f"answers in {milliseconds:.1f} ms with the schema of this release")
        waiting = store.outbox.waiting()
        dead = waiting.get("dead", 0)
        yield _row("outbox", "warning" if dead else "ok", f"{sum(waiting.values())} waiting, {dead} given up")
    else:
        yield _row("database", "error", "does not answer, or has another schema; run `baton db upgrade`")
    store.close()


def _sqlite() -> Iterator[Finding]:
    if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        yield _row(
            "sqlite",
            "ok",
            f"{sqlite3.sqlite_version}; its checkpoint fault (fixed in 3.51.3) is kept out by our lock:"
            " let no other program write to the database file",
        )
    else:
        yield _row("sqlite", "ok", sqlite3.sqlite_version)


def _keys(settings: Settings) -> Iterator[Finding]:
    folder = settings.home / "keys"
    if not folder.is_dir():
        yield _row("keys", "ok", "none yet; they are made at the first start")
        return
    loose = [path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if loose:
        yield _row("keys", "error", f"readable by other users: {', '.join(sorted(loose))}; chmod 600 them")
    else:
        yield _row("keys", "ok", f"in {folder.name}/, readable by their owner only")


def _clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now < EARLIEST_PLAUSIBLE:
        yield _row(
            "clock", "error", f"says {now:%Y-%m-%d}, which has passed; tokens and deadlines need the time"
        )
    else:
        yield _row("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(folder).free
    level = "ok" if free >= FREE_BYTES_WANTED else "warning"
    yield _row("disk", level, f"{free / 1e9:.1f} GB free")
