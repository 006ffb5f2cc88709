"""The outbox: every version once, in the order of its chart, claimed by state and lease, settled by its holder.

Covers server/storage/outbox.py and dead_letters.py.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.storage import open_store
from server.storage.migrations import migrations
from server.storage.outbox import Failure

LEASE = timedelta(seconds=30)


def patients(count: int) -> list[dict[str, Any]]:
    return [{"resourceType": "Patient", "id": f"p{number}"} for number in range(count)]


def observation(id: str, patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "synthetic"},
        "subject": {"reference": f"Patient/{patient}"},
    }


def names(batch: Any) -> list[str]:
    """What a batch tells of, as "id/version"."""
    return [f"{event.id}/{event.version_id}" for event in batch.events] if batch else []


def claim(chart: Any, at: Any = None, consumer: str = "one", limit: int = 10) -> Any:
    return chart.store.outbox.claim(consumer, at or chart.now, lease=LEASE, limit=limit)


def begin(chart: Any, *consumers: str) -> Any:
    chart.store.outbox.register(consumers or ("one",), chart.now)
    return chart.store.outbox


def test_every_version_is_an_event_with_ids_alone(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(1))
    chart.delete("Patient", "p0")
    assert outbox.waiting() == {"new": 2}
    assert outbox.hand_over() == 2
    first, second = claim(chart).events
    assert (first.resource_type, first.id, first.version_id, first.method) == ("Patient", "p0", 1, "PUT")
    assert (second.id, second.version_id, second.method, second.attempts) == ("p0", 2, "DELETE", 1)
    assert (first.number, second.number) == (1, 2)


def test_numbers_go_on_when_everything_was_delivered(chart: Any) -> None:
    outbox = begin(chart)
    numbers = []
    for patient in patients(3):
        chart.put(patient)
        outbox.hand_over()
        batch = claim(chart)
        numbers += [event.number for event in batch.events]
        assert outbox.settle(batch, done=[event.number for event in batch.events]) == 1
    assert numbers == [1, 2, 3]
    assert outbox.waiting() == {}


def test_events_of_a_deployment_without_consumers_end_at_their_hand_over(chart: Any) -> None:
    chart.put(*patients(2))
    assert chart.store.outbox.hand_over() == 2
    assert chart.store.outbox.waiting() == {}


def test_each_consumer_has_deliveries_of_its_own(chart: Any) -> None:
    outbox = begin(chart, "one", "two")
    chart.put(*patients(2))
    outbox.hand_over()
    batch = claim(chart)
    outbox.settle(batch, done=[event.number for event in batch.events])
    assert claim(chart) is None
    assert names(claim(chart, consumer="two")) == ["p0/1", "p1/1"]


def test_a_consumer_is_told_of_what_comes_after_its_registration(chart: Any) -> None:
    outbox = begin(chart, "one")
    chart.put(*patients(1))
    outbox.hand_over()
    outbox.register(["two"], chart.now)
    chart.put(observation("o", "p0"))
    outbox.hand_over()
    assert names(claim(chart, consumer="two")) == ["o/1"]


def test_a_removed_consumer_leaves_nothing_behind(chart: Any) -> None:
    outbox = begin(chart, "one", "two")
    chart.put(*patients(1))
    outbox.hand_over()
    assert outbox.remove("two") is True
    assert outbox.remove("two") is False
    assert outbox.waiting() == {"new": 1}
    chart.put(*patients(1))
    outbox.hand_over()
    assert claim(chart, consumer="two") is None


def test_a_claimed_batch_is_free_again_when_its_lease_ends(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(3))
    outbox.hand_over()
    taken, rest = claim(chart, limit=2), claim(chart)
    assert (names(taken), names(rest)) == (["p0/1", "p1/1"], ["p2/1"])
    assert claim(chart, chart.now + LEASE / 2) is None
    assert outbox.renew(rest.token, chart.now + 2 * LEASE) == 1
    again = claim(chart, chart.now + LEASE)
    assert [(event.id, event.attempts) for event in again.events] == [("p0", 2), ("p1", 2)]
    assert outbox.batch(taken.token) is None
    assert outbox.batch(again.token) == again


def test_a_batch_of_which_a_part_is_taken_over_is_lost_as_a_whole(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(1))
    chart.put(observation("o", "p0"))
    outbox.hand_over()
    former = claim(chart)
    now = chart.now + LEASE
    taken = claim(chart, now, limit=1)
    assert (names(former), names(taken)) == (["p0/1", "o/1"], ["p0/1"])
    assert outbox.renew(former.token, now + LEASE) == 0
    assert outbox.batch(former.token) is None
    assert claim(chart, now) is None
    outbox.settle(taken, done=[taken.events[0].number])
    assert names(claim(chart, now)) == ["o/1"]


def test_only_the_present_holder_settles_a_delivery(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(2))
    outbox.hand_over()
    stale = claim(chart)
    numbers = [event.number for event in stale.events]
    fresh = claim(chart, chart.now + LEASE)
    assert outbox.renew(stale.token, chart.now + LEASE) == 0
    assert outbox.settle(stale, done=numbers) == 0
    assert outbox.settle(fresh, done=numbers) == 2
    assert outbox.settle(fresh, done=numbers) == 0
    assert outbox.settle(fresh, done=[]) == 0
    assert outbox.waiting() == {}


def test_what_is_given_back_is_free_at_once_and_counts_no_attempt(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(2))
    outbox.hand_over()
    assert outbox.give_back(claim(chart).token, chart.now) == 2
    assert [event.attempts for event in claim(chart).events] == [1, 1]


def test_a_chart_waits_for_its_failed_event_and_other_charts_do_not(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(2))
    outbox.hand_over()
    batch = claim(chart)
    first, second = (event.number for event in batch.events)
    later = chart.now + timedelta(hours=1)
    outbox.settle(batch, done=[second], failed=[Failure(first, "ValueError", later)])
    chart.put(observation("of-p0", "p0"), observation("of-p1", "p1"))
    outbox.hand_over()
    assert names(claim(chart)) == ["of-p1/1"]
    assert names(claim(chart, later)) == ["p0/1", "of-p1/1"]
    assert names(claim(chart, later)) == []


def test_a_chart_goes_on_behind_a_dead_letter(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(1))
    chart.put(observation("o", "p0"))
    outbox.hand_over()
    batch = claim(chart)
    first, second = (event.number for event in batch.events)
    outbox.settle(batch, done=[], failed=[Failure(first, "ValueError", None)], back=[second], again=chart.now)
    assert outbox.waiting() == {"dead": 1, "retry": 1}
    assert names(claim(chart)) == ["o/1"]


def test_a_resource_that_changes_charts_keeps_the_order_of_its_versions_and_of_both_charts(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(observation("moved", "p0"))
    outbox.hand_over()
    held = claim(chart)
    chart.put(observation("moved", "p1"))
    chart.put(observation("other", "p1"))
    outbox.hand_over()
    assert claim(chart) is None
    outbox.settle(held, done=[event.number for event in held.events])
    assert names(claim(chart)) == ["moved/2", "other/1"]


def test_what_failed_twice_travels_alone(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(3))
    outbox.hand_over()
    now = chart.now
    for _ in range(2):
        assert len(claim(chart, now).events) == 3
        now += LEASE
    for expected in ("p0/1", "p1/1", "p2/1"):
        assert names(claim(chart, now)) == [expected]


def test_dead_letters_are_shown_tried_again_and_thrown_away(chart: Any) -> None:
    outbox, letters = begin(chart), chart.store.dead_letters
    chart.put(*patients(3))
    outbox.hand_over()
    batch = claim(chart)
    one, two, three = (event.number for event in batch.events)
    outbox.settle(batch, done=[], failed=[Failure(n, "KeyError", None) for n in (one, two, three)])
    assert [
        (letter.id, letter.version_id, letter.error, letter.attempts) for letter in letters.letters(limit=2)
    ] == [
        ("p0", 1, "KeyError", 1),
        ("p1", 1, "KeyError", 1),
    ]
    (queue,) = letters.queues()
    assert (queue.consumer, queue.dead, queue.new, queue.oldest) == ("one", 3, 0, None)
    assert letters.discard("one", [two]) == 1
    assert letters.discard("another") == 0
    assert letters.retry(chart.now, "one", [one]) == 1
    assert [(event.id, event.attempts) for event in claim(chart).events] == [("p0", 1)]
    assert letters.retry(chart.now) == 1
    assert letters.letters(limit=10) == ()


def test_the_queue_says_what_waits_and_since_when(chart: Any) -> None:
    outbox, letters = begin(chart), chart.store.dead_letters
    assert letters.fresh() == (0, None)
    chart.put(*patients(1))
    first = chart.now
    chart.put(observation("o", "p1"))
    assert letters.fresh() == (2, first)
    outbox.hand_over()
    claim(chart, limit=1)
    (queue,) = letters.queues()
    assert (queue.new, queue.claimed, queue.oldest) == (1, 1, first)
    assert outbox.batches_under_way("one", chart.now) == 1


def test_parallel_relays_never_claim_one_delivery_twice(chart: Any) -> None:
    outbox = begin(chart)
    chart.put(*patients(40))
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()

    def work() -> None:
        found = []
        outbox.hand_over(limit=7)
        while batch := outbox.claim("one", chart.now, lease=LEASE, limit=3):
            found += [event.number for event in batch.events]
            outbox.hand_over(limit=7)
        answers.put(found)

    processes = [context.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    claimed = [number for _ in processes for number in answers.get(timeout=30)]
    for process in processes:
        process.join(timeout=30)
    assert sorted(claimed) == list(range(1, 41))


@pytest.mark.sqlite("the first schema that was released is SQLite's")
def test_events_of_the_first_schema_are_delivered_after_the_upgrade(chart: Any, tmp_path: Any) -> None:
    path = tmp_path / "first.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(migrations("sqlite")[0].script)
        connection.execute("CREATE TABLE schema_version (only INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (1, 1)")
        connection.executemany(
            "INSERT INTO outbox VALUES (?, 1, 'Patient', 'p0', ?, 'PUT', NULL, 0, ?, 'somebody', 5, 1)",
            [(1, 1, "claimed"), (2, 2, "new")],
        )
    connection.close()
    store = open_store(f"sqlite:///{path}")
    store.upgrade()
    store.outbox.register(["one"], chart.now)
    assert store.outbox.hand_over() == 2
    assert names(store.outbox.claim("one", chart.now, lease=LEASE, limit=10)) == ["p0/1", "p0/2"]
    store.close()


# What happens after some versions were written: claims by one of two consumers, batches told as far as an event
# that fails, time that goes by.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.integers(1, 3), st.integers(0, 1)),
        st.tuples(st.just("tell"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("time"), st.integers(5, 40), st.just(0)),
    ),
    min_size=4,
    max_size=10,
)
# Of a few resources and charts, so that they meet: (resource, chart) in the order of their commits.
WRITES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=4)


@given(rounds=st.lists(st.tuples(WRITES, STEPS), min_size=2, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_every_consumer_hears_everything_and_each_chart_in_its_order(
    rounds: Any, chart: Any
) -> None:
    """Resources that move between charts; batches that are told, fail or are left to their lease, in any order.
    The delivery that fails ends its batch. Every example has ids and consumers of its own.
    """
    outbox, own = chart.store.outbox, uuid.uuid4().hex[:8]
    consumers = (f"{own}-a", f"{own}-b")
    outbox.register(consumers, chart.now)
    charts_of: dict[str, str] = {}
    open_batches: list[Any] = []
    heard: dict[str, list[str]] = {name: [] for name in consumers}
    dead: set[tuple[str, str]] = set()
    now = chart.now

    def tell(batch: Any, fail_at: int) -> None:
        present = outbox.batch(batch.token)
        if present is None:
            return  # taken over
        heard[batch.consumer] += names(present)[:fail_at]
        done = [event.number for event in present.events[:fail_at]]
        broken = present.events[fail_at : fail_at + 1]
        retry = now + timedelta(seconds=20)
        failures = [Failure(e.number, "ValueError", None if e.attempts >= 4 else retry) for e in broken]
        dead.update((batch.consumer, f"{e.id}/{e.version_id}") for e in broken if e.attempts >= 4)
        left = [event.number for event in present.events[fail_at + 1 :]]
        outbox.settle(batch, done=done, failed=failures, back=left, again=now)

    for writes, steps in rounds:
        resources = []
        for resource, patient in writes:
            id = f"{own}-{resource}"
            version = sum(name.startswith(f"{id}/") for name in charts_of) + 1
            charts_of[f"{id}/{version}"] = f"{own}-p{patient}"
            resources.append(observation(id, f"{own}-p{patient}"))
        chart.put(*resources)
        outbox.hand_over(limit=3)
        now = max(now, chart.now)
        for step, first, second in steps:
            if step == "claim":
                batch = outbox.claim(consumers[second], now, lease=LEASE, limit=first)
                open_batches += [batch] if batch else []
            elif step == "tell" and open_batches:
                tell(open_batches.pop(first % len(open_batches)), second)
            elif step == "time":
                now += timedelta(seconds=first)
    while outbox.hand_over():
        pass
    now += timedelta(minutes=2)
    for consumer in consumers:
        while batch := outbox.claim(consumer, now, lease=LEASE, limit=3):
            tell(batch, len(batch.events))
    for consumer, told in heard.items():
        given_up = {name for who, name in dead if who == consumer}
        assert set(told) | given_up == set(charts_of)
        firsts = list(dict.fromkeys(told))
        for id in {name.partition("/")[0] for name in charts_of}:
            versions = [int(name.partition("/")[2]) for name in firsts if name.startswith(f"{id}/")]
            assert versions == sorted(versions)
        for patient in set(charts_of.values()):
            expected = [name for name in charts_of if charts_of[name] == patient and name in firsts]
            assert [name for name in firsts if charts_of[name] == patient] == expected
        outbox.remove(consumer)
