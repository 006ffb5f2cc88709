"""The last look before signing: every line by what was decided, changes first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask_babel import gettext

from smart_app.messages import N_
from smart_app.reconciliation.records import Alert, Decision, DecisionKind, Item, Severity
from smart_app.reconciliation.statements import UNCHANGED, Outcome, outcomes
from smart_app.view_records import Board
from smart_app.views.cards import Card, board_cards

SECTIONS = {
    "start": N_("Start"),
    "change": N_("Change"),
    "stop": N_("Stop"),
    "hold": N_("On hold"),
    "ask": N_("Ask or decide later"),
    "continue": N_("Continue"),
}
"""Section -> heading, in the order of the page."""

_SECTION_OF: Mapping[DecisionKind, str] = {
    DecisionKind.NEW: "start",
    DecisionKind.MODIFY: "change",
    DecisionKind.SUBSTITUTE: "change",
    DecisionKind.STOP: "stop",
    DecisionKind.NOT_TAKING: "stop",
    DecisionKind.DUPLICATE_MERGE: "stop",
    DecisionKind.HOLD: "hold",
    DecisionKind.CLARIFY: "ask",
    DecisionKind.DEFER: "ask",
    DecisionKind.CONTINUE: "continue",
}
ASKED = frozenset((DecisionKind.CLARIFY, DecisionKind.DEFER))

NOT_TAKEN = frozenset((DecisionKind.STOP, DecisionKind.NOT_TAKING, DecisionKind.HOLD))
"""After these the patient does not take the line, so its alerts need no second look."""


@dataclass(frozen=True, slots=True)
class ReviewLine:
    card: Card
    decision: Decision

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What signing will write of it."""
        return tuple(outcomes(self.card.group, self.decision))

    @property
    def items(self) -> tuple[Item, ...]:
        """Every medicine that is named: those that end first where others take their place."""
        ended = [item for each in self.outcomes if each.role == "old" for item in each.items]
        lines = [item for each in self.outcomes if each.role != "old" for item in each.items]
        return tuple({item.medication.name: item for item in (*ended, *lines)}.values())

    @property
    def joint(self) -> str:
        """What stands between two medicines: one takes the place of the other, or both are meant."""
        return " → " if any(each.role == "old" for each in self.outcomes) else " + "

    @property
    def how(self) -> str:
        """How it is to be taken from now on: the new regimen, else what the list will say."""
        lines = [item for each in self.outcomes if each.role != "old" for item in each.items]
        return self.decision.regimen or "; ".join(
            dict.fromkeys(item.sig.text for item in lines if item.sig.text)
        )


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
        ReviewSection(name, gettext(heading), tuple(line for line in lines if _section_of(line) == name))
        for name, heading in SECTIONS.items()
    )
    return tuple(section for section in sections if section.lines)


def _section_of(line: ReviewLine) -> str:
    if line.decision.kind is DecisionKind.CONTINUE and {each.flag for each in line.outcomes} != {UNCHANGED}:
        return "change"
    return _SECTION_OF[line.decision.kind]


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
    """How many lines go on the list, and how many are changes. A line on hold stays on the list."""
    lines = [line for section in sections for line in section.lines]
    written = [each for line in lines for each in line.outcomes]
    return {
        "listed": sum(len(each.items) for each in written if each.taken),
        "changes": sum(len(each.items) for each in written if each.flag != UNCHANGED),
        "questions": sum(line.decision.kind in ASKED for line in lines),
    }
