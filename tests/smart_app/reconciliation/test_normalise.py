"""Coded and written medicines. Covers: domain 3.2 (provenance, confidence, ties never picked)."""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.normalise import normalise
from smart_app.reconciliation.records import MappingMethod
from terminology.systems import NDC, RXNORM


def coded(*codings: tuple[str, str] | tuple[str, str, str], text: str | None = None) -> dict[str, Any]:
    names = ("system", "code", "display")
    found: dict[str, Any] = {"coding": [dict(zip(names, coding, strict=False)) for coding in codings]}
    return found | ({"text": text} if text else {})


CASES: list[tuple[dict[str, Any] | None, MappingMethod, str | None, str]] = [
    (coded((RXNORM, "314076")), MappingMethod.RXCUI, "314076", "1"),
    (coded((RXNORM, "104377")), MappingMethod.RXCUI, "314076", "1"),
    (coded((RXNORM, "315971", "Lasix 40mg")), MappingMethod.RXCUI, "313988", "0.9"),
    (coded((NDC, "16729-0302-16")), MappingMethod.NDC, "856369", "1"),
    (coded(("urn:local", "X1", "lisinopril 10 MG Oral Tablet")), MappingMethod.EXACT_NAME, "314076", "0.95"),
    ({"text": "Lisinopril 10 mg Oral Tablet"}, MappingMethod.EXACT_NAME, "314076", "0.95"),
    ({"text": "warfarin 5 mg tab"}, MappingMethod.NORMALISED_NAME, "855332", "0.8"),
    ({"text": "metoprolol 50 mg"}, MappingMethod.AMBIGUOUS, None, "0.5"),
    (
        coded((RXNORM, "99999999", "Warfarin Sodium 5 MG Oral Tablet")),
        MappingMethod.EXACT_NAME,
        "855332",
        "0.95",
    ),
    (coded((RXNORM, "314076"), (RXNORM, "861007")), MappingMethod.CONTRADICTION, None, "0"),
    (coded((RXNORM, "314076"), (RXNORM, "314077")), MappingMethod.CONTRADICTION, None, "0.5"),
    (coded((RXNORM, "197361", "Simvastatin 20 MG Oral Tablet")), MappingMethod.CONTRADICTION, None, "0"),
    ({"text": "grandma's tea"}, MappingMethod.UNMAPPED, None, "0"),
    (coded((RXNORM, "904419", "Alendronic acid 10 MG Oral Tablet")), MappingMethod.RXCUI, "904419", "1"),
    ({}, MappingMethod.UNMAPPED, None, "0"),
    (None, MappingMethod.UNMAPPED, None, "0"),
]


@pytest.mark.parametrize(("concept", "method", "product", "confidence"), CASES)
def test_a_medicine_is_understood_with_its_provenance(
    rxnorm: Any, concept: dict[str, Any] | None, method: MappingMethod, product: str | None, confidence: str
) -> None:
    found = normalise(concept, rxnorm)
    assert (found.mapping.method, found.product, str(found.mapping.confidence)) == (method, product, confidence)
    assert found.mapping.words
    assert found.is_mapped == (confidence != "0")


def test_the_most_precise_of_codes_that_agree_counts(rxnorm: Any) -> None:
    found = normalise(coded((RXNORM, "29046"), (RXNORM, "316151"), (RXNORM, "104377"), (NDC, "x")), rxnorm)
    assert (found.rxcui, found.brand) == ("104377", "Zestril")


def test_salt_release_form_and_route_are_kept_apart(rxnorm: Any) -> None:
    found = normalise(coded((RXNORM, "866436")), rxnorm)
    assert [(i.name, i.salt) for i in found.ingredients] == [("metoprolol", "metoprolol succinate")]
    assert (found.form, found.release, found.route) == ("Oral Tablet", "extended 24 h", "oral")


def test_what_all_candidates_share_is_known_and_nothing_else(rxnorm: Any) -> None:
    found = normalise({"text": "metformin HCl 500 mg tablet"}, rxnorm)
    assert (found.form, found.route, found.release, found.product) == ("Oral Tablet", "oral", None, None)
    assert len(found.mapping.candidates) > 1


def test_the_original_text_stays(rxnorm: Any) -> None:
    assert normalise(coded((RXNORM, "315971"), text="Lasix 40mg"), rxnorm).original == "Lasix 40mg"
