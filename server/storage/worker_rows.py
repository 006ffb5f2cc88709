"""The worker processes that live: a row each, kept fresh by its owner, so that all see when none runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.storage.database import Database
from server.storage.instants import instant, milliseconds

# Three missed signs of life (`workers.timing`) and a worker counts as gone.
GONE_AFTER = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker process. doing: batches and kinds of jobs under way, separated by spaces."""

    name: str
    host: str
    pid: int
    started: datetime
    seen: datetime
    doing: str

    def alive(self, now: datetime) -> bool:
        """Whether it was seen lately."""
        return now - self.seen <= GONE_AFTER


class WorkerRows:
    """The table of worker processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, worker: WorkerRow) -> None:
        """A sign of life; rows of workers that ended long ago without a word go with it."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO worker (name, host, pid, started, seen, doing)"
                " VALUES (:name, :host, :pid, :started, :seen, :doing)"
                " ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, doing = excluded.doing",
                {
                    "name": worker.name,
                    "host": worker.host,
                    "pid": worker.pid,
                    "started": milliseconds(worker.started),
                    "seen": milliseconds(worker.seen),
                    "doing": worker.doing,
                },
            )
            forgotten = milliseconds(worker.seen - FORGOTTEN_AFTER)
            connection.execute("DELETE FROM worker WHERE seen < :forgotten", {"forgotten": forgotten})

    def ended(self, name: str) -> None:
        """A worker ended as it should."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM worker WHERE name = :name", {"name": name})

    def workers(self) -> tuple[WorkerRow, ...]:
        """All of them, the one seen last first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, host, pid, started, seen, doing FROM worker ORDER BY seen DESC, name"
            ).fetchall()
        return tuple(
            WorkerRow(name, host, pid, instant(started), instant(seen), doing)
            for name, host, pid, started, seen, doing in rows
        )

    def running(self, now: datetime) -> bool:
        """Whether any worker was seen lately."""
        return any(worker.alive(now) for worker in self.workers())
