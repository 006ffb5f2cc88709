# ruff: noqa: E501 - the rows of the tables are read across
"""Tiers of matching, written by hand from the text of the rules. Covers: domain 3.1-3.4."""

from __future__ import annotations

from typing import Any

import pytest

# (title, drug before, dose, rate, drug after, dose, rate, kind, differences)
PAIRS: list[tuple[str, tuple[Any, ...], tuple[Any, ...], str, set[str]]] = [
    ("the same product taken the same way", ("314076", "1 tablet", "1/d"), ("314076", "1 tablet", "1/d"), "identical", set()),
    ("a count of tablets and the amount they hold", ("314076", "1 tablet", "1/d"), ("314076", "10 mg", "1/d"), "identical", set()),
    ("grams and milligrams", ("861007", "0.5 g", "2/d"), ("861007", "500 mg", "2/d"), "identical", set()),
    ("brand and generic", ("200809", "1 tablet", "1/d"), ("313988", "1 tablet", "1/d"), "identical", {"brand"}),
    ("half a tablet for half the amount", ("313988", "0.5 tablet", "1/d"), ("313988", "20 mg", "1/d"), "identical", set()),
    ("another dose of one product", ("314076", "1 tablet", "1/d"), ("314076", "2 tablet", "1/d"), "changed", {"dose"}),
    ("another strength", ("314076", "1 tablet", "1/d"), ("314077", "1 tablet", "1/d"), "changed", {"dose"}),
    ("two of 20 mg and one of 40 mg", ("312961", "2 tablet", "1/d"), ("198211", "1 tablet", "1/d"), "changed", {"strength"}),
    ("one of 40 mg and half of 80 mg", ("198211", "1 tablet", "1/d"), ("200345", "0.5 tablet", "1/d"), "changed", {"strength"}),
    ("twice and once a day", ("313988", "1 tablet", "2/d"), ("313988", "1 tablet", "1/d"), "changed", {"frequency"}),
    ("half as much twice as often", ("861007", "2 tablet", "1/d"), ("861007", "1 tablet", "2/d"), "changed", {"dose", "frequency"}),
    ("weekly and daily methotrexate", ("105585", "1 tablet", "1/wk"), ("105585", "1 tablet", "1/d"), "changed", {"frequency"}),
    ("metoprolol tartrate and succinate", ("866514", "1 tablet", "1/d"), ("866436", "1 tablet", "1/d"), "changed", {"release"}),
    ("metoprolol tartrate twice, succinate once", ("866514", "1 tablet", "2/d"), ("866436", "1 tablet", "1/d"), "changed", {"release", "frequency"}),
    ("immediate and extended metformin", ("861007", "1 tablet", "1/d"), ("860975", "1 tablet", "1/d"), "changed", {"release"}),
    ("insulin in more units", ("311041", "20 units", "1/d"), ("311041", "24 units", "1/d"), "changed", {"dose"}),
    ("insulin in millilitres and units", ("311041", "0.2 mL", "1/d"), ("311041", "20 units", "1/d"), "identical", set()),
    ("micrograms are not milligrams", ("966221", "50 mcg", "1/d"), ("966221", "50 mg", "1/d"), "changed", {"dose"}),
    ("micrograms and the tablet of them", ("966221", "50 mcg", "1/d"), ("966221", "1 tablet", "1/d"), "identical", set()),
    ("no dose after", ("314076", "1 tablet", "1/d"), ("314076", None, "1/d"), "changed", {"incomplete"}),
    ("no frequency before", ("314076", "1 tablet", None), ("314076", "1 tablet", "1/d"), "changed", {"incomplete"}),
    ("nothing but the product on both sides", ("314076", None, None), ("314076", None, None), "changed", {"incomplete"}),
    ("the ingredient alone on both sides", ("29046", "10 mg", "1/d"), ("29046", "10 mg", "1/d"), "changed", {"incomplete"}),
    ("the ingredient alone and a product", ("29046", "10 mg", "1/d"), ("314076", "1 tablet", "1/d"), "changed", {"incomplete"}),
    ("a strength with one product and the product", ("315971", "1 tablet", "1/d"), ("313988", "1 tablet", "1/d"), "identical", set()),
    ("omeprazole and pantoprazole", ("198051", "1 capsule", "1/d"), ("314200", "1 tablet", "1/d"), "possible", {"substitution"}),
    ("simvastatin and atorvastatin", ("312961", "1 tablet", "1/d"), ("617310", "1 tablet", "1/d"), "possible", {"substitution"}),
    ("an ACE inhibitor and a loop diuretic", ("314076", "1 tablet", "1/d"), ("313988", "1 tablet", "1/d"), "apart", set()),
    ("an ACE inhibitor and an angiotensin blocker", ("314076", "1 tablet", "1/d"), ("979480", "1 tablet", "1/d"), "apart", set()),
    ("a combination and one of its parts", ("197885", "1 tablet", "1/d"), ("314076", "1 tablet", "1/d"), "possible", {"substitution"}),
    ("hydralazine and hydroxyzine", ("905225", "1 tablet", "1/d"), ("995258", "1 tablet", "1/d"), "apart", set()),
    ("bupropion and buspirone", ("993687", "1 tablet", "1/d"), ("866083", "1 tablet", "1/d"), "apart", set()),
    ("metformin and metronidazole", ("861007", "1 tablet", "1/d"), ("311681", "1 tablet", "1/d"), "apart", set()),
    ("equal words that nobody knows", ("Herbal tonic", "1 cup", "1/d"), ("herbal  TONIC", "1 cup", "1/d"), "possible", set()),
    ("different words that nobody knows", ("Herbal tonic", None, None), ("Herbal tea", None, None), "apart", set()),
    ("a text with the exact name", ("314076", "1 tablet", "1/d"), ("Lisinopril 10 mg oral tablet", "1 tablet", "1/d"), "identical", set()),
    ("a text that fits several products", ("866514", "1 tablet", "1/d"), ("metoprolol 50 mg", "1 tablet", "1/d"), "changed", {"incomplete"}),
    ("tablet and capsule", ("Gabapentin 400 MG Oral Capsule", "1 capsule", "1/d"), ("gabapentin 400 MG Oral Tablet", "1 tablet", "1/d"), "changed", {"form"}),
    ("the same patch", ("198031", "1 patch", "1/d"), ("198031", "1 patch", "1/d"), "identical", set()),
    ("a weaker patch", ("198031", "1 patch", "1/d"), ("198029", "1 patch", "1/d"), "changed", {"dose"}),
    ("the same pack", ("751905", "1 tablet", "1/d"), ("749784", "1 tablet", "1/d"), "identical", {"brand"}),
    ("puffs of an inhaler", ("895994", "2 puffs", "2/d"), ("895994", "1 puff", "2/d"), "changed", {"dose"}),
    ("insulin of two concentrations", ("311041", "20 units", "1/d"), ("1604539", "20 units", "1/d"), "changed", {"strength", "form"}),
    ("tablets of an unmapped drug and a mapped one", ("Herbal tonic", "1 tablet", "1/d"), ("314076", "1 tablet", "1/d"), "apart", set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "kind", "differences"), [pair[1:] for pair in PAIRS], ids=[p[0] for p in PAIRS]
)
def test_a_pair(
    lists: Any, before: tuple[Any, ...], after: tuple[Any, ...], kind: str, differences: set[str]
) -> None:
    assert lists.pair(lists.line("b", *before), lists.line("a", *after)) == (kind, differences)


SIGS = [
    ("Take 1 tablet by mouth daily", "1 tab PO qd", "identical", set()),
    ("Take 1 tablet by mouth twice daily", "1 tab q12h", "identical", set()),
    ("Take one tablet (10 mg) every day", "Take 1 tablet by mouth once a day", "identical", set()),
    ("1 tab po bid", "1 tab po daily", "changed", {"frequency"}),
    ("1 tab daily", "1 tab at bedtime", "changed", {"timing"}),
    ("1 tab every morning", "1 tab every evening", "changed", {"timing"}),
    ("1 tab bid", "1 tab bid prn", "changed", {"prn"}),
    ("1 tab bid prn pain", "1 tab bid as needed for itching", "changed", {"prn"}),
    ("1 tab bid as needed for pain", "1 tab PO BID prn pain", "identical", set()),
    ("1 tab bid", "1 tab bid for 7 days", "changed", {"duration"}),
    ("1 tab bid x 7 days", "1 tab bid for 1 week", "identical", set()),
    ("1 tab po daily", "1 tab sublingually daily", "changed", {"route"}),
    ("Use as directed", "Use as directed", "changed", {"incomplete"}),
    ("1-2 tablets daily", "1-2 tablets daily", "changed", {"incomplete"}),
    ("1 tab daily, then 2 tabs daily", "1 tab daily", "changed", {"incomplete"}),
    ("1 tab daily per moon phase", "1 tab daily", "changed", {"incomplete"}),
    ("Take 1 tablet (20 mg) daily", "1 tab daily", "changed", {"incomplete"}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "kind", "differences"), SIGS)
def test_written_instructions(lists: Any, before: str, after: str, kind: str, differences: set[str]) -> None:
    pair = lists.line("b", "314076", sig=before), lists.line("a", "314076", sig=after)
    assert lists.pair(*pair) == (kind, differences)


def groups(found: dict[str, Any]) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return {
        (g["kind"], *(tuple(r.split("/")[1] for r in g[s]) for s in ("before", "after")))
        for g in found["groups"]
    }


def test_omission_and_addition_stand_alone(lists: Any) -> None:
    found = lists.explain(
        [lists.line("b", "314076", "1 tablet", "1/d")], [lists.line("a", "861007", "1 tablet", "2/d")]
    )
    assert groups(found) == {("only-before", ("b",), ()), ("only-after", (), ("a",))}


def test_two_strengths_of_one_drug_pair_by_dose(lists: Any) -> None:
    before = [lists.line("b1", "197884", "1 tablet", "1/d"), lists.line("b2", "314077", "1 tablet", "1/d")]
    after = [lists.line("a1", "314077", "1 tablet", "1/d"), lists.line("a2", "311353", "1 tablet", "1/d")]
    found = lists.explain(before, after)
    assert ("identical", ("b2",), ("a1",)) in groups(found)


def test_a_weak_likeness_never_takes_a_line_from_a_sure_one(lists: Any) -> None:
    before = [lists.line("combo", "197885", "1 tablet", "1/d"), lists.line("hctz", "310798", "1 tablet", "1/d")]
    after = [lists.line("same", "197885", "1 tablet", "1/d"), lists.line("lis", "314076", "1 tablet", "1/d")]
    found = groups(lists.explain(before, after))
    assert ("identical", ("combo",), ("same",)) in found
    assert {("only-before", ("hctz",), ()), ("only-after", (), ("lis",))} <= found


def test_a_combination_split_into_its_parts_is_one_group(lists: Any) -> None:
    after = [lists.line("a1", "314076", "1 tablet", "1/d"), lists.line("a2", "199903", "1 capsule", "1/d")]
    found = lists.explain([lists.line("b", "197885", "1 tablet", "1/d")], after)
    assert len(found["groups"]) == 1
    group = found["groups"][0]
    assert (group["kind"], group["differences"]) == ("possible", ["substitution"])
    assert sorted(group["after"]) == ["MedicationRequest/a1", "MedicationRequest/a2"]
    assert "same" in group["reason"]


def test_a_duplicate_within_a_list_is_its_own_group_and_an_alert(lists: Any) -> None:
    after = [lists.line("a1", "313988", "1 tablet", "1/d"), lists.line("a2", "313988", "2 tablet", "1/d")]
    found = lists.explain([lists.line("b", "313988", "1 tablet", "1/d")], after)
    assert groups(found) == {("identical", ("b",), ("a1",)), ("only-after", (), ("a2",))}
    alerts = [(a["kind"], a["references"]) for a in found["alerts"]]
    assert alerts == [("duplicate-ingredient", ["MedicationRequest/a1", "MedicationRequest/a2"])]


def test_linked_records_of_another_drug_are_changed_by_substitution(lists: Any) -> None:
    after = lists.line("a", "979480", "1 tablet", "1/d", basedOn=[{"reference": "MedicationRequest/b"}])
    assert lists.pair(lists.line("b", "314076", "1 tablet", "1/d"), after) == ("changed", {"substitution"})


def test_a_link_does_not_make_unrecognised_drugs_the_same(lists: Any) -> None:
    link = {"basedOn": [{"reference": "MedicationRequest/b"}]}
    pair = (
        lists.line("b", "Herbal tonic", "1 tablet", "1/d"),
        lists.line("a", "Herbal tonic", "1 tablet", "1/d", **link),
    )
    assert lists.pair(*pair) == ("possible", set())


def test_an_order_on_both_lists_without_a_dose_is_not_called_identical(lists: Any) -> None:
    order = lists.line("x", "314076")
    found = lists.explain([order], [order])
    assert [(g["kind"], g["differences"]) for g in found["groups"]] == [("changed", ["incomplete"])]


@pytest.mark.parametrize(
    "status", ["stopped", "entered-in-error", "completed", "cancelled", "draft", "on-hold"]
)
def test_what_is_not_current_is_no_line(lists: Any, status: str) -> None:
    before = lists.line("b", "314076", "1 tablet", "1/d", status=status)
    found = lists.explain([before], [lists.line("a", "314076", "1 tablet", "1/d")])
    assert groups(found) == {("only-after", (), ("a",))}
    assert [left.reference for left in lists.collect([before], []).left_out] == ["MedicationRequest/b"]


def test_a_code_that_its_text_contradicts_counts_for_nothing(lists: Any) -> None:
    wrong = lists.line("b", "314076", "1 tablet", "1/d")
    wrong["medicationCodeableConcept"]["coding"][0]["display"] = "metformin hydrochloride 500 MG Oral Tablet"
    assert lists.pair(wrong, lists.line("a", "314076", "1 tablet", "1/d")) == ("apart", set())
    assert lists.pair(wrong, lists.line("a", "861007", "1 tablet", "1/d")) == ("apart", set())


def test_a_strength_that_the_text_contradicts_is_not_trusted(lists: Any) -> None:
    wrong = lists.line("b", "314076", "1 tablet", "1/d")
    wrong["medicationCodeableConcept"]["text"] = "lisinopril 20 MG Oral Tablet"
    kind, differences = lists.pair(wrong, lists.line("a", "314076", "1 tablet", "1/d"))
    assert (kind, differences) == ("changed", {"incomplete"})


def test_the_text_against_the_structured_dosage_is_not_comparable(lists: Any) -> None:
    before = lists.line("b", "314076", "1 tablet", "1/d", sig="Take 2 tablets daily")
    assert lists.pair(before, lists.line("a", "314076", "1 tablet", "1/d")) == ("changed", {"incomplete"})


def test_a_fill_is_evidence_and_no_line(lists: Any) -> None:
    fill = {
        **lists.line("f", "313988", kind="MedicationDispense"),
        "status": "completed",
        "whenHandedOver": "2026-03-09",
    }
    found = lists.reconcile([lists.line("b", "313988", "1 tablet", "1/d")], [], fill)
    assert [(g.kind.value, [e.reference for e in g.evidence]) for g in found.groups] == [
        ("only-before", ["MedicationDispense/f"])
    ]
    assert found.groups[0].reason.endswith("A fill is on record.")
    other = lists.reconcile([lists.line("b", "861007", "1 tablet", "1/d")], [], fill)
    assert [item.reference for item in other.unmatched_evidence] == ["MedicationDispense/f"]


def test_a_fill_that_a_list_names_is_a_line_unless_it_is_of_another_line(lists: Any) -> None:
    fill = {**lists.line("f", "313988", "1 tablet", "1/d", kind="MedicationDispense"), "status": "completed"}
    alone = lists.explain([fill], [lists.line("a", "313988", "1 tablet", "1/d")])
    assert groups(alone) == {("identical", ("f",), ("a",))}
    beside = lists.explain([lists.line("b", "313988", "1 tablet", "1/d"), fill], [])
    assert groups(beside) == {("only-before", ("b", "f"), ())}


def test_a_medication_is_found_contained_and_by_reference(lists: Any) -> None:
    drug = {
        "resourceType": "Medication",
        "id": "m",
        "code": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "314076"}]},
    }
    contained, referenced = (lists.line(i, "x", "1 tablet", "1/d") for i in ("b", "a"))
    for line, reference in ((contained, "#m"), (referenced, "Medication/m")):
        del line["medicationCodeableConcept"]
        line["medicationReference"] = {"reference": reference}
    contained["contained"] = [drug]
    assert [g["kind"] for g in lists.explain([contained], [referenced], drug)["groups"]] == ["identical"]


def test_every_reason_names_what_differs(lists: Any) -> None:
    found = lists.explain(
        [lists.line("b", "314076", "1 tablet", "1/d")], [lists.line("a", "314077", "1 tablet", "2/d")]
    )
    reason = found["groups"][0]["reason"]
    assert "10 mg before, 20 mg after" in reason
    assert "once daily before, twice daily after" in reason


def test_a_text_that_is_not_understood_keeps_equal_structures_apart_unless_it_is_equal(lists: Any) -> None:
    plain = lists.line("b", "314076", "1 tablet", "1/d")
    strange = [lists.line(i, "314076", "1 tablet", "1/d", sig="1 tablet daily on days 1-5 only") for i in "xy"]
    assert lists.pair(plain, strange[0]) == ("changed", {"incomplete"})
    assert lists.pair(*strange) == ("identical", set())


@pytest.mark.parametrize(
    "dosage",
    [
        {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]},
        {"additionalInstruction": [{"text": "Taper as directed"}]},
    ],
)
def test_what_changes_a_dosage_from_beside_is_not_overlooked(lists: Any, dosage: dict[str, Any]) -> None:
    plain, other = (lists.line(i, "314076", "1 tablet", "1/d", dosage=d) for i, d in (("b", {}), ("a", dosage)))
    assert lists.pair(plain, other) == ("changed", {"incomplete"})


def test_a_modifier_extension_of_the_order_is_not_overlooked(lists: Any) -> None:
    other = lists.line("a", "314076", "1 tablet", "1/d", modifierExtension=[{"url": "urn:x"}])
    assert lists.pair(lists.line("b", "314076", "1 tablet", "1/d"), other) == ("changed", {"incomplete"})
