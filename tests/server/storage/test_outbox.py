"""The outbox: every version once, claimed by state and lease, settled only by its owner."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from typing import Any

LEASE = timedelta(seconds=30)


def patients(count: int) -> list[dict[str, Any]]:
    return [{"resourceType": "Patient", "id": f"p{number}"} for number in range(count)]


def test_every_version_is_an_event_with_ids_alone(chart: Any) -> None:
    chart.put(*patients(1))
    chart.delete("Patient", "p0")
    first, second = chart.store.outbox.claim_batch("relay", chart.now, lease=LEASE, limit=10)
    assert (first.resource_type, first.id, first.version_id, first.method) == ("Patient", "p0", 1, "PUT")
    assert (second.id, second.version_id, second.method, second.attempts) == ("p0", 2, "DELETE", 1)


def test_a_claimed_row_is_free_again_when_its_lease_ends(chart: Any) -> None:
    outbox = chart.store.outbox
    chart.put(*patients(3))
    taken = outbox.claim_batch("one", chart.now, lease=LEASE, limit=2)
    rest = outbox.claim_batch("two", chart.now, lease=LEASE, limit=10)
    assert [event.id for event in (*taken, *rest)] == ["p0", "p1", "p2"]
    assert outbox.claim_batch("two", chart.now + LEASE / 2, lease=LEASE, limit=10) == ()
    again = outbox.claim_batch("two", chart.now + LEASE, lease=LEASE, limit=10)
    assert [(event.id, event.attempts) for event in again] == [("p0", 2), ("p1", 2), ("p2", 2)]


def test_only_the_present_owner_settles_a_row(chart: Any) -> None:
    outbox = chart.store.outbox
    chart.put(*patients(2))
    ids = [event.event_id for event in outbox.claim_batch("one", chart.now, lease=LEASE, limit=10)]
    assert outbox.done("two", ids) == 0
    outbox.claim_batch("two", chart.now + LEASE, lease=LEASE, limit=10)
    assert outbox.done("one", ids) == 0
    assert outbox.done("two", ids) == 2
    assert outbox.done("two", ids) == 0
    assert outbox.done("two", []) == 0
    assert outbox.waiting() == {}


def test_a_failed_row_waits_for_its_retry_or_is_dead(chart: Any) -> None:
    outbox = chart.store.outbox
    chart.put(*patients(2))
    first, second = (e.event_id for e in outbox.claim_batch("one", chart.now, lease=LEASE, limit=10))
    later = chart.now + timedelta(hours=1)
    assert outbox.failed("one", [first], retry=later) == 1
    assert outbox.failed("one", [second], retry=None) == 1
    assert outbox.waiting() == {"dead": 1, "new": 1}
    assert outbox.claim_batch("one", later - LEASE, lease=LEASE, limit=10) == ()
    (event,) = outbox.claim_batch("one", later, lease=LEASE, limit=10)
    assert event.event_id == first


def test_parallel_relays_never_claim_one_row_twice(chart: Any) -> None:
    chart.put(*patients(40))
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()

    def work(name: str) -> None:
        found = []
        while batch := chart.store.outbox.claim_batch(name, chart.now, lease=LEASE, limit=3):
            found += [event.event_id for event in batch]
        answers.put(found)

    processes = [context.Process(target=work, args=(f"relay-{number}",)) for number in range(4)]
    for process in processes:
        process.start()
    claimed = [event_id for _ in processes for event_id in answers.get(timeout=30)]
    for process in processes:
        process.join(timeout=30)
    assert len(claimed) == len(set(claimed)) == 40
