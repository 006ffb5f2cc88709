"""Gaps between fills: the supply that was handed over has run out, and no fill followed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

from smart_app.reconciliation.records import AlertKind, Group, Item, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import Finding

_LONGEST = Decimal(400)
"""A supply of more days than this is a mistake of the record, not a supply."""


def handed_over(fill: Item) -> date | None:
    """The day of a fill; None where the record has no whole date."""
    try:
        return date.fromisoformat((fill.source.date or "")[:10])
    except ValueError:
        return None


def runs_out(fills: Sequence[Item]) -> date | None:
    """The day when the supply of all fills of one medicine is used up; an early refill adds to what is left."""
    supply: dict[date, Decimal] = defaultdict(Decimal)
    for fill in fills:
        day = handed_over(fill)
        if day is not None and fill.days_supply is not None and 0 < fill.days_supply <= _LONGEST:
            supply[day] = max(supply[day], fill.days_supply)
    end: date | None = None
    for day in sorted(supply):
        end = max(day, end or day) + timedelta(days=int(supply[day]))
    return end


def fill_gaps(groups: Sequence[Group], context: PatientContext, grave: frozenset[str]) -> Iterator[Finding]:
    """One finding for each line of the board whose supply ran out long before the day of evaluation.

    What is taken as needed has no run-out. grave: keys of groups with a high-alert medicine.
    """
    rule = table("fills.toml")
    if context.evaluated_on is None:
        return
    for group in groups:
        members = (*group.before, *group.after)
        if any(item.sig.as_needed for item in members):
            continue
        fills = [item for item in (*group.evidence, *members) if item.days_supply is not None]
        end = runs_out(fills)
        gap = (context.evaluated_on - end).days if end else 0
        if end is None or gap <= rule["gap_days"]:
            continue
        references = {item.reference for item in (*members, *fills)}
        yield Finding(
            kind=AlertKind.ADHERENCE_GAP,
            severity=Severity(rule["severity_high_alert" if group.key in grave else "severity"]),
            rule=rule["rule"],
            source=rule["source"],
            year=rule["year"],
            words=f"{members[0].medication.name}: the supply ran out on {end.isoformat()}, {gap} days ago.",
            action=rule["action"],
            subject=(group.key,),
            references=tuple(sorted(references)),
        )
