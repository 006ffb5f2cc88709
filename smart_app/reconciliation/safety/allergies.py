"""Allergies against the lists: the very ingredient, what it counts as, its family, what crosses with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from smart_app.reconciliation.records import AlertKind, Allergy, DrugLookup, Item, Severity
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.fills import handed_over
from smart_app.reconciliation.safety.findings import GRAVITY, Finding, milder
from smart_app.reconciliation.safety.medicines import Line, Selector, Substance, selector, substance

_INTOLERANCE = "intolerance"


@dataclass(frozen=True, slots=True)
class _Related:
    """Medicines that a family's rule speaks of beside the allergen itself."""

    rule: str
    members: Selector
    severity: Severity
    action: str
    source: str
    year: int


def allergy_findings(
    lines: Sequence[Line], allergies: Sequence[Allergy], fills: Sequence[Item], terminology: DrugLookup
) -> Iterator[Finding]:
    """What allergies say about one list: the very ingredients, then relatives, a line by its gravest rule.

    fills: what was handed over; a fill after the allergy was recorded makes it milder by one step, unless
    the reaction was severe or the criticality is high.
    """
    for allergy in allergies:
        allergens = [substance(i.rxcui, i.name, terminology) for i in allergy.ingredients]
        exact = {allergen.rxcui for allergen in allergens}
        hit = [line for line in lines if any(s.rxcui in exact for s in line.substances)]
        if hit:
            yield _exact(allergy, hit, exact, fills)
        told = {line.reference for line in hit}
        ranked = sorted(_related(allergy, allergens), key=lambda rule: GRAVITY.index(rule.severity))
        for rule in ranked:
            found = [line for line in lines if line.reference not in told and line.taken(rule.members)]
            told |= {line.reference for line in found}
            if found:
                yield _relative(allergy, found, rule, fills)


def _related(allergy: Allergy, allergens: Sequence[Substance]) -> Iterator[_Related]:
    rules = table("allergy_families.toml")
    counted = frozenset().union(*(allergen.codes for allergen in allergens))
    if counted:
        yield _Related(
            "allergy-related-ingredient",
            Selector(ingredients=counted),
            Severity("moderate"),
            rules["action_exact"],
            rules["source_exact"],
            rules["year_exact"],
        )
    for family in rules["family"]:
        members = selector(family["members"])
        if family["id"] not in allergy.families and not any(members.takes(each) for each in allergens):
            continue
        for number, part in enumerate((family, *family.get("cross", ()))):
            yield _Related(
                f"allergy-{'cross' if number else 'family'}-{family['id']}",
                selector(part["members"]),
                Severity(part["severity"]),
                part["action"],
                family["source"],
                family["year"],
            )


def _exact(allergy: Allergy, lines: Sequence[Line], exact: set[str], fills: Sequence[Item]) -> Finding:
    rules = table("allergy_families.toml")
    names = sorted({s.name for line in lines for s in line.substances if s.rxcui in exact})
    severity = Severity(rules["severity_intolerance" if _is_mild(allergy) else "severity_exact"])
    return _finding(
        allergy,
        lines,
        "allergy-exact-ingredient",
        severity,
        f"{' and '.join(names)} is on a list.",
        rules["action_exact"],
        (rules["source_exact"], rules["year_exact"]),
        fills,
        "INT" if allergy.kind == _INTOLERANCE else "ALGY",
    )


def _relative(allergy: Allergy, lines: Sequence[Line], rule: _Related, fills: Sequence[Item]) -> Finding:
    names = sorted({s.name for line in lines for s in line.taken(rule.members)})
    severity = milder(rule.severity) if _is_mild(allergy) else rule.severity
    return _finding(
        allergy,
        lines,
        rule.rule,
        severity,
        f"{' and '.join(names)} may bring the same reaction.",
        rule.action,
        (rule.source, rule.year),
        fills,
        "INT" if allergy.kind == _INTOLERANCE else "RALG",
    )


def _finding(
    allergy: Allergy,
    lines: Sequence[Line],
    rule: str,
    severity: Severity,
    what: str,
    action: str,
    source: tuple[str, int],
    fills: Sequence[Item],
    code: str,
) -> Finding:
    kind = _INTOLERANCE if allergy.kind == _INTOLERANCE else "allergy"
    words = f"Recorded {kind} “{allergy.text}”: {what}"
    day = _filled_since(allergy, lines, fills)
    if day and allergy.criticality != "high" and allergy.reaction_severity != "severe":
        severity = milder(severity)
        words += f" It was filled on {day.isoformat()}, after the {kind} was recorded."
    references = sorted({allergy.reference, *(line.reference for line in lines)})
    return Finding(
        kind=AlertKind.ALLERGY,
        severity=severity,
        rule=rule,
        source=source[0],
        year=source[1],
        words=words,
        action=action,
        subject=(allergy.reference,),
        references=tuple(references),
        code=code,
    )


def _is_mild(allergy: Allergy) -> bool:
    """An intolerance, or nothing but mild reactions; never where the criticality is high."""
    if allergy.criticality == "high":
        return False
    return allergy.kind == _INTOLERANCE or allergy.reaction_severity == "mild"


def _filled_since(allergy: Allergy, lines: Sequence[Line], fills: Sequence[Item]) -> date | None:
    """The last fill of the lines' ingredients that came after the day the allergy was recorded."""
    wanted = {s.rxcui for line in lines for s in line.substances}
    try:
        recorded = date.fromisoformat((allergy.recorded or "")[:10])
    except ValueError:
        return None
    days = [
        day
        for fill in fills
        if fill.medication.ingredient_key & wanted and (day := handed_over(fill)) and day > recorded
    ]
    return max(days, default=None)
