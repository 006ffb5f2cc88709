"""Messages that have nothing to do with each other share a commit. They are made ready before it begins, while
nobody is held up, and have the same effect as if each had been read, made ready and written in its turn."""

from __future__ import annotations

import json
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.result import Intent
from server.hl7v2.apply import Applier
from server.hl7v2.prepared import Event, Prepared


def ward(say: Any, number: str, name: str) -> Intent:
    """A Location that messages of several patients speak of."""
    resource = {"resourceType": "Location", "identifier": [{"system": "urn:id:HOSP", "value": number}]}
    return say.but(say.patient(number, key="ward"), resource=resource | {"name": name})


def refused(store: Any) -> list[Any]:
    return [row for row in store.audit_rows(limit=50) if row.outcome >= 400]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each shared commit had that was made."""
    together, sizes = Applier.apply_together, []

    def watched(self: Applier, messages: Any) -> None:
        together(self, messages)
        sizes.append(len(messages))

    monkeypatch.setattr(Applier, "apply_together", watched)
    return sizes


def test_messages_that_have_nothing_to_do_with_each_other_share_a_commit(
    feed: Any, say: Any, shared: list[int]
) -> None:
    feed.apply(say.mapped(ward(say, "W", "a ward")))
    for number in range(4):  # that all name one ward, as it is stored, is nothing to wait for
        feed.send(say.mapped(say.patient(str(number)), ward(say, "W", "a ward"), at=2), patient=str(number))
    assert feed.worker(together=4).do_some() == 4
    assert shared == [4]
    assert feed.one("Location")["meta"]["versionId"] == "1"
    assert len(feed.stored("Patient")) == 4
    of_each = [[target["reference"] for target in one["target"]] for one in feed.stored("Provenance")[1:]]
    assert sorted(of_each) == sorted(json.loads(feed.row(id)["result"]) for id in range(2, 6))


@pytest.mark.parametrize("following", ["of its patient", "changes what it changes", "makes what it makes"])
def test_a_message_that_follows_another_one_begins_the_next_commit(
    feed: Any, say: Any, shared: list[int], following: str
) -> None:
    first, second = {
        "of its patient": ((say.patient("1"),), (say.patient("1", gender="female"),)),
        "changes what it changes": ((ward(say, "W", "one"),), (ward(say, "W", "two"),)),
        "makes what it makes": ((ward(say, "X", "one"),), (ward(say, "X", "two"),)),
    }[following]
    feed.apply(say.mapped(ward(say, "W", "a ward")))
    keys = ("1", "1") if following == "of its patient" else ("1", "2")
    feed.send(say.mapped(say.patient("8"), at=2), patient="8")
    feed.send(say.mapped(*first, at=2), patient=keys[0])
    feed.send(say.mapped(*second, at=3), patient=keys[1])
    feed.send(say.mapped(say.patient("9"), at=3), patient="9")
    assert feed.worker(together=4).do_some() == 4
    assert shared == [2, 2]
    assert set(feed.states()) == {"applied"}


def test_an_identifier_of_very_many_resources_hides_nothing_of_other_messages(
    feed: Any, say: Any, fhir: Any, shared: list[int]
) -> None:
    often = ward(say, "W", "a ward")
    entry = {"resource": dict(often.resource), "request": {"method": "POST", "url": "Location"}}
    assert (
        fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 250}).status == 200
    )
    known = {**say.patient("2").resource, "birthDate": "1950-01-01"}
    assert fhir.post("Patient", known).status == 201
    feed.send(say.mapped(say.patient("1"), often), patient="1")
    feed.send(say.mapped(say.patient("2", gender="female")), patient="2")
    assert feed.worker(together=4).do_some() == 2
    assert shared == []
    patient = feed.of("Patient", "2")
    assert (patient["birthDate"], patient["gender"]) == ("1950-01-01", "female")


def test_commits_of_several_workers_that_change_the_same_resources_do_not_wait_for_each_other_for_ever(
    feed: Any, say: Any
) -> None:
    wards = "ABCD"
    for number in range(40):
        named = (wards[number % 4], wards[(number * 3 + 1) % 4])
        said = (ward(say, name, f"as of {number}") for name in named)
        intents = [say.but(one, key=f"ward {place}") for place, one in enumerate(said)]
        feed.send(say.mapped(say.patient(str(number)), *intents, at=number), patient=str(number))

    def run() -> None:
        idle = 0
        while idle < 5:
            idle = 0 if feed.worker(together=5).do_some(limit=10) else idle + 1

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for _ in range(10):  # what others changed at the same moment comes again
        feed.clock.advance(minutes=1)
        feed.run()
    assert set(feed.states()) == {"applied"}
    assert len(feed.stored("Location")) == 4
    assert len(feed.stored("Patient")) == 40


def test_what_messages_of_one_commit_say_of_a_shared_resource_is_said_in_their_order(
    feed: Any, say: Any, store: Any
) -> None:
    for number in range(4):
        mapped = say.mapped(say.patient(str(number)), ward(say, "W", f"ward {number}"), at=number)
        feed.send(mapped, patient=str(number))
    assert feed.worker(together=4).do_some() == 4
    shared = feed.one("Location")
    assert (shared["name"], shared["meta"]["versionId"]) == ("ward 3", "4")
    assert refused(store) == []


def test_a_message_of_one_commit_follows_the_earlier_one_of_its_patient(feed: Any, say: Any) -> None:
    feed.send(say.mapped(say.patient(birthDate="1950-01-01"), at=1))
    feed.send(say.mapped(say.patient(gender="female"), at=2))
    feed.send(say.mapped(say.patient("2"), at=3), patient="2")
    assert feed.worker(together=4).do_some() == 3
    patient = feed.of("Patient", "1")
    assert (patient["birthDate"], patient["gender"]) == ("1950-01-01", "female")
    assert patient["meta"]["versionId"] == "2"


def test_what_others_write_after_a_message_was_made_ready_is_not_lost(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(), say.encounter()))
    feed.send(say.mapped(say.patient(gender="female"), at=2))
    feed.send(say.mapped(say.patient("2"), at=2), patient="2")

    def elsewhere() -> None:
        mapped = say.mapped(say.patient(birthDate="1950-01-01"), at=1)
        feed.worker().applier.apply(Event(99, "adt", "ADT"), mapped, lambda applied: None)

    waiting = [Thread(target=elsewhere)]

    def stopping() -> bool:  # asked after all were made ready, before the first one is written
        if waiting:
            thread = waiting.pop()
            thread.start()
            thread.join(30)
        return False

    assert feed.worker(together=4).do_some(stopping) == 2
    patient = feed.of("Patient", "1")
    assert (patient["birthDate"], patient["gender"]) == ("1950-01-01", "female")
    assert feed.states() == ["applied"] * 3


def test_messages_of_one_commit_are_made_ready_before_it_begins(
    feed: Any, say: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, seen = Applier.prepare_together, []

    def watched(self: Applier, messages: Any) -> tuple[Prepared, ...]:
        prepared = prepare(self, messages)
        seen.append((len(prepared), _writes_from_elsewhere(store)))
        return prepared

    monkeypatch.setattr(Applier, "prepare_together", watched)
    for number in range(3):
        feed.send(say.mapped(say.patient(str(number))), patient=str(number))
    assert feed.worker(together=3).do_some() == 3
    assert seen == [(3, True)]
    assert feed.states() == ["applied"] * 3


def test_others_write_until_all_that_messages_of_one_commit_write_is_put_together(
    feed: Any, say: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        feed.apply(say.mapped(say.patient(str(number))), patient=str(number))
    for number in range(3):
        feed.send(say.mapped(say.patient(str(number), gender="female"), at=2), patient=str(number))
    feed.send(say.mapped(say.patient("new"), at=2), patient="new")
    remember, seen = Applier._remember, []

    def watched(self: Applier, *arguments: Any) -> None:  # what comes last, before the commit
        remember(self, *arguments)
        seen.append(_writes_from_elsewhere(store))

    monkeypatch.setattr(Applier, "_remember", watched)
    assert feed.worker(together=8).do_some() == 4
    assert seen == [True]
    assert set(feed.states()) == {"applied"}


def test_a_patient_that_others_make_before_the_commit_is_not_made_twice(
    feed: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, waiting = Applier.apply_together, []

    def elsewhere() -> None:
        mapped = say.mapped(say.patient("1", birthDate="1950-01-01"), at=1)
        feed.worker().applier.apply(Event(99, "adt", "ADT"), mapped, lambda applied: None)

    def late(self: Applier, messages: Any) -> None:
        waiting.append(Thread(target=elsewhere))
        waiting[0].start()
        waiting[0].join(30)
        together(self, messages)

    monkeypatch.setattr(Applier, "apply_together", late)
    for number in "12":
        feed.send(say.mapped(say.patient(number, gender="female"), at=2), patient=number)
    assert feed.worker(together=4).do_some() == 2
    assert set(feed.states()) == {"applied"}
    assert [one["gender"] for one in feed.stored("Patient")] == ["female", "female"]
    assert feed.of("Patient", "1")["birthDate"] == "1950-01-01"


STEPS = st.tuples(
    st.sampled_from("123"),  # the patient
    st.sampled_from((None, "ward A", "ward B")),
    st.sampled_from((None, "in-progress", "finished")),
    st.integers(1, 6),  # the minute of the event
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=12))
def test_sharing_a_commit_changes_nothing_of_the_result(
    feed: Any, say: Any, steps: list[tuple[str, str | None, str | None, int]]
) -> None:
    feed.rounds = getattr(feed, "rounds", 0) + 1
    results = []
    for together in (1, 8):
        prefix = f"{feed.rounds}-{together}-"
        for position, (patient, name, status, minute) in enumerate(steps):
            intents = [say.patient(prefix + patient, name=[{"text": str(position)}])]
            if name is not None:
                intents.append(ward(say, f"{prefix}W", name))
            if status is not None:
                intents.append(say.encounter(f"{prefix}V{patient}", status))
            feed.send(say.mapped(*intents, at=minute), patient=prefix + patient)
        worker = feed.worker(together=together)
        while worker.do_some():
            pass
        found = [
            (one["resourceType"], one["identifier"][0]["value"].removeprefix(prefix), said(one))
            for kind in ("Patient", "Location", "Encounter")
            for one in feed.stored(kind)
            if one["identifier"][0]["value"].startswith(prefix)
        ]
        results.append(sorted(found, key=str))
    assert results[0] == results[1]
    assert set(feed.states()) == {"applied"}


def said(resource: dict[str, Any]) -> dict[str, Any]:
    """What can be compared of a resource: what it says, and how often it was written."""
    kept = {name: resource[name] for name in ("name", "status") if name in resource}
    return kept | {"version": resource["meta"]["versionId"]}


def _writes_from_elsewhere(store: Any) -> bool:
    """Whether another thread gets to write now."""

    def write() -> None:
        with store.writing() as writer:
            writer.claim(b"test")

    thread = Thread(target=write, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()
