"""TerminologyCapabilities: what `metadata?mode=terminology` says of code systems, operations and notices.

Covers hl7.org/fhir/R4/terminologycapabilities.html.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir.validation import validate
from server.interactions.operations import OPERATIONS
from server.terminology import shipped


@pytest.fixture
def statement(anonymous: Any) -> dict[str, Any]:
    answer = anonymous.get("metadata?mode=terminology")
    assert answer.status == 200
    body: dict[str, Any] = answer.json
    return body


def test_it_is_a_valid_resource_open_to_everyone(statement: dict[str, Any]) -> None:
    assert statement["resourceType"] == "TerminologyCapabilities"
    assert not validate(statement)


def test_every_code_system_of_r4_is_named_once_with_its_version(statement: dict[str, Any]) -> None:
    listed = [row["uri"] for row in statement["codeSystem"]]
    assert len(listed) == len(set(listed))
    assert {*shipped.urls("CodeSystem"), "http://unitsofmeasure.org"} == set(listed)
    versions = {row["uri"]: row.get("version", []) for row in statement["codeSystem"]}
    assert versions["http://hl7.org/fhir/administrative-gender"] == [{"code": "4.0.1"}]


def test_the_parameters_of_an_expansion_are_those_of_the_operation(statement: dict[str, Any]) -> None:
    (expand,) = [operation for operation in OPERATIONS if operation.name == "expand"]
    assert [row["name"] for row in statement["expansion"]["parameter"]] == [p.name for p in expand.parameters]


def test_the_notices_of_what_is_shipped_stand_in_it(statement: dict[str, Any]) -> None:
    for owner in ("LOINC", "SNOMED", "UCUM"):
        assert owner in statement["copyright"]


def test_the_mode_chooses_the_statement(anonymous: Any) -> None:
    for mode in ("", "?mode=full", "?mode=normative"):
        assert anonymous.get(f"metadata{mode}").json["resourceType"] == "CapabilityStatement"
    for mode in ("?mode=other", "?mode=", "?mode=full&mode=terminology"):
        answer = anonymous.get(f"metadata{mode}")
        assert (answer.status, answer.codes, answer.paths) == (400, ["value"], ["http.mode"])


def test_it_is_answered_within_a_batch_too(fhir: Any, build: Any) -> None:
    answer = fhir.post("", build.bundle("batch", build.entry("GET", "metadata?mode=terminology")))
    assert answer.json["entry"][0]["resource"]["resourceType"] == "TerminologyCapabilities"
