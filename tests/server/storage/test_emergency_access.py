"""Charts opened in an emergency: kept, ended, reviewed, and in force by the rows that every row source reads.

Covers server/storage/emergency_access.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.fhir.dates import microseconds
from server.fhir.hashing import reference_hash
from server.fhir.visibility import Limit, Rule, Visibility
from server.storage.database_store import DatabaseStore
from server.storage.emergency_access import EmergencyAccess

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NURSE = "Practitioner/nurse"


@pytest.fixture
def patients(chart: Any) -> Any:
    chart.put({"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "b"})
    return chart


def opened(store: DatabaseStore, patient: str = "a", at: datetime = NOW, actor: str = NURSE) -> EmergencyAccess:
    return store.emergency_access.open(
        "nurse", actor, patient, "ETREAT", "found unconscious", opened=at, until=at + HOUR
    )


def seen(chart: Any, at: datetime, caller: str = NURSE) -> list[str]:
    visible = Visibility({"Patient": (Rule(limits=(Limit(),)),)}, reference_hash(caller), microseconds(at))
    return [id for id in "ab" if chart.reading(lambda r, id=id: r.read("Patient", id, visible)) is not None]


def test_it_opens_one_chart_to_one_person_and_ends_by_itself(patients: Any, store: DatabaseStore) -> None:
    assert seen(patients, NOW) == []
    access = opened(store)
    assert access == store.emergency_access.one(access.number)
    assert (access.opened, access.until, access.ended, access.reviewed) == (NOW, NOW + HOUR, None, None)
    assert seen(patients, NOW) == ["a"]
    assert seen(patients, NOW, "Practitioner/other") == []
    last = timedelta(microseconds=1)
    assert seen(patients, NOW + HOUR - last) == ["a"]
    assert seen(patients, NOW + HOUR) == []
    assert access.is_open(NOW)
    assert not access.is_open(NOW + HOUR)


def test_it_is_ended_before_its_time_once(patients: Any, store: DatabaseStore) -> None:
    access = opened(store)
    assert store.emergency_access.end(access.number, NOW + timedelta(minutes=1))
    assert seen(patients, NOW + timedelta(minutes=2)) == []
    assert not store.emergency_access.end(access.number, NOW + timedelta(minutes=3))
    assert not store.emergency_access.end(access.number + 1, NOW)
    ended = store.emergency_access.one(access.number)
    assert ended is not None
    assert ended.ended == NOW + timedelta(minutes=1)
    assert not ended.is_open(NOW + timedelta(minutes=2))


def test_what_ended_by_the_clock_cannot_be_ended_again(store: DatabaseStore) -> None:
    assert not store.emergency_access.end(opened(store).number, NOW + HOUR)


def test_opening_and_ending_raise_the_security_epoch(store: DatabaseStore) -> None:
    before = store.authorization.security_epoch()
    access = opened(store)
    between = store.authorization.security_epoch()
    store.emergency_access.end(access.number, NOW)
    assert before < between < store.authorization.security_epoch()


def test_it_is_a_part_of_the_transaction_around_it(patients: Any, store: DatabaseStore) -> None:
    with pytest.raises(RuntimeError), store.writing():
        opened(store)
        raise RuntimeError
    assert store.emergency_access.list() == ()
    assert seen(patients, NOW) == []


def test_a_review_is_noted_once_and_takes_nothing_away(patients: Any, store: DatabaseStore) -> None:
    access = opened(store)
    assert store.emergency_access.review(access.number, "supervisor", "as it should be", NOW + HOUR)
    assert not store.emergency_access.review(access.number, "another", "no", NOW + 2 * HOUR)
    reviewed = store.emergency_access.one(access.number)
    assert reviewed is not None
    assert (reviewed.reviewed, reviewed.reviewed_by, reviewed.finding) == (
        NOW + HOUR,
        "supervisor",
        "as it should be",
    )
    assert seen(patients, NOW) == ["a"]


def test_accesses_are_listed_the_latest_first_by_what_is_asked(store: DatabaseStore) -> None:
    first = opened(store)
    second = opened(store, "b", NOW + HOUR)
    third = opened(store, "a", NOW + 2 * HOUR, actor="Practitioner/other")
    store.emergency_access.review(first.number, "supervisor", "", NOW)

    def numbers(**asked: Any) -> list[int]:
        return [access.number for access in store.emergency_access.list(**asked)]

    assert numbers() == [third.number, second.number, first.number]
    assert numbers(patient="a") == [third.number, first.number]
    assert numbers(actor=NURSE) == [second.number, first.number]
    assert numbers(open_at=NOW + timedelta(minutes=30)) == [first.number]
    assert numbers(unreviewed=True) == [third.number, second.number]
    assert numbers(limit=1) == [third.number]
    assert store.emergency_access.one(third.number + 1) is None


def test_rows_of_what_is_over_are_not_kept_for_ever(patients: Any, store: DatabaseStore) -> None:
    opened(store)
    opened(store, "b", NOW + 2 * HOUR)
    with store.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM relationship").fetchone()[0] == 1
