"""What the registration of clients keeps: key sets that are published by URL, and invitations to register.

`claim_key_set` and `use_invitation` are atomic over all processes: of concurrent callers one fetches a key set,
and an invitation is used no more often than it says. Every datetime is aware UTC; `now` comes from the caller's
clock; secrets arrive as digests of 32 bytes.

Sources: RFC 7517, RFC 9111 (freshness), RFC 7591 section 3 (initial access token)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from server.storage.database import Database
from server.storage.instants import instant, milliseconds, optional_instant

_FORGOTTEN = timedelta(days=30)  # a key set that nobody has asked for that long


@dataclass(frozen=True, slots=True)
class KeySetRow:
    """A key set published at a URL, as it was fetched last.

    fetched: None while no fetch has succeeded. fresh_until: when its publisher wants it to be fetched again.
    busy_until: a process is fetching it, for as long at the most. not_before: when it may be tried again.
    """

    url: str
    jwks: Mapping[str, Any]
    fetched: datetime | None
    fresh_until: datetime
    busy_until: datetime
    not_before: datetime


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An initial access token: who has it may register a client within these bounds, `uses_left` times.

    invitation_id: names it without giving it away. scope: the most a client may have. hosts: what its addresses
    may name: hosts, and schemes of native apps with their colon ("com.example.app:"). backend: whether it may
    use client credentials. statement: {"iss", "jwks"} of whom its software statement must come from, {} where
    none is asked for.
    """

    token_hash: bytes
    invitation_id: str
    created: datetime
    expires: datetime
    uses_left: int
    scope: str
    note: str = ""
    hosts: tuple[str, ...] = ()
    backend: bool = False
    statement: Mapping[str, Any] = field(default_factory=dict)


class RegistrationStore(Protocol):
    """Each call is one durable transaction, or a part of the surrounding one."""

    def key_set(self, url: str) -> KeySetRow | None: ...

    def claim_key_set(self, url: str, now: datetime, busy_until: datetime) -> bool:
        """Whether the caller is the one to fetch it now: it may be tried again, and nobody else is at it."""

    def keep_key_set(
        self,
        url: str,
        jwks: Mapping[str, Any],
        *,
        fetched: datetime,
        fresh_until: datetime,
        not_before: datetime,
    ) -> None:
        """What a fetch has brought; ends the claim."""

    def release_key_set(self, url: str, *, not_before: datetime) -> None:
        """A fetch has brought nothing; what was there stays."""

    def add_invitation(self, invitation: InvitationRow) -> None: ...

    def invitation(self, token_hash: bytes) -> InvitationRow | None:
        """The row as stored, used up and expired ones too (until purged)."""

    def invitations(self) -> tuple[InvitationRow, ...]:
        """All, the newest first."""

    def use_invitation(self, token_hash: bytes, now: datetime) -> bool:
        """Take one use; False where none is left, it has expired or is unknown."""

    def withdraw_invitation(self, invitation_id: str) -> bool:
        """End it; False if unknown or ended."""

    def is_open(self, now: datetime) -> bool:
        """Whether any invitation can be used now."""

    def purge(self, now: datetime) -> int:
        """Forget key sets that nobody asked for in a month; how many."""


class RegistrationTables:
    """RegistrationStore over one Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- key sets

    def key_set(self, url: str) -> KeySetRow | None:
        with self._database.reading() as connection:
            found = connection.named("SELECT * FROM key_set WHERE url = :url", {"url": url})
        if not found:
            return None
        row = found[0]
        return KeySetRow(
            url=row["url"],
            jwks=json.loads(row["document"]),
            fetched=optional_instant(row["fetched"]),
            fresh_until=instant(row["fresh_until"]),
            busy_until=instant(row["busy_until"]),
            not_before=instant(row["not_before"]),
        )

    def claim_key_set(self, url: str, now: datetime, busy_until: datetime) -> bool:
        sql = (
            "INSERT INTO key_set (url, fetched, fresh_until, busy_until, not_before, document)"
            " VALUES (:url, NULL, 0, :busy, :busy, '{}')"
            " ON CONFLICT (url) DO UPDATE"
            " SET busy_until = excluded.busy_until, not_before = excluded.not_before"
            " WHERE key_set.not_before <= :now"
        )
        values = {"url": url, "now": milliseconds(now), "busy": milliseconds(busy_until)}
        with self._database.writing() as connection:
            return connection.execute(sql, values).rowcount == 1

    def keep_key_set(
        self,
        url: str,
        jwks: Mapping[str, Any],
        *,
        fetched: datetime,
        fresh_until: datetime,
        not_before: datetime,
    ) -> None:
        sql = (
            "INSERT INTO key_set (url, fetched, fresh_until, busy_until, not_before, document)"
            " VALUES (:url, :fetched, :fresh_until, 0, :not_before, :document)"
            " ON CONFLICT (url) DO UPDATE SET fetched = excluded.fetched, fresh_until = excluded.fresh_until,"
            " busy_until = 0, not_before = excluded.not_before, document = excluded.document"
        )
        values = {
            "url": url,
            "fetched": milliseconds(fetched),
            "fresh_until": milliseconds(fresh_until),
            "not_before": milliseconds(not_before),
            "document": json.dumps(jwks, separators=(",", ":"), sort_keys=True),
        }
        with self._database.writing() as connection:
            connection.execute(sql, values)

    def release_key_set(self, url: str, *, not_before: datetime) -> None:
        sql = "UPDATE key_set SET busy_until = 0, not_before = :not_before WHERE url = :url"
        with self._database.writing() as connection:
            connection.execute(sql, {"url": url, "not_before": milliseconds(not_before)})

    # -- invitations

    def add_invitation(self, invitation: InvitationRow) -> None:
        document = {
            "scope": invitation.scope,
            "note": invitation.note,
            "hosts": invitation.hosts,
            "backend": invitation.backend,
            "statement": invitation.statement,
        }
        values = {
            "token_hash": invitation.token_hash,
            "invitation_id": invitation.invitation_id,
            "created": milliseconds(invitation.created),
            "expires": milliseconds(invitation.expires),
            "uses_left": invitation.uses_left,
            "document": json.dumps(document, separators=(",", ":"), sort_keys=True),
        }
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO registration_invitation"
                " (token_hash, invitation_id, created, expires, uses_left, document)"
                " VALUES (:token_hash, :invitation_id, :created, :expires, :uses_left, :document)",
                values,
            )

    def invitation(self, token_hash: bytes) -> InvitationRow | None:
        found = self._invitations("WHERE token_hash = :hash", {"hash": token_hash})
        return found[0] if found else None

    def invitations(self) -> tuple[InvitationRow, ...]:
        return self._invitations("ORDER BY created DESC, invitation_id", {})

    def _invitations(self, rest: str, values: Mapping[str, Any]) -> tuple[InvitationRow, ...]:
        with self._database.reading() as connection:
            found = connection.named(f"SELECT * FROM registration_invitation {rest}", values)
        rows = []
        for row in found:
            document = json.loads(row["document"])
            rows.append(
                InvitationRow(
                    token_hash=bytes(row["token_hash"]),
                    invitation_id=row["invitation_id"],
                    created=instant(row["created"]),
                    expires=instant(row["expires"]),
                    uses_left=row["uses_left"],
                    **{**document, "hosts": tuple(document["hosts"])},
                )
            )
        return tuple(rows)

    def use_invitation(self, token_hash: bytes, now: datetime) -> bool:
        with self._database.writing() as connection:
            return (
                connection.execute(
                    "UPDATE registration_invitation SET uses_left = uses_left - 1"
                    " WHERE token_hash = :hash AND uses_left > 0 AND expires > :now",
                    {"hash": token_hash, "now": milliseconds(now)},
                ).rowcount
                == 1
            )

    def withdraw_invitation(self, invitation_id: str) -> bool:
        with self._database.writing() as connection:
            return (
                connection.execute(
                    "UPDATE registration_invitation SET uses_left = 0"
                    " WHERE invitation_id = :id AND uses_left > 0",
                    {"id": invitation_id},
                ).rowcount
                == 1
            )

    def is_open(self, now: datetime) -> bool:
        with self._database.reading() as connection:
            found = connection.named(
                "SELECT 1 AS found FROM registration_invitation WHERE uses_left > 0 AND expires > :now LIMIT 1",
                {"now": milliseconds(now)},
            )
        return bool(found)

    # -- upkeep

    def purge(self, now: datetime) -> int:
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM key_set WHERE not_before < :limit", {"limit": milliseconds(now - _FORGOTTEN)}
            ).rowcount
