"""What the worker does over and over: audit segments, checkpoints, old secrets and jobs, planned fetches.

Each task is a plain function with a pause of its own; a failure is logged and the task comes round again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from server.storage.database_store import DatabaseStore

KEEP_DONE_JOBS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Task:
    """name: for the log. every_seconds: the pause between two runs.

    shared: taken by lease, so that of all workers of a database one runs it at a time; it costs two writes a
    run. The others run in every worker: what belongs to this machine, or costs nothing when there is nothing to
    do.
    """

    name: str
    every_seconds: float
    run: Callable[[], object]
    shared: bool = False


def tasks(store: DatabaseStore, home: Path, clock: Callable[[], datetime]) -> tuple[Task, ...]:
    """The housekeeping of one deployment."""
    return (
        Task("audit-segments", 1.0, lambda: store.ingest_audit(home / "audit")),
        Task("checkpoint", 5.0, store.checkpoint),
        Task("expired-secrets", 300.0, lambda: store.authorization.purge(clock()), shared=True),
        Task("done-jobs", 3600.0, lambda: store.jobs.purge(clock() - KEEP_DONE_JOBS), shared=True),
        Task("expired-answers", 300.0, lambda: store.asynchronous.purge(clock()), shared=True),
        Task("expired-links", 3600.0, lambda: store.identity_links.purge(clock()), shared=True),
    )


def run(todo: Sequence[Task], stop: Event, failed: Callable[[str, Exception], None]) -> None:
    """Run the tasks at their pauses until stop is set; every task runs a last time then.

    failed: is told of a task that raised, with the task's name.
    """
    due = {task.name: 0.0 for task in todo}
    while not stop.is_set():
        _round(todo, due, failed)
        stop.wait(0.1)
    _round(todo, {task.name: 0.0 for task in todo}, failed)


def _round(todo: Sequence[Task], due: dict[str, float], failed: Callable[[str, Exception], None]) -> None:
    for task in todo:
        if time.monotonic() < due[task.name]:
            continue
        try:
            task.run()
        except Exception as error:  # the next round must come whatever this one met
            failed(task.name, error)
        due[task.name] = time.monotonic() + task.every_seconds
