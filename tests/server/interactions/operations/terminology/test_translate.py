"""$translate: what a code is in another system, by maps stored here, of R4, and of the terminology's file.

Covers hl7.org/fhir/R4/conceptmap-operation-translate.html.
"""

from __future__ import annotations

from typing import Any

import pytest

COLOURS, SHAPES = "urn:example:colours", "urn:example:shapes"
GENDER = "http://hl7.org/fhir/administrative-gender"
ICD, SNOMED = "http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def matches(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (row["equivalence"], row.get("concept", {}).get("code", ""), row.get("source", ""))
        for row in found.get("match", ())
    ]


@pytest.mark.parametrize(
    ("code", "result", "found"),
    [
        ("red", True, [("wider", "Round", "urn:example:to-shapes")]),
        ("blue", False, [("unmatched", "", "urn:example:to-shapes")]),
        ("gold", False, []),
        ("mauve", True, [("inexact", "oval", "urn:example:to-shapes")]),
    ],
)
def test_a_stored_map_translates_and_says_what_it_does_not(
    stored: Any, ask: Any, answered: Any, code: str, result: bool, found: list[Any]
) -> None:
    for path, given in (
        ("ConceptMap/$translate", {"url": "urn:example:to-shapes"}),
        ("ConceptMap/to-shapes/$translate", {}),
        ("ConceptMap/$translate", {"source": "urn:example:colours:all"}),
        ("ConceptMap/$translate", {"targetsystem": SHAPES}),
    ):
        answer = answered(ask(path, system=COLOURS, code=code, **given))
        assert (answer["result"], matches(answer)) == (result, found), given
        assert ("message" in answer) is not result


def test_a_match_shows_what_the_code_is_called(stored: Any, ask: Any, answered: Any) -> None:
    (match,) = answered(ask("ConceptMap/$translate", system=COLOURS, code="red"), "match")
    assert match["concept"] == {"system": SHAPES, "code": "Round", "display": "Round"}


def test_a_map_is_read_from_its_other_side(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("ConceptMap/$translate", system=SHAPES, code="Round", reverse="true"))
    assert (found["result"], matches(found)) == (True, [("narrower", "red", "urn:example:to-shapes")])


def test_a_value_set_or_system_that_no_map_is_for_translates_nothing(
    stored: Any, ask: Any, answered: Any
) -> None:
    for given in ({"source": "urn:example:reds"}, {"target": "urn:example:reds"}, {"targetsystem": SNOMED}):
        found = answered(ask("ConceptMap/$translate", system=COLOURS, code="red", **given))
        assert (found["result"], matches(found)) == (False, [])


def test_r4s_own_maps_lead_to_hl7_v2_and_v3(ask: Any, answered: Any) -> None:
    found = answered(ask("ConceptMap/$translate", system=GENDER, code="male"))
    assert found["result"] is True
    assert {
        (row["concept"]["system"].rpartition("/")[2], row["concept"]["code"]) for row in found["match"]
    } == {
        ("v2-0001", "M"),
        ("v3-AdministrativeGender", "M"),
    }
    back = answered(
        ask(
            "ConceptMap/$translate",
            system="http://terminology.hl7.org/CodeSystem/v2-0001",
            code="F",
            targetsystem=GENDER,
            reverse="true",
        )
    )
    assert [code for _, code, _ in matches(back)] == ["female"]


def test_maps_of_the_terminologys_file_are_asked_too(file: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("ConceptMap/$translate", system=ICD, code="E11.9", targetsystem=SNOMED))
    assert matches(found) == [("wider", "44054006", "urn:example:icd-snomed")]
    assert found["match"][0]["concept"]["display"] == "Diabetes mellitus type 2"
    by_url = answered(ask("ConceptMap/$translate", url="urn:example:icd-snomed", system=ICD, code="E11.9"))
    assert matches(by_url) == matches(found)
    back = answered(ask("ConceptMap/$translate", system=SNOMED, code="44054006", reverse="true"))
    assert matches(back) == [("narrower", "E11.9", "urn:example:icd-snomed")]


def test_a_package_of_a_drug_leads_to_the_drug(file: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("ConceptMap/$translate", system="http://hl7.org/fhir/sid/ndc", code="00093-1113-01"))
    assert found["result"] is True
    assert found["match"][0]["concept"]["code"] == "314076"


def test_a_map_may_name_another_for_what_it_lacks(stored: Any, fhir: Any, answered: Any) -> None:
    first = {
        "resourceType": "ConceptMap",
        "url": "urn:example:first",
        "status": "active",
        "group": [
            {
                "source": COLOURS,
                "target": SHAPES,
                "element": [{"code": "pink", "target": [{"code": "oval", "equivalence": "relatedto"}]}],
                "unmapped": {"mode": "other-map", "url": "urn:example:to-shapes"},
            }
        ],
    }
    for code, found in (("red", "Round"), ("pink", "oval")):
        rows = [
            {"name": "conceptMap", "resource": first},
            {"name": "coding", "valueCoding": {"system": COLOURS, "code": code}},
        ]
        answer = answered(fhir.post("ConceptMap/$translate", {"resourceType": "Parameters", "parameter": rows}))
        assert [code for _, code, _ in matches(answer)] == [found]


def test_maps_that_name_each_other_come_to_an_end(fhir: Any, ask: Any, answered: Any) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        stored = {
            "resourceType": "ConceptMap",
            "id": one,
            "url": f"urn:example:{one}",
            "status": "active",
            "group": [
                {
                    "source": COLOURS,
                    "element": [{"code": "none"}],
                    "unmapped": {"mode": "other-map", "url": f"urn:example:{other}"},
                }
            ],
        }
        assert fhir.put(f"ConceptMap/{one}", stored).status == 201
    assert answered(ask("ConceptMap/a/$translate", system=COLOURS, code="red"), "result") is False


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"system": COLOURS}, 400, "required"),
        ({"code": "red"}, 400, "required"),
        ({"url": "urn:example:nothing", "system": COLOURS, "code": "red"}, 404, "not-found"),
        ({"system": COLOURS, "code": "red", "dependency": "x"}, 400, "not-supported"),
    ],
)
def test_a_question_without_a_code_or_a_map_is_refused(
    stored: Any, ask: Any, given: dict[str, str], status: int, code: str
) -> None:
    answer = ask("ConceptMap/$translate", **given)
    assert (answer.status, answer.codes) == (status, [code])
