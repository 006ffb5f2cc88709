"""Items -> Reconciliation: fold the sources, pair the lines, say why (domain 3.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from smart_app.reconciliation.amounts import same_amount
from smart_app.reconciliation.compare import compare, difference, same_product
from smart_app.reconciliation.pairing import (
    ALONE,
    LIKENESS,
    OVERLAP,
    STAGES,
    Pair,
    canonical,
    linked,
    pair_up,
    tiers_between,
)
from smart_app.reconciliation.reasons import (
    ingredient_names,
    likeness_reason,
    link_words,
    regimen_reason,
    unmapped_reason,
)
from smart_app.reconciliation.records import (
    ALGORITHM_VERSION,
    Allergy,
    Difference,
    DifferenceKind,
    DrugLookup,
    Group,
    GroupKind,
    Item,
    Reconciliation,
    Versions,
)
from smart_app.reconciliation.safety.check import check
from smart_app.reconciliation.safety.context import UNKNOWN, PatientContext
from smart_app.reconciliation.safety.data_files import rules_version
from smart_app.reconciliation.safety.rule_engine import Rule

_BOARD_ORDER = (
    GroupKind.CHANGED,
    GroupKind.POSSIBLE,
    GroupKind.ONLY_BEFORE,
    GroupKind.ONLY_AFTER,
    GroupKind.IDENTICAL,
)
_TRUST = ("MedicationRequest", "MedicationStatement", "MedicationDispense")
"""Of records that say the same, the one that stands for the line; the others become its evidence."""


@dataclass(slots=True)
class _Lines:
    """The lines of one side still without a partner, and the evidence folded into each line."""

    open: list[Item]
    folded: dict[str, list[Item]] = field(default_factory=dict)

    def take(self, items: Iterable[Item]) -> None:
        taken = {item.reference for item in items}
        self.open = [item for item in self.open if item.reference not in taken]


def reconcile(
    before: Sequence[Item],
    after: Sequence[Item],
    evidence: Sequence[Item],
    terminology: DrugLookup,
    *,
    allergies: Sequence[Allergy] = (),
    context: PatientContext = UNKNOWN,
    site_rules: Sequence[Rule] = (),
) -> Reconciliation:
    """Group two medication lists line by line, with each difference in words and the alerts of both.

    Every item of `before` and `after` is in exactly one group, as a line or folded into the evidence
    of the line that says the same from another source. The result depends neither on the order of
    the items nor on anything but the arguments. Groups come in the order of the board: changed,
    possible, only-before, only-after, identical; then by name and reference.
    """
    left, right = _fold(canonical(before)), _fold(canonical(after))
    lines = list(left.open), list(right.open)
    groups: list[Group] = []
    tiers = tiers_between(left.open, right.open, terminology)
    for stage in STAGES:
        if OVERLAP in stage:
            groups += _splits(left, right)
        pairs = pair_up(left.open, right.open, stage, tiers)
        left.take(pair.before for pair in pairs)
        right.take(pair.after for pair in pairs)
        groups += [_paired(pair, terminology) for pair in pairs]
    groups += [_alone(item, lines[0], GroupKind.ONLY_BEFORE) for item in left.open]
    groups += [_alone(item, lines[1], GroupKind.ONLY_AFTER) for item in right.open]
    groups.sort(key=_order)
    groups, unmatched = _attach(groups, canonical(evidence), {**left.folded, **right.folded})
    safety = check(groups, allergies, terminology, context, fills=unmatched, site_rules=site_rules)
    return Reconciliation(
        groups=tuple(groups),
        alerts=safety.alerts,
        versions=Versions(ALGORITHM_VERSION, terminology.version, rules_version()),
        unmatched_evidence=tuple(unmatched),
        not_checked=safety.not_checked,
        burden=safety.burden,
    )


def group_key(before: Iterable[Item], after: Iterable[Item]) -> str:
    """Handle of a group: 16 hex digits that follow from the references of its members alone."""
    sides = (",".join(sorted(item.reference for item in side)) for side in (before, after))
    return hashlib.sha256(">".join(sides).encode()).hexdigest()[:16]


def _order(group: Group) -> tuple[int, str, tuple[str, ...]]:
    members = (*group.before, *group.after)
    references = tuple(item.reference for item in members)
    return _BOARD_ORDER.index(group.kind), members[0].medication.name.casefold(), references


def _fold(items: list[Item]) -> _Lines:
    """Records of different sources on one side that say the same become one line with evidence.

    Within one list nothing is folded: what stands there twice is a duplicate and stays visible.
    """
    by_trust = sorted(items, key=lambda item: (_TRUST.index(item.reference.split("/")[-2]), item.reference))
    kept: list[Item] = []
    folded: dict[str, list[Item]] = {}
    for item in by_trust:
        for line in kept:
            if line.source.key != item.source.key and _says_the_same(line, item):
                folded.setdefault(line.reference, []).append(item)
                break
        else:
            kept.append(item)
    return _Lines([item for item in items if item in kept], folded)


def _says_the_same(line: Item, item: Item) -> bool:
    differences = {found.kind for found in compare(line, item)}
    if line.medication.is_mapped and same_product(line, item):
        return differences <= {DifferenceKind.BRAND}
    return False


def _paired(pair: Pair, terminology: DrugLookup) -> Group:
    before, after = pair.before, pair.after
    same_ingredients = before.medication.ingredient_key == after.medication.ingredient_key
    differences: tuple[Difference, ...]
    if not before.medication.is_mapped or not after.medication.is_mapped:
        kind, differences = GroupKind.POSSIBLE, ()
        reason = unmapped_reason(pair)
    elif pair.tier == LIKENESS or pair.tier == OVERLAP:
        kind, differences = GroupKind.POSSIBLE, (_substitution([before], [after]),)
        reason = likeness_reason(pair, terminology)
    elif not same_ingredients:
        kind, differences = GroupKind.CHANGED, (_substitution([before], [after]),)
        reason = f"The records are linked, but the medicine is another: {link_words(pair)}"
    else:
        differences = compare(before, after)
        real = {found.kind for found in differences} - {DifferenceKind.BRAND}
        same = same_product(before, after) and not real
        kind = GroupKind.IDENTICAL if same else GroupKind.CHANGED
        reason = regimen_reason(pair, differences, same)
    return _group(kind, [before], [after], pair.tier, differences, reason)


def _group(
    kind: GroupKind,
    before: list[Item],
    after: list[Item],
    tier: int,
    differences: tuple[Difference, ...],
    reason: str,
) -> Group:
    members = tuple(before), tuple(after)
    return Group(group_key(before, after), kind, *members, (), tier, differences, reason)


def _substitution(before: Sequence[Item], after: Sequence[Item]) -> Difference:
    names = (" and ".join(item.medication.name for item in side) for side in (before, after))
    return difference(DifferenceKind.SUBSTITUTION, *names)


def _splits(left: _Lines, right: _Lines) -> list[Group]:
    """A combination product against the single ones it was split into, or put together from."""
    groups = []
    for combined, singles, forward in ((left, right, True), (right, left, False)):
        for combination in [item for item in combined.open if len(item.medication.ingredients) > 1]:
            parts = _parts(combination, singles.open)
            if len(parts) < 2:
                continue
            combined.take([combination])
            singles.take(parts)
            before, after = ([combination], parts) if forward else (parts, [combination])
            groups.append(_split_group(before, after, combination, parts))
    return groups


def _parts(combination: Item, singles: Sequence[Item]) -> list[Item]:
    """Lines that share nothing with each other and together make up some of the combination."""
    missing = set(combination.medication.ingredient_key)
    parts: list[Item] = []
    for item in singles:
        key = item.medication.ingredient_key
        if key and key <= missing and key != combination.medication.ingredient_key:
            parts.append(item)
            missing -= key
    return parts


def _split_group(before: list[Item], after: list[Item], combination: Item, parts: list[Item]) -> Group:
    key = combination.medication.ingredient_key
    covered = frozenset().union(*(part.medication.ingredient_key for part in parts))
    names = [i.name for i in combination.medication.ingredients if i.rxcui in key - covered]
    direction = "split into" if len(after) > 1 else "put together from"
    reason = (
        f"A combination {direction} single products: {', '.join(ingredient_names(part) for part in parts)}."
    )
    if names:
        reason += f" Nothing corresponds to {' and '.join(names)}."
    daily = {(a.ingredient, a.unit): a.value for a in combination.per_day}
    others = {(a.ingredient, a.unit): a.value for part in parts for a in part.per_day}
    differences = [_substitution(before, after)]
    if daily and others and not names:
        same = daily.keys() == others.keys() and all(same_amount(daily[k], others[k]) for k in daily)
        reason += " The amounts a day are the same." if same else " The amounts a day differ."
    return _group(GroupKind.POSSIBLE, before, after, OVERLAP, tuple(differences), reason)


def _alone(item: Item, lines: Sequence[Item], kind: GroupKind) -> Group:
    key = item.medication.ingredient_key
    twins = [other for other in lines if other is not item and key and other.medication.ingredient_key == key]
    if twins:
        reason = f"Stands more than once on this list: {ingredient_names(item)}."
    elif kind is GroupKind.ONLY_BEFORE:
        reason = "Nothing after the discharge corresponds: stopped on purpose, or left out?"
    else:
        reason = "Nothing before the admission corresponds: newly started?"
    if not key:
        reason += f" {item.medication.mapping.words}"
    members = ([item], []) if kind is GroupKind.ONLY_BEFORE else ([], [item])
    return _group(kind, *members, ALONE, (), reason)


def _attach(
    groups: list[Group], evidence: Sequence[Item], folded: dict[str, list[Item]]
) -> tuple[list[Group], list[Item]]:
    """Give each fill to the group it speaks about; the rest are fills of drugs on neither list."""
    collected: dict[str, list[Item]] = {}
    for group in groups:
        members = (*group.before, *group.after)
        collected[group.key] = [item for member in members for item in folded.get(member.reference, ())]
    unmatched = []
    for item in evidence:
        ranked = [(rank, group) for group in groups if (rank := _speaks_about(item, group)) is not None]
        if ranked:
            collected[min(ranked, key=lambda pair: pair[0])[1].key].append(item)
        else:
            unmatched.append(item)
    return [_with_evidence(group, collected[group.key]) for group in groups], unmatched


def _speaks_about(item: Item, group: Group) -> int | None:
    members = (*group.before, *group.after)
    if any(linked(item, member) for member in members):
        return 0
    if any(same_product(item, member) for member in members):
        return 1
    key = item.medication.ingredient_key
    return 2 if key and any(member.medication.ingredient_key == key for member in members) else None


def _with_evidence(group: Group, evidence: list[Item]) -> Group:
    filled = any(item.reference.split("/")[-2] == _TRUST[2] for item in evidence)
    reason = group.reason
    if filled and group.kind is GroupKind.ONLY_BEFORE:
        reason += " A fill is on record."
    return replace(group, evidence=tuple(evidence), reason=reason)
