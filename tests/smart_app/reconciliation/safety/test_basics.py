"""Alerts of today and what is not checked. Covers: domain 3.5, baton reconcile explain."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

RULES = tomllib.loads((files("smart_app.reconciliation") / "data" / "alert_rules.toml").read_text())


def allergy(substance: str, **more: Any) -> dict[str, Any]:
    coding = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": substance}]}
    code = coding if substance.isdigit() else {"text": substance}
    return {
        "resourceType": "AllergyIntolerance",
        "id": "al",
        "code": code,
        "patient": {"reference": "Patient/p"},
        **more,
    }


def kinds(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(alert["kind"], alert["severity"]) for alert in found["alerts"]]


@pytest.mark.parametrize("substance", ["29046", "lisinopril", "Zestril", "314076"])
def test_an_allergy_to_the_ingredient_of_a_line_is_high(lists: Any, substance: str) -> None:
    found = lists.explain([], [lists.line("a", "104377", "1 tablet", "1/d")], allergy(substance))
    assert kinds(found) == [("allergy", "high")]
    assert found["alerts"][0]["references"] == ["AllergyIntolerance/al", "MedicationRequest/a"]
    assert found["alerts"][0]["source"]


@pytest.mark.parametrize(
    "more",
    [
        {"clinicalStatus": {"coding": [{"code": "resolved"}]}},
        {"clinicalStatus": {"coding": [{"code": "inactive"}]}},
        {"verificationStatus": {"coding": [{"code": "refuted"}]}},
        {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}},
        {"category": ["food"]},
    ],
)
def test_an_allergy_that_is_not_active_stays_silent(lists: Any, more: dict[str, Any]) -> None:
    found = lists.explain([], [lists.line("a", "314076", "1 tablet", "1/d")], allergy("29046", **more))
    assert kinds(found) == []


def test_an_intolerance_is_low(lists: Any) -> None:
    found = lists.explain(
        [], [lists.line("a", "314076", "1 tablet", "1/d")], allergy("29046", type="intolerance")
    )
    assert kinds(found) == [("allergy", "low")]


def test_a_sulfonamide_antibiotic_allergy_is_silent_for_furosemide(lists: Any) -> None:
    found = lists.explain([], [lists.line("a", "313988", "1 tablet", "1/d")], allergy("sulfamethoxazole"))
    assert kinds(found) == []


def test_an_allergy_that_names_no_known_drug_is_stated_as_unchecked(lists: Any) -> None:
    found = lists.reconcile([], [lists.line("a", "314076", "1 tablet", "1/d")], allergy("Grandma's tonic"))
    assert any("Grandma's tonic" in statement for statement in found.not_checked)
    assert any("Interactions" in statement for statement in found.not_checked)


def test_lines_of_one_list_that_share_an_ingredient_are_duplicates(lists: Any) -> None:
    combination, single = (
        lists.line("a1", "197885", "1 tablet", "1/d"),
        lists.line("a2", "314076", "1 tablet", "1/d"),
    )
    assert kinds(lists.explain([], [combination, single])) == [("duplicate-ingredient", "moderate")]
    assert kinds(lists.explain([combination], [single])) == []


def test_a_cream_and_a_tablet_of_one_drug_are_a_minor_duplicate(lists: Any) -> None:
    cream, tablet = (
        lists.line("a1", "106258", "1 application", "1/d"),
        lists.line("a2", "197782", "1 tablet", "1/d"),
    )
    assert kinds(lists.explain([], [cream, tablet])) == [("duplicate-ingredient", "low")]


@pytest.mark.parametrize("rxcui", ["855332", "1364445", "311041", "835603", "105585"])
def test_a_high_alert_medicine_is_marked_and_graver_when_lists_disagree(lists: Any, rxcui: str) -> None:
    line = lists.line("b", rxcui, "1 tablet", "1/d"), lists.line("a", rxcui, "1 tablet", "1/d")
    assert kinds(lists.explain([], [line[1]])) == [("high-alert", "high")]
    unit = "20 units" if rxcui == "311041" else "1 tablet"
    same = lists.line("b", rxcui, unit, "1/d"), lists.line("a", rxcui, unit, "1/d")
    assert kinds(lists.explain([same[0]], [same[1]])) == [("high-alert", "moderate")]


def test_every_code_and_name_of_the_rules_is_that_of_the_vocabulary(rxnorm: Any) -> None:
    known = {found.name for rxcui in ("11289", "1364430") for found in rxnorm.classes(rxcui)}
    assert "Vitamin K Antagonist" in known
    for rule in RULES["high-alert"]["group"]:
        assert rule["source"]
        for rxcui, name in rule["ingredients"].items():
            concept = rxnorm.concept(rxcui)
            assert concept is not None
            assert concept.name == name
