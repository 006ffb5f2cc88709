"""Which list is which, in a whole chart. Covers: domain 3.1; docs/reconciliation.md, "Which list is which"."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from smart_app.reconciliation.collect import collect_chart
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Collected

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
STAY = {
    "resourceType": "Encounter",
    "id": "stay",
    "status": "finished",
    "class": {"code": "IMP"},
    "period": {"start": "2026-03-02T08:00:00Z", "end": "2026-03-06T15:00:00Z"},
}
OLDER_STAY = {**STAY, "id": "older", "period": {"start": "2025-01-02T08:00:00Z", "end": "2025-01-06T15:00:00Z"}}
VISIT = {**STAY, "id": "visit", "class": {"code": "AMB"}, "period": {"end": "2026-03-09T10:00:00Z"}}
PATIENT = {"resourceType": "Patient", "id": "p"}


def category(code: str) -> dict[str, Any]:
    return {"category": [{"coding": [{"code": code}]}]}


def at(day: str, encounter: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"authoredOn": day}
    return found | ({"encounter": {"reference": f"Encounter/{encounter}"}} if encounter else {})


@pytest.fixture
def collect(lists: Any) -> Any:
    def collect(*resources: Any, **more: Any) -> Collected:
        chart = [PATIENT, STAY, OLDER_STAY, VISIT, *resources]
        return collect_chart(chart, evaluation_date=NOW, terminology=lists.rxnorm, **more)

    return collect


def sides(found: Collected) -> tuple[list[str], list[str], list[str], list[str]]:
    ids = [[i.reference.split("/")[1] for i in side] for side in (found.before, found.after, found.evidence)]
    return ids[0], ids[1], ids[2], [left.reference.split("/")[1] for left in found.left_out]


def test_the_inpatient_stay_that_ended_last_is_the_discharge(collect: Any) -> None:
    found = collect()
    assert (found.encounter, found.patient) == ("Encounter/stay", "Patient/p")
    assert collect(encounter="Encounter/older").encounter == "Encounter/older"
    assert collect(discharge=datetime(2025, 6, 1, tzinfo=UTC)).encounter == "Encounter/older"


def test_discharge_orders_stand_after_and_older_orders_before(collect: Any, lists: Any) -> None:
    found = collect(
        lists.line("home", "314076", **at("2025-05-01"), **category("community")),
        lists.line("plain", "861007", **at("2025-05-01", "visit")),
        lists.line("ward", "313988", **at("2026-03-03", "stay"), **category("inpatient")),
        lists.line("order", "314077", **at("2026-03-06T15:00:00Z", "stay"), **category("discharge")),
        lists.line("other", "314077", **at("2025-01-06", "older"), **category("discharge")),
    )
    assert sides(found) == (["home", "plain"], ["order"], [], ["other", "ward"])


def test_without_categories_what_was_ordered_in_the_stay_stands_after(collect: Any, lists: Any) -> None:
    found = collect(
        lists.line("before", "314076", **at("2025-05-01", "visit")),
        lists.line("during", "313988", **at("2026-03-05T08:00:00Z", "stay")),
        lists.line("later", "861007", **at("2026-03-09", "visit")),
        lists.line("future", "861007", **at("2026-05-09")),
    )
    assert sides(found) == (["before"], ["during"], [], ["future", "later"])


def test_statements_are_reported_before_unless_they_ended_or_began_later(collect: Any, lists: Any) -> None:
    kind = {"kind": "MedicationStatement"}
    found = collect(
        lists.line("said", "314076", **kind, dateAsserted="2026-03-08"),
        lists.line("ended", "314076", **kind, effectivePeriod={"end": "2025-01-01"}),
        lists.line("began", "314076", **kind, effectivePeriod={"start": "2026-03-09"}),
    )
    assert sides(found) == (["said"], [], [], ["began", "ended"])


def test_fills_are_evidence(collect: Any, lists: Any) -> None:
    fill = {"kind": "MedicationDispense", "status": "completed"}
    found = collect(
        lists.line("fill", "314076", **fill, whenHandedOver="2026-03-09"),
        lists.line("tomorrow", "314076", **fill, whenHandedOver="2026-03-20"),
    )
    assert sides(found) == ([], [], ["fill"], ["tomorrow"])


def test_a_list_signed_before_counts_before_and_one_signed_since_does_not(collect: Any, lists: Any) -> None:
    def signed(identity: str, day: str, *lines: str) -> dict[str, Any]:
        return {
            "resourceType": "List",
            "id": identity,
            "status": "retired",
            "mode": "snapshot",
            "date": day,
            "code": {"coding": [{"system": "http://loinc.org", "code": "10160-0"}]},
            "entry": [{"item": {"reference": f"MedicationStatement/{line}"}} for line in lines],
        }

    ours = {"identifier": [{"system": "urn:baton:reconciliation", "value": "x"}], "kind": "MedicationStatement"}
    found = collect(
        signed("l1", "2025-01-10", "first"),
        signed("l2", "2025-06-01", "second"),
        signed("l3", "2026-03-09", "third"),
        lists.line("first", "314076", **ours),
        lists.line("second", "861007", **ours),
        lists.line("third", "313988", **ours),
    )
    assert sides(found) == (["second"], [], [], ["first", "third"])
    assert found.before[0].source.key == "reconciled"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"status": "stopped"}, "stopped"),
        ({"status": "on-hold"}, "on hold"),
        ({"status": "entered-in-error"}, "in error"),
        ({"doNotPerform": True}, "not to be given"),
        ({"intent": "proposal"}, "proposal"),
    ],
)
def test_what_is_left_out_says_why(collect: Any, lists: Any, more: dict[str, Any], why: str) -> None:
    found = collect({**lists.line("x", "314076", **at("2025-05-01")), **more})
    assert sides(found) == ([], [], [], ["x"])
    assert why in found.left_out[0].why


def test_a_chart_without_a_stay_still_has_its_home_list(lists: Any) -> None:
    found = collect_chart(
        [PATIENT, lists.line("home", "314076", **at("2025-05-01"))],
        evaluation_date=NOW,
        terminology=lists.rxnorm,
    )
    assert (found.encounter, sides(found)) == (None, (["home"], [], [], []))


def test_two_sources_that_say_the_same_are_one_line_with_evidence(collect: Any, lists: Any) -> None:
    found = collect(
        lists.line("home", "314076", "1 tablet", "1/d", **at("2025-05-01")),
        lists.line("said", "104377", "10 mg", "1/d", kind="MedicationStatement"),
    )
    board = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
    assert [[i.reference for i in (*g.before, *g.evidence)] for g in board.groups] == [
        ["MedicationRequest/home", "MedicationStatement/said"]
    ]
    assert board.alerts == ()


def test_two_sources_that_disagree_stay_two_lines(collect: Any, lists: Any) -> None:
    found = collect(
        lists.line("home", "314076", "1 tablet", "1/d", **at("2025-05-01")),
        lists.line("said", "314076", "2 tablet", "1/d", kind="MedicationStatement"),
    )
    board = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
    assert len(board.groups) == 2
    assert [alert.kind for alert in board.alerts] == ["duplicate-ingredient"]


def test_full_urls_and_versioned_references_are_followed(lists: Any) -> None:
    drug = {"resourceType": "Medication", "id": "m", "code": {"text": "lisinopril 10 MG Oral Tablet"}}
    line = lists.line("home", "x", **at("2025-05-01"))
    del line["medicationCodeableConcept"]
    line["medicationReference"] = {"reference": "urn:uuid:1"}
    entries = [{"fullUrl": "urn:uuid:1", "resource": drug}, {"resource": line}, {"resource": PATIENT}]
    found = collect_chart(entries, evaluation_date=NOW, terminology=lists.rxnorm)
    assert found.before[0].medication.rxcui == "314076"


@pytest.mark.parametrize(
    "broken",
    [
        {"medicationCodeableConcept": {"coding": [{"system": [], "code": {}}]}},
        {"medicationCodeableConcept": {"coding": 7}},
        {"dosageInstruction": [{"timing": {"repeat": {"when": 7}}}]},
        {"category": 7},
        {"encounter": "Encounter/stay"},
        {"authoredOn": "yesterday"},
        {"meta": 7},
        {"identifier": [{"system": {}, "value": {}}]},
    ],
)
def test_one_broken_record_does_not_hide_the_others(collect: Any, lists: Any, broken: dict[str, Any]) -> None:
    fine = lists.line("fine", "314076", "1 tablet", "1/d", **at("2025-05-01"))
    found = collect(fine, {**lists.line("broken", "861007", **at("2025-05-01")), **broken})
    named = {i.reference for i in found.before} | {left.reference for left in found.left_out}
    assert named == {"MedicationRequest/fine", "MedicationRequest/broken"}


def test_an_allergy_that_cannot_be_read_stays_visible(collect: Any) -> None:
    broken = {"resourceType": "AllergyIntolerance", "id": "x", "code": {"coding": 7}}
    assert [allergy.text for allergy in collect(broken).allergies] == ["Allergy that cannot be read"]
