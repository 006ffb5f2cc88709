"""Duplicates of ingredient and class, and the pairs that are meant to stand together.

Covers domain 3.5 (duplicate ingredient, duplicate class), spec 5.4 (therapeutic duplication).
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.data_files import table

KINDS = (AlertKind.DUPLICATE_INGREDIENT, AlertKind.DUPLICATE_CLASS)


def duplicates(charts: Any, *drugs: str, **more: Any) -> list[tuple[str, str]]:
    lines = [charts.take(drug, identity=f"l{n}") for n, drug in enumerate(drugs)]
    return [(a.kind.value, a.severity.value) for a in charts.alerts(lines, **more) if a.kind in KINDS]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("314076", "104377", "duplicate-ingredient"),  # lisinopril and Zestril
        ("197885", "314076", "duplicate-ingredient"),  # a combination and its part
        ("866436", "866514", "duplicate-ingredient"),  # metoprolol succinate and tartrate
        ("312941", "Lexapro", "duplicate-class"),  # sertraline and escitalopram
        ("314076", "enalapril", "duplicate-class"),  # two ACE inhibitors
        ("310965", "naproxen", "duplicate-class"),  # two NSAIDs
        ("198051", "pantoprazole", "duplicate-class"),  # two proton pump inhibitors
        ("312961", "617310", "duplicate-class"),  # two statins
        ("197901", "alprazolam", "duplicate-class"),  # two benzodiazepines
        ("lithium carbonate", "lithium citrate", "duplicate-ingredient"),  # two salts
        ("gabapentin", "pregabalin", "duplicate-class"),  # a group of ours where the classes have a gap
        ("tizanidine", "cyclobenzaprine", None),  # unlike muscle relaxants
    ],
)
def test_what_is_twice_on_a_list(charts: Any, one: str, other: str, found: str | None) -> None:
    assert [kind for kind, _ in duplicates(charts, one, other)] == ([found] if found else [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("311041", "insulin lispro"),  # basal and mealtime insulin
        ("insulin isophane", "insulin, regular, human"),
        ("313988", "hydrochlorothiazide"),  # loop diuretic and thiazide
        ("243670", "309362"),  # aspirin and clopidogrel
        ("243670", "310965"),  # aspirin and ibuprofen: an interaction, not a duplicate
        ("albuterol", "salmeterol"),  # reliever and long-acting
        ("levetiracetam", "lamotrigine"),  # anticonvulsants are combined
        ("tamsulosin", "carvedilol"),
        ("prednisone", "105585"),
        ("861007", "314076"),
    ],
)
def test_pairs_that_are_meant_to_stand_together_are_silent(charts: Any, one: str, other: str) -> None:
    assert duplicates(charts, one, other) == []


def test_a_long_acting_and_a_short_opioid_are_a_minor_duplicate(charts: Any) -> None:
    long, short = "1049502", "1049621"
    ((kind, severity),) = duplicates(charts, long, short)
    assert (kind, severity) == ("duplicate-ingredient", "low")
    ((_, other),) = duplicates(charts, short, "Roxicodone 5 mg")
    assert other == "moderate"


def test_a_steroid_to_inhale_and_one_to_swallow_are_no_duplicate_but_two_inhalers_are(charts: Any) -> None:
    inhaler = "895999"
    assert duplicates(charts, inhaler, "198145") == []
    other = "351109"
    assert [kind for kind, _ in duplicates(charts, inhaler, other)] == ["duplicate-class"]


def test_before_and_after_of_one_medicine_are_no_duplicate(charts: Any) -> None:
    before = [charts.take("314076", identity="b")]
    found = charts.alerts([charts.take("104377", identity="a")], before=before)
    assert not [a for a in found if a.kind in KINDS]


def test_a_class_alert_names_its_lines_and_classes(charts: Any) -> None:
    (alert,) = [
        a
        for a in charts.alerts([charts.take("314076", identity="x"), charts.take("enalapril", identity="y")])
        if a.kind is AlertKind.DUPLICATE_CLASS
    ]
    assert alert.references == ("MedicationRequest/x", "MedicationRequest/y")
    assert "Angiotensin Converting Enzyme Inhibitor" in alert.words
    assert alert.severity is Severity.MODERATE
    assert alert.code == "DUPTHPCLS"


def test_every_class_that_is_not_counted_exists_and_says_why(class_names: frozenset[str]) -> None:
    rules = table("duplicates.toml")
    for name, why in rules["not_counted"].items():
        assert name in class_names
        assert why
    assert set(rules["groups"]) <= table("groups.toml").keys()
