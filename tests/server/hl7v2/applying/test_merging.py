"""Merges of patients and visits: chains, repeats, circles, and everything that refers to the one that ends.

Covers server/hl7v2/merging.py and the merges of apply.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from mappings.result import Identity, Intent, Merge
from server.hl7v2 import apply

pytestmark = pytest.mark.requirement("hl7v2-2.3-merge")


def links(patient: dict[str, Any]) -> set[tuple[str, str]]:
    """What a Patient is linked to: type and id."""
    return {(link["type"], link["other"]["reference"].partition("/")[2]) for link in patient.get("link", ())}


def old_ids(patient: dict[str, Any]) -> set[str]:
    """The identifiers that a Patient keeps from those merged into it."""
    return {one["value"] for one in patient["identifier"] if one.get("use") == "old"}


@pytest.fixture
def two(feed: Any, say: Any) -> Any:
    """Patients 1 and 2; what is made for 2 is a visit and a result."""
    feed.apply(say.mapped(say.patient("1", gender="female")), patient="1")
    feed.apply(say.mapped(say.patient("2"), say.encounter("V2"), say.observation("F2")), patient="2")
    return feed


def test_the_one_that_ends_stays_inactive_and_points_at_its_survivor(two: Any, say: Any) -> None:
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    survivor, victim = two.of("Patient", "1"), two.of("Patient", "2")
    assert victim["active"] is False
    assert links(victim) == {("replaced-by", survivor["id"])}
    assert links(survivor) == {("replaces", victim["id"])}
    assert old_ids(survivor) == {"2"}


def test_what_referred_to_the_one_that_ends_is_in_the_chart_of_the_survivor(two: Any, say: Any) -> None:
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    survivor = f"Patient/{two.of('Patient', '1')['id']}"
    assert two.one("Encounter")["subject"]["reference"] == survivor
    assert two.one("Observation")["subject"]["reference"] == survivor
    moved = [entry["reference"].split("/")[0] for entry in two.stored("Provenance")[-1]["target"]]
    assert sorted(moved) == ["Encounter", "Observation", "Patient", "Patient"]


def test_provenances_still_say_what_was_written_at_the_time(two: Any, say: Any) -> None:
    before = two.stored("Provenance")
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    assert two.stored("Provenance")[: len(before)] == before


def test_a_message_for_the_old_number_goes_to_the_survivor(two: Any, say: Any) -> None:
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    two.apply(say.mapped(say.patient("2", birthDate="1970-01-02"), say.encounter("V3"), at=2), patient="2")
    survivor = two.of("Patient", "1")
    assert survivor["birthDate"] == "1970-01-02"
    assert old_ids(survivor) == {"2"}
    assert two.of("Encounter", "V3")["subject"]["reference"] == f"Patient/{survivor['id']}"
    assert two.of("Patient", "2")["active"] is False


def test_what_is_older_than_the_survivors_last_word_is_stale_under_the_old_number_too(
    two: Any, say: Any
) -> None:
    two.apply(say.merge("1", "2", at=10), patient="1", other="2", trigger="A40")
    two.apply(say.mapped(say.patient("2", gender="male"), at=5), patient="2")
    assert two.of("Patient", "1")["gender"] == "female"


def test_the_same_merge_again_changes_nothing(two: Any, say: Any) -> None:
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    before = two.stored("Patient")
    again = two.apply(say.merge("1", "2", at=2), patient="1", other="2", trigger="A40")
    assert two.row(again)["state"] == "applied"
    assert two.stored("Patient") == before


def test_the_inverse_merge_is_refused_and_makes_no_circle(two: Any, say: Any) -> None:
    two.apply(say.merge("1", "2", at=1), patient="1", other="2", trigger="A40")
    before = two.stored("Patient")
    inverse = two.apply(say.merge("2", "1", at=2), patient="2", other="1", trigger="A40")
    assert two.row(inverse)["error"].startswith("inverse-merge ")
    assert two.stored("Patient") == before


def test_a_chain_leads_to_its_end(feed: Any, say: Any) -> None:
    for mrn in "abc":
        feed.apply(say.mapped(say.patient(mrn)), patient=mrn)
    feed.apply(say.merge("b", "a", at=1), patient="b", other="a", trigger="A40")
    feed.apply(say.merge("c", "b", at=2), patient="c", other="b", trigger="A40")
    feed.apply(say.mapped(say.patient("a", gender="male"), say.encounter(), at=3), patient="a")
    last = feed.of("Patient", "c")
    assert last["gender"] == "male"
    assert feed.one("Encounter")["subject"]["reference"] == f"Patient/{last['id']}"
    again = feed.apply(say.merge("b", "a", at=4), patient="b", other="a", trigger="A40")
    assert feed.row(again)["state"] == "applied"
    circle = feed.apply(say.merge("a", "c", at=5), patient="a", other="c", trigger="A40")
    assert feed.row(circle)["error"].startswith("inverse-merge ")


def test_a_survivor_that_ended_itself_stands_for_its_own_survivor(feed: Any, say: Any) -> None:
    for mrn in "abc":
        feed.apply(say.mapped(say.patient(mrn)), patient=mrn)
    feed.apply(say.merge("b", "a", at=1), patient="b", other="a", trigger="A40")
    feed.apply(say.merge("a", "c", at=2), patient="a", other="c", trigger="A40")
    assert links(feed.of("Patient", "c")) == {("replaced-by", feed.of("Patient", "b")["id"])}


def test_whoever_ended_in_one_cannot_end_in_another(feed: Any, say: Any) -> None:
    for mrn in "abc":
        feed.apply(say.mapped(say.patient(mrn)), patient=mrn)
    feed.apply(say.merge("b", "a", at=1), patient="b", other="a", trigger="A40")
    other = feed.apply(say.merge("c", "a", at=2), patient="c", other="a", trigger="A40")
    assert feed.row(other)["error"].startswith("merged-elsewhere ")


def test_one_that_nobody_has_heard_of_is_made_inactive(feed: Any, say: Any) -> None:
    feed.apply(say.merge("1", "2"), patient="1", other="2", trigger="A40")
    assert feed.of("Patient", "2")["active"] is False
    feed.apply(say.mapped(say.patient("2", gender="male"), at=1), patient="2")
    assert feed.of("Patient", "1")["gender"] == "male"


def test_several_merges_of_one_message_are_all_done(feed: Any, say: Any) -> None:
    for mrn in "abcd":
        feed.apply(say.mapped(say.patient(mrn)), patient=mrn)
    merges = (Merge("Patient", "s1", "v1"), Merge("Patient", "s2", "v2"))
    intents = [say.patient(mrn, key=key) for mrn, key in (("a", "s1"), ("b", "v1"), ("c", "s2"), ("d", "v2"))]
    feed.apply(say.mapped(*intents, at=1, merges=merges), patient="a", other="b", trigger="A40")
    assert [feed.of("Patient", mrn).get("active") for mrn in "abcd"] == [None, False, None, False]


def test_a_long_chart_is_moved_in_parts(two: Any, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "MOVED_AT_ONCE", 3)
    results = [say.observation(f"R{number}") for number in range(10)]
    two.apply(say.mapped(say.patient("2"), *results, at=1), patient="2", type="ORU")
    id = two.apply(say.merge("1", "2", at=2), patient="1", other="2", trigger="A40")
    assert two.row(id)["state"] == "applied"
    survivor = f"Patient/{two.of('Patient', '1')['id']}"
    assert {one["subject"]["reference"] for one in two.stored("Observation")} == {survivor}
    assert all(len(one["target"]) <= 5 for one in two.stored("Provenance")[-3:])


def test_a_worker_that_ends_within_a_long_merge_leaves_the_rest_to_the_next(
    two: Any, say: Any, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "MOVED_AT_ONCE", 3)
    results = [say.observation(f"R{number}") for number in range(10)]
    two.apply(say.mapped(say.patient("2"), *results, at=1), patient="2", type="ORU")
    id = two.send(say.merge("1", "2", at=2), patient="1", other="2", trigger="A40")

    class Killed(BaseException):
        """As SIGKILL: nothing is tidied up."""

    def killed(*_: Any) -> int:
        raise Killed

    with monkeypatch.context() as once:
        once.setattr(two.messages, "renew", killed)
        with pytest.raises(Killed):
            two.work.do_some()
    assert two.row(id)["state"] == "received"
    assert two.of("Patient", "2").get("active") is None
    later(minutes=2)
    two.run()
    survivor = f"Patient/{two.of('Patient', '1')['id']}"
    assert {one["subject"]["reference"] for one in two.stored("Observation")} == {survivor}
    assert two.of("Patient", "2")["active"] is False
    assert {one["meta"]["versionId"] for one in two.stored("Observation")} == {"2"}


def test_visits_that_are_one_lead_to_the_one_that_goes_on(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(), say.encounter("V1")))
    feed.apply(say.mapped(say.patient(), say.encounter("V2"), at=1))
    first = feed.of("Encounter", "V1")
    result = say.observation("F1", encounter={"reference": f"Encounter/{feed.of('Encounter', 'V2')['id']}"})
    feed.apply(say.mapped(say.patient(), result, at=2), type="ORU")
    survivor = say.but(say.encounter("V1"), key="survivor")
    victim = Intent(
        "victim",
        {
            "resourceType": "Encounter",
            "status": "in-progress",
            "class": survivor.resource["class"],
            "subject": {"reference": "#intent:patient"},
        },
        (Identity("urn:id:VISITS", "V2"),),
    )
    merge = say.mapped(
        say.patient(), survivor, victim, at=3, merges=(Merge("Encounter", "survivor", "victim"),)
    )
    feed.apply(merge, trigger="A35")
    assert feed.one("Observation")["encounter"]["reference"] == f"Encounter/{first['id']}"
    assert feed.of("Encounter", "V2")["status"] == "entered-in-error"
    feed.apply(say.mapped(say.patient(), say.encounter("V2", "finished"), at=4))
    assert feed.of("Encounter", "V1")["status"] == "finished"
    assert feed.row(feed.apply(merge, trigger="A35"))["state"] == "applied"


def test_a_merge_that_a_person_made_is_followed_too(feed: Any, say: Any, fhir: Any) -> None:
    for mrn in "ab":
        feed.apply(say.mapped(say.patient(mrn)), patient=mrn)
    ended, survivor = feed.of("Patient", "a"), feed.of("Patient", "b")
    other = {"reference": f"Patient/{survivor['id']}"}
    by_hand = ended | {"active": False, "link": [{"other": other, "type": "replaced-by"}]}
    assert fhir.put(f"Patient/{ended['id']}", by_hand).status == 200
    feed.apply(say.mapped(say.patient("a", gender="male"), at=1), patient="a")
    assert feed.of("Patient", "b")["gender"] == "male"
    assert old_ids(feed.of("Patient", "b")) == {"a"}
