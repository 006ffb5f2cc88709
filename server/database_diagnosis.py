"""`baton doctor` on the database: itself, its queue, its audit trail, its clock."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta

import redis

from server.errors import FhirError
from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.audit_chain import unsealed
from server.storage.audit_segments import waiting_segments
from server.storage.database_store import DatabaseStore
from server.storage.health import DatabaseHealth, database_health
from server.storage.reindex import RELATIONS

Finding = dict[str, str]

# SQLite releases before this one can corrupt a database when a checkpoint meets a log reset
# (sqlite.org/wal.html#walresetbug); Baton's own lock keeps the two apart.
WAL_RESET_FIXED = (3, 51, 3)
LOG_BYTES_WANTED = 256 * 1024 * 1024  # four times what makes a commit checkpoint
SLOW_MILLISECONDS = 50
POSTGRESQL_OLDEST = 14
CONNECTIONS_WANTED = 10
WAITING_LONG = timedelta(minutes=5)
SKEW_NOTED, SKEW_HARMFUL = timedelta(seconds=2), timedelta(seconds=30)  # tokens allow 30 s


def row(check: str, level: str, finding: str) -> Finding:
    """One finding. level: ok, warning or error."""
    return {"check": check, "level": level, "finding": finding}


def diagnose_database(settings: Settings, now: datetime) -> tuple[list[Finding], bool]:
    """The findings, and whether the database holds data."""
    try:
        store = open_store(settings.database_url)
    except (DatabaseUrlError, OSError) as error:
        return [row("database", "error", str(error))], False
    try:
        health = database_health(store.database)
    except FhirError:
        said = "does not answer: is it running, and may this user connect? (BATON_DATABASE_URL)"
        return [row("database", "error", said)], False
    findings = [*_database(health), *(_sqlite(health) if health.kind == "sqlite" else _postgresql(health, now))]
    try:
        if health.schema == health.newest:
            findings += [*_queue(store, settings, now), *_reindexing(store), *_audit(store, settings, now)]
    except FhirError:
        findings.append(row("database", "error", "stopped answering while it was asked"))
    finally:
        store.close()
    return findings, health.holds_data


def _database(health: DatabaseHealth) -> Iterator[Finding]:
    if health.schema > health.newest:
        said = (
            f"has schema {health.schema}, this release knows {health.newest}: start the release that wrote it"
        )
        yield row("database", "error", said)
    elif health.schema < health.newest:
        said = f"has schema {health.schema}, this release needs {health.newest}; run `baton db upgrade`"
        yield row("database", "error", said)
    else:
        said = f"{health.kind} answers in {health.milliseconds:.1f} ms with the schema of this release"
        level = "warning" if health.milliseconds > SLOW_MILLISECONDS else "ok"
        yield row("database", level, said + (": bring it nearer" if level != "ok" else ""))


def _sqlite(health: DatabaseHealth) -> Iterator[Finding]:
    if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        said = (
            f"{health.version}; its checkpoint fault (fixed in 3.51.3) is kept out by our lock:"
            " let no other program write to the database file"
        )
        yield row("sqlite", "ok", said)
    else:
        yield row("sqlite", "ok", health.version)
    size = health.log_bytes or 0
    if size > LOG_BYTES_WANTED:
        said = f"the log is {size / 1e6:.0f} MB long: does no `baton serve worker` run, or a reader never end?"
        yield row("sqlite", "warning", said)


def _postgresql(health: DatabaseHealth, now: datetime) -> Iterator[Finding]:
    wrong = False
    major = re.match(r"\d+", health.version)  # "15.14 (Debian ...)", "18beta1"
    if major is None or int(major[0]) < POSTGRESQL_OLDEST:
        wrong = True
        yield row("postgresql", "error", f"{health.version} is too old: {POSTGRESQL_OLDEST} or newer is needed")
    if health.settings["server_encoding"] != "UTF8":
        wrong = True
        yield row(
            "postgresql", "error", "the database is not in UTF8: create it with ENCODING 'UTF8' and restore"
        )
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if health.settings[name] == "off":
            wrong = True
            said = f"{name} is off: an acknowledged write can be lost. Set it to on and restart the server"
            yield row("postgresql", "error", said)
    left = health.connections_left
    if left is not None and left < CONNECTIONS_WANTED:
        wrong = True
        yield row("postgresql", "warning", f"{left} connections are left: raise max_connections")
    if not wrong:
        yield row("postgresql", "ok", f"{health.version}, durable, {left} connections left")
    if health.clock is not None:
        skew = abs(health.clock - now)
        if skew > SKEW_NOTED:
            level = "error" if skew > SKEW_HARMFUL else "warning"
            said = f"the database's clock is {skew.total_seconds():.0f} s away from this one: run NTP on both"
            yield row("clock", level, said)


def _queue(store: DatabaseStore, settings: Settings, now: datetime) -> Iterator[Finding]:
    waiting = store.outbox.waiting()
    dead = waiting.pop("dead", 0)
    fresh, oldest = store.dead_letters.fresh()
    late = oldest is not None and now - oldest > WAITING_LONG
    running = store.workers.running(now)
    said = f"{sum(waiting.values())} waiting, {dead} given up"
    if dead:
        said += ": look at them in the console, send them again or discard them"
    if late and oldest is not None:
        said += f"; the oldest of {fresh} not taken up waits since {oldest:%Y-%m-%d %H:%M} UTC"
    yield row("outbox", "warning" if dead or late else "ok", said)
    jobs = store.jobs.counts()
    if jobs.get("dead"):
        yield row("jobs", "warning", f"{jobs['dead']} given up: look at them in the console")
    if running:
        yield row("worker", "ok", f"{sum(worker.alive(now) for worker in store.workers.workers())} alive")
    elif late:
        yield row("worker", "error", "none is alive: `baton serve worker`")
    else:
        yield row("worker", "ok", "none is running, and nothing waits for one")
    if settings.redis_url:
        yield _redis(settings.redis_url)


def _reindexing(store: DatabaseStore) -> Iterator[Finding]:
    states = store.parameter_states()
    for parameter in states:
        if not parameter.ready:
            said = (
                f"{parameter.code} of {parameter.resource_type}: {parameter.done} resources are indexed for it"
                f" by the worker ({parameter.percent} %); until all are, searches by it wait"
            )
            yield row("search parameter", "warning", said)
    if states and all(parameter.ready for parameter in states):
        yield row("search parameter", "ok", f"{len(states)} defined here, all answered")
    for state in store.reindexing():
        if state.what.startswith(RELATIONS):
            done = state.position * 100 // state.last
            said = (
                f"{state.resource_type}: {done} % of what is stored is indexed for who is related to whose"
                " chart, by the worker; until all is, roles that see related charts only are refused"
            )
            yield row("relationships", "warning", said)
        if state.resource_type:
            continue  # told above, or only rows to be removed
        done = state.position * 100 // state.last
        said = f"{done} % of what is stored is indexed again, by the worker; until all is, new searches wait"
        yield row("reindex", "warning", said)


def _redis(url: str) -> Finding:
    try:
        redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2).ping()
    except (redis.RedisError, ValueError, OSError) as error:
        # The URL may hold a password: it is not repeated.
        said = f"does not answer ({type(error).__name__}): the worker carries the queue. Check BATON_REDIS_URL"
        return row("redis", "warning", said)
    return row("redis", "ok", "answers")


def _audit(store: DatabaseStore, settings: Settings, now: datetime) -> Iterator[Finding]:
    tail = unsealed(store.database)
    segments = waiting_segments(store.database, settings.home / "audit")
    oldest = min((moment for moment in (tail.oldest, segments.oldest) if moment is not None), default=None)
    said = f"{tail.rows + segments.rows} rows not sealed yet"
    if oldest is not None and now - oldest > WAITING_LONG:
        yield row(
            "audit",
            "warning",
            f"{said}, the oldest of {oldest:%Y-%m-%d %H:%M} UTC: is `baton serve worker` running?",
        )
    else:
        yield row("audit", "ok", said)
