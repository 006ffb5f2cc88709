"""What no rule looked at for these lists and this patient, in words a pharmacist reads beside the alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from smart_app.reconciliation.records import AlertKind, Allergy
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.doses import unknown_amounts
from smart_app.reconciliation.safety.medicines import Line, MedicationList, Substance
from smart_app.reconciliation.safety.rule_engine import shipped_rules
from terminology.interactions import shipped_interactions


def not_checked(
    lists: Mapping[str, MedicationList], allergies: Sequence[Allergy], context: PatientContext
) -> tuple[str, ...]:
    """What the data cannot know, then what of this chart could not be read; each statement once."""
    seen = {line.reference: line for members in lists.values() for line in members.lines}
    lines = [seen[reference] for reference in sorted(seen)]
    said = [
        *table("checks.toml")["coverage"]["statements"],
        *_of_patient(lines, context),
        *_of_lines(lines, context),
    ]
    unread = [allergy.text for allergy in allergies if not (allergy.ingredients or allergy.families)]
    said += [f"Allergy “{text}”: no ingredient was recognised" for text in unread]
    return tuple(dict.fromkeys(said))


def _of_patient(lines: Sequence[Line], context: PatientContext) -> Iterator[str]:
    if context.evaluated_on is None:
        yield "Gaps between fills, and anything that depends on the day: it is not known"
    if context.age is None:
        yield "Rules for older adults and doses by age: the birth date is not known"
    if not context.conditions_read:
        yield "Rules that depend on conditions: the chart names none"
    if context.kidney is None:
        names = {each.name for line in lines for each in line.substances if _asks_for_kidneys(each)}
        needed = f"; it matters for {', '.join(sorted(names))}" if names else ""
        yield f"Kidney function: no eGFR of the last 12 months{needed}"


def _of_lines(lines: Sequence[Line], context: PatientContext) -> Iterator[str]:
    for line in lines:
        if not line.substances:
            yield f"“{line.item.medication.name}”: the medicine was not recognised"
    for line in lines:
        for substance in line.substances:
            if not _has_interactions(substance):
                yield f"Interactions of {substance.name}: no table and no rule knows it"
    for name in dict.fromkeys(unknown_amounts(lines, context)):
        yield f"Dose of {name}: the amount a day is not known"


@lru_cache(maxsize=4096)
def _asks_for_kidneys(substance: Substance) -> bool:
    """Whether a rule looks at the kidneys for it."""
    return any(rule.drugs.takes(substance) for rule in shipped_rules(AlertKind.RENAL))


@lru_cache(maxsize=4096)
def _has_interactions(substance: Substance) -> bool:
    """Whether any table or rule speaks of the ingredient."""
    if any(substance.codes & known for known in shipped_interactions().coverage.values()):
        return True
    rules = shipped_rules(AlertKind.INTERACTION)
    return any(s.takes(substance) for rule in rules for s in (rule.drugs, rule.beside, rule.third) if s)
