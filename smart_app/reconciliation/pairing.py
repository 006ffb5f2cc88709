"""Which line of one list belongs to which line of the other: tiers, costs, min-cost assignment.

Pairs are formed stage by stage, surest first, so that a weak likeness never takes a line from a
strong one; inside a stage every cluster of connected lines is solved as one assignment problem.
Source: domain 3.3
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lap
import numpy

from smart_app.reconciliation.compare import compare, route, same_product
from smart_app.reconciliation.records import DifferenceKind, DrugLookup, Item
from terminology.names import fold

LINKED, SAME_PRODUCT, BRAND, SAME_INGREDIENTS, OVERLAP, LIKENESS, ALONE = 0, 1, 2, 3, 4, 5, 7
STAGES = ((LINKED,), (SAME_PRODUCT, BRAND, SAME_INGREDIENTS), (OVERLAP,), (LIKENESS,))

_WEIGHTS = {
    DifferenceKind.DOSE: 4,
    DifferenceKind.RELEASE: 4,
    DifferenceKind.ROUTE: 3,
    DifferenceKind.FREQUENCY: 3,
    DifferenceKind.PRN: 2,
    DifferenceKind.INCOMPLETE: 2,
    DifferenceKind.FORM: 1,
    DifferenceKind.STRENGTH: 1,
    DifferenceKind.TIMING: 1,
    DifferenceKind.DURATION: 1,
}
_FORBIDDEN = 10**12
"""Far above any sum of costs, and an integer that a double holds exactly, as are all costs."""


@dataclass(frozen=True, slots=True)
class Pair:
    before: Item
    after: Item
    tier: int


def canonical(items: Sequence[Item]) -> list[Item]:
    """Items in an order that does not depend on how they came; the same reference only once."""
    unique = {item.reference: item for item in items}
    return sorted(unique.values(), key=lambda item: (item.medication.name.casefold(), item.reference))


def linked(one: Item, other: Item) -> bool:
    """The records themselves say they are about the same: identifier, basedOn, or the same resource."""
    return (
        one.reference == other.reference
        or bool(set(one.identifiers) & set(other.identifiers))
        or one.reference in other.based_on
        or other.reference in one.based_on
    )


def same_words(one: Item, other: Item) -> bool:
    """The original texts are equal but for case, punctuation and spacing; no text equals none."""
    text = fold(one.medication.original)
    return bool(text) and text == fold(other.medication.original)


def shared_classes(one: Item, other: Item, terminology: DrugLookup) -> tuple[str, ...]:
    """Names of pharmacologic classes that an ingredient of each belongs to, for routes that can compare."""
    routes = route(one), route(other)
    if None not in routes and routes[0] != routes[1]:
        return ()
    names = [
        {c.name for key in item.medication.ingredient_key for c in terminology.classes(key)}
        for item in (one, other)
    ]
    return tuple(sorted(names[0] & names[1]))


def tier(before: Item, after: Item, terminology: DrugLookup) -> int | None:
    """How two lines belong together, None if they do not."""
    if linked(before, after):
        return LINKED
    one, other = before.medication.ingredient_key, after.medication.ingredient_key
    if not one or not other:
        return LIKENESS if same_words(before, after) else None
    if one == other:
        if not same_product(before, after):
            return SAME_INGREDIENTS
        return SAME_PRODUCT if before.medication.brand == after.medication.brand else BRAND
    if one & other:
        return OVERLAP
    if same_words(before, after) or shared_classes(before, after, terminology):
        return LIKENESS
    return None


def tiers_between(
    before: Sequence[Item], after: Sequence[Item], terminology: DrugLookup
) -> dict[tuple[str, str], int]:
    """The tier of every two lines that belong together in some way, by their references."""
    facing: dict[str, list[int]] = defaultdict(list)
    for index, other in enumerate(after):
        for trait in _traits(other, terminology):
            facing[trait].append(index)
    tiers: dict[tuple[str, str], int] = {}
    for one in before:
        for index in {index for trait in _traits(one, terminology) for index in facing.get(trait, ())}:
            if (found := tier(one, after[index], terminology)) is not None:
                tiers[one.reference, after[index].reference] = found
    return tiers


def _traits(item: Item, terminology: DrugLookup) -> set[str]:
    """What two lines must have in common, one thing at least, to belong together in any way."""
    ingredients = item.medication.ingredient_key
    classes = (found.name for key in ingredients for found in terminology.classes(key))
    words = fold(item.medication.original)
    return {
        *(f"record {name}" for name in (item.reference, *item.based_on)),
        *(f"identifier {name}" for name in item.identifiers),
        *(f"ingredient {key}" for key in ingredients),
        *(f"class {name}" for name in classes),
        *([f"words {words}"] if words else []),
    }


def pair_up(
    before: Sequence[Item],
    after: Sequence[Item],
    stage: Sequence[int],
    tiers: Mapping[tuple[str, str], int],
) -> list[Pair]:
    """The cheapest pairs among the tiers of one stage; both sequences in canonical order."""
    rows_of = {one.reference: row for row, one in enumerate(before)}
    columns_of = {other.reference: column for column, other in enumerate(after)}
    edges = {
        (rows_of[one], columns_of[other]): found
        for (one, other), found in tiers.items()
        if found in stage and one in rows_of and other in columns_of
    }
    pairs = []
    for rows, columns in _clusters(edges):
        if len(rows) == len(columns) == 1:
            edge = rows[0], columns[0]
            pairs.append(Pair(before[edge[0]], after[edge[1]], edges[edge]))
            continue
        costs = numpy.full((len(rows), len(columns)), _FORBIDDEN, dtype=numpy.float64)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                if (row, column) in edges:
                    costs[i, j] = _cost(before[row], after[column], edges[row, column]) + abs(i - j)
        _, column_of, _ = lap.lapjv(costs, extend_cost=True)
        for i, j in enumerate(column_of):
            if j >= 0 and costs[i, j] < _FORBIDDEN:
                row, column = rows[i], columns[j]
                pairs.append(Pair(before[row], after[column], edges[row, column]))
    return pairs


def _clusters(edges: dict[tuple[int, int], int]) -> list[tuple[list[int], list[int]]]:
    """Connected rows and columns, in order of their first row."""
    clusters: list[tuple[set[int], set[int]]] = []
    for row, column in sorted(edges):
        touching = [c for c in clusters if row in c[0] or column in c[1]]
        rows = {row}.union(*(c[0] for c in touching))
        columns = {column}.union(*(c[1] for c in touching))
        clusters = [c for c in clusters if c not in touching] + [(rows, columns)]
    return sorted((sorted(rows), sorted(columns)) for rows, columns in clusters)


def _cost(before: Item, after: Item, found: int) -> int:
    """Tier first, then the differences, then how far the doses lie apart."""
    if found in (OVERLAP, LIKENESS):
        shared = len(before.medication.ingredient_key & after.medication.ingredient_key)
        total = len(before.medication.ingredient_key | after.medication.ingredient_key)
        return found * 100_000_000 + (total - shared) * 100_000
    distance = sum(_WEIGHTS.get(difference.kind, 0) for difference in compare(before, after))
    return found * 100_000_000 + distance * 100_000 + _dose_distance(before, after) * 100


def _dose_distance(before: Item, after: Item) -> int:
    """0 to 999: ten for each doubling between the doses of the first ingredient both know."""
    amounts = {(a.ingredient, a.unit): a.value for a in before.per_dose}
    for amount in after.per_dose:
        other = amounts.get((amount.ingredient, amount.unit))
        if other and amount.value:
            return min(999, round(abs(math.log2(amount.value / other)) * 10))
    return 500
