# ruff: noqa: E501 - the rows of the tables are read across
"""Decisions, roles, completeness, drafts. Covers: domain 3.6."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fhir.resources.R4B.list import List as FhirList
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_app.reconciliation.decide import (
    bulk_acceptable,
    clarify_due,
    completeness,
    decision_rules,
    offered,
    role_rule,
)
from smart_app.reconciliation.draft import draft_id, draft_list, is_draft, read_draft
from smart_app.reconciliation.records import Decision, DecisionKind, GroupKind, Reconciliation

SAVED = datetime(2026, 3, 10, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def board(lists: Any) -> Reconciliation:
    before = [
        lists.line("same", "310346", "1 tablet", "1/d"),
        lists.line("dose", "861007", "1 tablet", "1/d"),
        lists.line("gone", "313988", "1 tablet", "1/d"),
        lists.line("thin", "855332", "1 tablet", "1/d"),
    ]
    after = [
        lists.line("same2", "310346", "1 tablet", "1/d"),
        lists.line("dose2", "861007", "2 tablet", "1/d"),
        lists.line("new", "198051", "1 capsule", "1/d"),
        lists.line("thin2", "855332", "1 tablet", "1/d"),
    ]
    return lists.reconcile(before, after)


def key(board: Reconciliation, identity: str) -> str:
    return next(
        g.key
        for g in board.groups
        for i in (*g.before, *g.after)
        if i.reference == f"MedicationRequest/{identity}"
    )


def test_every_decision_and_every_kind_of_line_has_its_rules() -> None:
    assert set(decision_rules()) == set(DecisionKind)
    for kind in GroupKind:
        assert any(kind in rule.applies_to for rule in decision_rules().values())


@pytest.mark.parametrize(
    ("role", "draft", "sign", "order"),
    [
        ("rn", True, True, False),
        ("pharmacist", True, True, False),
        ("prescriber", True, True, True),
        ("ma", True, False, False),
        ("lpn", True, False, False),
        ("supervisor", True, False, False),
        ("engineer", False, False, False),
        ("", False, False, False),
    ],
)
def test_a_role_may_do_what_the_table_says_and_an_unknown_one_nothing(
    role: str, draft: bool, sign: bool, order: bool
) -> None:
    rule = role_rule(role)
    assert (rule.may_draft, rule.may_sign, rule.may_order) == (draft, sign, order)


def test_only_identical_lines_without_an_alert_are_accepted_together(board: Reconciliation) -> None:
    assert {group.key for group in bulk_acceptable(board)} == {key(board, "same")}
    kinds = {group.key: group.kind for group in board.groups}
    assert kinds[key(board, "thin")] is GroupKind.IDENTICAL


def test_a_line_without_a_decision_is_open(board: Reconciliation) -> None:
    state = completeness(board, [Decision(key(board, "same"), DecisionKind.CONTINUE, bulk=True)])
    assert (state.total, state.decided, state.is_complete) == (5, 1, False)
    assert set(state.open) == {key(board, i) for i in ("dose", "gone", "new", "thin")}


@pytest.mark.parametrize(
    ("identity", "decision", "fault"),
    [
        ("dose", {"kind": DecisionKind.CONTINUE}, "A reason is missing."),
        ("dose", {"kind": DecisionKind.CONTINUE, "reason": " "}, "A reason is missing."),
        ("gone", {"kind": DecisionKind.STOP}, "A reason is missing."),
        ("same", {"kind": DecisionKind.NEW}, "This decision does not apply to this line."),
        ("dose", {"kind": DecisionKind.MODIFY, "reason": "r"}, "The new regimen is missing."),
        ("thin", {"kind": DecisionKind.CONTINUE, "bulk": True}, "This line has to be decided by itself."),
        (
            "dose",
            {"kind": DecisionKind.CONTINUE, "reason": "r", "bulk": True},
            "This line has to be decided by itself.",
        ),
        ("gone", {"kind": DecisionKind.DUPLICATE_MERGE}, "The line that stays is missing."),
        (
            "gone",
            {"kind": DecisionKind.DUPLICATE_MERGE, "survivor": "MedicationRequest/gone"},
            "The line that stays must be another line of the board.",
        ),
    ],
)
def test_a_decision_that_does_not_stand_says_why(
    board: Reconciliation, identity: str, decision: dict[str, Any], fault: str
) -> None:
    state = completeness(board, [Decision(key(board, identity), **decision)])
    assert state.faults == ((key(board, identity), fault),)


def test_a_decision_about_a_line_that_is_gone_or_twice_decided_is_a_fault(board: Reconciliation) -> None:
    once = Decision(key(board, "same"), DecisionKind.CONTINUE)
    assert completeness(board, [once, once]).faults
    assert completeness(board, [Decision("0" * 16, DecisionKind.CLARIFY)]).faults


def test_an_order_with_an_indication_needs_no_further_reason_to_start(lists: Any) -> None:
    line = lists.line("a", "198051", "1 capsule", "1/d", reasonCode=[{"text": "Reflux"}])
    (with_reason,), (without,) = (
        lists.reconcile([], [each]).groups for each in (line, {**line, "reasonCode": []})
    )
    rules = [next(r for r in offered(g) if r.kind is DecisionKind.NEW) for g in (with_reason, without)]
    assert [rule.needs_reason for rule in rules] == [False, True]


def test_a_question_is_due_in_a_day_or_three_weekdays() -> None:
    friday = datetime(2026, 3, 6, 15, tzinfo=UTC)
    assert clarify_due(friday, high=True) == datetime(2026, 3, 7, 15, tzinfo=UTC)
    assert clarify_due(friday, high=False) == datetime(2026, 3, 11, 15, tzinfo=UTC)


texts = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60
).filter(lambda text: bool(text.strip()))

decisions = st.lists(
    st.builds(
        Decision,
        group_key=st.text("0123456789abcdef", min_size=16, max_size=16),
        kind=st.sampled_from(DecisionKind),
        reason=texts,
        regimen=texts,
        resume=st.none() | st.dates(min_value=date(1970, 1, 1), max_value=date(2999, 12, 31)),
        survivor=st.none() | st.just("MedicationRequest/x"),
        bulk=st.booleans(),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(decisions)
def test_a_draft_gives_back_the_decisions_it_was_made_of(made: list[Decision]) -> None:
    draft = draft_list(made, session_id="p/e", patient="Patient/p", saved_at=SAVED, author="Practitioner/x")
    FhirList.model_validate(draft)
    assert is_draft(draft)
    assert read_draft(draft) == tuple(made)
    assert draft == draft_list(
        made, session_id="p/e", patient="Patient/p", saved_at=SAVED, author="Practitioner/x"
    )


def test_a_draft_has_one_id_a_session_and_is_no_medication_list() -> None:
    draft = draft_list([], session_id="p/e", patient="Patient/p", saved_at=SAVED, encounter="Encounter/e")
    assert draft["id"] == draft_id("p/e") != draft_id("p/f")
    assert (draft["mode"], draft["date"]) == ("working", "2026-03-10T12:00:00.123Z")
    assert "10160-0" not in str(draft)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "List"},
        {"resourceType": "Patient"},
        {"resourceType": "List", "code": {"coding": [{"system": "urn:baton:code-system", "code": "reconciliation-draft"}]}, "entry": [{}]},
    ],
)  # fmt: skip
def test_what_is_no_draft_is_refused(resource: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="draft"):
        read_draft(resource)


def test_a_blank_text_is_not_kept() -> None:
    decision = Decision("0" * 16, DecisionKind.STOP, reason="  ")
    draft = draft_list([decision], session_id="s", patient="Patient/p", saved_at=SAVED)
    assert read_draft(draft) == (replace(decision, reason=None),)
