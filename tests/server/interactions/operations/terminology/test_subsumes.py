"""$subsumes: how two codes stand to each other, told only where it is known.

Covers hl7.org/fhir/R4/codesystem-operation-subsumes.html.
"""

from __future__ import annotations

from typing import Any

import pytest

COLOURS, SHAPES = "urn:example:colours", "urn:example:shapes"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.mark.parametrize(
    ("one", "two", "outcome"),
    [
        ("red", "red", "equivalent"),
        ("red", "pink", "subsumes"),
        ("pink", "red", "subsumed-by"),
        ("pink", "crimson", "not-subsumed"),
        ("red", "blue", "not-subsumed"),
    ],
)
def test_the_four_outcomes(stored: Any, ask: Any, answered: Any, one: str, two: str, outcome: str) -> None:
    for path, given in (("CodeSystem/$subsumes", {"system": COLOURS}), ("CodeSystem/colours/$subsumes", {})):
        assert answered(ask(path, codeA=one, codeB=two, **given), "outcome") == outcome


def test_the_hierarchy_of_the_terminologys_file_counts(file: Any, ask: Any, answered: Any) -> None:
    def outcome(one: str, two: str) -> Any:
        return answered(ask("CodeSystem/$subsumes", system=ICD, codeA=one, codeB=two), "outcome")

    assert outcome("E11", "E11.9") == "subsumes"
    assert outcome("E11.9", "E11") == "subsumed-by"
    assert outcome("E11", "I10") == "not-subsumed"


def test_codings_do_as_well(stored: Any, fhir: Any, answered: Any) -> None:
    rows = [
        {"name": "codingA", "valueCoding": {"system": COLOURS, "code": "pink"}},
        {"name": "codingB", "valueCoding": {"system": COLOURS, "code": "red"}},
    ]
    answer = fhir.post("CodeSystem/$subsumes", {"resourceType": "Parameters", "parameter": rows})
    assert answered(answer, "outcome") == "subsumed-by"
    rows[1]["valueCoding"]["system"] = SHAPES
    answer = fhir.post("CodeSystem/$subsumes", {"resourceType": "Parameters", "parameter": rows})
    assert (answer.status, answer.codes) == (400, ["value"])


def test_of_a_fragment_only_what_is_known_is_told(stored: Any, file: Any, ask: Any, answered: Any) -> None:
    assert (
        answered(ask("CodeSystem/$subsumes", system=SHAPES, codeA="Round", codeB="oval"), "outcome")
        == "subsumes"
    )
    assert (
        answered(ask("CodeSystem/$subsumes", system=SHAPES, codeA="oval", codeB="oval"), "outcome")
        == "equivalent"
    )
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    answer = ask("CodeSystem/$subsumes", system=rxnorm, codeA="29046", codeB="314076")
    assert (answer.status, answer.codes) == (422, ["not-supported"])


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"system": COLOURS, "codeA": "red", "codeB": "green"}, 404, "not-found"),
        ({"system": "urn:example:nothing", "codeA": "red", "codeB": "red"}, 404, "not-found"),
        ({"system": COLOURS, "codeA": "red"}, 400, "required"),
        ({"codeA": "red", "codeB": "pink"}, 400, "required"),
    ],
)
def test_what_is_not_there_cannot_be_compared(
    stored: Any, ask: Any, given: dict[str, str], status: int, code: str
) -> None:
    answer = ask("CodeSystem/$subsumes", **given)
    assert (answer.status, answer.codes) == (status, [code])
