"""The app's sessions in the schema `app` of a PostgreSQL: for several hosts.

The app shares nothing there with anybody: the server's tables stand in another schema, and the app never
looks at them. Sessions need `CREATE` on the database once, or the schema made for their role before.
"""

from __future__ import annotations

import os
import re
import select
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from smart_app.session_store import NewerDatabase, SessionsUnavailable

SCHEMA = "app"
CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 5_000
IDLE_CONNECTIONS = 4
"""Kept open for the next request; more at once are opened and closed again."""
_MIGRATION_LOCK = 0x6261746F6E617070  # "batonapp": no other program's advisory lock

# What every session has. UTC and search_path are not left to the role's defaults; a session that hangs in
# a transaction (its host went away) gives its locks back.
_OPTIONS = (
    f"-c search_path={SCHEMA} -c statement_timeout={STATEMENT_MILLISECONDS}"
    f" -c lock_timeout={STATEMENT_MILLISECONDS} -c idle_in_transaction_session_timeout=10000"
    " -c timezone=UTC"
)
_CONNECTION: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "baton-app",
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds: a host that vanished must not hold a page up for minutes
}

# Each brings the schema from the version before it to its own: its number is its place, from 1.
MIGRATIONS = (
    """
    create table app.launch (
        state text collate "C" primary key,
        sealed bytea not null,
        started_at double precision not null,
        used_at double precision
    );
    create table app.login (
        id text collate "C" primary key,
        browser text collate "C" not null,
        tab text collate "C" not null,
        person text collate "C" not null,
        sealed bytea not null,
        version bigint not null,
        started_at double precision not null,
        used_at double precision not null,
        renewing_until double precision not null
    );
    create index login_browser on app.login (browser);
    create table app.chart (
        launch text collate "C" primary key,
        login text collate "C" not null references app.login (id) on delete cascade,
        sealed bytea not null,
        opened_at double precision not null
    );
    create index chart_login on app.chart (login);
    """,
)


class PostgresqlSessions:
    """A few idle connections for all threads of a process; whoever takes one has it alone.

    Raises: NewerDatabase, SessionsUnavailable.
    """

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise SessionsUnavailable("BATON_DATABASE_URL is not a PostgreSQL address") from None
        options = f"{given.get('options') or ''} {_OPTIONS}".strip()
        self._address = make_conninfo("", **(_CONNECTION | given | {"options": options}))
        self._idle: deque[psycopg.Connection] = deque()
        self._process = os.getpid()
        self._migrate()

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        if _has_nul(values):
            return ()
        with self._connection() as connection:
            return connection.execute(_rendered(statement), values).fetchall()

    def change(self, statement: str, values: Mapping[str, Any]) -> int:
        if _has_nul(values):
            return 0
        with self._connection() as connection:
            return connection.execute(_rendered(statement), values).rowcount

    def close(self) -> None:
        while (connection := self._pop()) is not None:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        """A connection in autocommit; it is not used again after an error that it did not survive."""
        try:
            connection = self._take()
            try:
                yield connection
            except BaseException:
                if connection.closed or connection.info.transaction_status:
                    connection.close()
                    self.close()  # what is idle is as old as what has just failed
                raise
            finally:
                self._give_back(connection)
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def _take(self) -> psycopg.Connection:
        while (connection := self._pop()) is not None:
            if not _was_closed_by_server(connection):
                return connection
            connection.close()
        return psycopg.connect(self._address, autocommit=True, prepare_threshold=None)

    def _pop(self) -> psycopg.Connection | None:
        if self._process != os.getpid():  # after a fork: these belong to the parent, psycopg leaves them open
            self._idle, self._process = deque(), os.getpid()
        try:
            return self._idle.pop()  # atomic: no lock that a fork could leave locked for ever
        except IndexError:
            return None

    def _give_back(self, connection: psycopg.Connection) -> None:
        if not connection.closed and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()

    def _migrate(self) -> None:
        with self._connection() as connection, connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            if not _exists(connection, "to_regnamespace", SCHEMA):
                connection.execute(f"create schema {SCHEMA}")
            if not _exists(connection, "to_regclass", f"{SCHEMA}.schema_version"):
                connection.execute(f"create table {SCHEMA}.schema_version (value integer not null)")
                connection.execute(f"insert into {SCHEMA}.schema_version values (0)")
            ((version,),) = connection.execute(f"select value from {SCHEMA}.schema_version").fetchall()
            if version > len(MIGRATIONS):
                raise NewerDatabase(f"the schema {SCHEMA} of the database was made by a later release")
            for migration in MIGRATIONS[version:]:
                connection.execute(migration)
            if version < len(MIGRATIONS):
                connection.execute(f"update {SCHEMA}.schema_version set value = %s", (len(MIGRATIONS),))


def _exists(connection: psycopg.Connection, function: str, name: str) -> bool:
    row = connection.execute(f"select {function}(%s) is not null", (name,)).fetchone()
    return row is not None and bool(row[0])


def _was_closed_by_server(connection: psycopg.Connection) -> bool:
    """Whether anything has arrived on an idle connection: only an ending server speaks unasked."""
    with suppress(OSError, ValueError, psycopg.Error):
        readable = select.poll()
        readable.register(connection.fileno(), select.POLLIN)
        return bool(readable.poll(0))
    return True


def _has_nul(values: Mapping[str, Any]) -> bool:
    """Whether a text, which may come from an address, cannot be in a PostgreSQL: nothing is kept under it."""
    return any(isinstance(value, str) and "\0" in value for value in values.values())


def _unavailable(error: psycopg.Error) -> SessionsUnavailable:
    kind = f"{type(error).__name__} {error.sqlstate or ''}".strip()
    return SessionsUnavailable(f"the session database does not answer: {kind}")


@lru_cache(maxsize=64)
def _rendered(statement: str) -> str:
    """The statement with psycopg's parameters: `:name` becomes `%(name)s`."""
    return re.sub(r":(\w+)", r"%(\1)s", statement)
