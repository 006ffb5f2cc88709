"""The worker's job that indexes stored resources again.

Covers server/workers/reindexing.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from server.fhir.index_rows import IndexRows
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.storage import reindex
from server.storage.versions import NewVersion
from server.workers.job_runner import JobRunner
from server.workers.pulse import Pulse
from server.workers.reindexing import KIND, Reindexing
from server.workers.timing import Backoff, Timing

DOSE = ("value-quantity", "5|http://unitsofmeasure.org|mg")


def put(store: Any, id: str, now: datetime) -> None:
    """An observation as a release left it that indexed nothing."""
    quantity = {"value": 5, "system": "http://unitsofmeasure.org", "code": "mg"}
    body = {"resourceType": "Observation", "id": id, "status": "final", "valueQuantity": quantity}
    with store.writing() as writer:
        writer.put(NewVersion("Observation", id, 1, 0, now, json.dumps(body).encode(), "PUT", IndexRows()))


def test_what_an_upgrade_left_is_planned_done_and_not_planned_again(store: Any, clock: Any) -> None:
    for number in range(250):
        put(store, f"o{number}", datetime(2026, 3, 1, tzinfo=UTC))
    with store.database.writing() as connection:
        reindex.begin(connection, reindex.SCHEMA_5)
    work = Reindexing(store, "http://server.example/fhir", "UTC", clock, slice=0.0001)
    failures: list[str] = []
    timing = Timing()
    runner = JobRunner(
        store.jobs,
        work.kinds,
        "tests",
        Pulse(timing),
        timing,
        Backoff(lambda: 0.0, attempts=3),
        clock,
        lambda name, error: failures.append(type(error).__name__),
    )
    assert runner.run_one() == 0
    work.task.run()
    work.task.run()  # the plan of another worker
    slices = 0
    while store.reindexing():
        slices += runner.run_one()
        clock.advance(seconds=2)
        assert slices < 20
    assert failures == []
    assert slices >= 2
    with store.reading() as reader:
        query = parse_search("Observation", [DOSE])
        assert reader.total(query, EVERYTHING, None).value == 250
    clock.advance(seconds=60)
    work.task.run()
    assert runner.run_one() == 0
    assert [job.state for job in store.jobs.jobs(limit=5) if job.kind == KIND] == ["done"]
