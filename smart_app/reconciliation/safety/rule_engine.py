"""Rules as data: which medicines, together with what, in which patient; and what they find on one list.

The files `interaction_rules.toml`, `older_adults.toml`, `renal.toml` and a site's own file are of this shape:

drugs            the medicines spoken of (groups, ingredients)
beside, third    others on the same list        without   silent where one of these is on the list
conditions       any of these (conditions.toml) not_conditions   silent where one of these is known
age_from         years                          egfr_below       mL/min/1.73 m2
daily_above      {value, unit}: only above this amount a day; also where the amount is not known
regular          only what is taken regularly   local = "any"    also medicines that act only locally
severity, effect, action, source, year, basis
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import Finding
from smart_app.reconciliation.safety.medicines import Line, MedicationList, Selector, Substance, selector

END_OF_LIFE = "end-of-life"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; see the module for the fields."""

    id: str
    kind: AlertKind
    drugs: Selector
    severity: Severity
    effect: str
    action: str
    source: str
    year: int
    basis: str
    beside: Selector | None = None
    third: Selector | None = None
    without: Selector | None = None
    conditions: frozenset[str] = frozenset()
    not_conditions: frozenset[str] = frozenset()
    age_from: int | None = None
    egfr_below: Decimal | None = None
    daily_above: tuple[Fraction, str] | None = None
    regular: bool = False
    anywhere: bool = False


FILES = {
    AlertKind.INTERACTION: "interaction_rules.toml",
    AlertKind.OLDER_ADULT: "older_adults.toml",
    AlertKind.RENAL: "renal.toml",
}


@cache
def shipped_rules(kind: AlertKind) -> tuple[Rule, ...]:
    """The shipped rules of a kind, in the order of their file."""
    return read_rules(table(FILES[kind]), kind)


def read_rules(raw: Mapping[str, Any], kind: AlertKind) -> tuple[Rule, ...]:
    """The rules of a file. Raises: ValueError naming the rule that is not of the shape."""
    found = []
    bodies = raw.get("rule", [])
    if not isinstance(bodies, list):
        raise ValueError("rule is no list of rules")
    for number, body in enumerate(bodies, 1):
        try:
            found.append(_rule(body, kind, raw.get("age_from")))
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as problem:
            name = body.get("id", f"number {number}") if isinstance(body, Mapping) else f"number {number}"
            raise ValueError(f"Rule {name}: {problem!r}") from None
    return tuple(found)


def _rule(body: Mapping[str, Any], kind: AlertKind, age_from: int | None) -> Rule:
    above = body.get("daily_above")
    return Rule(
        id=str(body["id"]),
        kind=kind,
        drugs=_known(selector(body["drugs"])),
        severity=Severity(body["severity"]),
        effect=str(body["effect"]),
        action=str(body["action"]),
        source=str(body["source"]),
        year=int(body["year"]),
        basis=str(body["basis"]),
        beside=_known(selector(body["beside"])) if "beside" in body else None,
        third=_known(selector(body["third"])) if "third" in body else None,
        without=_known(selector(body["without"])) if "without" in body else None,
        conditions=_named_conditions(body.get("conditions", ())),
        not_conditions=_named_conditions(body.get("not_conditions", ())),
        age_from=_whole(body.get("age_from", age_from)),
        egfr_below=Decimal(str(body["egfr_below"])) if "egfr_below" in body else None,
        daily_above=(Fraction(str(above["value"])), str(above["unit"])) if above else None,
        regular=bool(body.get("regular", False)),
        anywhere=body.get("local") == "any",
    )


def _whole(years: object) -> int | None:
    if years is None or (isinstance(years, int) and not isinstance(years, bool)):
        return years
    raise ValueError("age_from is no whole number")


def _known(wanted: Selector) -> Selector:
    """A group that nobody defined would never fire: it is refused."""
    if unknown := wanted.groups - table("groups.toml").keys():
        raise ValueError(f"unknown group {min(unknown)}")
    if not (wanted.groups or wanted.ingredients):
        raise ValueError("no medicine is named")
    return wanted


def _named_conditions(names: Sequence[str]) -> frozenset[str]:
    if unknown := set(names) - table("conditions.toml").keys():
        raise ValueError(f"unknown condition {min(unknown)}")
    return frozenset(names)


def findings(rule: Rule, medicines: MedicationList, context: PatientContext) -> Iterator[Finding]:
    """What a rule finds on one list, whatever the order of its lines."""
    meant = medicines.taken(rule.drugs, anywhere=rule.anywhere)
    if not meant or not applies(rule, context):
        return
    if rule.without and medicines.taken(rule.without):
        return
    others = medicines.taken(rule.beside, anywhere=rule.anywhere) if rule.beside else []
    lasts = medicines.taken(rule.third, anywhere=rule.anywhere) if rule.third else []
    for line, substance in meant:
        if not _is_meant(rule, line, substance):
            continue
        if rule.beside is None:
            yield _finding(rule, (substance,), (line.reference,), context)
        for other, partner in _partners(others, line, substance):
            if rule.third is None:
                yield _finding(rule, (substance, partner), (line.reference, other.reference), context)
            for last, third in _partners(lasts, line, substance):
                if third.rxcui != partner.rxcui:
                    references = (line.reference, other.reference, last.reference)
                    yield _finding(rule, (substance, partner, third), references, context)


def applies(rule: Rule, context: PatientContext) -> bool:
    """Whether the patient is known to be one the rule speaks of."""
    if rule.age_from is not None and (context.age is None or context.age < rule.age_from):
        return False
    if rule.kind is AlertKind.OLDER_ADULT and END_OF_LIFE in context.conditions:
        return False
    if rule.egfr_below is not None and not (context.kidney and context.kidney.is_below(rule.egfr_below)):
        return False
    if rule.not_conditions and (rule.not_conditions & context.conditions or not context.conditions_read):
        return False
    return not rule.conditions or bool(rule.conditions & context.conditions)


def _partners(
    others: Sequence[tuple[Line, Substance]], line: Line, substance: Substance
) -> Iterator[tuple[Line, Substance]]:
    """Another ingredient on another line: two ingredients of one product are meant to be together."""
    for other, partner in others:
        if other.reference != line.reference and not partner.codes & substance.codes:
            yield other, partner


def _is_meant(rule: Rule, line: Line, substance: Substance) -> bool:
    if rule.regular and line.item.sig.as_needed:
        return False
    if rule.daily_above is None:
        return True
    value, unit = rule.daily_above
    known = [a for a in line.item.per_day if a.ingredient == substance.rxcui and a.unit == unit]
    return not known or any(amount.value > value for amount in known)


def _finding(
    rule: Rule, found: tuple[Substance, ...], references: tuple[str, ...], context: PatientContext
) -> Finding:
    names = [each.name for each in found]
    what = " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]
    because = ""
    if rule.egfr_below is not None and context.kidney is not None:
        kidney = context.kidney
        because = f", eGFR {kidney.limit}{kidney.value.normalize():f} of {kidney.taken.isoformat()}"
        references = (*references, kidney.reference)
    named = [name for condition, name in context.condition_references if condition in rule.conditions]
    if named:
        conditions = table("conditions.toml")
        because += ", " + " and ".join(
            conditions[each]["name"] for each in sorted(rule.conditions & context.conditions)
        )
    return Finding(
        kind=rule.kind,
        severity=rule.severity,
        rule=rule.id,
        source=rule.source,
        year=rule.year,
        words=f"{what}{because}: {rule.effect}",
        action=rule.action,
        subject=tuple(sorted(each.rxcui for each in found)),
        references=tuple(sorted({*references, *named})),
    )
