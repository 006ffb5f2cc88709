"""Who may decide what, which lines are open, what may be accepted in bulk (domain 3.6).

The rules are data: `data/decisions.toml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smart_app.reconciliation.records import Decision, DecisionKind, Group, GroupKind, Reconciliation


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """One kind of decision: its words, where it applies and what it asks for."""

    kind: DecisionKind
    label: str
    """The words of the button."""
    applies_to: frozenset[GroupKind]
    needs_reason: bool
    needs_regimen: bool
    needs_survivor: bool


@dataclass(frozen=True, slots=True)
class RoleRule:
    """What a role may do with a reconciliation: draft decisions, sign the list, change orders."""

    role: str
    label: str
    may_draft: bool
    may_sign: bool
    may_order: bool


@dataclass(frozen=True, slots=True)
class Completeness:
    """`total` lines, those `open`, and what is wrong with decisions already made, by group key."""

    total: int
    open: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]
    """(group key, sentence): a reason is missing, the decision does not apply here, no such line ..."""

    @property
    def decided(self) -> int:
        return self.total - len(self.open)

    @property
    def is_complete(self) -> bool:
        return not self.open and not self.faults


def decision_rules() -> dict[DecisionKind, DecisionRule]:
    """The rules of all kinds of decision, in the order in which people are offered them."""
    raise NotImplementedError


def role_rule(role: str) -> RoleRule:
    """The rule of a role; a role that is not in the data may do nothing."""
    raise NotImplementedError


def offered(group: Group) -> tuple[DecisionRule, ...]:
    """The decisions that apply to a group, the commonest first."""
    raise NotImplementedError


def bulk_acceptable(reconciliation: Reconciliation) -> tuple[Group, ...]:
    """Groups that "they are the same" may accept together: identical, tier 1-2 and without an alert."""
    raise NotImplementedError


def completeness(reconciliation: Reconciliation, decisions: Sequence[Decision]) -> Completeness:
    """Which lines are still open, and which decisions do not stand; signing needs neither.

    Two decisions about one line are a fault. A bulk decision stands only where `bulk_acceptable`
    allows it.
    """
    raise NotImplementedError
