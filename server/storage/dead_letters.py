"""The outbox as people see it: what waits for whom and since when, and the deliveries that were given up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from server.storage.database import Connection, Database
from server.storage.dialect import Parameters
from server.storage.instants import instant, milliseconds, optional_instant
from server.storage.outbox import SHOWN_STATE, deciding


@dataclass(frozen=True, slots=True)
class ConsumerQueue:
    """How many deliveries of a consumer are in each state. oldest: creation of the oldest not given up."""

    consumer: str
    new: int
    claimed: int
    retry: int
    dead: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that was given up. error: the class of its last error."""

    consumer: str
    number: int
    resource_type: str
    id: str
    version_id: int
    method: str
    created: datetime
    attempts: int
    error: str


class DeadLetters:
    """Looking at the outbox, and deciding about what failed for good."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fresh(self) -> tuple[int, datetime | None]:
        """Events that no relay has taken up yet: how many, and since when the oldest waits."""
        with self._database.reading() as connection:
            count, oldest = connection.execute("SELECT count(*), min(created) FROM outbox").fetchone()
        return int(count), optional_instant(oldest)

    def queues(self) -> tuple[ConsumerQueue, ...]:
        """Every registered consumer by name."""
        with self._database.reading() as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM consumer ORDER BY name").fetchall()]
            rows = connection.execute(
                f"SELECT consumer, {SHOWN_STATE}, count(*), min(created) FROM delivery GROUP BY 1, 2"
            ).fetchall()
        counts = {(row[0], row[1]): row[2] for row in rows}
        oldest: dict[str, int] = {}
        for consumer, state, _, created in rows:
            if state != "dead":
                oldest[consumer] = min(created, oldest.get(consumer, created))
        return tuple(
            ConsumerQueue(
                name,
                counts.get((name, "new"), 0),
                counts.get((name, "claimed"), 0),
                counts.get((name, "retry"), 0),
                counts.get((name, "dead"), 0),
                optional_instant(oldest.get(name)),
            )
            for name in names
        )

    def letters(self, *, limit: int) -> tuple[DeadLetter, ...]:
        """The first dead letters by consumer and number."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT consumer, event, type, resource_id, version, method, created, attempts, error"
                " FROM delivery WHERE state = 'dead' ORDER BY consumer, event LIMIT :limit",
                {"limit": limit},
            ).fetchall()
        return tuple(
            DeadLetter(consumer, number, type, id, version, method, instant(created), attempts, error)
            for consumer, number, type, id, version, method, created, attempts, error in rows
        )

    def retry(self, now: datetime, consumer: str = "", numbers: Collection[int] = ()) -> int:
        """Try dead letters again from the first attempt on: those named, or all; how many."""
        change = "UPDATE delivery SET state = 'held', owner = '', available = :now, attempts = 0"
        with deciding(self._database) as connection:
            return _change(connection, change, consumer, numbers, now=milliseconds(now))

    def discard(self, consumer: str = "", numbers: Collection[int] = ()) -> int:
        """Throw dead letters away: those named, or all; how many. The versions they told of stay."""
        with deciding(self._database) as connection:
            return _change(connection, "DELETE FROM delivery", consumer, numbers)


def _change(connection: Connection, change: str, consumer: str, numbers: Collection[int], **values: int) -> int:
    parameters = Parameters(connection.dialect)
    which = "state = 'dead'"
    if consumer:
        which += f" AND consumer = {parameters.bind(consumer)}"
    if numbers:
        which += f" AND event {parameters.among(numbers)}"
    return connection.execute(f"{change} WHERE {which}", parameters.values | values).rowcount
