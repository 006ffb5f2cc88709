"""The queue in the metrics: states, times, no ids.

Covers server/api/queue_metrics.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from server.storage.outbox import Failure
from server.storage.worker_rows import WorkerRow


def test_the_queue_is_told_by_state_and_by_the_time_of_the_oldest(
    fhir: Any, store: Any, clock: Any, app: Any
) -> None:
    store.outbox.register(["mirror"], clock())
    fhir.put("Patient/secret", {"resourceType": "Patient", "id": "secret"})
    written = clock()
    store.outbox.hand_over()
    batch = store.outbox.claim("mirror", clock(), lease=timedelta(minutes=1), limit=10)
    store.outbox.settle(batch, done=[], failed=[Failure(batch.events[0].number, "OSError", None)])
    clock.advance(minutes=30)
    fhir.put("Patient/other", {"resourceType": "Patient", "id": "other"})
    store.workers.seen(WorkerRow("w", "host", 1, clock(), clock(), ""))
    store.jobs.enqueue("export", "secret", clock())
    text = app.test_client().get("/metrics", base_url="http://127.0.0.1:8000").text
    for line in (
        "baton_outbox_events 1.0",
        'baton_deliveries{consumer="mirror",state="dead"} 1.0',
        'baton_deliveries{consumer="mirror",state="new"} 0.0',
        'baton_jobs{state="new"} 1.0',
    ):
        assert line in text
    times = {
        name: float(value)
        for name, _, value in (line.partition(" ") for line in text.splitlines() if "_timestamp_" in line)
        if name.startswith("baton_")
    }
    assert times["baton_outbox_oldest_timestamp_seconds"] > written.timestamp() + 1_700
    assert abs(times["baton_worker_seen_timestamp_seconds"] - clock().timestamp()) < 1
    assert "secret" not in text
