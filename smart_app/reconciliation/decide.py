"""Who may decide what, which lines are open, what may be accepted in bulk (domain 3.6).

The rules are data: `data/decisions.toml`.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from smart_app.reconciliation.compare import different_drugs
from smart_app.reconciliation.records import (
    Decision,
    DecisionKind,
    Group,
    GroupKind,
    Reconciliation,
    Severity,
)

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """One kind of decision: its words, where it applies and what it asks for.

    From `decision_rules`, `needs_reason` says that some kind of line needs one; from `offered`, that
    this line does.
    """

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


@cache
def _data() -> dict[str, Any]:
    text = (files("smart_app.reconciliation") / "data" / "decisions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def decision_rules() -> dict[DecisionKind, DecisionRule]:
    """The rules of all kinds of decision, in the order in which people are offered them."""
    return {
        DecisionKind(name): DecisionRule(
            kind=DecisionKind(name),
            label=rule["label"],
            applies_to=frozenset(
                GroupKind(kind) for kind, kinds in _data()["offered"].items() if name in kinds
            ),
            needs_reason=bool(rule["reason"]),
            needs_regimen=rule.get("regimen", False),
            needs_survivor=rule.get("survivor", False),
        )
        for name, rule in _data()["decision"].items()
    }


def role_rule(role: str) -> RoleRule:
    """The rule of a role; a role that is not in the data may do nothing."""
    rule = _data()["role"].get(role)
    if rule is None:
        return RoleRule(role, role, may_draft=False, may_sign=False, may_order=False)
    return RoleRule(
        role, rule["label"], may_draft=rule["draft"], may_sign=rule["sign"], may_order=rule["order"]
    )


def _needs_reason(kind: DecisionKind, group: Group) -> bool:
    rule = _data()["decision"][kind.value]
    if rule.get("reason_given_by_indication") and all(item.indication for item in group.after):
        return False
    return "*" in rule["reason"] or group.kind.value in rule["reason"]


def offered(group: Group) -> tuple[DecisionRule, ...]:
    """The decisions that apply to a group, the commonest first, each with what it asks for here."""
    kinds = [DecisionKind(name) for name in _data()["offered"][group.kind.value]]
    rules = [replace(decision_rules()[kind], needs_reason=_needs_reason(kind, group)) for kind in kinds]
    # One new regimen, or one line that stays, cannot stand for two medicines.
    two = different_drugs(group)
    return tuple(rule for rule in rules if not (two and (rule.needs_regimen or rule.needs_survivor)))


def bulk_acceptable(reconciliation: Reconciliation) -> tuple[Group, ...]:
    """Groups that "they are the same" may accept together: identical, tier 1-2, no alert above low."""
    spoken_of = {
        reference
        for alert in reconciliation.alerts
        if alert.severity is not Severity.LOW
        for reference in alert.references
    }
    return tuple(
        group
        for group in reconciliation.groups
        if group.kind is GroupKind.IDENTICAL
        and group.tier <= 2
        and not any(item.reference in spoken_of for item in (*group.before, *group.after))
    )


def completeness(reconciliation: Reconciliation, decisions: Sequence[Decision]) -> Completeness:
    """Which lines are still open, and which decisions do not stand; signing needs neither.

    Two decisions about one line are a fault. A bulk decision stands only where `bulk_acceptable`
    allows it.
    """
    groups = {group.key: group for group in reconciliation.groups}
    bulk = {group.key for group in bulk_acceptable(reconciliation)}
    faults = [
        (key, "This line has more than one decision.")
        for key, count in Counter(decision.group_key for decision in decisions).items()
        if count > 1
    ]
    for decision in decisions:
        group = groups.get(decision.group_key)
        fault = _fault(decision, group, reconciliation, decision.group_key in bulk)
        fault = fault or _merge_fault(decision, group, reconciliation, decisions)
        if fault:
            faults.append((decision.group_key, fault))
    decided = {decision.group_key for decision in decisions}
    still_open = tuple(key for key in groups if key not in decided)
    return Completeness(len(groups), still_open, tuple(dict.fromkeys(faults)))


def _fault(
    decision: Decision, group: Group | None, reconciliation: Reconciliation, bulk_allowed: bool
) -> str | None:
    if group is None:
        return "This line is no longer on the board."
    rule = next((each for each in offered(group) if each.kind is decision.kind), None)
    if rule is None:
        return "This decision does not apply to this line."
    if decision.bulk and not (bulk_allowed and decision.kind is DecisionKind.CONTINUE):
        return "This line has to be decided by itself."
    if rule.needs_reason and not (decision.reason or "").strip():
        return "A reason is missing."
    if rule.needs_regimen and not (decision.regimen or "").strip():
        return "The new regimen is missing."
    if rule.needs_survivor:
        return _survivor_fault(decision, group, reconciliation)
    return None


def _survivor_fault(decision: Decision, group: Group, reconciliation: Reconciliation) -> str | None:
    own = {item.reference for item in (*group.before, *group.after)}
    lines = {item.reference for each in reconciliation.groups for item in (*each.before, *each.after)}
    if not decision.survivor:
        return "The line that stays is missing."
    if decision.survivor in own or decision.survivor not in lines:
        return "The line that stays must be another line of the board."
    return None


def _merge_fault(
    decision: Decision, group: Group | None, reconciliation: Reconciliation, decisions: Sequence[Decision]
) -> str | None:
    """What stays must be the same medicine, as far as both are known, and must itself not be merged away."""
    if decision.kind is not DecisionKind.DUPLICATE_MERGE or group is None:
        return None
    own = {each.medication.ingredient_key for each in (*group.before, *group.after)}
    for other in reconciliation.groups:
        for item in (*other.before, *other.after):
            if item.reference != decision.survivor:
                continue
            key = item.medication.ingredient_key
            if key and any(mine and not mine & key for mine in own):
                return "The line that stays is another medicine."
            merged = (each.kind for each in decisions if each.group_key == other.key)
            if DecisionKind.DUPLICATE_MERGE in merged:
                return "The line that stays is itself merged into another."
    return None


def clarify_due(asked_at: datetime, high: bool) -> datetime:
    """When a question to the prescriber is due: hours if a high alert speaks, else weekdays on."""
    rule = _data()["clarify"]
    if high:
        return asked_at + timedelta(hours=rule["hours_if_high"])
    due, left = asked_at, rule["weekdays"]
    while left:
        due += timedelta(days=1)
        left -= due.weekday() < _SATURDAY
    return due


def has_high_alert(reconciliation: Reconciliation, group: Group) -> bool:
    """Whether an alert of high severity speaks about a line of the group."""
    references = {item.reference for item in (*group.before, *group.after)}
    return any(
        alert.severity is Severity.HIGH and references & set(alert.references)
        for alert in reconciliation.alerts
    )
