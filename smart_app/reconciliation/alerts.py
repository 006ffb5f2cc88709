"""What is checked about the lists: duplicates, allergies by exact ingredient, high-alert medicines.

The rules are data (`data/alert_rules.toml`), each with its source; what they do not look at is part
of every result. Source: domain 3.5
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from smart_app.reconciliation.compare import route
from smart_app.reconciliation.records import (
    Alert,
    AlertKind,
    Allergy,
    DrugLookup,
    Group,
    GroupKind,
    Item,
    Severity,
)


@cache
def _rules() -> dict[str, Any]:
    text = (files("smart_app.reconciliation") / "data" / "alert_rules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def rules_version() -> str:
    """Version of the alert rules, part of every result."""
    return str(_rules()["version"])


def alerts_of(
    groups: Sequence[Group], allergies: Sequence[Allergy], terminology: DrugLookup
) -> tuple[Alert, ...]:
    """All alerts about the lines of the groups, the gravest first, then by rule and references."""
    before = [item for group in groups for item in group.before]
    after = [item for group in groups for item in group.after]
    found = [
        *_duplicates(before, "before"),
        *_duplicates(after, "after"),
        *_allergies([*before, *after], allergies),
        *_high_alerts(groups, terminology),
    ]
    gravity = list(Severity)
    return tuple(sorted(found, key=lambda a: (gravity.index(a.severity), a.kind, a.rule, a.references)))


def _duplicates(lines: Sequence[Item], side: str) -> Iterable[Alert]:
    """Lines of one list that share an ingredient: one alert for each set of lines."""
    rule = _rules()["duplicate-ingredient"]
    by_ingredient: dict[str, list[Item]] = defaultdict(list)
    names: dict[str, str] = {}
    for line in lines:
        for ingredient in line.medication.ingredients:
            by_ingredient[ingredient.rxcui].append(line)
            names[ingredient.rxcui] = ingredient.name
    by_lines: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for rxcui in sorted(by_ingredient):
        if len(by_ingredient[rxcui]) > 1:
            by_lines[tuple(sorted(line.reference for line in by_ingredient[rxcui]))].append(rxcui)
    for references, ingredients in by_lines.items():
        routes = [route(line) for line in by_ingredient[ingredients[0]]]
        apart = None not in routes and len(set(routes)) == len(routes)
        what = " and ".join(names[rxcui] for rxcui in ingredients)
        yield Alert(
            AlertKind.DUPLICATE_INGREDIENT,
            Severity(rule["severity_other_route" if apart else "severity"]),
            references,
            rule["rule"],
            rule["source"],
            f"{len(references)} lines on the list {side} the discharge contain {what}. {rule['action']}",
        )


def _allergies(lines: Sequence[Item], allergies: Sequence[Allergy]) -> Iterable[Alert]:
    rule = _rules()["allergy"]
    for allergy in allergies:
        allergic = {ingredient.rxcui: ingredient.name for ingredient in allergy.ingredients}
        hit = [line for line in lines if line.medication.ingredient_key & allergic.keys()]
        if not hit:
            continue
        shared = frozenset().union(*(line.medication.ingredient_key for line in hit)) & allergic.keys()
        mild = allergy.kind == "intolerance" and allergy.criticality != "high"
        yield Alert(
            AlertKind.ALLERGY,
            Severity(rule["severity_intolerance" if mild else "severity"]),
            tuple(sorted({allergy.reference, *(line.reference for line in hit)})),
            rule["rule"],
            rule["source"],
            f"Recorded {'intolerance' if allergy.kind == 'intolerance' else 'allergy'} “{allergy.text}”: "
            f"{' and '.join(sorted(allergic[rxcui] for rxcui in shared))} is on a list. {rule['action']}",
        )


def _high_alerts(groups: Sequence[Group], terminology: DrugLookup) -> Iterable[Alert]:
    """One alert a line of the board; graver where the two lists do not agree."""
    rules = _rules()["high-alert"]
    for group in groups:
        members = (*group.before, *group.after)
        keys = frozenset().union(*(item.medication.ingredient_key for item in members))
        classes = {found.name for key in keys for found in terminology.classes(key)}
        for rule in rules["group"]:
            if not (keys & rule["ingredients"].keys() or classes & set(rule["classes"])):
                continue
            changed = group.kind is not GroupKind.IDENTICAL
            yield Alert(
                AlertKind.HIGH_ALERT,
                Severity(rules["severity_changed" if changed else "severity"]),
                tuple(sorted({item.reference for item in members})),
                rule["rule"],
                rule["source"],
                f"High-alert medicine: {rule['name']}. {rules['action']}",
            )


def not_checked(groups: Sequence[Group], allergies: Sequence[Allergy]) -> tuple[str, ...]:
    """What no rule looked at, in words; lines and allergies that were not recognised are named."""
    statements = list(_rules()["not-checked"]["statements"])
    unknown = [
        item.medication.name
        for group in groups
        for item in (*group.before, *group.after)
        if not item.medication.is_mapped
    ]
    statements += [f"“{name}”: the medicine was not recognised" for name in dict.fromkeys(unknown)]
    unread = [allergy.text for allergy in allergies if not allergy.ingredients]
    statements += [f"Allergy “{text}”: no ingredient was recognised" for text in dict.fromkeys(unread)]
    return tuple(statements)
