"""What a feed says again and again is known again, and is written all the same where something else is stored
by then.

Covers server/hl7v2/resolving.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.result import Intent
from server.hl7v2.resolving import Repetitions, read, resolved
from server.storage.versions import StoredVersion

MRN = "urn:id:HOSP"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ward(say: Any, name: str, number: str = "W", **more: Any) -> Intent:
    resource = {"resourceType": "Location", "name": name, "identifier": [{"system": MRN, "value": number}]}
    return say.but(say.patient(number, key="ward"), resource=resource | more)


def version(number: int, at: datetime = NOON) -> StoredVersion:
    return StoredVersion("Location", "w", number, at, b"{}", "PUT")


def test_references_to_intents_become_references_to_resources_wherever_they_stand() -> None:
    odd = 'of "a" \\ é'
    resource = {
        "subject": {"reference": "#intent:patient", "display": "x"},
        "participant": [{"individual": {"reference": f"#intent:{odd}"}}],
    }
    found = {"patient": "Patient/1", odd: "Practitioner/2"}
    assert read(resolved(resource, found.get)) == {
        "subject": {"reference": "Patient/1", "display": "x"},
        "participant": [{"individual": {"reference": "Practitioner/2"}}],
    }


def test_a_text_of_the_sender_that_looks_like_a_reference_stays_as_it_is() -> None:
    resource = {
        "note": [{"text": '"reference":"#intent:patient"'}, {"text": "#intent:patient"}],
        "url": "#intent:patient",
        "subject": {"reference": "#intent:patient"},
    }
    assert read(resolved(resource, lambda _: "Patient/1")) == resource | {"subject": {"reference": "Patient/1"}}


def test_a_reference_to_nothing_stays_and_numbers_keep_their_digits() -> None:
    resource = {"subject": {"reference": "#intent:gone"}, "value": Decimal("1.50"), "whole": Decimal("9" * 80)}
    found = read(resolved(resource, lambda _: None))
    assert found["subject"] == {"reference": "#intent:gone"}
    assert str(found["value"]) == "1.50"
    assert str(found["whole"]) == "9" * 80


@pytest.mark.parametrize(
    ("stored", "text", "known"),
    [
        (version(1), b"said", True),
        (version(2), b"said", False),
        (version(1, NOON + timedelta(milliseconds=1)), b"said", False),
        (version(1), b"said otherwise", False),
    ],
)
def test_a_repetition_is_of_one_version_and_one_text(stored: StoredVersion, text: bytes, known: bool) -> None:
    repetitions = Repetitions()
    repetitions.add(version(1), b"said")
    assert repetitions.has(stored, text) is known


def test_what_is_long_is_not_kept_and_only_so_much_is(monkeypatch: pytest.MonkeyPatch) -> None:
    repetitions = Repetitions()
    repetitions.add(version(1), b"x" * 5_000)
    assert not repetitions.has(version(1), b"x" * 5_000)
    monkeypatch.setattr("server.hl7v2.resolving._MOST", 3)
    for number in range(7):
        repetitions.add(StoredVersion("Location", f"w{number}", 1, NOON, b"{}", "PUT"), b"said")
    assert len(repetitions._found) <= 3


def test_what_others_changed_in_between_is_said_again(feed: Any, say: Any, fhir: Any) -> None:
    for minute in range(3):
        feed.apply(say.mapped(say.patient(), ward(say, "a ward"), at=minute))
    known = feed.one("Location")
    assert known["meta"]["versionId"] == "1"
    assert fhir.put(f"Location/{known['id']}", known | {"name": "by hand"}).status == 200
    feed.apply(say.mapped(say.patient(), ward(say, "a ward"), at=4))
    assert (feed.one("Location")["name"], feed.one("Location")["meta"]["versionId"]) == ("a ward", "3")


def test_what_only_repeats_is_told_as_unchanged_and_still_is_the_latest_word(feed: Any, say: Any) -> None:
    for minute in (0, 1, 10):
        feed.apply(say.mapped(say.patient(), say.encounter(), at=minute))
    feed.apply(say.mapped(say.patient(), say.encounter(status="planned"), at=5))
    assert feed.one("Encounter")["status"] == "in-progress"
    assert feed.states() == ["applied"] * 4


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(("a", "b")),
            st.sampled_from(({}, {"description": "x"}, {"alias": ["y"]})),
        ),
        min_size=1,
        max_size=8,
    ),
    number=st.integers(10**6, 10**9),
)
def test_a_worker_that_remembers_writes_what_one_that_has_just_started_writes(
    feed: Any, say: Any, said: list[tuple[int, str, dict[str, Any]]], number: int
) -> None:
    """Law: the same messages leave the same resources, whoever of the workers applies them."""
    for one, start_anew in ((f"{number}r", False), (f"{number}n", True)):
        for minute, name, more in said:
            if start_anew:
                feed.work = feed.worker()
            feed.apply(say.mapped(ward(say, name, one, **more), at=minute), patient=one)
    first, second = (feed.of("Location", f"{number}{one}") for one in "rn")
    assert {"id", "meta", "identifier"} >= {name for name in first if first[name] != second.get(name)}
    assert first.keys() == second.keys()
    assert first["meta"]["versionId"] == second["meta"]["versionId"]
