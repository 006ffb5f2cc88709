"""The reconciliation board as the page lays it out: zones of cards, in reading order. Pure.

A card is one group of the reconciliation with what belongs beside it: the alerts about its lines,
the fills that speak about it, the decisions one may make and the one that was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from smart_app.reconciliation.decide import DecisionRule, offered
from smart_app.reconciliation.records import Alert, Decision, Group, GroupKind, Item, Severity
from smart_app.view_records import Board

SEGMENTS = 3
"""How many decisions stand side by side; the rest is behind the menu."""

CardState = Literal["open", "danger", "fault", "done", "signed"]
_SEVERITIES = (Severity.HIGH, Severity.MODERATE, Severity.LOW)


@dataclass(frozen=True, slots=True)
class Card:
    """One line of the board. `element` is its id in the page."""

    key: str
    element: str
    group: Group
    state: CardState
    decision: Decision | None
    segments: tuple[DecisionRule, ...]
    more: tuple[DecisionRule, ...]
    alerts: tuple[Alert, ...]
    fault: str
    bulk: bool

    @property
    def name(self) -> str:
        """What the line is called: the medication after, else before."""
        return (self.group.after or self.group.before)[0].medication.name

    @property
    def severity(self) -> str:
        """The highest severity of its alerts, "" without any."""
        return self.alerts[0].severity if self.alerts else ""

    @property
    def needs(self) -> DecisionRule | None:
        """The rule of the decision that was made."""
        kind = self.decision.kind if self.decision else None
        return next((rule for rule in (*self.segments, *self.more) if rule.kind == kind), None)

    @property
    def why(self) -> str:
        """Why the lines stand together, without the differences, which stand beside it."""
        words = self.group.reason
        for difference in self.group.differences:
            words = words.replace(difference.words, "")
        return " ".join(words.split())

    @property
    def items(self) -> tuple[Item, ...]:
        return (*self.group.before, *self.group.after)


@dataclass(frozen=True, slots=True)
class AlertCount:
    """How many alerts of a severity, and the card of the first one."""

    severity: Severity
    count: int
    first: str


@dataclass(frozen=True, slots=True)
class Survivor:
    """A line that may stay when duplicates are merged."""

    reference: str
    name: str
    key: str
    """Of the group it stands in: a line does not survive itself."""


@dataclass(frozen=True, slots=True)
class BoardCards:
    only_before: tuple[Card, ...]
    changed: tuple[Card, ...]
    possible: tuple[Card, ...]
    same: tuple[Card, ...]
    only_after: tuple[Card, ...]
    alert_counts: tuple[AlertCount, ...]
    loose_alerts: tuple[Alert, ...]
    """Alerts about no line of the board (a fill of a drug on neither list)."""
    survivors: tuple[Survivor, ...]

    @property
    def all(self) -> tuple[Card, ...]:
        """Every card in reading order."""
        return (*self.only_before, *self.changed, *self.possible, *self.same, *self.only_after)

    @property
    def bulk_open(self) -> tuple[Card, ...]:
        """What "they are the same" would accept now."""
        return tuple(card for card in self.same if card.bulk and card.decision is None)

    @property
    def first_open(self) -> str:
        """Element id of the first line without a standing decision, "" when all have one."""
        return next((card.element for card in self.all if card.state != "done"), "")


def element_id(key: str) -> str:
    """An id for the page: group keys may hold characters that ids and selectors may not."""
    return "line-" + hashlib.sha256(key.encode()).hexdigest()[:12]


def board_cards(board: Board) -> BoardCards:
    """Lay a board out."""
    decisions = {decision.group_key: decision for decision in board.draft.decisions}
    faults = dict(board.completeness.faults)
    alerts = board.reconciliation.alerts
    cards = [
        _card(group, board, decisions.get(group.key), faults.get(group.key, ""))
        for group in board.reconciliation.groups
    ]

    def of(kind: GroupKind) -> tuple[Card, ...]:
        return tuple(card for card in cards if card.group.kind is kind)

    shown = {alert for card in cards for alert in card.alerts}
    laid = BoardCards(
        only_before=of(GroupKind.ONLY_BEFORE),
        changed=of(GroupKind.CHANGED),
        possible=of(GroupKind.POSSIBLE),
        same=of(GroupKind.IDENTICAL),
        only_after=of(GroupKind.ONLY_AFTER),
        alert_counts=(),
        loose_alerts=tuple(alert for alert in alerts if alert not in shown),
        survivors=tuple(
            Survivor(item.reference, item.medication.name, group.key)
            for group in board.reconciliation.groups
            for item in (group.after or group.before)
        ),
    )
    return _with_counts(laid, alerts)


def _card(group: Group, board: Board, decision: Decision | None, fault: str) -> Card:
    references = {item.reference for item in (*group.before, *group.after)}
    own = [alert for alert in board.reconciliation.alerts if references.intersection(alert.references)]
    own.sort(key=lambda alert: _SEVERITIES.index(alert.severity))
    rules = offered(group)
    return Card(
        key=group.key,
        element=element_id(group.key),
        group=group,
        state="signed" if board.signed else _state(decision, fault, own),
        decision=decision,
        segments=rules[:SEGMENTS],
        more=rules[SEGMENTS:],
        alerts=tuple(own),
        fault=fault,
        bulk=group.key in board.bulk,
    )


def _state(decision: Decision | None, fault: str, alerts: Sequence[Alert]) -> CardState:
    if fault:
        return "fault"
    if decision is not None:
        return "done"
    return "danger" if any(alert.severity is Severity.HIGH for alert in alerts) else "open"


def _with_counts(laid: BoardCards, alerts: Sequence[Alert]) -> BoardCards:
    counts = []
    for severity in _SEVERITIES:
        count = sum(1 for alert in alerts if alert.severity is severity)
        first = next(
            (card.element for card in laid.all if any(alert.severity is severity for alert in card.alerts)), ""
        )
        if count:
            counts.append(AlertCount(severity, count, first or "loose-alerts"))
    return replace(laid, alert_counts=tuple(counts))
