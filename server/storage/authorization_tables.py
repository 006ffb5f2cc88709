"""The tables of the authorization server; see `authorization` for what each call promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from server.storage import authorization_rows as rows
from server.storage.authorization import (
    BrowserSessionRow,
    ClientRow,
    CodeRow,
    GrantRow,
    LaunchRow,
    RefreshTokenRow,
    TokenRow,
    UserRow,
)
from server.storage.database import Connection, Database
from server.storage.instants import milliseconds
from server.storage.registrations import RegistrationTables

_ROTATING = "SELECT * FROM refresh_token WHERE token_hash = :hash"
_BUMP = "UPDATE security_epoch SET value = value + 1 RETURNING value"
_OF_CLIENT = "grant_id IN (SELECT grant_id FROM access_grant WHERE client_id = :client_id AND revoked = :now)"
_END_OF_CLIENT = (
    f"UPDATE access_token SET revoked = :now WHERE revoked IS NULL AND {_OF_CLIENT}",
    f"DELETE FROM refresh_token WHERE {_OF_CLIENT}",
    f"UPDATE authorization_code SET used = :now WHERE used IS NULL AND {_OF_CLIENT}",
)
_KEPT_AFTER_EXPIRY = timedelta(days=1)  # so that a late second use is still recognised as one

# A refresh token that was rotated is kept until it expires, to recognise its theft.
_EXPIRING = (
    "authorization_code",
    "launch",
    "access_token",
    "refresh_token",
    "assertion_id",
    "browser_session",
    "registration_invitation",
    "failed_attempt",
)


class AuthorizationTables:
    """AuthorizationStore over one Database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.registrations = RegistrationTables(database)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._database.writing():
            yield

    def _one(self, sql: str, parameters: Mapping[str, Any]) -> rows.Row | None:
        found = self._all(sql, parameters)
        return found[0] if found else None

    def _all(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[rows.Row]:
        with self._database.reading() as connection:
            return connection.named(sql, parameters)

    def _put(self, table: str, columns: rows.Columns, *, key: str = "") -> None:
        """Insert; with key, replace the row that has the same one."""
        names = ", ".join(columns)
        values = ", ".join(f":{name}" for name in columns)
        sql = f"INSERT INTO {table} ({names}) VALUES ({values})"
        if key:
            changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name != key)
            sql += f" ON CONFLICT ({key}) DO UPDATE SET {changes}"
        with self._database.writing() as connection:
            connection.execute(sql, columns)

    # -- epoch

    def security_epoch(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute('SELECT value FROM security_epoch WHERE "only" = 1').fetchone()[0])

    def bump_security_epoch(self) -> int:
        with self._database.writing() as connection:
            return int(connection.execute(_BUMP).fetchone()[0])

    # -- clients

    def put_client(self, client: ClientRow) -> None:
        with self._database.writing() as connection:
            self._put("client", rows.client_columns(client), key="client_id")
            connection.execute(_BUMP).fetchone()

    def client(self, client_id: str, *, held: bool = False) -> ClientRow | None:
        lock = self._database.dialect.for_update if held else ""
        sql = f"SELECT * FROM client WHERE client_id = :client_id {lock}"
        row = self._one(sql, {"client_id": client_id})
        return rows.client_row(row) if row else None

    def clients(self) -> tuple[ClientRow, ...]:
        return tuple(map(rows.client_row, self._all("SELECT * FROM client ORDER BY client_id", {})))

    def disable_client(self, client_id: str, now: datetime) -> bool:
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE client SET disabled = 1 WHERE client_id = :client_id", {"client_id": client_id}
            ).rowcount
            # All at once: a backend service has as many grants as it ever asked for tokens.
            values = {"client_id": client_id, "now": milliseconds(now)}
            connection.execute(
                "UPDATE access_grant SET revoked = :now WHERE client_id = :client_id AND revoked IS NULL",
                values,
            )
            for end in _END_OF_CLIENT:
                connection.execute(end, values)
            connection.execute(_BUMP).fetchone()
        return changed == 1

    # -- users

    def put_user(self, user: UserRow) -> None:
        with self._database.writing() as connection:
            self._put("staff", rows.user_columns(user), key="username")
            connection.execute(_BUMP).fetchone()

    def user(self, username: str) -> UserRow | None:
        row = self._one("SELECT * FROM staff WHERE username = :username", {"username": username})
        return rows.user_row(row) if row else None

    def users(self) -> tuple[UserRow, ...]:
        return tuple(map(rows.user_row, self._all("SELECT * FROM staff ORDER BY username", {})))

    # -- grants

    def add_grant(self, grant: GrantRow) -> None:
        self._put("access_grant", rows.grant_columns(grant))

    def grant(self, grant_id: str) -> GrantRow | None:
        row = self._one("SELECT * FROM access_grant WHERE grant_id = :grant_id", {"grant_id": grant_id})
        return rows.grant_row(row) if row else None

    def grants(self, *, client_id: str | None = None, username: str | None = None) -> tuple[GrantRow, ...]:
        wanted = {"client_id": client_id, "username": username}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        condition = " AND ".join(f"{name} = :{name}" for name in wanted) or "1 = 1"
        sql = f"SELECT * FROM access_grant WHERE {condition} ORDER BY created DESC, grant_id"
        return tuple(map(rows.grant_row, self._all(sql, wanted)))

    def revoke_grant(self, grant_id: str, now: datetime) -> bool:
        return self.revoke_grants((grant_id,), now) == 1

    def revoke_grants(self, grant_ids: Iterable[str], now: datetime) -> int:
        with self._database.writing() as connection:
            ended = [self._end_grant(connection, grant_id, now) for grant_id in grant_ids]
            if ended:
                connection.execute(_BUMP).fetchone()
        return sum(ended)

    def _end_grant(self, connection: Connection, grant_id: str, now: datetime) -> bool:
        values = {"grant_id": grant_id, "now": milliseconds(now)}
        ended = connection.execute(
            "UPDATE access_grant SET revoked = :now WHERE grant_id = :grant_id AND revoked IS NULL", values
        ).rowcount
        connection.execute(
            "UPDATE access_token SET revoked = :now WHERE grant_id = :grant_id AND revoked IS NULL", values
        )
        connection.execute("DELETE FROM refresh_token WHERE grant_id = :grant_id", values)
        # A code that was not exchanged yet counts as used from now on.
        connection.execute(
            "UPDATE authorization_code SET used = :now WHERE grant_id = :grant_id AND used IS NULL", values
        )
        return ended == 1

    @staticmethod
    def _hold_grant(connection: Connection, grant_id: str) -> int | None:
        """When the grant was revoked, None while it is in force.

        Held until the transaction ends, so that who revokes it meets every token made from it before.
        """
        row = connection.execute(
            f"SELECT revoked FROM access_grant WHERE grant_id = :grant_id {connection.dialect.for_update}",
            {"grant_id": grant_id},
        ).fetchone()
        return row[0] if row else None

    @staticmethod
    def _stands_until(connection: Connection, grant_id: str, moment: datetime) -> None:
        """The grant can act until then at least."""
        connection.execute(
            "UPDATE access_grant SET stands_until = :until"
            " WHERE grant_id = :grant_id AND stands_until < :until",
            {"grant_id": grant_id, "until": milliseconds(moment)},
        )

    # -- codes and launches

    def add_code(self, code: CodeRow) -> None:
        self._put("authorization_code", rows.code_columns(code))

    def use_code(self, code_hash: bytes, now: datetime) -> CodeRow | None:
        row, first = self._use("authorization_code", "code_hash", code_hash, now)
        if row is None:
            return None
        code = rows.code_row(row)
        return replace(code, used=None) if first else code

    def add_launch(self, launch: LaunchRow) -> None:
        self._put("launch", rows.launch_columns(launch))

    def launch(self, launch_hash: bytes) -> LaunchRow | None:
        row = self._one("SELECT * FROM launch WHERE launch_hash = :hash", {"hash": launch_hash})
        return rows.launch_row(row) if row else None

    def use_launch(self, launch_hash: bytes, now: datetime) -> LaunchRow | None:
        row, first = self._use("launch", "launch_hash", launch_hash, now)
        if row is None:
            return None
        launch = rows.launch_row(row)
        return replace(launch, used=None) if first else launch

    def _use(self, table: str, key: str, secret: bytes, now: datetime) -> tuple[rows.Row | None, bool]:
        """Mark a single-use row as used; the row, and whether this call was the one that did it."""
        with self._database.writing() as connection:
            first = connection.execute(
                f"UPDATE {table} SET used = :now WHERE {key} = :secret AND used IS NULL",
                {"secret": secret, "now": milliseconds(now)},
            ).rowcount
            found = connection.named(f"SELECT * FROM {table} WHERE {key} = :secret", {"secret": secret})
        return (found[0] if found else None), first == 1

    # -- access tokens

    def add_token(self, token: TokenRow) -> None:
        with self._database.writing() as connection:
            revoked = self._hold_grant(connection, token.grant_id)
            columns = rows.token_columns(token)
            self._put("access_token", columns if revoked is None else {**columns, "revoked": revoked})
            self._stands_until(connection, token.grant_id, token.expires)

    def token(self, token_hash: bytes) -> TokenRow | None:
        row = self._one("SELECT * FROM access_token WHERE token_hash = :hash", {"hash": token_hash})
        return rows.token_row(row) if row else None

    def revoke_token(self, token_hash: bytes, now: datetime) -> bool:
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE access_token SET revoked = :now WHERE token_hash = :hash AND revoked IS NULL",
                {"hash": token_hash, "now": milliseconds(now)},
            ).rowcount
            connection.execute(_BUMP).fetchone()
        return changed == 1

    # -- refresh tokens

    def add_refresh_token(self, token: RefreshTokenRow) -> None:
        with self._database.writing() as connection:
            if self._hold_grant(connection, token.grant_id) is None:
                self._put("refresh_token", rows.refresh_token_columns(token))
                self._stands_until(connection, token.grant_id, token.expires)

    def refresh_token(self, token_hash: bytes) -> RefreshTokenRow | None:
        row = self._one(_ROTATING, {"hash": token_hash})
        return rows.refresh_token_row(row) if row else None

    def rotate_refresh_token(
        self, token_hash: bytes, successor: RefreshTokenRow, now: datetime
    ) -> RefreshTokenRow | None:
        with self._database.writing() as connection:
            self._hold_grant(connection, successor.grant_id)  # first, as `_end_grant` does
            lock = connection.dialect.for_update
            found = connection.named(f"{_ROTATING} {lock}", {"hash": token_hash})
            before = rows.refresh_token_row(found[0]) if found else None
            if before is None or before.rotated is not None:
                return before
            connection.execute(
                "UPDATE refresh_token SET rotated = :now WHERE token_hash = :hash",
                {"hash": token_hash, "now": milliseconds(now)},
            )
            self.add_refresh_token(successor)
            return before

    # -- assertions

    def use_assertion_id(self, issuer: str, jti: str, expires: datetime) -> bool:
        with self._database.writing() as connection:
            return (
                connection.execute(
                    "INSERT INTO assertion_id (issuer, jti, expires) VALUES (:issuer, :jti, :expires)"
                    " ON CONFLICT (issuer, jti) DO NOTHING",
                    {"issuer": issuer, "jti": jti, "expires": milliseconds(expires)},
                ).rowcount
                == 1
            )

    # -- browser sessions

    def add_browser_session(self, session: BrowserSessionRow) -> None:
        self._put("browser_session", rows.browser_session_columns(session))

    def browser_session(self, session_hash: bytes) -> BrowserSessionRow | None:
        row = self._one("SELECT * FROM browser_session WHERE session_hash = :hash", {"hash": session_hash})
        return rows.browser_session_row(row) if row else None

    def browser_session_of(self, login: bytes) -> BrowserSessionRow | None:
        row = self._one("SELECT * FROM browser_session WHERE login = :login", {"login": login})
        return rows.browser_session_row(row) if row else None

    def browser_sessions(self, username: str) -> tuple[BrowserSessionRow, ...]:
        sql = "SELECT * FROM browser_session WHERE username = :username ORDER BY last_used DESC, session_hash"
        return tuple(map(rows.browser_session_row, self._all(sql, {"username": username})))

    def touch_browser_session(
        self, session_hash: bytes, now: datetime, data: Mapping[str, Any] | None = None
    ) -> bool:
        values: dict[str, Any] = {"hash": session_hash, "now": milliseconds(now)}
        changes = "last_used = :now"
        if data is not None:
            values["document"] = rows.to_json(data)
            changes += ", document = :document"
        with self._database.writing() as connection:
            sql = f"UPDATE browser_session SET {changes} WHERE session_hash = :hash"
            return connection.execute(sql, values).rowcount == 1

    def renew_browser_session(
        self, session_hash: bytes, renewed: bytes, now: datetime, data: Mapping[str, Any]
    ) -> bool:
        values = {
            "hash": session_hash,
            "renewed": renewed,
            "now": milliseconds(now),
            "document": rows.to_json(data),
        }
        with self._database.writing() as connection:
            sql = (
                "UPDATE browser_session SET session_hash = :renewed, last_used = :now, document = :document"
                " WHERE session_hash = :hash"
            )
            return connection.execute(sql, values).rowcount == 1

    def end_browser_session(self, login: bytes) -> bool:
        with self._database.writing() as connection:
            sql = "DELETE FROM browser_session WHERE login = :login"
            return connection.execute(sql, {"login": login}).rowcount == 1

    def end_browser_sessions(self, username: str) -> int:
        with self._database.writing() as connection:
            sql = "DELETE FROM browser_session WHERE username = :username"
            return connection.execute(sql, {"username": username}).rowcount

    # -- upkeep

    def purge(self, now: datetime) -> int:
        limit = {"limit": milliseconds(now - _KEPT_AFTER_EXPIRY)}
        with self._database.writing() as connection:
            expired = sum(
                connection.execute(f"DELETE FROM {table} WHERE expires < :limit", limit).rowcount
                for table in _EXPIRING
            )
            return expired + self.registrations.purge(now)
