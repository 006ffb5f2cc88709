"""Medicines where a mistake does the most harm: an alert a line, graver where the lists disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from smart_app.reconciliation.records import AlertKind, DrugLookup, Group, GroupKind, Item, Severity
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import AFTER, BEFORE, RESULT, Finding
from smart_app.reconciliation.safety.medicines import lines, selector


def high_alerts(
    groups: Sequence[Group], terminology: DrugLookup, taken: Mapping[str, Sequence[Item]]
) -> Iterator[tuple[str, Finding]]:
    """(list, finding) for every line of the board that is a high-alert medicine; taken: as in `check`."""
    rules = table("high_alert.toml")
    for group in groups:
        members = lines((*group.before, *group.after), terminology)
        changed = group.kind is not GroupKind.IDENTICAL
        for rule in rules["rule"]:
            wanted = selector(rule["drugs"])
            if not any(line.taken(wanted) for line in members if not line.local):
                continue
            finding = Finding(
                kind=AlertKind.HIGH_ALERT,
                severity=Severity(rule["severity_changed" if changed else "severity"]),
                rule=rule["id"],
                source=rule["source"],
                year=rule["year"],
                words=f"High-alert medicine: {rule['name']}.",
                action=rules["action"],
                subject=(group.key,),
                references=tuple(sorted({line.reference for line in members})),
            )
            result = taken.get(group.key, group.after or group.before)
            for name, side in ((BEFORE, group.before), (AFTER, group.after), (RESULT, result)):
                if side:
                    yield name, finding
