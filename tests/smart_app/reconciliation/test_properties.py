"""Laws of matching, over generated discharges. Covers: domain 3.3 (determinism, unknown is never equal)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from smart_app.discharge_cases.cases import discharge_case
from smart_app.reconciliation.explain import collect_lists, explain, explained
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import GroupKind

SEEDS = st.integers(min_value=0, max_value=10**9)
few = settings(max_examples=25, deadline=None)


@few
@given(seed=SEEDS, order=st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(rxnorm: Any, seed: int, order: Any) -> None:
    bundle = discharge_case(seed).bundle
    first = json.dumps(explain(bundle, rxnorm))
    order.shuffle(bundle["entry"])
    for entry in bundle["entry"]:
        order.shuffle(entry["resource"].get("entry", []))
    assert json.dumps(explain(bundle, rxnorm)) == first


@few
@given(seed=SEEDS)
def test_the_lists_exchanged_give_the_same_groups_exchanged(rxnorm: Any, seed: int) -> None:
    found = collect_lists(discharge_case(seed).bundle, rxnorm)
    there = explained(reconcile(found.before, found.after, (), rxnorm))["groups"]
    back = explained(reconcile(found.after, found.before, (), rxnorm))["groups"]
    turned = {"only-before": "only-after", "only-after": "only-before"}

    def shape(group: dict[str, Any], one: str, other: str, turn: bool) -> tuple[Any, ...]:
        kind = turned.get(group["kind"], group["kind"]) if turn else group["kind"]
        return kind, tuple(sorted(group[one])), tuple(sorted(group[other])), tuple(group["differences"])

    assert sorted(shape(g, "before", "after", False) for g in there) == sorted(
        shape(g, "after", "before", True) for g in back
    )


@few
@given(seed=SEEDS)
def test_every_line_is_in_exactly_one_group(rxnorm: Any, seed: int) -> None:
    found = collect_lists(discharge_case(seed).bundle, rxnorm)
    groups = reconcile(found.before, found.after, found.evidence, rxnorm).groups
    assert sorted(i.reference for g in groups for i in g.before) == sorted(i.reference for i in found.before)
    assert sorted(i.reference for g in groups for i in g.after) == sorted(i.reference for i in found.after)
    assert len({group.key for group in groups}) == len(groups)


@few
@given(seed=SEEDS)
def test_every_current_entry_of_a_list_is_named_in_exactly_one_group(rxnorm: Any, seed: int) -> None:
    bundle = discharge_case(seed).bundle
    resources = [entry["resource"] for entry in bundle["entry"]]
    listed = [
        e["item"]["reference"] for r in resources if r["resourceType"] == "List" for e in r.get("entry", [])
    ]
    gone = {found.reference for found in collect_lists(bundle, rxnorm).left_out}
    named = [
        name for group in explain(bundle, rxnorm)["groups"] for name in (*group["before"], *group["after"])
    ]
    assert sorted(named) == sorted(set(listed) - gone)


@few
@given(seed=SEEDS, gap=st.sampled_from(["dose", "frequency", "both", "drug"]), data=st.data())
def test_nothing_unknown_is_ever_identical(rxnorm: Any, seed: int, gap: str, data: Any) -> None:
    bundle = discharge_case(seed).bundle
    lines = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"].startswith("Medication")]
    line = data.draw(st.sampled_from(lines))
    name = "dosage" if line["resourceType"] == "MedicationStatement" else "dosageInstruction"
    if gap == "drug":
        line["medicationCodeableConcept"] = {"text": "Nobody's remedy"}
    else:
        line[name] = [{k: v for k, v in dosage.items() if k not in _GAPS[gap]} for dosage in line.get(name, [])]
    found = collect_lists(bundle, rxnorm)
    reference = f"{line['resourceType']}/{line['id']}"
    for group in reconcile(found.before, found.after, (), rxnorm).groups:
        if reference in {item.reference for item in (*group.before, *group.after)}:
            assert group.kind is not GroupKind.IDENTICAL


_GAPS = {
    "dose": {"doseAndRate", "text"},
    "frequency": {"timing", "text"},
    "both": {"doseAndRate", "timing", "text"},
}


@few
@given(seed=SEEDS)
def test_identical_lines_have_equal_known_daily_amounts(rxnorm: Any, seed: int) -> None:
    found = collect_lists(discharge_case(seed).bundle, rxnorm)
    for group in reconcile(found.before, found.after, (), rxnorm).groups:
        if group.kind is GroupKind.IDENTICAL:
            (before,), (after,) = group.before, group.after
            assert before.medication.product == after.medication.product is not None
            assert before.per_day == after.per_day
            # The tablets of a pack are not alike: equal packs taken alike are equal, their amounts unknown.
            assert before.per_day or before.medication.form == "Pack"
