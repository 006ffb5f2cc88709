"""The app's own rows: launches under way, logins and the charts they opened.

The only SQL of the app. What identifies a browser or a tab is kept as a fingerprint, everything that
came from an EHR sealed (`sealing`): the rows alone open nothing. Times are seconds of the epoch. Every
operation is one statement, so a transaction is never longer than that, and the same statements run on
both databases: a file in BATON_HOME (`session_store_sqlite`) or the schema `app` of a PostgreSQL
(`session_store_postgresql`), which several hosts can share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from smart_app.settings import Settings

_LOGIN = "login.id, browser, tab, person, login.sealed, version, started_at, used_at"  # as LoginRow has them


class NewerDatabase(Exception):
    """The tables were made by a later release."""


class SessionsUnavailable(Exception):
    """The database does not answer, or not in time. Its text names the kind of error, no values."""


class SessionDatabase(Protocol):
    """Runs single statements with parameters named `:name`, each in a transaction of its own.

    Safe for many threads and processes, also after a fork. Both raise SessionsUnavailable.
    """

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """All rows that a statement returns."""
        ...

    def change(self, statement: str, values: Mapping[str, Any]) -> int:
        """Run a statement that writes; how many rows it changed, once that is durable."""
        ...

    def close(self) -> None:
        """Close every connection of this process."""
        ...


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


def open_session_store(settings: Settings) -> SessionStore:
    """The store of an installation, its tables made or brought up to date.

    Raises: NewerDatabase, SessionsUnavailable.
    """
    database: SessionDatabase
    if settings.database_url:
        from smart_app.session_store_postgresql import PostgresqlSessions

        database = PostgresqlSessions(settings.database_url)
    else:
        from smart_app.session_store_sqlite import SqliteSessions

        database = SqliteSessions(settings.home)
    return SessionStore(database)


class SessionStore:
    """What is kept of launches, logins and charts. Every method raises SessionsUnavailable."""

    def __init__(self, database: SessionDatabase) -> None:
        self._database = database

    def add_launch(self, state: str, sealed: bytes, now: float) -> None:
        self._database.change(
            "insert into launch (state, sealed, started_at) values (:state, :sealed, :now)",
            {"state": state, "sealed": sealed, "now": now},
        )

    def take_launch(self, state: str, now: float) -> LaunchRow | None:
        """The launch, marked as used; `used_at` is when it was used before, None the first time."""
        first = self._database.change(
            "update launch set used_at = :now where state = :state and used_at is null",
            {"state": state, "now": now},
        )
        rows = self._database.rows(
            "select sealed, started_at, used_at from launch where state = :state", {"state": state}
        )
        if not rows:
            return None
        sealed, started_at, used_at = rows[0]
        return LaunchRow(sealed, started_at, None if first else used_at)

    def add_login(self, login: LoginRow) -> None:
        self._database.change(
            "insert into login (id, browser, tab, person, sealed, version, started_at, used_at, renewing_until)"
            " values (:id, :browser, :tab, :person, :sealed, :version, :started_at, :used_at, 0)",
            asdict(login),
        )

    def add_chart(self, launch: str, login: str, sealed: bytes, now: float) -> bool:
        """False where the login has ended meanwhile."""
        added = self._database.change(
            "insert into chart (launch, login, sealed, opened_at)"
            " select :launch, login.id, :sealed, :now from login where login.id = :login",
            {"launch": launch, "login": login, "sealed": sealed, "now": now},
        )
        return added == 1

    def find_chart(self, launch: str) -> tuple[bytes, LoginRow] | None:
        """The sealed chart of a launch id, and its login."""
        rows = self._database.rows(
            f"select chart.sealed, {_LOGIN} from chart"
            " join login on login.id = chart.login where launch = :launch",
            {"launch": launch},
        )
        return (rows[0][0], LoginRow(*rows[0][1:])) if rows else None

    def find_login(self, login: str) -> LoginRow | None:
        rows = self._database.rows(f"select {_LOGIN} from login where id = :id", {"id": login})
        return LoginRow(*rows[0]) if rows else None

    def touch(self, login: str, now: float) -> None:
        """Note the use of a login; an earlier time than the noted one changes nothing."""
        self._database.change(
            "update login set used_at = :now where id = :id and used_at < :now", {"id": login, "now": now}
        )

    def claim_renewal(self, login: str, version: int, now: float, until: float) -> bool:
        """Whether the caller is the one to renew the tokens of this version."""
        claimed = self._database.change(
            "update login set renewing_until = :until"
            " where id = :id and version = :version and renewing_until < :now",
            {"id": login, "version": version, "now": now, "until": until},
        )
        return claimed == 1

    def finish_renewal(self, login: str, sealed: bytes | None) -> None:
        """Keep new tokens, or (None) give the claim back."""
        if sealed is None:
            self._database.change("update login set renewing_until = 0 where id = :id", {"id": login})
        else:
            self._database.change(
                "update login set renewing_until = 0, version = version + 1, sealed = :sealed where id = :id",
                {"id": login, "sealed": sealed},
            )

    def logins_of_others(self, browser: str, person: str) -> tuple[LoginRow, ...]:
        """Logins of other persons in the same browser."""
        rows = self._database.rows(
            f"select {_LOGIN} from login where browser = :browser and browser <> '' and person <> :person",
            {"browser": browser, "person": person},
        )
        return tuple(LoginRow(*row) for row in rows)

    def outdated(self, used_before: float, started_before: float) -> tuple[LoginRow, ...]:
        """Logins idle since `used_before`, or begun before `started_before`."""
        rows = self._database.rows(
            f"select {_LOGIN} from login where used_at < :used_before or started_at < :started_before",
            {"used_before": used_before, "started_before": started_before},
        )
        return tuple(LoginRow(*row) for row in rows)

    def remove_login(self, login: str) -> None:
        """End a login, and with it the charts it opened."""
        self._database.change("delete from login where id = :id", {"id": login})

    def forget_launches(self, before: float) -> None:
        self._database.change("delete from launch where started_at < :before", {"before": before})

    def is_usable(self) -> bool:
        """Whether the tables can be read, for the health check."""
        try:
            self._database.rows("select 1 from login limit 1", {})
        except SessionsUnavailable:
            return False
        return True

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        self._database.close()
