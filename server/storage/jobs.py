"""Work in the background that is no event: one row a job, claimed by state and lease like the outbox.

A job that repeats keeps its row: it is free again `every` after it was done, and a failure delays it but never
ends it. A job that runs once is done, or dead after the last attempt. Payloads hold ids, errors hold classes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server.storage.database import Database
from server.storage.dialect import Parameters
from server.storage.instants import instant, milliseconds, optional_instant

_COLUMNS = (
    "id, kind, key, payload, every, state, owner, attempts, done, total, error, available, heartbeat,"
    " created, finished"
)
_OPEN = "state IN ('new', 'claimed')"
_NAMES = "jobs"  # held by whoever opens a job: of one name at most one is open


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its row says. kind and key name it: of one name at most one is open.

    payload: ids. every: zero for a job that runs once. attempts: this run included; a claim is known by owner
    and attempts. available: when it may be claimed, while it runs the end of its lease.
    """

    id: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    every: timedelta
    state: str
    owner: str
    attempts: int
    done: int
    total: int
    error: str
    available: datetime
    heartbeat: datetime | None
    created: datetime
    finished: datetime | None


class Jobs:
    """The table of jobs. A change of a running job tells whether it is still held."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(
        self,
        kind: str,
        key: str,
        now: datetime,
        *,
        payload: Mapping[str, Any] | None = None,
        every: timedelta = timedelta(0),
    ) -> bool:
        """Add a job, free at once, unless one of that name is open; that one takes over `every`."""
        values = {"kind": kind, "key": key, "every": every // timedelta(milliseconds=1)}
        with self._database.writing() as connection:
            connection.lock(_NAMES)
            added = connection.execute(
                "INSERT INTO job (kind, key, payload, every, state, owner, available, attempts, done, total,"
                " error, created) VALUES (:kind, :key, :payload, :every, 'new', '', :now, 0, 0, 0, '', :now)"
                f" ON CONFLICT (kind, key) WHERE {_OPEN} DO NOTHING",
                values | {"payload": json.dumps(payload or {}), "now": milliseconds(now)},
            ).rowcount
            if not added and every:
                connection.execute(
                    f"UPDATE job SET every = :every WHERE kind = :kind AND key = :key AND {_OPEN}", values
                )
        return added > 0

    def claim(self, owner: str, kinds: Collection[str], now: datetime, *, lease: timedelta) -> Job | None:
        """The job of one of these kinds that has waited longest; None where none is free."""
        if not kinds:
            return None
        with self._database.reading() as connection:
            parameters = Parameters(connection.dialect)
            free = f"{_OPEN} AND available <= :now AND kind {parameters.among(kinds)}"
            first = f"SELECT id FROM job WHERE {free} ORDER BY available, id LIMIT 1"
            values = parameters.values | {"now": milliseconds(now)}
            if connection.execute(first, values).fetchone() is None:
                return None
        with self._database.writing() as connection:
            rows = connection.execute(
                "UPDATE job SET state = 'claimed', owner = :owner, available = :until, heartbeat = :now,"
                f" attempts = attempts + 1, done = 0, total = 0 WHERE id = ({first})"
                f" AND {_OPEN} AND available <= :now"  # of two at a time the later one looks again
                f" RETURNING {_COLUMNS}",
                values | {"owner": owner, "until": milliseconds(now + lease)},
            ).fetchall()
        return _job(rows[0]) if rows else None

    def renew(self, job: Job, now: datetime, *, lease: timedelta) -> bool:
        """Prolong the lease of a running job."""
        change = "available = :until, heartbeat = :now"
        return self._change(job, change, now=milliseconds(now), until=milliseconds(now + lease))

    def progress(self, job: Job, done: int, total: int) -> bool:
        """How much of the job is done."""
        return self._change(job, "done = :done, total = :total", done=done, total=total)

    def finish(self, job: Job, now: datetime, *, again: bool = True) -> bool:
        """The job was done; one that repeats is free again after its pause unless `again` is false."""
        end = milliseconds(now)
        if job.every and again:
            due = milliseconds(now + job.every)
            change = "state = 'new', available = :due, attempts = 0, error = '', finished = :end, owner = ''"
            return self._change(job, change, due=due, end=end)
        return self._change(job, "state = 'done', error = '', finished = :end", end=end)

    def fail(self, job: Job, error: str, now: datetime, *, retry: datetime | None) -> bool:
        """The job failed with this class of error; retry None gives it up."""
        if retry is None:
            change = "state = 'dead', error = :error, finished = :end"
            return self._change(job, change, error=error, end=milliseconds(now))
        change = "state = 'new', error = :error, available = :retry, owner = ''"
        return self._change(job, change, error=error, retry=milliseconds(retry))

    def give_back_all(self, owner: str, now: datetime) -> int:
        """Free what an owner holds and has not finished, as if it had not been claimed; how many jobs."""
        with self._database.writing() as connection:
            return connection.execute(
                "UPDATE job SET state = 'new', available = :now, attempts = attempts - 1, owner = ''"
                " WHERE state = 'claimed' AND owner = :owner",
                {"now": milliseconds(now), "owner": owner},
            ).rowcount

    def _change(self, job: Job, change: str, **values: Any) -> bool:
        held = "id = :id AND state = 'claimed' AND owner = :owner AND attempts = :attempts"
        own = {"id": job.id, "owner": job.owner, "attempts": job.attempts}
        with self._database.writing() as connection:
            return connection.execute(f"UPDATE job SET {change} WHERE {held}", own | values).rowcount == 1

    def retry(self, id: int, now: datetime) -> bool:
        """Free a dead job again from its first attempt on, unless one of its name is open."""
        with self._database.writing() as connection:
            connection.lock(_NAMES)
            other = (
                "SELECT 1 FROM job other WHERE other.kind = job.kind AND other.key = job.key"
                " AND other.state IN ('new', 'claimed')"
            )
            return (
                connection.execute(
                    "UPDATE job SET state = 'new', available = :now, attempts = 0, finished = NULL, owner = ''"
                    f" WHERE id = :id AND state = 'dead' AND NOT EXISTS ({other})",
                    {"id": id, "now": milliseconds(now)},
                ).rowcount
                == 1
            )

    def discard(self, id: int) -> bool:
        """Throw a dead job away."""
        with self._database.writing() as connection:
            dead = "DELETE FROM job WHERE id = :id AND state = 'dead'"
            return connection.execute(dead, {"id": id}).rowcount == 1

    def purge(self, before: datetime) -> int:
        """Forget jobs that were done before that; how many. Dead ones wait for a person."""
        values = {"before": milliseconds(before)}
        with self._database.reading() as connection:
            old = "SELECT 1 FROM job WHERE state = 'done' AND finished < :before LIMIT 1"
            if connection.execute(old, values).fetchone() is None:
                return 0
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM job WHERE state = 'done' AND finished < :before", values
            ).rowcount

    def jobs(self, *, limit: int) -> tuple[Job, ...]:
        """Jobs for people: dead ones first, then running, waiting and done ones, each newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM job ORDER BY CASE state WHEN 'dead' THEN 0 WHEN 'claimed' THEN 1"
                " WHEN 'new' THEN 2 ELSE 3 END, id DESC LIMIT :limit",
                {"limit": limit},
            ).fetchall()
        return tuple(_job(row) for row in rows)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall())


def _job(row: tuple[Any, ...]) -> Job:
    id, kind, key, payload, every, state, owner, attempts, done, total, error, available, beat, created, end = (
        row
    )
    return Job(
        id=id,
        kind=kind,
        key=key,
        payload=json.loads(payload),
        every=timedelta(milliseconds=every),
        state=state,
        owner=owner,
        attempts=attempts,
        done=done,
        total=total,
        error=error,
        available=instant(available),
        heartbeat=optional_instant(beat),
        created=instant(created),
        finished=optional_instant(end),
    )
