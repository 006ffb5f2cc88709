"""What the worker does beside requests: audit segments moved, old rows purged; failures come round again.

Covers server/workers/housekeeping.py.
"""

from __future__ import annotations

from threading import Event
from typing import Any

from server.settings import Settings
from server.workers.housekeeping import Task, run, tasks


def test_audit_rows_of_reads_reach_the_database(fhir: Any, store: Any, clock: Any, settings: Settings) -> None:
    fhir.get("Patient/nobody")
    before = len(store.audit_rows(limit=100))
    for task in tasks(store, settings.home, clock):
        task.run()
    rows = store.audit_rows(limit=100)
    assert len(rows) > before
    assert any(row.interaction == "read" and row.outcome == 404 for row in rows)


def test_what_is_not_this_machines_own_is_taken_by_lease(store: Any, clock: Any, settings: Settings) -> None:
    shared = {task.name for task in tasks(store, settings.home, clock) if task.shared}
    assert shared == {"expired-secrets", "done-jobs", "expired-answers", "expired-links"}


def test_a_failing_task_is_reported_and_the_others_go_on() -> None:
    stop, failures, runs = Event(), [], []

    def broken() -> None:
        raise ValueError

    def last() -> None:
        runs.append(1)
        stop.set()

    todo = [Task("broken", 0.0, broken), Task("last", 0.0, last)]
    run(todo, stop, lambda name, error: failures.append((name, type(error).__name__)))
    assert ("broken", "ValueError") in failures
    assert len(runs) == 2, "every task runs a last time when the worker stops"
