"""Questions to terminology operations and what has to come back, as rows of a file: `cases/cases.toml`.

Covers hl7.org/fhir/R4/terminology-service.html over HTTP. The definitions that are asked,
`cases/definitions.json`, are made up; what is expected was written from the standard.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

HERE = Path(__file__).parent / "cases"
CASES: list[dict[str, Any]] = tomllib.loads((HERE / "cases.toml").read_text("utf-8"))["case"]
_PREFIX = "urn:example:tx:"
_UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"


@pytest.fixture
def definitions(fhir: Any, build: Any) -> Any:
    resources = json.loads((HERE / "definitions.json").read_text("utf-8"))
    entries = [build.entry("PUT", f"{row['resourceType']}/{row['id']}", row) for row in resources]
    answer = fhir.post("", build.bundle("transaction", *entries))
    assert answer.status == 200, answer.body
    return fhir


def issues(outcome: dict[str, Any]) -> list[str]:
    return [
        " ".join((row["severity"], row["code"], *row.get("expression", ()))) for row in outcome.get("issue", ())
    ]


def value(row: dict[str, Any]) -> Any:
    return next(found for name, found in row.items() if name == "resource" or name.startswith("value"))


def told(case: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What the answer says of each thing that the case speaks of."""
    if body["resourceType"] == "OperationOutcome":
        return {"issues": issues(body)}
    if body["resourceType"] == "ValueSet":
        contains = body["expansion"].get("contains", [])
        return {
            "codes": [row["code"] for row in contains],
            "displays": [row.get("display") for row in contains],
            "total": body["expansion"].get("total"),
            "unclosed": any(row["url"] == _UNCLOSED for row in body["expansion"].get("extension", ())),
        }
    values = {row["name"]: value(row) for row in body["parameter"] if "part" not in row}
    parts = [
        {part["name"]: value(part) for part in row["part"]}
        for row in body["parameter"]
        if row["name"] == "property"
    ]
    return {
        "values": {name: values.get(name) for name in case["values"]},
        "issues": issues(values.get("issues", {})),
        "properties": [f"{part['code']}={json.dumps(part['value'])}".replace('"', "") for part in parts],
    }


def test_every_case_is_answered_as_it_says(definitions: Any) -> None:
    wrong = {}
    for case in CASES:
        given = {name: _named(text) for name, text in case["with"].items()}
        expected = {
            name: wanted for name, wanted in case.items() if name not in ("name", "ask", "with", "status")
        }
        answer = definitions.get(f"{case['ask']}?{urlencode(given)}")
        found = told(case, answer.json)
        got = {name: found.get(name) for name in expected}
        if answer.status != case.get("status", 200) or got != expected:
            wrong[f"{case['name']}: {case['ask']} {case['with']}"] = (answer.status, got, expected)
    assert wrong == {}


def test_the_cases_ask_every_operation_that_has_a_url() -> None:
    assert {case["ask"] for case in CASES} == {
        "CodeSystem/$lookup",
        "CodeSystem/$subsumes",
        "CodeSystem/$validate-code",
        "ValueSet/$expand",
        "ValueSet/$validate-code",
    }
    assert len(CASES) > 100


def _named(text: Any) -> Any:
    return text.replace("@", _PREFIX, 1) if isinstance(text, str) else text
