"""The resulting list follows the decisions: what they resolve is silent, what they leave is not.

Covers domain 3.5 (silent once resolved in this session), 3.6.
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.records import Decision, DecisionKind, Reconciliation
from smart_app.reconciliation.safety.check import check
from smart_app.reconciliation.safety.decided import taken_lines


def rules(charts: Any, board: Reconciliation, *decisions: tuple[str, DecisionKind]) -> set[str]:
    made = [
        Decision(group.key, kind, reason="because", regimen="half a tablet daily")
        for identity, kind in decisions
        for group in board.groups
        if any(i.reference.endswith(f"/{identity}") for i in (*group.before, *group.after))
    ]
    taken = taken_lines(board.groups, made)
    return {alert.rule for alert in check(board.groups, (), charts.rxnorm, taken=taken).alerts}


@pytest.fixture
def board(charts: Any) -> Reconciliation:
    """Ibuprofen only before; warfarin on both lists."""
    before = [charts.take("310965", identity="nsaid"), charts.take("855332", "1 tablet", "1/d", identity="w1")]
    return charts.check([charts.take("855332", "1 tablet", "1/d", identity="w2")], before=before)


def test_undecided_it_speaks(charts: Any, board: Reconciliation) -> None:
    assert "anticoagulant-nsaid" in rules(charts, board)


@pytest.mark.parametrize("kind", [DecisionKind.STOP, DecisionKind.NOT_TAKING, DecisionKind.HOLD])
def test_stopping_one_of_a_pair_silences_the_alert(
    charts: Any, board: Reconciliation, kind: DecisionKind
) -> None:
    said = rules(charts, board, ("nsaid", kind))
    assert "anticoagulant-nsaid" not in said
    assert "high-alert-anticoagulant" in said


@pytest.mark.parametrize(
    "kind", [DecisionKind.CLARIFY, DecisionKind.DEFER, DecisionKind.CONTINUE, DecisionKind.MODIFY]
)
def test_an_open_question_or_going_on_silences_nothing(
    charts: Any, board: Reconciliation, kind: DecisionKind
) -> None:
    assert "anticoagulant-nsaid" in rules(charts, board, ("nsaid", kind))


def test_stopping_a_high_alert_medicine_silences_its_mark(charts: Any, board: Reconciliation) -> None:
    assert "high-alert-anticoagulant" not in rules(charts, board, ("w2", DecisionKind.STOP))


def test_taking_both_of_two_medicines_checks_them_together(charts: Any) -> None:
    """Simvastatin before, atorvastatin after: a substitution, until somebody decides to take both."""
    before = [charts.take("312961", "1 tablet", "1/d", identity="old")]
    board = charts.check([charts.take("617310", "1 tablet", "1/d", identity="new")], before=before)
    assert "duplicate-class" not in rules(charts, board)
    assert "duplicate-class" in rules(charts, board, ("old", DecisionKind.CONTINUE))
    assert "duplicate-class" not in rules(charts, board, ("old", DecisionKind.SUBSTITUTE))
