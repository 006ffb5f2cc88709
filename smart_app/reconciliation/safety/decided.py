"""What the patient takes of each line that was decided, for the checks of the resulting list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smart_app.reconciliation.records import Decision, DecisionKind, Group, Item
from smart_app.reconciliation.statements import outcomes

_OPEN = frozenset((DecisionKind.CLARIFY, DecisionKind.DEFER))


def taken_lines(groups: Sequence[Group], decisions: Iterable[Decision]) -> Mapping[str, Sequence[Item]]:
    """Group key -> the items that stay on the patient's list; empty for a line that ends or is on hold.

    An open question (clarify, defer) decides nothing: the line is checked as if it were taken.
    """
    by_key = {group.key: group for group in groups}
    found: dict[str, Sequence[Item]] = {}
    for decision in decisions:
        group = by_key.get(decision.group_key)
        if group is None or decision.kind in _OPEN:
            continue
        found[group.key] = tuple(
            item
            for outcome in outcomes(group, decision)
            if outcome.taken and outcome.status != "on-hold"
            for item in outcome.items
        )
    return found
