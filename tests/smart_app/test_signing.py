"""The draft and the signature: saved under If-Match, merged, signed from what was read again, once.

Covers: domain 3.6 (decisions, role gate), 3.7 (write-back, idempotency), 4.5 (conflicts).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from smart_app.board import load_board
from smart_app.drafts import save_decisions
from smart_app.issuers import Issuer, Issuers
from smart_app.problems import ProblemError
from smart_app.reconciliation.records import Decision, DecisionKind
from smart_app.seen_versions import changed_since, seal_seen
from smart_app.signing import prescriber_of, sign
from smart_app.view_records import DraftConflict, DraftSaved, NotSigned, Signed, SourcesChanged

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def order(order_id: str, rxcui: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": order_id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": rxcui}], "text": text},
        "authoredOn": "2026-09-01T10:00:00-05:00",
        "requester": {"reference": "Practitioner/doctor"},
        "dosageInstruction": [{"text": "1 tablet by mouth once daily"}],
    } | more


@pytest.fixture
def chart(ehr: Any) -> Any:
    """Two home medications, of which one is also ordered at discharge in another strength."""
    ehr.put(
        order("home-1", "617310", "atorvastatin 20 MG Oral Tablet"),
        order("home-2", "314076", "lisinopril 10 MG Oral Tablet"),
        order(
            "discharge-1",
            "617311",
            "atorvastatin 40 MG Oral Tablet",
            authoredOn="2026-11-25T13:00:00-05:00",
            encounter={"reference": "Encounter/stay"},
            category=[
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/medicationrequest-category",
                            "code": "discharge",
                        }
                    ]
                }
            ],
        ),
    )
    return ehr


def decide(key: str, kind: DecisionKind = DecisionKind.CLARIFY) -> Decision:
    return Decision(group_key=key, kind=kind, reason="agreed on the phone")


def decide_all(context: Any) -> DraftSaved:
    board = load_board(context)
    changes = [decide(group.key) for group in board.reconciliation.groups]
    saved = save_decisions(context, "stay", changes, [], board.draft.version)
    assert isinstance(saved, DraftSaved)
    assert saved.completeness.is_complete
    return saved


def test_the_board_compares_the_lists_of_the_newest_discharge(desk: Any, chart: Any) -> None:
    board = load_board(desk.context())
    assert board.encounter is not None
    assert board.encounter.id == "stay"
    kinds = sorted(group.kind.value for group in board.reconciliation.groups)
    assert kinds == ["changed", "only-before"]
    assert (board.may_save, board.may_sign) == (True, True)
    assert board.draft.version is None


def test_looking_at_the_board_writes_nothing(desk: Any, chart: Any) -> None:
    load_board(desk.context())
    assert {request.method for request in chart.requests} == {"GET"}


def test_a_decision_is_saved_in_the_store_and_found_again(desk: Any, chart: Any) -> None:
    context = desk.context()
    key = load_board(context).reconciliation.groups[0].key
    saved = save_decisions(context, "stay", [decide(key)], [], None)
    assert isinstance(saved, DraftSaved)
    assert (saved.draft.version, saved.draft.saved_by) == ("1", "Nurse")
    again = load_board(desk.context("pharmacist", "pharmacist"))
    assert again.draft.decisions == (decide(key),)
    undone = save_decisions(context, "stay", [], [key], "1")
    assert isinstance(undone, DraftSaved)
    assert undone.draft.decisions == ()


def test_a_draft_of_another_patient_is_never_shown(desk: Any, chart: Any) -> None:
    decide_all(desk.context())
    (draft,) = chart.all("List")
    chart.put(draft | {"subject": {"reference": "Patient/somebody-else"}})
    board = load_board(desk.context())
    assert board.draft.decisions == ()
    assert not board.may_save
    assert not board.may_sign


def test_two_people_on_different_lines_are_merged(desk: Any, chart: Any) -> None:
    first, second = (group.key for group in load_board(desk.context()).reconciliation.groups)
    save_decisions(desk.context(), "stay", [decide(first)], [], None)
    saved = save_decisions(desk.context("pharmacist", "pharmacist"), "stay", [decide(second)], [], None)
    assert isinstance(saved, DraftSaved)
    assert saved.taken_over == (first,)
    assert {each.group_key for each in saved.draft.decisions} == {first, second}


def test_two_people_on_one_line_are_told_of_each_other(desk: Any, chart: Any) -> None:
    key = load_board(desk.context()).reconciliation.groups[0].key
    save_decisions(desk.context(), "stay", [decide(key)], [], None)
    mine = decide(key, DecisionKind.STOP)
    conflict = save_decisions(desk.context("pharmacist", "pharmacist"), "stay", [mine], [], None)
    assert isinstance(conflict, DraftConflict)
    assert conflict.draft.saved_by == "Nurse"
    assert conflict.conflicts[0].theirs == decide(key)
    settled = save_decisions(
        desk.context("pharmacist", "pharmacist"), "stay", [mine], [], conflict.draft.version
    )
    assert isinstance(settled, DraftSaved)
    assert settled.draft.decisions == (mine,)


@pytest.mark.parametrize(
    ("encounter", "key", "kind"), [("another", "", "bad-request"), ("stay", "no-such-line", "bad-request")]
)
def test_a_decision_about_nothing_is_refused(
    desk: Any, chart: Any, encounter: str, key: str, kind: str
) -> None:
    with pytest.raises(ProblemError) as raised:
        save_decisions(desk.context(), encounter, [decide(key)] if key else [], [], None)
    assert raised.value.problem.kind == kind


def test_a_person_without_a_role_may_look_only(desk: Any, chart: Any) -> None:
    context = desk.context("visitor", "")
    board = load_board(context)
    assert not board.may_save
    with pytest.raises(ProblemError) as raised:
        save_decisions(context, "stay", [], [], None)
    assert raised.value.problem.kind == "forbidden"


def test_a_store_that_is_away_says_so(desk: Any, chart: Any) -> None:
    context = desk.context()
    key = load_board(context).reconciliation.groups[0].key
    chart.failing["List"] = 503
    board = load_board(context)
    assert not board.may_save
    with pytest.raises(ProblemError) as raised:
        save_decisions(context, "stay", [decide(key)], [], None)
    assert raised.value.problem.kind in ("store-unavailable", "forbidden")


def test_signing_writes_lists_statements_and_retires_the_draft(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    board = load_board(context)
    signed = sign(context, "stay", board.seen, saved.draft.version)
    assert isinstance(signed, Signed)
    assert not signed.again
    lists = {each["mode"]: each for each in chart.all("List")}
    assert signed.snapshot == f"List/{lists['snapshot']['id']}"
    assert signed.changes == f"List/{lists['changes']['id']}"
    assert lists["working"]["status"] == "retired"
    assert len(signed.statements) == len(chart.all("MedicationStatement")) > 0
    assert len(chart.all("Provenance")) == 1
    assert {task["owner"]["reference"] for task in chart.all("Task")} == {"Practitioner/doctor"}
    after = load_board(context)
    assert after.signed is not None
    assert after.signed.signed_by == "Nora Example"
    assert not after.may_save


def test_signing_twice_changes_nothing(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    seen = load_board(context).seen
    sign(context, "stay", seen, saved.draft.version)
    before = json.dumps(chart.store)
    again = sign(context, "stay", seen, saved.draft.version)
    assert isinstance(again, Signed)
    assert again.again
    assert json.dumps(chart.store) == before


def test_a_lost_answer_is_no_lost_signature_and_no_second_one(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    chart.lose_answers = 1
    signed = sign(context, "stay", load_board(context).seen, saved.draft.version)
    assert isinstance(signed, Signed)
    assert all(len(history) == 1 for name, history in chart.store.items() if name.startswith("MedicationSt"))


def test_a_source_that_changed_sends_back_to_the_board(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    seen = load_board(context).seen
    chart.put(order("home-2", "314076", "lisinopril 10 MG Oral Tablet", note=[{"text": "changed"}]))
    chart.put(order("home-3", "310798", "hydrochlorothiazide 25 MG Oral Tablet"))
    outcome = sign(context, "stay", seen, saved.draft.version)
    assert isinstance(outcome, SourcesChanged)
    found = {each.reference: each.what for each in outcome.changed}
    assert found == {"MedicationRequest/home-2": "changed", "MedicationRequest/home-3": "new"}
    assert chart.all("MedicationStatement") == []


def test_a_draft_that_somebody_changed_since_the_review_is_not_signed(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    seen = load_board(context).seen
    key = saved.draft.decisions[0].group_key
    save_decisions(desk.context(), "stay", [decide(key, DecisionKind.STOP)], [], saved.draft.version)
    outcome = sign(context, "stay", seen, saved.draft.version)
    assert isinstance(outcome, DraftConflict)
    assert chart.all("MedicationStatement") == []


def test_an_open_line_hinders_signing(desk: Any, chart: Any) -> None:
    context = desk.context()
    outcome = sign(context, "stay", load_board(context).seen, None)
    assert isinstance(outcome, NotSigned)
    assert outcome.text == "Not every line is decided."


def test_an_assistant_drafts_and_does_not_sign(desk: Any, chart: Any) -> None:
    context = desk.context("assistant", "ma")
    saved = decide_all(context)
    outcome = sign(context, "stay", load_board(context).seen, saved.draft.version)
    assert isinstance(outcome, NotSigned)
    assert "signs" in outcome.text
    assert chart.all("MedicationStatement") == []


def test_a_role_that_was_taken_away_since_the_launch_does_not_sign(desk: Any, chart: Any) -> None:
    context = desk.context()
    saved = decide_all(context)
    chart.put({"resourceType": "Practitioner", "id": "nurse", "name": [{"text": "Nora"}]})
    assert isinstance(sign(context, "stay", load_board(context).seen, saved.draft.version), NotSigned)


def test_half_a_chart_is_not_signed(desk: Any, chart: Any) -> None:
    context = desk.context()
    decide_all(context)
    chart.failing["AllergyIntolerance"] = 503
    board = load_board(context)
    assert board.may_save
    assert "half" in board.why_not_sign
    assert isinstance(sign(context, "stay", board.seen, board.draft.version), NotSigned)


def test_a_foreign_chart_can_be_compared_and_not_signed(desk: Any, chart: Any, issuers: Issuers) -> None:
    issuers.add(Issuer("https://ehr.example/r4", "app-there", "Mercy EHR"))
    context = desk.context()
    board = load_board(context)
    assert len(board.reconciliation.groups) == 2
    assert "not connected" in board.why_not_sign
    with pytest.raises(ProblemError) as raised:
        sign(context, "stay", board.seen, None)
    assert raised.value.problem.kind == "store-not-connected"


def test_the_list_in_force_before_is_retired(desk: Any, chart: Any) -> None:
    chart.put(
        {
            "resourceType": "List",
            "id": "old",
            "status": "current",
            "mode": "snapshot",
            "code": {"coding": [{"system": "http://loinc.org", "code": "10160-0"}]},
            "subject": {"reference": "Patient/p1"},
            "date": "2026-01-01",
        }
    )
    context = desk.context()
    saved = decide_all(context)
    assert isinstance(sign(context, "stay", load_board(context).seen, saved.draft.version), Signed)
    assert chart.store["List/old"][-1]["status"] == "retired"


def test_a_patient_without_a_discharge_has_a_board_to_look_at(desk: Any, ehr: Any) -> None:
    del ehr.store["Encounter/stay"]
    board = load_board(desk.context())
    assert board.encounter is None
    assert "no discharge" in board.why_not_save


@pytest.mark.parametrize("text", ["", "x", "!!", "W10x", "eyJhIjoxfQ==", "é", "W1tdXQ=="])
def test_a_page_that_does_not_say_what_it_showed_is_refused(desk: Any, chart: Any, text: str) -> None:
    context = desk.context()
    saved = decide_all(context)
    with pytest.raises(ProblemError) as raised:
        sign(context, "stay", text, saved.draft.version)
    assert raised.value.problem.kind == "bad-request"


def test_the_versions_of_a_page_read_back() -> None:
    from smart_app.reconciliation.records import SourceVersion

    versions = (SourceVersion("List/b", None), SourceVersion("List/a", "2"))
    assert changed_since(seal_seen(versions), versions[::-1]) == ()
    assert seal_seen(versions) == seal_seen(versions[::-1])
    (gone,) = changed_since(seal_seen(versions), versions[1:])
    assert (gone.reference, gone.what) == ("List/b", "gone")


def test_without_orders_nobody_is_asked() -> None:
    assert prescriber_of(()) is None
