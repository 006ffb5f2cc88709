"""The app's sessions in a file of BATON_HOME: for one host."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from smart_app.session_store import NewerDatabase, SessionsUnavailable

FILE_NAME = "app-sessions.sqlite3"
BUSY_SECONDS = 5.0

# Each brings a file from the version before it to its own: its number is its place, from 1.
MIGRATIONS = (
    """
    create table launch (
        state text primary key,
        sealed blob not null,
        started_at real not null,
        used_at real
    );
    create table login (
        id text primary key,
        browser text not null,
        tab text not null,
        person text not null,
        sealed blob not null,
        version integer not null,
        started_at real not null,
        used_at real not null,
        renewing_until real not null
    );
    create index login_browser on login (browser);
    create table chart (
        launch text primary key,
        login text not null references login (id) on delete cascade,
        sealed blob not null,
        opened_at real not null
    );
    create index chart_login on chart (login);
    """,
)


class SqliteSessions:
    """One file, one connection a thread of a process.

    Raises: NewerDatabase, SessionsUnavailable.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / FILE_NAME
        self._local = threading.local()
        if not self._path.exists():  # the sealed rows are safe anyway; others still need not see them
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        with _translated():
            self._migrate()

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        with _translated():
            return self._connection().execute(statement, values).fetchall()

    def change(self, statement: str, values: Mapping[str, Any]) -> int:
        with _translated():
            return self._connection().execute(statement, values).rowcount

    def close(self) -> None:
        """The connection of this thread; those of others close when their threads end."""
        kept: tuple[int, sqlite3.Connection] | None = getattr(self._local, "kept", None)
        if kept is not None and kept[0] == os.getpid():
            kept[1].close()
            del self._local.kept

    def _connection(self) -> sqlite3.Connection:
        kept: tuple[int, sqlite3.Connection] | None = getattr(self._local, "kept", None)
        if kept is None or kept[0] != os.getpid():  # a connection must not be used after a fork
            kept = self._local.kept = (os.getpid(), self._connect())
        return kept[1]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma synchronous = full")
        return connection

    def _migrate(self) -> None:
        with closing(self._connect()) as connection:
            connection.execute("begin immediate")
            (version,) = connection.execute("pragma user_version").fetchone()
            if version > len(MIGRATIONS):
                raise NewerDatabase(f"{FILE_NAME} was written by a later release")
            for migration in MIGRATIONS[version:]:
                for statement in migration.split(";"):
                    connection.execute(statement)
            connection.execute(f"pragma user_version = {len(MIGRATIONS)}")
            connection.execute("commit")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise SessionsUnavailable(f"the session file does not answer: {name}") from error
