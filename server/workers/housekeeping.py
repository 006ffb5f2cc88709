"""What the worker does over and over: move audit segments, settle the outbox, fold the log, purge secrets.

Each task is a plain function with a pause of its own; a failure is logged and the task comes round again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from server.storage.database_store import DatabaseStore
from server.storage.outbox import OutboxEvent

LEASE = timedelta(minutes=1)
BATCH = 500

# Told of every version that was written, at least once each; it must not fail for one event's sake.
Consumer = Callable[[Sequence[OutboxEvent]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """name: for the log. every_seconds: the pause between two runs."""

    name: str
    every_seconds: float
    run: Callable[[], object]


def tasks(
    store: DatabaseStore, home: Path, clock: Callable[[], datetime], consumers: Sequence[Consumer]
) -> tuple[Task, ...]:
    """The housekeeping of one deployment. consumers: who is told of new versions; none so far is allowed."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    return (
        Task("audit-segments", 1.0, lambda: store.ingest_audit(home / "audit")),
        Task("outbox", 0.5, lambda: relay(store, owner, clock, consumers)),
        Task("checkpoint", 5.0, store.checkpoint),
        Task("expired-secrets", 300.0, lambda: store.authorization.purge(clock())),
    )


def relay(
    store: DatabaseStore, owner: str, clock: Callable[[], datetime], consumers: Sequence[Consumer]
) -> int:
    """Hand everything in the outbox to the consumers and settle it; how many events."""
    handled = 0
    while events := store.outbox.claim_batch(owner, clock(), lease=LEASE, limit=BATCH):
        for consumer in consumers:
            consumer(events)
        store.outbox.done(owner, [event.event_id for event in events])
        handled += len(events)
    return handled


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
