"""All checks over the lists before, after and resulting -> alerts, what was not checked, burden (domain 3.5).

The resulting list is what the patient takes: of a decided line what was decided, else what stands after
the discharge, and what only stood before and nobody stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from smart_app.reconciliation.records import Alert, AlertKind, Allergy, Burden, DrugLookup, Group, Item
from smart_app.reconciliation.safety.allergies import allergy_findings
from smart_app.reconciliation.safety.burden import burden
from smart_app.reconciliation.safety.context import UNKNOWN, PatientContext
from smart_app.reconciliation.safety.coverage import not_checked
from smart_app.reconciliation.safety.doses import doses
from smart_app.reconciliation.safety.duplicates import duplicate_classes, duplicate_ingredients
from smart_app.reconciliation.safety.fills import fill_gaps
from smart_app.reconciliation.safety.findings import AFTER, BEFORE, GRAVITY, RESULT, Finding, alerts
from smart_app.reconciliation.safety.high_alerts import high_alerts
from smart_app.reconciliation.safety.interactions import interactions
from smart_app.reconciliation.safety.medicines import MedicationList, lines
from smart_app.reconciliation.safety.rule_engine import Rule, findings, shipped_rules

_NOTHING_DECIDED: Mapping[str, Sequence[Item]] = MappingProxyType({})
_WHERE = {
    BEFORE: "before the discharge",
    AFTER: "after the discharge",
    RESULT: "after the discharge, with what only stood before,",
}


@dataclass(frozen=True, slots=True)
class SafetyReport:
    """`not_checked` in words, to be shown wherever alerts are shown. `burden` of the resulting list."""

    alerts: tuple[Alert, ...]
    not_checked: tuple[str, ...]
    burden: Burden


def resulting(group: Group, taken: Mapping[str, Sequence[Item]]) -> Sequence[Item]:
    """What the patient takes of a line: as decided, else what stands after, else what only stood before."""
    return taken.get(group.key, group.after or group.before)


def check(
    groups: Sequence[Group],
    allergies: Sequence[Allergy],
    terminology: DrugLookup,
    context: PatientContext = UNKNOWN,
    *,
    fills: Sequence[Item] = (),
    site_rules: Sequence[Rule] = (),
    taken: Mapping[str, Sequence[Item]] = _NOTHING_DECIDED,
) -> SafetyReport:
    """Check the lines of the groups against every rule.

    fills: evidence that belongs to no group; that of the groups is found there.
    site_rules: rules of a site's own file, as `rule_engine.read_rules` reads them.
    taken: group key -> what the patient takes of a line that was decided (`decided.taken_lines`). An alert that
    a decision resolves is silent: it speaks about a decided line and is not found on the resulting list.
    """
    result = [item for group in groups for item in resulting(group, taken)]
    lists = {
        BEFORE: MedicationList(lines([item for group in groups for item in group.before], terminology)),
        AFTER: MedicationList(lines([item for group in groups for item in group.after], terminology)),
        RESULT: MedicationList(lines(result, terminology)),
    }
    handed = [*fills, *(item for group in groups for item in group.evidence)]
    patient_rules = (
        *shipped_rules(AlertKind.OLDER_ADULT),
        *shipped_rules(AlertKind.RENAL),
        *site_rules,
    )
    found: list[tuple[str, Finding]] = list(high_alerts(groups, terminology, taken))
    for name, members in lists.items():
        each = [
            *_duplicates(lists, name, terminology),
            *interactions(members, context),
            *allergy_findings(members.lines, allergies, handed, terminology),
            *doses(members.lines, context),
            *_gravest_of_drug(f for rule in patient_rules for f in findings(rule, members, context)),
        ]
        found += ((name, finding) for finding in each)
    grave = frozenset(finding.subject[0] for _, finding in found if finding.kind is AlertKind.HIGH_ALERT)
    going_on = [group for group in groups if resulting(group, taken)]
    found += ((RESULT, finding) for finding in fill_gaps(going_on, context, grave))
    decided = {i.reference for group in groups if group.key in taken for i in (*group.before, *group.after)}
    return SafetyReport(
        alerts=tuple(a for a in alerts(found) if RESULT in a.lists or decided.isdisjoint(a.references)),
        not_checked=not_checked(lists, allergies, context),
        burden=burden(result, handed),
    )


def _duplicates(lists: dict[str, MedicationList], name: str, terminology: DrugLookup) -> Iterator[Finding]:
    """Duplicates of one list; of the resulting list only those that neither side shows already."""
    members = lists[name].lines
    sides = [{line.reference for line in lists[side].lines} for side in (BEFORE, AFTER)]
    for finding in (
        *duplicate_ingredients(members, _WHERE[name]),
        *duplicate_classes(members, terminology, _WHERE[name]),
    ):
        if name != RESULT or not any(set(finding.references) <= side for side in sides):
            yield finding


def _gravest_of_drug(found: Iterator[Finding]) -> Iterator[Finding]:
    """Of several kidney rules about one medicine the gravest speaks; other kinds all do."""
    kidney: dict[tuple[str, ...], Finding] = {}
    for finding in found:
        if finding.kind is not AlertKind.RENAL:
            yield finding
            continue
        known = kidney.get(finding.subject)
        if known is None or GRAVITY.index(finding.severity) < GRAVITY.index(known.severity):
            kidney[finding.subject] = finding
    yield from kidney.values()
