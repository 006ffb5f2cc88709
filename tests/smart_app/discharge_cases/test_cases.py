"""The generator of discharges. Covers: deterministic cases, recorded answers, valid R4, true codes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from fhir.resources.R4B import get_fhir_model_class

from smart_app.discharge_cases.__main__ import write
from smart_app.discharge_cases.cases import CASE_EDITS, discharge_case, discharge_cases
from smart_app.discharge_cases.combined import slip
from smart_app.discharge_cases.formulary import by_rxcui, parts, products
from smart_app.discharge_cases.special import specials
from smart_app.discharge_cases.story import discharge_story
from terminology.rxnorm import RxNorm, open_rxnorm

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def rxnorm(pytestconfig: pytest.Config) -> RxNorm:
    return open_rxnorm(pytestconfig.cache.mkdir("terminology"))


def test_every_product_has_the_code_name_and_ingredients_of_the_vocabulary(rxnorm: RxNorm) -> None:
    for product in products():
        drug = rxnorm.drug(product.rxcui)
        assert drug is not None
        assert drug.concept.name == product.name
        assert {c.ingredient.rxcui for c in drug.components if c.ingredient} == set(product.ingredient_rxcuis)
        if product.brand_rxcui:
            brand = rxnorm.drug(product.brand_rxcui)
            assert brand is not None
            assert (brand.concept.name, brand.product) == (product.brand_name, drug.concept)
        if product.ndc11:
            assert rxnorm.by_ndc(product.ndc11) == drug.concept
    for rxcui, product in by_rxcui().items():
        assert rxnorm.concept(rxcui) is not None, product.name


def test_every_other_product_has_the_code_and_name_of_the_vocabulary(rxnorm: RxNorm) -> None:
    for special in specials():
        drug = rxnorm.drug(special.rxcui)
        assert drug is not None
        assert drug.concept.name == special.name
        assert all(component.ingredient for component in drug.components)
        for code, name in special.brands:
            brand = rxnorm.drug(code)
            assert brand is not None
            assert (brand.concept.name, brand.product) == (name, drug.concept)
    for product in products():
        if product.strength_rxcui:
            strength = rxnorm.concept(product.strength_rxcui)
            assert strength is not None
            assert strength.tty == "SCDC"
            assert strength.name.lower() in product.name.lower()


def test_a_slip_of_the_pen_changes_one_long_word() -> None:
    name = "metformin hydrochloride 500 MG Oral Tablet"
    for seed in range(50):
        if (wrong := slip(name, Random(seed))) is not None:
            pairs = zip(wrong.split(), name.split(), strict=True)
            assert sum(one != other for one, other in pairs) == 1
    assert slip("salt 5 MG Oral Tablet", Random(1)) is None


def test_the_same_seed_gives_the_same_case() -> None:
    one, again, other = discharge_case(7), discharge_case(7), discharge_case(8)
    assert json.dumps(one.bundle) == json.dumps(again.bundle)
    assert one.expected == again.expected
    assert one.bundle != other.bundle


def test_every_edit_occurs_and_every_answer_points_at_lines_of_the_bundle() -> None:
    seen: Counter[str] = Counter()
    for case in discharge_cases(3, 200):
        there = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in case.bundle["entry"]}
        listed = [
            entry["item"]["reference"]
            for e in case.bundle["entry"]
            if e["resource"]["resourceType"] == "List"
            for entry in e["resource"].get("entry", [])
        ]
        assert len(listed) == len(set(listed))
        for group in case.expected["groups"]:
            seen[group["edit"]] += 1
            assert set(group["before"]) | set(group["after"]) <= set(listed)
            assert set(group["evidence"]) <= there
    assert set(seen) == set(CASE_EDITS)


def test_no_two_edits_of_a_case_concern_related_drugs() -> None:
    known = by_rxcui()
    for case in discharge_cases(5, 60):
        kin: list[frozenset[str]] = []
        for group in case.expected["groups"]:
            if group["edit"] != "dose":
                continue
            line = _resource(case.bundle, group["before"][0])
            codes = [c["code"] for c in line["medicationCodeableConcept"].get("coding", [])]
            kin += [known[code].kin for code in codes if code in known]
        assert len(frozenset().union(*kin)) == sum(len(each) for each in kin)


def _resource(bundle: dict[str, Any], reference: str) -> dict[str, Any]:
    kind, identity = reference.split("/")
    return next(
        e["resource"]
        for e in bundle["entry"]
        if (e["resource"]["resourceType"], e["resource"]["id"]) == (kind, identity)
    )


def test_a_combination_knows_its_parts() -> None:
    found = parts(by_rxcui()["197885"])
    assert {part.ingredients for part in found} == {("hydrochlorothiazide",), ("lisinopril",)}
    assert parts(by_rxcui()["314076"]) == ()


def test_generated_resources_are_valid_r4_and_marked_synthetic() -> None:
    for case in discharge_cases(11, 10):
        get_fhir_model_class("Bundle").model_validate(case.bundle)
        for entry in case.bundle["entry"]:
            assert entry["resource"]["meta"]["tag"][0]["code"] == "HTEST"


def test_the_command_writes_one_case_a_line(tmp_path: Path) -> None:
    out = tmp_path / "cases.ndjson"
    answer = CliRunner().invoke(write, ["--seed", "3", "--count", "4", "--out", str(out)])
    assert answer.exit_code == 0
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [list(line) for line in lines] == [["seed", "bundle", "expected"]] * 4


STAY = {
    "resourceType": "Encounter",
    "id": "stay",
    "status": "finished",
    "class": {"code": "IMP"},
    "period": {"start": "2026-03-02T08:00:00+00:00", "end": "2026-03-06T15:00:00+00:00"},
    "participant": [{"individual": {"reference": "Practitioner/d"}}],
}


def chart(*medications: tuple[str, str, str]) -> list[dict[str, Any]]:
    orders = [
        {
            "resourceType": "MedicationRequest",
            "id": f"m{number}",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {
                "coding": [
                    {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code, "display": name}
                ],
                "text": name,
            },
            "subject": {"reference": "Patient/p"},
            "authoredOn": authored,
        }
        for number, (code, name, authored) in enumerate(medications)
    ]
    return [{"resourceType": "Patient", "id": "p"}, STAY, *orders]


CHART = chart(
    ("316672", "Simvistatin 10 MG", "2024-01-01T00:00:00Z"),
    ("316672", "Simvistatin 10 MG", "2025-01-01T00:00:00Z"),
    ("309362", "Clopidogrel 75 MG Oral Tablet", "2025-02-01T00:00:00Z"),
    ("197361", "Amlodipine 5 MG Oral Tablet", "2025-03-01T00:00:00Z"),
    ("1719286", "10 ML Furosemide 10 MG/ML Injection", "2025-03-01T00:00:00Z"),
)


def test_a_story_is_laid_over_its_chart() -> None:
    told = discharge_story(CHART, 1, STAY, NOW)
    assert told == discharge_story(CHART, 1, STAY, NOW)
    assert told != discharge_story(CHART, 2, STAY, NOW)
    by_id = {resource["id"]: resource for resource in told}
    assert len(by_id) == len(told)
    for resource in told:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    # Of two orders for one drug the newer is taken, an injection belongs to the hospital.
    assert {i: by_id[f"m{i}"]["status"] for i in range(5)} == {
        0: "completed", 1: "active", 2: "active", 3: "active", 4: "completed",
    }  # fmt: skip
    assert by_id["m1"]["category"][0]["coding"][0]["code"] == "community"
    discharges = [r for r in told if "discharge" in str(r.get("category"))]
    assert discharges
    for order in discharges:
        assert order["encounter"] == {"reference": "Encounter/stay"}
        assert order["authoredOn"] == STAY["period"]["end"]
        assert order["requester"] == {"reference": "Practitioner/d"}
    assert {r["resourceType"] for r in told} >= {
        "MedicationRequest",
        "MedicationStatement",
        "MedicationDispense",
    }


def test_nothing_of_a_story_is_dated_after_now() -> None:
    early = datetime(2026, 3, 7, tzinfo=UTC)
    for seed in range(20):
        for resource in discharge_story(CHART, seed, STAY, early):
            if handed := resource.get("whenHandedOver"):
                assert datetime.fromisoformat(handed) <= early


def test_some_stories_have_an_allergy_and_all_have_something_to_decide() -> None:
    stories = [discharge_story(CHART, seed, STAY, NOW) for seed in range(30)]
    kinds = [Counter(resource["resourceType"] for resource in story) for story in stories]
    assert 0 < sum(bool(kind["AllergyIntolerance"]) for kind in kinds) < 30
    assert all(kind["MedicationRequest"] > 6 for kind in kinds)


def test_a_chart_without_any_medication_still_gets_a_story() -> None:
    told = discharge_story(chart(), 1, STAY, NOW)
    assert any(resource["resourceType"] == "MedicationRequest" for resource in told)
