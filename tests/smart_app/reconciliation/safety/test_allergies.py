"""Allergies: what an AllergyIntolerance names, and which lines it speaks of.

Covers domain 3.5 (allergy), spec 5.4 (allergy families): sulfonamide antimicrobials stay silent for furosemide.
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind
from smart_app.reconciliation.safety.allergens import read_allergies
from smart_app.reconciliation.safety.data_files import rows, table

SNOMED, RXNORM = "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"


def allergy(substance: str, system: str | None = None, **more: Any) -> dict[str, Any]:
    system = system or (RXNORM if substance.isdigit() else None)
    code = {"coding": [{"system": system, "code": substance}]} if system else {"text": substance}
    return {
        "resourceType": "AllergyIntolerance",
        "id": "al",
        "code": code,
        "patient": {"reference": "Patient/p"},
    } | more


def found(charts: Any, drug: str, *others: Any, **more: Any) -> list[tuple[str, str]]:
    alerts = charts.alerts([charts.take(drug, identity="a")], *others, **more)
    return [(a.rule, a.severity.value) for a in alerts if a.kind is AlertKind.ALLERGY]


@pytest.mark.parametrize("drug", ["313988", "hydrochlorothiazide", "celecoxib", "glimepiride", "sumatriptan"])
@pytest.mark.parametrize(
    "words", ["sulfamethoxazole", "Sulfa drugs", "sulfonamide antibiotics", "Allergy to sulfonamide"]
)
def test_an_allergy_to_sulfonamide_antimicrobials_is_silent_for_other_sulfonamides(
    charts: Any, drug: str, words: str
) -> None:
    assert found(charts, drug, allergy(words)) == []


@pytest.mark.parametrize(
    ("substance", "system"),
    [
        ("penicillin", None),
        ("PCN", None),
        ("Allergy to penicillin (finding)", None),
        ("Penicillins allergy", None),
        ("91936005", SNOMED),
        ("373270004", SNOMED),
        ("penicillin V", None),
        ("7984", RXNORM),
    ],
)
def test_an_allergy_to_penicillins_however_written_is_spoken_of_for_amoxicillin(
    charts: Any, substance: str, system: str | None
) -> None:
    ((rule, severity),) = found(charts, "308192", allergy(substance, system))
    assert rule == "allergy-family-penicillins"
    assert severity == "moderate"


@pytest.mark.parametrize(
    ("substance", "system"), [("294505008", SNOMED), ("723", RXNORM), ("Amoxicillin", None)]
)
def test_the_very_ingredient_is_high(charts: Any, substance: str, system: str | None) -> None:
    assert found(charts, "308192", allergy(substance, system)) == [("allergy-exact-ingredient", "high")]


def test_an_isomer_or_prodrug_of_the_allergen_is_moderate(charts: Any) -> None:
    assert found(charts, "esomeprazole", allergy("omeprazole")) == [("allergy-related-ingredient", "moderate")]


@pytest.mark.parametrize(
    ("allergen", "drug", "expected"),
    [
        ("amoxicillin", "cephalexin", [("allergy-cross-aminopenicillins", "moderate")]),
        ("penicillin G", "cefazolin", []),
        ("penicillin G", "ceftriaxone", []),
        ("ceftazidime", "aztreonam", [("allergy-family-ceftazidime-aztreonam", "moderate")]),
        ("aspirin", "310965", [("allergy-family-nsaids", "moderate")]),
        ("aspirin", "celecoxib", [("allergy-cross-nsaids", "low")]),
        ("aspirin", "198440", []),
        ("lisinopril", "enalapril", [("allergy-family-ace-inhibitors", "high")]),
        ("lisinopril", "losartan", [("allergy-cross-ace-inhibitors", "low")]),
        ("carbamazepine", "phenytoin", [("allergy-family-aromatic-anticonvulsants", "high")]),
        ("simvastatin", "617310", []),
        ("heparin", "enoxaparin", [("allergy-family-heparins", "high")]),
        ("codeine", "fentanyl", []),
    ],
)
def test_cross_reactions_follow_the_allow_list(
    charts: Any, allergen: str, drug: str, expected: list[tuple[str, str]]
) -> None:
    assert found(charts, drug, allergy(allergen)) == expected


def test_an_intolerance_or_a_mild_reaction_is_milder_and_a_high_criticality_never(charts: Any) -> None:
    mild = {"reaction": [{"severity": "mild", "manifestation": [{"text": "rash"}]}]}
    assert found(charts, "314076", allergy("29046", **mild)) == [("allergy-exact-ingredient", "low")]
    assert found(charts, "314076", allergy("29046", type="intolerance")) == [
        ("allergy-exact-ingredient", "low")
    ]
    grave = found(charts, "314076", allergy("29046", type="intolerance", criticality="high"))
    assert grave == [("allergy-exact-ingredient", "high")]


def test_a_fill_after_the_allergy_was_recorded_makes_it_milder_by_one_step(charts: Any) -> None:
    fill = charts.lists.line("f", "314076", kind="MedicationDispense", status="completed") | {
        "whenHandedOver": "2026-01-10"
    }
    known = allergy("29046", recordedDate="2020-05-01")
    assert found(charts, "314076", known, fill) == [("allergy-exact-ingredient", "moderate")]
    later = allergy("29046", recordedDate="2026-02-01")
    assert found(charts, "314076", later, fill) == [("allergy-exact-ingredient", "high")]
    severe = allergy("29046", recordedDate="2020-05-01", criticality="high")
    assert found(charts, "314076", severe, fill) == [("allergy-exact-ingredient", "high")]


def test_an_allergy_that_names_no_known_drug_is_stated_as_unchecked_and_a_family_is_not(charts: Any) -> None:
    said = charts.check([charts.take("314076")], allergy("Grandma's tonic")).not_checked
    assert "Allergy “Grandma's tonic”: no ingredient was recognised" in said
    said = charts.check([charts.take("314076")], allergy("NSAIDs")).not_checked
    assert not any(statement.startswith("Allergy “") for statement in said)


@pytest.mark.parametrize(
    "broken", [{"code": 7}, {"reaction": "x"}, {"category": 3}, {"code": {"coding": [None]}}]
)
def test_an_allergy_of_the_wrong_shape_hides_no_other(charts: Any, broken: dict[str, Any]) -> None:
    resources = [("AllergyIntolerance/x", allergy("x") | broken), ("AllergyIntolerance/al", allergy("29046"))]
    read = read_allergies(resources, charts.rxnorm)
    assert [a.reference for a in read][-1] == "AllergyIntolerance/al"
    assert read[-1].ingredients


def test_every_family_name_is_written_as_it_is_looked_up_and_every_code_resolves(rxnorm: Any) -> None:
    ids = {family["id"] for family in table("allergy_families.toml")["family"]}
    for family in table("allergy_families.toml")["family"]:
        for name in family["names"]:
            assert name == " ".join(name.casefold().split())
    for row in rows("snomed_allergens.tsv"):
        if row["rxcui"]:
            assert rxnorm.concept(row["rxcui"]).name == row["ingredient"]
        else:
            assert row["family"] in ids
