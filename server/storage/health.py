"""What a database tells about itself, for `baton doctor`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from server.storage import table_copy
from server.storage.database import Connection, Database
from server.storage.instants import instant
from server.storage.migrations import migrations
from server.storage.sqlite_database import SqliteDatabase

# Settings of PostgreSQL without which a commit is not durable, or a text not what was stored.
WATCHED = ("server_encoding", "fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """schema: 0 for an empty database. newest: the schema of this release. milliseconds: for one round trip.

    holds_data: rows beyond a migration's own. clock: the database's, None where it is this machine's.
    log_bytes: of SQLite's write-ahead log. settings: WATCHED ones. connections_left: that this role may open.
    """

    kind: str
    version: str
    schema: int
    newest: int
    milliseconds: float
    holds_data: bool = False
    clock: datetime | None = None
    log_bytes: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    connections_left: int | None = None


def database_health(database: Database) -> DatabaseHealth:
    """Ask the database. Raises: FhirError unavailable."""
    kind = database.dialect.name
    newest = migrations(kind)[-1].number
    with database.reading() as connection:
        connection.execute("SELECT 1").fetchone()
        started = time.monotonic()
        connection.execute("SELECT 1").fetchone()
        milliseconds = (time.monotonic() - started) * 1000
        schema = database.schema_version(connection)
        holds_data = schema > 0 and table_copy.occupied(connection) is not None
        if isinstance(database, SqliteDatabase):
            log = database.log_path
            size = log.stat().st_size if log.exists() else 0
            return DatabaseHealth(
                kind, sqlite3.sqlite_version, schema, newest, milliseconds, holds_data, log_bytes=size
            )
        return _postgresql(connection, schema, newest, milliseconds, holds_data)


def _postgresql(
    connection: Connection, schema: int, newest: int, milliseconds: float, holds_data: bool
) -> DatabaseHealth:
    settings = {
        name: str(connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]) for name in WATCHED
    }
    version = connection.execute("SELECT current_setting('server_version')").fetchone()[0]
    now = connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()[0]
    left = connection.execute(
        "SELECT current_setting('max_connections')::bigint"
        " - current_setting('superuser_reserved_connections')::bigint - count(*)"
        " FROM pg_stat_activity WHERE backend_type = 'client backend'"
    ).fetchone()[0]
    return DatabaseHealth(
        "postgresql",
        str(version),
        schema,
        newest,
        milliseconds,
        holds_data,
        clock=instant(now),
        settings=settings,
        connections_left=int(left),
    )
