"""A worker from start to stop: events reach consumers, what fails comes again, what is under way is ended.

Covers server/workers/worker.py, relay.py, delivery.py, pulse.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage.outbox import OutboxEvent
from server.workers.delivery import deliver
from server.workers.timing import Backoff, Timing


def now() -> datetime:
    return datetime.now(UTC)


def event(number: int, *keys: int) -> OutboxEvent:
    return OutboxEvent(number, "Patient", f"p{number}", 1, "PUT", now(), 1, keys or (number,))


def held() -> bool:
    return True


def test_every_version_is_handed_to_each_consumer_and_then_forgotten(
    fhir: Any, store: Any, working: Any, until: Any
) -> None:
    seen: dict[str, list[tuple[str, int, str]]] = {"a": [], "b": []}

    def consumer(name: str) -> Callable[[Sequence[OutboxEvent]], None]:
        return lambda events: seen[name].extend((e.id, e.version_id, e.method) for e in events)

    store.outbox.register(seen, now())
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "gender": "male"})
    fhir.delete("Patient/one")
    with working({name: consumer(name) for name in seen}) as failures:
        until(lambda: len(seen["a"]) == len(seen["b"]) == 3 and not store.outbox.waiting())
    assert seen["a"] == seen["b"] == [("one", 1, "PUT"), ("one", 2, "PUT"), ("one", 3, "DELETE")]
    assert failures == []


def test_one_failing_consumer_neither_stops_nor_repeats_the_other(
    fhir: Any, store: Any, working: Any, until: Any
) -> None:
    seen: list[str] = []

    def broken(events: Sequence[OutboxEvent]) -> None:
        raise RuntimeError

    with working({"broken": broken, "sound": lambda events: seen.extend(e.id for e in events)}):
        until(lambda: store.workers.running(now()))
        until(lambda: len(store.dead_letters.queues()) == 2)
        for number in range(5):
            fhir.put(f"Patient/p{number}", {"resourceType": "Patient", "id": f"p{number}"})
        until(lambda: store.outbox.waiting() == {"dead": 5})
    assert seen == [f"p{number}" for number in range(5)]
    assert {letter.error for letter in store.dead_letters.letters(limit=10)} == {"RuntimeError"}


def test_the_event_that_hurts_fails_alone_and_holds_up_its_chart_only() -> None:
    told: list[int] = []

    def consumer(events: Sequence[OutboxEvent]) -> None:
        if any(e.number == 2 for e in events):
            raise KeyError
        told.extend(e.number for e in events)

    outcome = deliver(
        consumer, [event(1, 10), event(2, 11), event(3, 10), event(4, 11, 12), event(5, 12)], held
    )
    assert (outcome.done, tuple(outcome.failed), outcome.left) == ((1, 3), (2,), (4, 5))
    assert told == [1, 3]


def test_a_consumer_that_only_fails_is_left_alone_for_a_while() -> None:
    calls = []

    def consumer(events: Sequence[OutboxEvent]) -> None:
        calls.append(len(events))
        raise ConnectionError

    outcome = deliver(consumer, [event(number) for number in range(1, 51)], held)
    assert calls == [50, 1, 1, 1]
    assert (len(outcome.failed), len(outcome.left)) == (3, 47)


def test_a_batch_that_was_taken_over_is_told_no_further() -> None:
    calls = []

    def consumer(events: Sequence[OutboxEvent]) -> None:
        calls.append([e.number for e in events])
        if len(events) > 1:
            raise TimeoutError

    outcome = deliver(consumer, [event(number) for number in range(1, 6)], lambda: len(calls) < 3)
    assert calls == [[1, 2, 3, 4, 5], [1], [2]]
    assert (outcome.done, outcome.left) == ((1, 2), (3, 4, 5))


def test_pauses_grow_to_an_hour_and_end_after_about_seven_hours() -> None:
    backoff = Backoff(lambda: 0.0)
    moment, start = now(), now()
    pauses = []
    for attempt in range(1, 20):
        retry = backoff.retry(attempt, moment)
        if retry is None:
            break
        pauses.append(retry - moment)
        moment = retry
    assert pauses[:3] == [timedelta(seconds=3), timedelta(seconds=9), timedelta(seconds=27)]
    assert (len(pauses), max(pauses)) == (13, timedelta(hours=1))
    assert 6.5 < (moment - start) / timedelta(hours=1) < 7.5
    assert Backoff(lambda: 0.5).pause(1) == timedelta(seconds=3.3)


def test_work_that_takes_longer_than_its_lease_is_kept_alive(
    fhir: Any, store: Any, working: Any, until: Any
) -> None:
    calls: list[int] = []

    def slow(events: Sequence[OutboxEvent]) -> None:
        calls.append(len(events))
        time.sleep(3.0)

    store.outbox.register(["slow"], now())
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    with working({"slow": slow}, name="first"), working({"slow": slow}, name="second"):
        until(lambda: not store.outbox.waiting())
    assert calls == [1]


def test_work_that_hangs_is_taken_over(fhir: Any, store: Any, working: Any, until: Any) -> None:
    hang, calls = threading.Event(), []

    def consumer(events: Sequence[OutboxEvent]) -> None:
        calls.append(len(events))
        if len(calls) == 1:
            hang.wait(20)

    timing = Timing(
        lease=timedelta(seconds=1),
        heartbeat=timedelta(milliseconds=100),
        longest=timedelta(milliseconds=300),
        idle=timedelta(milliseconds=20),
        drain=timedelta(milliseconds=200),
    )
    store.outbox.register(["sometimes"], now())
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    with (
        working({"sometimes": consumer}, name="first", timing=timing),
        working({"sometimes": consumer}, name="second", timing=timing),
    ):
        until(lambda: not store.outbox.waiting())
        hang.set()
    assert len(calls) == 2


def test_a_worker_that_stops_ends_its_batch_and_says_good_bye(
    fhir: Any, store: Any, working: Any, until: Any
) -> None:
    began, ended = threading.Event(), []

    def slow(events: Sequence[OutboxEvent]) -> None:
        began.set()
        time.sleep(1.0)
        ended.extend(events)

    store.outbox.register(["slow"], now())
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    with working({"slow": slow}):
        assert began.wait(10)
        until(store.workers.workers)  # its sign of life comes from another thread
        assert [worker.pid > 0 for worker in store.workers.workers()] == [True]
    assert len(ended) == 1
    assert store.outbox.waiting() == {}
    assert store.workers.workers() == ()
    assert store.workers.running(now()) is False


def test_a_worker_that_must_stop_gives_back_what_it_cannot_end(fhir: Any, store: Any, working: Any) -> None:
    began, released = threading.Event(), threading.Event()

    def stuck(events: Sequence[OutboxEvent]) -> None:
        began.set()
        released.wait(20)

    store.outbox.register(["stuck"], now())
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    timing = Timing(
        lease=timedelta(minutes=5), idle=timedelta(milliseconds=20), drain=timedelta(milliseconds=300)
    )
    try:
        with working({"stuck": stuck}, timing=timing):
            assert began.wait(10)
        batch = store.outbox.claim("stuck", now(), lease=timedelta(minutes=5), limit=10)
        assert [e.attempts for e in batch.events] == [1]
    finally:
        released.set()


@pytest.mark.parametrize("workers", [3])
def test_several_workers_keep_the_order_of_every_chart(
    fhir: Any, store: Any, workers: int, working: Any, until: Any
) -> None:
    lock, told = threading.Lock(), []
    chance = iter(range(10**6))

    def consumer(events: Sequence[OutboxEvent]) -> None:
        with lock:
            if next(chance) % 5 == 2:
                raise OSError
            told.extend((e.id, e.version_id) for e in events)

    store.outbox.register(["all"], now())
    with ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(working({"all": consumer}, name=f"worker-{number}"))
        for version in range(10):
            for patient in range(4):
                body = {"resourceType": "Patient", "id": f"p{patient}", "birthDate": f"19{version + 10}-01-01"}
                fhir.put(f"Patient/p{patient}", body)
        until(lambda: not store.outbox.waiting() or set(store.outbox.waiting()) == {"dead"})
    lost = {(letter.id, letter.version_id) for letter in store.dead_letters.letters(limit=100)}
    for patient in range(4):
        firsts = list(dict.fromkeys(version for id, version in told if id == f"p{patient}"))
        assert firsts == [v for v in range(1, 11) if (f"p{patient}", v) not in lost or v in firsts]
