"""The last look before signing: every line by what was decided, changes first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask_babel import gettext

from smart_app.messages import N_
from smart_app.reconciliation.records import Alert, Decision, DecisionKind, Severity
from smart_app.view_records import Board
from smart_app.views.cards import Card, board_cards

SECTIONS: tuple[tuple[str, str, tuple[DecisionKind, ...]], ...] = (
    ("start", N_("Start"), (DecisionKind.NEW,)),
    ("change", N_("Change"), (DecisionKind.MODIFY, DecisionKind.SUBSTITUTE)),
    ("stop", N_("Stop"), (DecisionKind.STOP, DecisionKind.NOT_TAKING, DecisionKind.DUPLICATE_MERGE)),
    ("hold", N_("On hold"), (DecisionKind.HOLD,)),
    ("ask", N_("Ask or decide later"), (DecisionKind.CLARIFY, DecisionKind.DEFER)),
    ("continue", N_("Continue"), (DecisionKind.CONTINUE,)),
)
"""(name, heading, the decisions under it) in the order of the page."""

NOT_TAKEN = frozenset((DecisionKind.STOP, DecisionKind.NOT_TAKING, DecisionKind.HOLD))
"""After these the patient does not take the line, so its alerts need no second look."""


@dataclass(frozen=True, slots=True)
class ReviewLine:
    card: Card
    decision: Decision

    @property
    def how(self) -> str:
        """How it is to be taken: the new regimen, else what the newest list says."""
        return self.decision.regimen or (self.card.group.after or self.card.group.before)[0].sig.text


@dataclass(frozen=True, slots=True)
class ReviewSection:
    name: str
    heading: str
    lines: tuple[ReviewLine, ...]


@dataclass(frozen=True, slots=True)
class KeptAlert:
    """A high alert about a line that the patient will take: it is confirmed once more."""

    alert: Alert
    name: str


def review_sections(board: Board) -> tuple[ReviewSection, ...]:
    """The decided lines of a board by section; empty sections are left out."""
    lines = [ReviewLine(card, card.decision) for card in board_cards(board).all if card.decision]
    sections = (
        ReviewSection(name, gettext(heading), tuple(line for line in lines if line.decision.kind in kinds))
        for name, heading, kinds in SECTIONS
    )
    return tuple(section for section in sections if section.lines)


def kept_alerts(board: Board) -> tuple[KeptAlert, ...]:
    """High alerts that concern at least one line which stays on the list, each once."""
    kept: dict[Alert, KeptAlert] = {}
    for card in board_cards(board).all:
        if card.decision is None or card.decision.kind in NOT_TAKEN:
            continue
        for alert in card.alerts:
            if alert.severity is Severity.HIGH:
                kept.setdefault(alert, KeptAlert(alert, card.name))
    return tuple(kept.values())


def will_write(sections: tuple[ReviewSection, ...]) -> Mapping[str, int]:
    """How many lines go on the list, how many are changes, how many questions go to the prescriber.

    A line on hold stays on the list, marked as such.
    """
    by_name = {section.name: len(section.lines) for section in sections}
    return {
        "listed": sum(by_name.values()) - by_name.get("stop", 0),
        "changes": sum(by_name.values()) - by_name.get("continue", 0),
        "questions": by_name.get("ask", 0),
    }
