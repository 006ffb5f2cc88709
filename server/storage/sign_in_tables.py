"""The tables of signing in; see `sign_in` for what each call promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from server.storage.authorization_rows import Row
from server.storage.database import Database
from server.storage.instants import instant, milliseconds, optional_instant, optional_milliseconds
from server.storage.sign_in import ExternalIdentityRow, FailedAttemptsRow, SecondFactorRow

_ATTEMPTS = "SELECT level, counted, closed_until FROM failed_attempt WHERE key_hash = :key"


class SignInTables:
    """SignInStore over one Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _all(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        with self._database.reading() as connection:
            return connection.named(sql, values)

    def _change(self, sql: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""
        with self._database.writing() as connection:
            return connection.execute(sql, values).rowcount

    # -- second factors

    def second_factor(self, username: str) -> SecondFactorRow | None:
        found = self._all("SELECT * FROM second_factor WHERE username = :username", {"username": username})
        return _second_factor(found[0]) if found else None

    def put_second_factor(self, row: SecondFactorRow) -> None:
        self._change(
            "INSERT INTO second_factor (username, secret, pending, since, last_step)"
            " VALUES (:username, :secret, :pending, :since, :last_step)"
            " ON CONFLICT (username) DO UPDATE SET secret = excluded.secret, pending = excluded.pending,"
            " since = excluded.since, last_step = excluded.last_step",
            {
                "username": row.username,
                "secret": row.secret,
                "pending": row.pending,
                "since": optional_milliseconds(row.since) or 0,
                "last_step": row.last_step,
            },
        )

    def remove_second_factor(self, username: str) -> bool:
        with self._database.writing():
            self._change("DELETE FROM recovery_code WHERE username = :username", {"username": username})
            return (
                self._change("DELETE FROM second_factor WHERE username = :username", {"username": username})
                == 1
            )

    def use_time_step(self, username: str, step: int) -> bool:
        sql = "UPDATE second_factor SET last_step = :step WHERE username = :username AND last_step < :step"
        return self._change(sql, {"username": username, "step": step}) == 1

    def put_recovery_codes(self, username: str, hashes: Iterable[bytes]) -> None:
        with self._database.writing():
            self._change("DELETE FROM recovery_code WHERE username = :username", {"username": username})
            for code_hash in hashes:
                self._change(
                    "INSERT INTO recovery_code (username, code_hash) VALUES (:username, :hash)",
                    {"username": username, "hash": code_hash},
                )

    def recovery_codes(self, username: str) -> int:
        sql = "SELECT count(*) AS left_over FROM recovery_code WHERE username = :username"
        return int(self._all(sql, {"username": username})[0]["left_over"])

    def use_recovery_code(self, username: str, code_hash: bytes) -> bool:
        sql = "DELETE FROM recovery_code WHERE username = :username AND code_hash = :hash"
        return self._change(sql, {"username": username, "hash": code_hash}) == 1

    # -- accounts at OpenID providers

    def link_identity(self, row: ExternalIdentityRow) -> bool:
        return (
            self._change(
                "INSERT INTO external_identity (issuer, subject, username, linked)"
                " VALUES (:issuer, :subject, :username, :linked) ON CONFLICT DO NOTHING",
                {
                    "issuer": row.issuer,
                    "subject": row.subject,
                    "username": row.username,
                    "linked": milliseconds(row.linked),
                },
            )
            == 1
        )

    def identity(self, issuer: str, subject: str) -> ExternalIdentityRow | None:
        sql = "SELECT * FROM external_identity WHERE issuer = :issuer AND subject = :subject"
        found = self._all(sql, {"issuer": issuer, "subject": subject})
        return _identity(found[0]) if found else None

    def identities(self, username: str = "") -> tuple[ExternalIdentityRow, ...]:
        condition = "username = :username" if username else "1 = 1"
        sql = f"SELECT * FROM external_identity WHERE {condition} ORDER BY username, issuer"
        return tuple(map(_identity, self._all(sql, {"username": username} if username else {})))

    def unlink_identity(self, issuer: str, username: str) -> bool:
        sql = "DELETE FROM external_identity WHERE issuer = :issuer AND username = :username"
        return self._change(sql, {"issuer": issuer, "username": username}) == 1

    # -- failed attempts

    def attempts(self, key_hash: bytes) -> FailedAttemptsRow | None:
        found = self._all(_ATTEMPTS, {"key": key_hash})
        return _attempts(found[0]) if found else None

    def hold_attempts(self, key_hash: bytes, now: datetime) -> FailedAttemptsRow:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO failed_attempt (key_hash, level, counted, closed_until, expires)"
                " VALUES (:key, 0, :now, :now, :now) ON CONFLICT (key_hash) DO NOTHING",
                {"key": key_hash, "now": milliseconds(now)},
            )
            sql = f"{_ATTEMPTS} {connection.dialect.for_update}"
            return _attempts(connection.named(sql, {"key": key_hash})[0])

    def put_attempts(self, key_hash: bytes, row: FailedAttemptsRow, expires: datetime) -> None:
        self._change(
            "UPDATE failed_attempt SET level = :level, counted = :counted, closed_until = :closed_until,"
            " expires = :expires WHERE key_hash = :key",
            {
                "key": key_hash,
                "level": row.level,
                "counted": milliseconds(row.counted),
                "closed_until": milliseconds(row.closed_until),
                "expires": milliseconds(expires),
            },
        )

    def forget_attempts(self, key_hash: bytes) -> None:
        self._change("DELETE FROM failed_attempt WHERE key_hash = :key", {"key": key_hash})


def _second_factor(row: Row) -> SecondFactorRow:
    return SecondFactorRow(
        username=row["username"],
        secret=row["secret"],
        pending=row["pending"],
        since=optional_instant(row["since"] or None),
        last_step=row["last_step"],
    )


def _identity(row: Row) -> ExternalIdentityRow:
    return ExternalIdentityRow(row["issuer"], row["subject"], row["username"], instant(row["linked"]))


def _attempts(row: Row) -> FailedAttemptsRow:
    return FailedAttemptsRow(row["level"], instant(row["counted"]), instant(row["closed_until"]))
