"""Lines as rules see them: ingredients under every code they count as, their groups, where they act."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from smart_app.reconciliation.compare import route
from smart_app.reconciliation.records import DrugLookup, Item
from smart_app.reconciliation.safety.data_files import rows, table


@dataclass(frozen=True, slots=True)
class Selector:
    """Which ingredients a rule means: members of groups (`groups.toml`) or single ones (RxCUI of the IN)."""

    groups: frozenset[str] = frozenset()
    ingredients: frozenset[str] = frozenset()

    def takes(self, substance: Substance) -> bool:
        return not (self.groups.isdisjoint(substance.groups) and self.ingredients.isdisjoint(substance.codes))


@dataclass(frozen=True, slots=True)
class Substance:
    """One ingredient of a line."""

    rxcui: str
    name: str
    codes: frozenset[str]
    """Its own RxCUI and that of the ingredient it counts as (`ingredient_aliases.tsv`)."""
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Line:
    """A medication line. `local`: the route it acts by where it acts only there, else ""."""

    item: Item
    substances: tuple[Substance, ...]
    local: str

    @property
    def reference(self) -> str:
        return self.item.reference

    def taken(self, selector: Selector) -> tuple[Substance, ...]:
        """The substances that a selector means."""
        return tuple([substance for substance in self.substances if selector.takes(substance)])


def selector(raw: Mapping[str, Any]) -> Selector:
    """`{groups = [...], ingredients = {RxCUI = name}}` -> Selector."""
    return Selector(frozenset(raw.get("groups", ())), frozenset(raw.get("ingredients", ())))


@cache
def aliases() -> dict[str, str]:
    """Ingredient -> the ingredient it counts as: salts, isomers, prodrugs, active breakdown products."""
    return {row["rxcui"]: row["counts_as"] for row in rows("ingredient_aliases.tsv")}


@cache
def _listed_in() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group, body in table("groups.toml").items():
        for rxcui in body["ingredients"]:
            found.setdefault(rxcui, set()).add(group)
    return {rxcui: frozenset(groups) for rxcui, groups in found.items()}


@cache
def _classed_in() -> dict[str, frozenset[tuple[str, frozenset[str]]]]:
    found: dict[str, set[tuple[str, frozenset[str]]]] = {}
    for group, body in table("groups.toml").items():
        for name in body.get("classes", ()):
            found.setdefault(name, set()).add((group, frozenset(body.get("except", ()))))
    return {name: frozenset(groups) for name, groups in found.items()}


@cache
def _local() -> frozenset[str]:
    return frozenset(table("checks.toml")["routes"]["local"])


def substance(rxcui: str, name: str, terminology: DrugLookup) -> Substance:
    """An ingredient with everything that rules ask of it."""
    counts_as = aliases().get(rxcui)
    groups = _listed_in().get(rxcui, frozenset())
    for found in terminology.classes(rxcui):
        groups |= {group for group, less in _classed_in().get(found.name, ()) if rxcui not in less}
    return Substance(rxcui, name, frozenset({rxcui, counts_as} if counts_as else {rxcui}), groups)


def lines(items: Sequence[Item], terminology: DrugLookup) -> tuple[Line, ...]:
    """The items of one list. A line whose medicine was not recognised has no substances."""
    known: dict[str, Substance] = {}
    found = []
    for item in items:
        for ingredient in item.medication.ingredients:
            if ingredient.rxcui not in known:
                known[ingredient.rxcui] = substance(ingredient.rxcui, ingredient.name, terminology)
        where = route(item) or ""
        substances = tuple(known[ingredient.rxcui] for ingredient in item.medication.ingredients)
        found.append(Line(item, substances, where if where in _local() else ""))
    return tuple(found)


class MedicationList:
    """The lines of one list, found by what a selector means."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = tuple(lines)
        self._by_key: dict[str, list[tuple[Line, Substance]]] = defaultdict(list)
        for line in lines:
            for each in line.substances:
                for key in (*each.codes, *each.groups):
                    self._by_key[key].append((line, each))

    def taken(self, wanted: Selector, *, anywhere: bool = True) -> list[tuple[Line, Substance]]:
        """(line, substance) that a selector means, each once; with anywhere also what acts only locally."""
        found = {
            (line.reference, each.rxcui): (line, each)
            for key in (*wanted.groups, *wanted.ingredients)
            for line, each in self._by_key.get(key, ())
            if anywhere or not line.local
        }
        return [found[key] for key in sorted(found)]

    def substances(self) -> dict[str, list[tuple[Line, Substance]]]:
        """By RxCUI, with the lines that contain it."""
        found: dict[str, list[tuple[Line, Substance]]] = defaultdict(list)
        for line in self.lines:
            for each in line.substances:
                found[each.rxcui].append((line, each))
        return found
