"""A set of codes becomes entries of the token index as `index_tokens` writes them.

Covers hl7.org/fhir/R4/search.html#token.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir.hashing import parameter_mask
from server.fhir.index_values import index_values
from server.fhir.search_parameters import parameter
from server.terminology.code_sets import CodeSet, listed
from server.terminology.token_entries import token_entries

GENDER = "http://hl7.org/fhir/administrative-gender"


def found(resource: dict[str, Any], code: str, codes: CodeSet) -> bool:
    known = parameter(resource["resourceType"], code)
    assert known is not None
    tokens = index_values(resource).tokens
    return any(entry ^ parameter_mask(known.number) in tokens for entry in token_entries(known, codes))


def condition(**coding: str) -> dict[str, Any]:
    subject = {"reference": "Patient/1"}
    return {"resourceType": "Condition", "subject": subject, "code": {"coding": [coding]}}


def patient(gender: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "gender": gender}


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ({"system": "urn:x", "code": "a"}, True),
        ({"system": "urn:x", "code": "b"}, False),
        ({"system": "urn:y", "code": "a"}, False),
        ({"code": "a"}, False),
        ({"system": "urn:whole", "code": "any"}, True),
        ({"code": "any"}, False),
    ],
)
def test_a_coding_counts_by_system_and_code(coding: dict[str, str], expected: bool) -> None:
    codes = CodeSet(listed("urn:x", ["a"]).codes, frozenset({"urn:whole"}))
    assert found(condition(**coding), "code", codes) is expected


def test_an_element_of_type_code_counts_by_the_system_of_its_binding() -> None:
    assert found(patient("male"), "gender", listed(GENDER, ["male"]))
    assert not found(patient("female"), "gender", listed(GENDER, ["male"]))
    assert not found(patient("male"), "gender", listed("urn:x", ["male"]))
    assert found(patient("male"), "gender", CodeSet(whole=frozenset({GENDER})))
    assert not found(patient("male"), "gender", CodeSet(whole=frozenset({"urn:x"})))


def test_a_binding_to_codes_that_nobody_lists_asks_for_any_value() -> None:
    resource = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/xml"}}],
    }
    assert found(resource, "contenttype", CodeSet(whole=frozenset({"urn:ietf:bcp:13"})))
    assert found(resource, "contenttype", listed("urn:ietf:bcp:13", ["text/xml"]))
    assert not found(resource, "contenttype", listed("urn:ietf:bcp:13", ["text/plain"]))
