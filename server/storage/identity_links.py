"""The tables of links between people of other EHRs and people here; the rules are in `server.auth`.

Every call is one durable transaction, or a part of the surrounding one. Changing a link or an issuer ends no
token by itself: `grants_on` tells which grants rest on it.
Sources: RFC 8693; hl7.org/fhir/R4/patient-operation-match.html (why a person decides).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta

from server.storage import identity_link_rows as rows
from server.storage.database import Connection, Database
from server.storage.identity_link_rows import (
    CONFIRMED,
    PROPOSED,
    REFUSED,
    REVOKED,
    IssuerRow,
    LinkKind,
    LinkRow,
    TicketRow,
)
from server.storage.instants import milliseconds

_LINKS = "identity links"  # held by whoever adds or decides one
_KEPT_PROPOSED = timedelta(days=30)
_KEPT_AFTER_EXPIRY = timedelta(days=1)


class IdentityLinks:
    """The tables of migration 11."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- issuers

    def put_issuer(self, row: IssuerRow) -> None:
        """Add or replace."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO trusted_issuer (issuer, disabled, created, document)"
                " VALUES (:issuer, :disabled, :created, :document) ON CONFLICT (issuer) DO UPDATE SET"
                " disabled = excluded.disabled, document = excluded.document",
                rows.issuer_columns(row),
            )

    def issuer(self, issuer: str, *, hold: bool = False) -> IssuerRow | None:
        """hold: nobody else changes it before the surrounding transaction ends."""
        with self._reading(hold) as connection:
            lock = connection.dialect.for_update if hold else ""
            found = connection.named(
                f"SELECT * FROM trusted_issuer WHERE issuer = :issuer {lock}", {"issuer": issuer}
            )
        return rows.issuer_row(found[0]) if found else None

    def issuers(self) -> tuple[IssuerRow, ...]:
        """All, disabled ones too, in the order of their names."""
        with self._database.reading() as connection:
            return tuple(
                map(rows.issuer_row, connection.named("SELECT * FROM trusted_issuer ORDER BY issuer", {}))
            )

    # -- links

    def propose(self, row: LinkRow) -> LinkRow:
        """Add a proposal, or tell more of the one that waits already; a confirmed link is left as it is."""
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            known = self._of(connection, row, CONFIRMED) or self._of(connection, row, PROPOSED)
            if known is None:
                self._insert(connection, row)
                return row
            told = {name: value for name, value in row.made.items() if value}
            if known.state == PROPOSED and known.made != {**known.made, **told}:
                known = replace(known, made={**known.made, **told})
                self._update(connection, known)
            return known

    def confirm(self, row: LinkRow) -> LinkRow | None:
        """Add a confirmed link, or make the proposal of that name one; None where one holds already."""
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            if self._of(connection, row, CONFIRMED) is not None:
                return None
            waiting = self._of(connection, row, PROPOSED)
            if waiting is None:
                self._insert(connection, row)
            else:
                kept = replace(row, link_id=waiting.link_id, created_by=waiting.created_by)
                self._update(connection, kept)  # which leaves `created` as it is
            return self._of(connection, row, CONFIRMED)

    def end(self, link_id: str, state: str, now: datetime, by: str) -> LinkRow | None:
        """Refuse a proposal or revoke a confirmed link; as it is then, None where it was not in that state."""
        before = {REFUSED: PROPOSED, REVOKED: CONFIRMED}[state]
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            row = self._one(connection, link_id)
            if row is None or row.state != before:
                return None
            ended = replace(row, state=state, decided=now, decided_by=by)
            self._update(connection, ended)
        return ended

    def link(self, link_id: str) -> LinkRow | None:
        with self._database.reading() as connection:
            return self._one(connection, link_id)

    def confirmed(self, kind: LinkKind, issuer: str, there: str, *, hold: bool = False) -> LinkRow | None:
        """The link that holds. hold: nobody revokes it before the surrounding transaction ends."""
        values = {"kind": kind, "issuer": issuer, "there": there}
        with self._reading(hold) as connection:
            lock = connection.dialect.for_update if hold else ""
            found = connection.named(
                "SELECT * FROM identity_link WHERE kind = :kind AND issuer = :issuer AND there = :there"
                f" AND state = '{CONFIRMED}' {lock}",
                values,
            )
        return rows.link_row(found[0]) if found else None

    def links(self, *, limit: int, **wanted: str) -> tuple[LinkRow, ...]:
        """The newest first. wanted: kind, issuer, here, state."""
        condition = " AND ".join(f"{name} = :{name}" for name in wanted) or "1 = 1"
        sql = f"SELECT * FROM identity_link WHERE {condition} ORDER BY created DESC, link_id DESC LIMIT :limit"
        with self._database.reading() as connection:
            return tuple(map(rows.link_row, connection.named(sql, {**wanted, "limit": limit})))

    def _of(self, connection: Connection, row: LinkRow, state: str) -> LinkRow | None:
        found = connection.named(
            "SELECT * FROM identity_link WHERE kind = :kind AND issuer = :issuer AND there = :there"
            f" AND state = '{state}'",  # told to the planner, for there is an index for each
            {"kind": row.kind, "issuer": row.issuer, "there": row.there},
        )
        return rows.link_row(found[0]) if found else None

    def _one(self, connection: Connection, link_id: str) -> LinkRow | None:
        found = connection.named("SELECT * FROM identity_link WHERE link_id = :id", {"id": link_id})
        return rows.link_row(found[0]) if found else None

    def _insert(self, connection: Connection, row: LinkRow) -> None:
        columns = rows.link_columns(row)
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        connection.execute(f"INSERT INTO identity_link ({names}) VALUES ({values})", columns)

    def _update(self, connection: Connection, row: LinkRow) -> None:
        connection.execute(
            "UPDATE identity_link SET here = :here, state = :state, decided = :decided, document = :document"
            " WHERE link_id = :link_id",
            {
                name: rows.link_columns(row)[name]
                for name in ("here", "state", "decided", "document", "link_id")
            },
        )

    # -- tickets

    def add_ticket(self, row: TicketRow) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO link_ticket (ticket_hash, expires, document) "
                " VALUES (:ticket_hash, :expires, :document)",
                rows.ticket_columns(row),
            )

    def ticket(self, ticket_hash: bytes) -> TicketRow | None:
        """Expired ones too, until purged."""
        with self._database.reading() as connection:
            found = connection.named(
                "SELECT * FROM link_ticket WHERE ticket_hash = :hash", {"hash": ticket_hash}
            )
        return rows.ticket_row(found[0]) if found else None

    # -- what grants rest on

    def add_bases(self, grant_id: str, bases: Iterable[str], expires: datetime) -> None:
        """Note that a grant rests on each of these; `issuer_basis`, `link_basis`."""
        with self._database.writing() as connection:
            for basis in bases:
                connection.execute(
                    "INSERT INTO grant_basis (basis, grant_id, expires) VALUES (:basis, :grant_id, :expires)",
                    {"basis": basis, "grant_id": grant_id, "expires": milliseconds(expires)},
                )

    def grants_on(self, basis: str) -> tuple[str, ...]:
        """Ids of the grants that rest on it, as far as one of their tokens may still be good."""
        with self._database.reading() as connection:
            found = connection.named("SELECT grant_id FROM grant_basis WHERE basis = :basis", {"basis": basis})
        return tuple(row["grant_id"] for row in found)

    # -- upkeep

    def purge(self, now: datetime) -> int:
        """Forget tickets and bases a day after they expired, and proposals nobody decided on; how many."""
        expired = {"limit": milliseconds(now - _KEPT_AFTER_EXPIRY)}
        with self._database.writing() as connection:
            gone = sum(
                connection.execute(f"DELETE FROM {table} WHERE expires < :limit", expired).rowcount
                for table in ("link_ticket", "grant_basis")
            )
            return (
                gone
                + connection.execute(
                    f"DELETE FROM identity_link WHERE state = '{PROPOSED}' AND created < :limit",
                    {"limit": milliseconds(now - _KEPT_PROPOSED)},
                ).rowcount
            )

    def _reading(self, hold: bool) -> AbstractContextManager[Connection]:
        return self._database.writing() if hold else self._database.reading()
