"""The outbox: one row for every version written, in that version's own transaction, until it is delivered.

A write adds a row and nothing else (`add_event`). The relay moves rows on: `hand_over` numbers what it finds
committed and makes one delivery of it for every consumer; `claim` takes deliveries as a batch with a lease.
Nothing is found by an id that a relay remembers: a lower id may be committed after a higher one was seen.

Order: of one chart, and of one resource, the deliveries of a consumer are claimed in the order of their
numbers, and none while an earlier one is unsettled outside the batch. At least once: a batch whose lease ended
is claimed again, so consumers are idempotent. Rows carry ids and versions, never content.

Whether a delivery may go depends on others, so one transaction at a time changes deliveries (`deciding`). And a
batch is held as a whole or not at all: whoever claims a part of one whose lease ended frees the rest of it, or
its former holder, come back, would tell a chart's second event while another one has the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server.storage.claimable import claimable
from server.storage.database import Connection, Database
from server.storage.dialect import Parameters
from server.storage.instants import instant, milliseconds

# What people see: a held delivery is with a batch, or waits for its retry.
SHOWN_STATE = "CASE WHEN state <> 'held' THEN state WHEN owner <> '' THEN 'claimed' ELSE 'retry' END"

_EVENT_COLUMNS = "event, type, resource_id, version, method, created, attempts, rid, patient"


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A version was written. number: in the order of hand-over, for ever unique; the order within a chart.

    attempts: how often it has been claimed for this consumer, this time included. keys: what orders it, its
    resource and its chart; events that share one are told in order.
    """

    number: int
    resource_type: str
    id: str
    version_id: int
    method: str
    created: datetime
    attempts: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries of one consumer in their order. token: never given twice; only its holder may settle them."""

    token: str
    consumer: str
    events: tuple[OutboxEvent, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A delivery that failed. error: the class of the error. retry: None gives it up (a dead letter)."""

    number: int
    error: str
    retry: datetime | None


def add_event(connection: Connection, version: Mapping[str, Any]) -> None:
    """Add the row of a version: rid, type, id, version, method, patient, updated."""
    connection.later(
        "INSERT INTO outbox (rid, type, resource_id, version, method, patient, created)"
        " VALUES (:rid, :type, :id, :version, :method, :patient, :updated)",
        version,
    )


@contextmanager
def deciding(database: Database) -> Iterator[Connection]:
    """A write transaction that sees and changes deliveries as nobody else does at the same time.

    Writers of resources do not wait for it. Raises: what `Database.writing` raises.
    """
    with database.writing() as connection:
        connection.lock("outbox")
        yield connection


class Outbox:
    """The relay's side of the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, consumers: Iterable[str], now: datetime) -> None:
        """Tell these consumers, too, of every event that is handed over from now on."""
        with deciding(self._database) as connection:
            connection.executemany(
                "INSERT INTO consumer (name, registered) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING",
                [{"name": name, "now": milliseconds(now)} for name in consumers],
            )

    def remove(self, consumer: str) -> bool:
        """Forget a consumer that is no longer installed, and everything that waits for it."""
        with deciding(self._database) as connection:
            connection.execute("DELETE FROM delivery WHERE consumer = :name", {"name": consumer})
            return (
                connection.execute("DELETE FROM consumer WHERE name = :name", {"name": consumer}).rowcount > 0
            )

    def hand_over(self, *, limit: int = 1_000) -> int:
        """Number up to limit events and make a delivery of each for every consumer; how many events."""
        with self._database.reading() as connection:  # nothing to do: leave the writers' queue alone
            if connection.execute("SELECT 1 FROM outbox LIMIT 1").fetchone() is None:
                return 0
        with deciding(self._database) as connection:
            # Relays number one after the other: what a later one finds was not committed when this one looks.
            last = connection.execute("SELECT event FROM relay").fetchone()[0]
            rows = connection.execute(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT :limit)"
                " RETURNING id, rid, type, resource_id, version, method, patient, created",
                {"limit": limit},
            ).fetchall()
            consumers = [
                row[0] for row in connection.execute("SELECT name FROM consumer ORDER BY name").fetchall()
            ]
            names = ("rid", "type", "id", "version", "method", "patient", "created")
            numbered = [
                dict(zip(names, row[1:], strict=True)) | {"event": number}
                for number, row in enumerate(sorted(rows, key=lambda row: row[0]), last + 1)
            ]
            if consumers:
                connection.executemany(
                    "INSERT INTO delivery (consumer, event, rid, type, resource_id, version, method, patient,"
                    " created, state, owner, available, attempts, error)"
                    " VALUES (:consumer, :event, :rid, :type, :id, :version, :method, :patient, :created,"
                    " 'new', '', 0, 0, '')",
                    [row | {"consumer": consumer} for consumer in consumers for row in numbered],
                )
            connection.execute("UPDATE relay SET event = :event", {"event": last + len(rows)})
        return len(rows)

    def claim(self, consumer: str, now: datetime, *, lease: timedelta, limit: int) -> Batch | None:
        """Claim the next deliveries of a consumer as one batch; None where nothing may go now."""
        with self._database.reading() as connection:  # nothing to do: leave the others alone
            if not claimable(connection, consumer, milliseconds(now), 1):
                return None
        with deciding(self._database) as connection:
            chosen = claimable(connection, consumer, milliseconds(now), limit)
            if not chosen:
                return None
            number = connection.execute("UPDATE relay SET batch = batch + 1 RETURNING batch").fetchall()[0][0]
            token = f"outbox-{number}"
            former = {owner for owner in chosen.values() if owner}
            if former:
                parameters = Parameters(connection.dialect)
                connection.execute(
                    f"UPDATE delivery SET owner = '' WHERE state = 'held' AND owner {parameters.among(former)}",
                    parameters.values,
                )
            parameters = Parameters(connection.dialect)
            rows = connection.execute(
                "UPDATE delivery SET state = 'held', owner = :owner, available = :until,"
                " attempts = attempts + 1 WHERE consumer = :consumer"
                f" AND event {parameters.among(chosen)} RETURNING {_EVENT_COLUMNS}",
                parameters.values | {"consumer": consumer, "owner": token, "until": milliseconds(now + lease)},
            ).fetchall()
        return Batch(token, consumer, _events(rows))

    def batch(self, token: str) -> Batch | None:
        """What a token still holds; None where all of it was settled, taken over or never there."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_EVENT_COLUMNS}, consumer FROM delivery WHERE state = 'held' AND owner = :token",
                {"token": token},
            ).fetchall()
        return Batch(token, rows[0][-1], _events(row[:-1] for row in rows)) if rows else None

    def renew(self, token: str, until: datetime) -> int:
        """Prolong the lease of a batch; how many deliveries it still holds."""
        with deciding(self._database) as connection:
            return connection.execute(
                "UPDATE delivery SET available = :until WHERE state = 'held' AND owner = :token",
                {"until": milliseconds(until), "token": token},
            ).rowcount

    def settle(
        self,
        batch: Batch,
        *,
        done: Collection[int],
        failed: Sequence[Failure] = (),
        back: Collection[int] = (),
        again: datetime | None = None,
    ) -> int:
        """End a batch: forget the done, keep the failed, give the others back until `again` as never tried.

        Numbers are those of its events. Returns how many deliveries the batch still held.
        """
        held = 0
        with deciding(self._database) as connection:
            held += self._change(connection, batch, "DELETE FROM delivery", done)
            for failure in failed:
                held += self._fail(connection, batch, failure)
            change = "UPDATE delivery SET owner = '', available = :again, attempts = attempts - 1"
            held += self._change(connection, batch, change, back, again=milliseconds(again) if again else 0)
        return held

    def _fail(self, connection: Connection, batch: Batch, failure: Failure) -> int:
        change = "UPDATE delivery SET state = :state, owner = '', available = :retry, error = :error"
        return self._change(
            connection,
            batch,
            change,
            [failure.number],
            state="dead" if failure.retry is None else "held",
            retry=milliseconds(failure.retry) if failure.retry else 0,
            error=failure.error,
        )

    @staticmethod
    def _change(
        connection: Connection, batch: Batch, change: str, numbers: Collection[int], **values: Any
    ) -> int:
        if not numbers:
            return 0
        parameters = Parameters(connection.dialect)
        among = parameters.among(numbers)
        which = f"consumer = :consumer AND event {among} AND state = 'held' AND owner = :token"
        own = {"consumer": batch.consumer, "token": batch.token}
        return connection.execute(f"{change} WHERE {which}", parameters.values | own | values).rowcount

    def give_back(self, token: str, now: datetime) -> int:
        """Free what a batch still holds, as if it had not been claimed: another one may take it at once."""
        with deciding(self._database) as connection:
            return connection.execute(
                "UPDATE delivery SET owner = '', available = :now, attempts = attempts - 1"
                " WHERE state = 'held' AND owner = :token",
                {"now": milliseconds(now), "token": token},
            ).rowcount

    def batches_under_way(self, consumer: str, now: datetime) -> int:
        """How many batches of a consumer hold a lease."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(DISTINCT owner) FROM delivery WHERE consumer = :consumer"
                " AND state = 'held' AND owner <> '' AND available > :now",
                {"consumer": consumer, "now": milliseconds(now)},
            ).fetchone()
        return int(row[0])

    def waiting(self) -> dict[str, int]:
        """How many events wait: `new` ones (not handed over or not claimed yet), claimed, retry, dead."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {SHOWN_STATE}, count(*) FROM delivery GROUP BY 1").fetchall()
            counts = dict(rows)
            fresh = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        if fresh:
            counts["new"] = counts.get("new", 0) + fresh
        return counts


def _events(rows: Iterable[Sequence[Any]]) -> tuple[OutboxEvent, ...]:
    ordered = sorted(rows, key=lambda row: row[0])
    return tuple(
        OutboxEvent(number, type, id, version, method, instant(created), attempts, _keys(rid, patient))
        for number, type, id, version, method, created, attempts, rid, patient in ordered
    )


def _keys(rid: int, patient: int | None) -> tuple[int, ...]:
    return (rid,) if patient is None else (rid, patient)
