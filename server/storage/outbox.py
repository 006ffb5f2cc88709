"""The outbox: one row for every version written, in that version's own transaction, until it is handled.

A relay claims rows by state and lease, never by an id it remembers: a lower id may be committed after a
higher one was seen. At least once: a row whose lease ended is claimed again, so consumers are idempotent and
finish within the lease. Rows carry ids and versions, never content.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server.storage.database import Connection, Database
from server.storage.dialect import Parameters
from server.storage.instants import instant, milliseconds


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A version was written. attempts: how often it has been claimed, this time included."""

    event_id: int
    resource_type: str
    id: str
    version_id: int
    method: str
    created: datetime
    attempts: int


def add_event(connection: Connection, version: Mapping[str, Any]) -> None:
    """Add the row of a version: rid, type, id, version, method, patient, updated."""
    connection.execute(
        "INSERT INTO outbox (rid, type, resource_id, version, method, patient, created, state, owner,"
        " available, attempts)"
        " VALUES (:rid, :type, :id, :version, :method, :patient, :updated, 'new', '', 0, 0)",
        version,
    )


class Outbox:
    """The relay's side of the outbox. owner: names one relay; only it may settle what it claimed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_batch(
        self, owner: str, now: datetime, *, lease: timedelta, limit: int
    ) -> tuple[OutboxEvent, ...]:
        """Claim up to limit rows that are free or whose lease has ended, oldest first."""
        with self._database.reading() as connection:  # nothing to do: leave the writers' queue alone
            free = "SELECT 1 FROM outbox WHERE state <> 'dead' AND available <= :now LIMIT 1"
            if connection.execute(free, {"now": milliseconds(now)}).fetchone() is None:
                return ()
        with self._database.writing() as connection:
            rows = connection.execute(
                "UPDATE outbox SET state = 'claimed', owner = :owner, available = :until,"
                " attempts = attempts + 1"
                " WHERE id IN (SELECT id FROM outbox WHERE state <> 'dead' AND available <= :now"
                " ORDER BY available, id LIMIT :limit)"
                " RETURNING id, type, resource_id, version, method, created, attempts",
                {
                    "owner": owner,
                    "now": milliseconds(now),
                    "until": milliseconds(now + lease),
                    "limit": limit,
                },
            ).fetchall()
        return tuple(
            OutboxEvent(row[0], row[1], row[2], row[3], row[4], instant(row[5]), row[6]) for row in sorted(rows)
        )

    def done(self, owner: str, event_ids: Collection[int]) -> int:
        """Forget handled rows; how many of them the owner still held."""
        return self._settle("DELETE FROM outbox", owner, event_ids)

    def failed(self, owner: str, event_ids: Collection[int], *, retry: datetime | None) -> int:
        """Give rows back until retry, or for good (dead letters) when retry is None; how many."""
        if retry is None:
            return self._settle("UPDATE outbox SET state = 'dead'", owner, event_ids)
        available = milliseconds(retry)
        return self._settle(
            "UPDATE outbox SET state = 'new', available = :available", owner, event_ids, available
        )

    def _settle(self, change: str, owner: str, event_ids: Collection[int], available: int | None = None) -> int:
        if not event_ids:
            return 0
        parameters = Parameters(self._database.dialect)
        which = f"state = 'claimed' AND owner = {parameters.bind(owner)} AND id {parameters.among(event_ids)}"
        values = parameters.values | ({} if available is None else {"available": available})
        with self._database.writing() as connection:
            return connection.execute(f"{change} WHERE {which}", values).rowcount

    def waiting(self) -> dict[str, int]:
        """How many rows are in each state."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall())
