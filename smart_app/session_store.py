"""The app's own database: launches under way, logins and the charts they opened (SQLite).

The only SQL of the app. What identifies a browser or a tab is kept as a fingerprint, everything
that came from an EHR sealed (`sealing`): the file alone opens nothing. Times are seconds of the epoch.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "app-sessions.sqlite3"
SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0

_SCHEMA = """
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
"""

_LOGIN = "login.id, browser, tab, person, login.sealed, version, started_at, used_at"  # as LoginRow has them


class NewerDatabase(Exception):
    """The file was written by a later release."""


@dataclass(frozen=True, slots=True)
class LaunchRow:
    sealed: bytes
    started_at: float
    used_at: float | None


@dataclass(frozen=True, slots=True)
class LoginRow:
    """browser, tab: fingerprints of the credentials that open it, "" for none. version counts changes."""

    id: str
    browser: str
    tab: str
    person: str
    sealed: bytes
    version: int
    started_at: float
    used_at: float


class SessionStore:
    """One file, one connection a thread, short transactions."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / FILE_NAME
        self._local = threading.local()
        if not self._path.exists():  # the sealed rows are safe anyway; others still need not see them
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._migrate()

    def add_launch(self, state: str, sealed: bytes, now: float) -> None:
        with self._writing() as connection:
            connection.execute("insert into launch values (?, ?, ?, null)", (state, sealed, now))

    def take_launch(self, state: str, now: float) -> LaunchRow | None:
        """The launch, marked as used; `used_at` is when it was used before, None the first time."""
        with self._writing() as connection:
            row = connection.execute(
                "select sealed, started_at, used_at from launch where state = ?", (state,)
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "update launch set used_at = ? where state = ? and used_at is null", (now, state)
            )
        return LaunchRow(*row)

    def add_login(self, login: LoginRow) -> None:
        with self._writing() as connection:
            connection.execute(
                "insert into login values (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    login.id,
                    login.browser,
                    login.tab,
                    login.person,
                    login.sealed,
                    login.version,
                    login.started_at,
                    login.used_at,
                ),
            )

    def add_chart(self, launch: str, login: str, sealed: bytes, now: float) -> None:
        with self._writing() as connection:
            connection.execute("insert into chart values (?, ?, ?, ?)", (launch, login, sealed, now))

    def find_chart(self, launch: str) -> tuple[bytes, LoginRow] | None:
        """The sealed chart of a launch id, and its login."""
        row = (
            self._connection()
            .execute(
                f"select chart.sealed, {_LOGIN} from chart"
                " join login on login.id = chart.login where launch = ?",
                (launch,),
            )
            .fetchone()
        )
        return None if row is None else (row[0], LoginRow(*row[1:]))

    def find_login(self, login: str) -> LoginRow | None:
        row = (
            self._connection()
            .execute(
                f"select {_LOGIN} from login where id = ?",
                (login,),
            )
            .fetchone()
        )
        return None if row is None else LoginRow(*row)

    def touch(self, login: str, now: float) -> None:
        with self._writing() as connection:
            connection.execute("update login set used_at = max(used_at, ?) where id = ?", (now, login))

    def claim_renewal(self, login: str, version: int, now: float, until: float) -> bool:
        """Whether the caller is the one to renew the tokens of this version."""
        with self._writing() as connection:
            return (
                connection.execute(
                    "update login set renewing_until = ? where id = ? and version = ? and renewing_until < ?",
                    (until, login, version, now),
                ).rowcount
                == 1
            )

    def finish_renewal(self, login: str, sealed: bytes | None) -> None:
        """Keep new tokens, or (None) give the claim back."""
        with self._writing() as connection:
            if sealed is None:
                connection.execute("update login set renewing_until = 0 where id = ?", (login,))
            else:
                connection.execute(
                    "update login set renewing_until = 0, version = version + 1, sealed = ? where id = ?",
                    (sealed, login),
                )

    def logins_of_others(self, browser: str, person: str) -> tuple[LoginRow, ...]:
        """Logins of other persons in the same browser."""
        rows = self._connection().execute(
            f"select {_LOGIN} from login where browser = ? and browser <> '' and person <> ?",
            (browser, person),
        )
        return tuple(LoginRow(*row) for row in rows)

    def outdated(self, used_before: float, started_before: float) -> tuple[LoginRow, ...]:
        """Logins idle since `used_before`, or begun before `started_before`."""
        rows = self._connection().execute(
            f"select {_LOGIN} from login where used_at < ? or started_at < ?",
            (used_before, started_before),
        )
        return tuple(LoginRow(*row) for row in rows)

    def remove_login(self, login: str) -> None:
        """End a login, and with it the charts it opened."""
        with self._writing() as connection:
            connection.execute("delete from login where id = ?", (login,))

    def forget_launches(self, before: float) -> None:
        with self._writing() as connection:
            connection.execute("delete from launch where started_at < ?", (before,))

    def is_usable(self) -> bool:
        """Whether the file answers, for the health check."""
        try:
            self._connection().execute("select 1 from login limit 1").fetchone()
        except sqlite3.Error:
            return False
        return True

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("pragma foreign_keys = on")
            connection.execute("pragma synchronous = full")
            self._local.connection = connection
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("begin immediate")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def _migrate(self) -> None:
        with self._writing() as connection:
            (version,) = connection.execute("pragma user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise NewerDatabase(f"{FILE_NAME} was written by a later release")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
