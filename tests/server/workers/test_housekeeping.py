"""What the worker does beside requests: outbox settled, audit segments moved; failures come round again.

Covers server/workers/housekeeping.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

import pytest

from server.settings import Settings
from server.workers.housekeeping import Task, relay, run, tasks


def test_every_version_is_handed_to_each_consumer_and_then_forgotten(fhir: Any, store: Any, clock: Any) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "gender": "male"})
    fhir.delete("Patient/one")
    seen: list[tuple[str, int, str]] = []

    def consumer(events: Sequence[Any]) -> None:
        seen.extend((f"{e.resource_type}/{e.id}", e.version_id, e.method) for e in events)

    assert relay(store, "a worker", clock, [consumer]) == 3
    assert seen == [("Patient/one", 1, "PUT"), ("Patient/one", 2, "PUT"), ("Patient/one", 3, "DELETE")]
    assert store.outbox.waiting() == {}


def test_an_event_whose_consumer_failed_comes_again_after_its_lease(fhir: Any, store: Any, clock: Any) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})

    def broken(events: Sequence[Any]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        relay(store, "a worker", clock, [broken])
    seen: list[Any] = []
    assert relay(store, "another", clock, [seen.extend]) == 0
    clock.advance(minutes=2)
    assert relay(store, "another", clock, [seen.extend]) == 1
    assert [event.attempts for event in seen] == [2]


def test_audit_rows_of_reads_reach_the_database(fhir: Any, store: Any, clock: Any, settings: Settings) -> None:
    fhir.get("Patient/nobody")
    before = len(store.audit_rows(limit=100))
    for task in tasks(store, settings.home, clock, consumers=()):
        task.run()
    rows = store.audit_rows(limit=100)
    assert len(rows) > before
    assert any(row.interaction == "read" and row.outcome == 404 for row in rows)


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
