"""The same ingredient or two medicines of one class on one list; what is meant so is data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from smart_app.reconciliation.compare import route
from smart_app.reconciliation.records import AlertKind, DrugLookup, Severity
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.findings import GRAVITY, Finding
from smart_app.reconciliation.safety.medicines import Line, Selector, Substance, selector

_SILENT = "silent"


def duplicate_ingredients(lines: Sequence[Line], where: str) -> Iterator[Finding]:
    """Lines that share an ingredient: one finding for each set of lines. where: words for the list."""
    rules = table("duplicates.toml")
    by_code: dict[str, dict[str, tuple[Line, Substance]]] = defaultdict(dict)
    for line in lines:
        for substance in line.substances:
            for code in substance.codes:
                by_code[code][line.reference] = (line, substance)
    by_lines: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for code in sorted(by_code):
        if len(by_code[code]) > 1:
            references = tuple(sorted(by_code[code]))
            by_lines[references].update({s.name: None for _, s in by_code[code].values()})
    by_reference = {line.reference: line for line in lines}
    for references, names in by_lines.items():
        members = [by_reference[reference] for reference in references]
        routes = [route(line.item) for line in members]
        apart = None not in routes and len(set(routes)) == len(routes)
        severity = Severity(rules["severity_ingredient_apart" if apart else "severity_ingredient"])
        why = ""
        if len(members) == 2 and (pair := _legitimate(members[0], members[1], names, between_classes=False)):
            if pair["severity"] == _SILENT:
                continue
            severity, why = Severity(pair["severity"]), f" {pair['why']} ({pair['source']}, {pair['year']})."
        yield Finding(
            kind=AlertKind.DUPLICATE_INGREDIENT,
            severity=severity,
            rule="duplicate-ingredient",
            source=rules["source_ingredient"],
            year=rules["year_ingredient"],
            words=f"{len(references)} lines on the list {where} contain {' and '.join(names)}.{why}",
            action=rules["action_ingredient"],
            subject=references,
            references=references,
        )


def duplicate_classes(lines: Sequence[Line], terminology: DrugLookup, where: str) -> Iterator[Finding]:
    """Two different ingredients of one class or group, on two lines that act in the same place."""
    rules = table("duplicates.toml")
    by_class: dict[str, list[tuple[int, Substance]]] = defaultdict(list)
    for index, line in enumerate(lines):
        for substance in line.substances:
            for name in _classes(substance, terminology):
                by_class[name].append((index, substance))
    shared: dict[tuple[int, int], dict[str, tuple[str, str]]] = defaultdict(dict)
    for name in sorted(by_class):
        for (a, one), (b, two) in combinations(by_class[name], 2):
            if a != b and _stand_apart(lines[a], one, lines[b], two):
                shared[a, b].setdefault(name, (one.name, two.name))
    for (a, b), classes in sorted(shared.items()):
        line, other = lines[a], lines[b]
        severity, why = Severity(rules["severity_class"]), ""
        names = dict.fromkeys(name for pair in classes.values() for name in pair)
        if pair := _legitimate(line, other, names, between_classes=True):
            if pair["severity"] == _SILENT:
                continue
            severity, why = Severity(pair["severity"]), f" {pair['why']} ({pair['source']}, {pair['year']})."
        references = tuple(sorted((line.reference, other.reference)))
        yield Finding(
            kind=AlertKind.DUPLICATE_CLASS,
            severity=severity,
            rule="duplicate-class",
            source=rules["source_class"],
            year=rules["year_class"],
            words=f"{' and '.join(names)} on the list {where} are of one class: {', '.join(classes)}.{why}",
            action=rules["action_class"],
            subject=references,
            references=references,
        )


def _stand_apart(line: Line, one: Substance, other: Line, two: Substance) -> bool:
    """Different ingredients that act in the same place; one ingredient on both lines is the other check's."""
    if line.local != other.local or one.codes & two.codes:
        return False
    return not (_holds(line, two) or _holds(other, one))


def _holds(line: Line, substance: Substance) -> bool:
    """A combination that already holds the other's ingredient is a duplicate ingredient, not a class."""
    return any(substance.codes & own.codes for own in line.substances)


def _classes(substance: Substance, terminology: DrugLookup) -> set[str]:
    """Names of the classes and groups that count."""
    rules = table("duplicates.toml")
    groups = table("groups.toml")
    found = {concept.name for concept in terminology.classes(substance.rxcui)} - rules["not_counted"].keys()
    return found | {groups[group]["name"] for group in substance.groups if group in rules["groups"]}


def _legitimate(
    one: Line, other: Line, names: Mapping[str, None], *, between_classes: bool
) -> Mapping[str, Any] | None:
    """The mildest rule by which these two lines are meant to stand together, in either order."""
    found = []
    for rule, drugs, beside in _legitimate_rules():
        for a, b in ((one, other), (other, one)):
            if not (_spoken(a, drugs, names) and _spoken(b, beside, names)):
                continue
            releases = rule.get("releases")
            if [_release(a), _release(b)] == releases if releases else between_classes:
                found.append(rule)
    grades = [*map(str, GRAVITY), _SILENT]
    return max(found, key=lambda rule: grades.index(rule["severity"]), default=None)


@cache
def _legitimate_rules() -> tuple[tuple[Mapping[str, Any], Selector, Selector], ...]:
    rules = table("duplicates.toml")["legitimate"]
    return tuple((rule, selector(rule["drugs"]), selector(rule["beside"])) for rule in rules)


def _spoken(line: Line, wanted: Selector, names: Mapping[str, None]) -> bool:
    return any(substance.name in names for substance in line.taken(wanted))


def _release(line: Line) -> str:
    return (line.item.medication.release or "").split(" ")[0]
