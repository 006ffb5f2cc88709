"""Resources fulfil searches in memory; every example is found by each of its own values.

Covers hl7.org/fhir/R4/search.html. The values of the examples are found here by walking the parameters'
expressions, not by the generated extractors that are under test.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

import server
from server.fhir import generate_search
from server.fhir.criteria import Indexed, fulfils, indexed, matches
from server.fhir.generate_search_paths import Path as Expression
from server.fhir.generate_search_paths import paths
from server.fhir.search_parameters import supported
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Clause, SearchQuery

BASE = "http://server.example/fhir"
ZONE = "America/New_York"
UCUM = "http://unitsofmeasure.org"

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"lastUpdated": "2024-03-01T10:00:00.123Z", "tag": [{"code": "synthetic"}]},
    "identifier": [{"system": "urn:s", "value": "A-1"}],
    "active": True,
    "name": [{"family": "O'Hara-Müller", "given": ["Zoë", "Ann"]}],
    "telecom": [{"system": "phone", "value": "555-1"}],
    "birthDate": "1980-05-04",
    "generalPractitioner": [{"reference": "Practitioner/g"}],
    "managingOrganization": {"identifier": {"system": "urn:npi", "value": "7"}},
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "category": [{"coding": [{"system": "urn:c", "code": "laboratory"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0", "display": "Creatinine"}]},
    "subject": {"reference": "Patient/p"},
    "effectivePeriod": {"start": "2024-01-01", "end": "2024-01-31"},
    "valueQuantity": {"value": Decimal("1.50"), "unit": "mg per dL", "system": UCUM, "code": "mg/dL"},
}
PROVENANCE = {
    "resourceType": "Provenance",
    "id": "v",
    "target": [{"reference": "Observation/o"}],
    "recorded": "2024-02-01T00:00:00Z",
    "agent": [{"who": {"reference": "Practitioner/g"}}],
}
PRACTITIONER = {"resourceType": "Practitioner", "id": "g", "name": [{"family": "Test"}]}
ALL = [indexed(r, base_url=BASE, time_zone=ZONE) for r in (PATIENT, OBSERVATION, PROVENANCE, PRACTITIONER)]


def found(resource: dict[str, Any], query: str) -> bool:
    pairs = parse_qsl(query, keep_blank_values=True)
    asked = parse_search(resource["resourceType"], pairs, base_url=BASE, time_zone=ZONE)
    return matches(indexed(resource, base_url=BASE, time_zone=ZONE), asked, ALL)


@pytest.mark.requirement("U2")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("_id=p", True),
        ("_id=q,p", True),
        ("_id=P", False),
        ("_lastUpdated=2024-03-01", True),
        ("_lastUpdated=gt2024-03-01", False),
        ("_lastUpdated=ge2024-03-01T10:00:00Z", True),
        ("_tag=synthetic", True),
        ("_tag=|synthetic", True),
        ("_tag=x|synthetic", False),
        ("identifier=urn:s|A-1", True),
        ("identifier=A-1", True),
        ("identifier=urn:s|", True),
        ("identifier=|A-1", False),
        ("identifier=a-1", False),
        ("identifier:not=B", True),
        ("identifier:not=B,A-1", False),
        ("gender:not=male", True),  # also without the element
        ("gender:missing=true", True),
        ("gender:missing=false", False),
        ("identifier:missing=false", True),
        ("active=true", True),
        ("active=false", False),
        ("deceased=false", True),
        ("name=ohara", True),
        ("name=O'HARA m", True),
        ("name=muller", False),  # from the start
        ("name:contains=MULLER", True),
        ("name=zoe", True),
        ("name:exact=Zoë", True),
        ("name:exact=Zoe", False),
        ("name:exact=zoë", False),
        ("name=x,ann", True),
        ("name=zoe&name=x", False),
        ("given=ohara", False),
        ("phone=555-1", True),
        ("email=555-1", False),
        ("birthdate=1980", True),
        ("birthdate=1980-05-04", True),
        ("birthdate=lt1980-05-04", False),
        ("general-practitioner=Practitioner/g", True),
        ("general-practitioner=g", True),
        (f"general-practitioner={BASE}/Practitioner/g", True),
        ("general-practitioner:Practitioner=g", True),
        ("general-practitioner:Organization=g", False),
        ("general-practitioner=http://other.example/Practitioner/g", False),
        ("organization:identifier=urn:npi|7", True),
        ("organization:identifier=7", True),
        ("organization:identifier=urn:npi|", True),
        ("organization:identifier=urn:npi|8", False),
        ("organization=7", False),
        ("organization:missing=false", True),
        ("general-practitioner.name=test", True),
        ("general-practitioner:Practitioner.name=nobody", False),
        ("_has:Observation:patient:code=2160-0", True),
        ("_has:Observation:patient:code=x", False),
        ("_has:Provenance:target:recorded=2024-02", False),
    ],
)
def test_a_patient_fulfils_a_search(query: str, expected: bool) -> None:
    assert found(PATIENT, query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("patient=p", True),
        ("subject=Patient/p", True),
        ("subject=p", True),
        ("subject:Group=p", False),
        ("patient.birthdate=lt1990", True),
        ("subject:Patient.identifier=urn:s|A-1", True),
        ("patient.name=nobody", False),
        ("category=laboratory&code=http://loinc.org|2160-0", True),
        ("category=laboratory,vital-signs&code=x,y", False),
        ("date=2024-01", True),
        ("date=2024-01-15", False),
        ("date=ap2024-01-15", True),
        ("value-quantity=1.5", True),
        ("value-quantity=1.50", True),
        ("value-quantity=1.52", False),
        ("value-quantity=2", True),
        ("value-quantity=gt1.5", False),
        ("value-quantity=ge1.5", True),
        ("value-quantity=lt1.51", True),
        ("value-quantity=sa1.4&value-quantity=eb1.6", True),
        ("value-quantity=ap1.4", True),
        ("value-quantity=ap1.3", False),
        ("value-quantity=ne1.5", False),
        ("value-quantity=ne3", True),
        (f"value-quantity=1.5|{UCUM}|mg/dL", True),
        (f"value-quantity=1.5|{UCUM}|g/dL", False),
        ("value-quantity=1.5||mg/dL", True),
        ("value-quantity=1.5||mg per dL", True),
        ("value-quantity=1.5||g/dL", False),
        ("_has:Provenance:target:agent=Practitioner/g", True),
        ("_has:Provenance:target:recorded=2024-02-01,2024-01-31", True),
    ],
)
def test_an_observation_fulfils_a_search(query: str, expected: bool) -> None:
    assert found(OBSERVATION, query) is expected


def test_a_resource_of_another_type_is_never_found() -> None:
    assert not matches(ALL[0], parse_search("Observation", []))


def test_a_clause_can_be_asked_of_a_plain_resource() -> None:
    (clause,) = parse_search("Observation", [("category", "urn:c|laboratory")]).conditions
    assert isinstance(clause, Clause)
    assert fulfils("Observation", OBSERVATION, clause)
    assert not fulfils("Observation", {"resourceType": "Observation"}, clause)
    assert not fulfils("Observation", PATIENT, clause)


COMPARED = st.decimals(min_value=-1000, max_value=1000, places=2)


@given(stored=COMPARED, asked=COMPARED)
def test_prefixes_of_numbers_agree_with_arithmetic(stored: Decimal, asked: Decimal) -> None:
    resource = {"resourceType": "Observation", "valueQuantity": {"value": stored}}
    truth = {"gt": stored > asked, "lt": stored < asked, "ge": stored >= asked, "le": stored <= asked}
    truth |= {"sa": stored > asked, "eb": stored < asked}
    for prefix, expected in truth.items():
        assert found(resource, f"value-quantity={prefix}{asked}") is expected, prefix
    half = Decimal("0.005")
    same = float(asked - half) <= float(stored) < float(asked + half)
    assert found(resource, f"value-quantity={asked}") is same
    assert found(resource, f"value-quantity=ne{asked}") is not same


# Every value of every example -------------------------------------------------------------------------------


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    here = Path(__file__).parent
    for file in sorted((here / "examples_us_core").glob("*.ndjson.gz")):
        for line in gzip.decompress(file.read_bytes()).decode("utf-8").splitlines():
            yield file.name, json.loads(line, parse_float=Decimal)
    charts = sorted((Path(server.__file__).parent / "demo_data" / "patients").glob("*.json.gz"))
    for file in charts[:1]:
        bundle = json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)
        for entry in bundle["entry"]:
            yield file.name, {"id": "x", **entry["resource"]}


_definitions = cache(generate_search.read_definitions)


@cache
def _expressions(resource_type: str) -> list[tuple[str, Expression]]:
    inputs = _definitions()
    by_url = {definition["url"]: definition for definition in inputs.parameters}
    return [
        (code, path)
        for code, parameter in supported(resource_type).items()
        if parameter.datatypes and code != "deceased"
        for path in paths(by_url[parameter.url]["expression"], resource_type, inputs.structures)
        if path.datatype in parameter.datatypes
    ]


def _selected(resource: Any, path: Expression) -> Iterator[Any]:
    values = [resource]
    for step in path.steps:
        reached = []
        for value in values:
            child = value.get(step.key)
            children = child if isinstance(child, list) else [child]
            reached += [c for c in (children[:1] if step.first else children) if c is not None]
        if step.where is not None:
            reached = [c for c in reached if c.get(step.where[0]) == step.where[1]]
        values = reached
    yield from values


def _escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, "\\" + character)
    return text


def _own_searches(datatype: str, value: Any, resolves: str) -> Iterator[tuple[str, str]]:
    """(modifier, text) of searches that must find a resource with the value."""
    if datatype == "CodeableConcept":
        for coding in value.get("coding", ()):
            yield from _own_searches("Coding", coding, resolves)
    elif datatype in ("Coding", "Identifier"):
        code, system = value.get("code" if datatype == "Coding" else "value"), value.get("system")
        if code:
            yield "", _escaped(code)
            yield "", f"{_escaped(system or '')}|{_escaped(code)}"
        if system:
            yield "", f"{_escaped(system)}|"
    elif datatype in ("code", "string", "markdown", "uri", "url", "canonical", "id"):
        if value.strip():
            yield "", _escaped(value)
    elif datatype in ("date", "dateTime", "instant"):
        for prefix in ("", "ge", "le", "ap"):
            yield "", prefix + value
    elif datatype == "Period":
        for end in ("start", "end"):
            if end in value:
                yield "", "ap" + value[end]
    elif datatype == "Quantity" and "value" in value and "comparator" not in value:
        yield "", str(value["value"])
        if "code" in value:
            yield "", f"{value['value']}|{_escaped(value.get('system', ''))}|{_escaped(value['code'])}"
    elif datatype == "boolean":
        yield "", "true" if value else "false"
    elif datatype == "ContactPoint" and "value" in value:
        yield "", _escaped(value["value"])
    elif datatype == "HumanName":
        for part in [value.get("family"), value.get("text"), *value.get("given", ())]:
            if part:
                yield "exact", _escaped(part)
                yield "", _escaped(part.upper())
    elif datatype == "Address":
        for part in [value.get("city"), value.get("postalCode"), *value.get("line", ())]:
            if part:
                yield "contains", _escaped(part.lower())
    elif datatype == "Reference":
        reference = value.get("reference", "#")
        kind = reference.split("/")[0]
        if not reference.startswith("#") and (not resolves or kind == resolves):
            yield "", _escaped(reference)


def _misses(example: Indexed) -> Iterator[str]:
    resource = example.resource
    for code, path in _expressions(resource["resourceType"]):
        for value in _selected(resource, path):
            yield from _missed(example, code, "missing", "false", path)
            for modifier, text in _own_searches(path.datatype, value, path.resolves):
                yield from _missed(example, code, modifier, text, path)


def _missed(example: Indexed, code: str, modifier: str, text: str, path: Expression) -> Iterator[str]:
    if modifier == "missing" and (path.resolves or path.datatype in ("CodeableConcept", "Period", "Timing")):
        return  # whether these have a value is not told by their being there
    name = f"{code}:{modifier}" if modifier else code
    resource_type = example.resource["resourceType"]
    if not matches(example, _asked(resource_type, name, text)):
        yield f"{resource_type}?{name}"


@cache
def _asked(resource_type: str, name: str, text: str) -> SearchQuery:
    return parse_search(resource_type, [(name, text)], base_url=BASE, time_zone=ZONE)


def test_every_example_is_found_by_each_of_its_own_values() -> None:
    count = 0
    missed: set[str] = set()
    for _, resource in _examples():
        if resource["resourceType"] in ("ImplementationGuide", "Bundle"):
            continue
        count += 1
        missed.update(_misses(indexed(resource, base_url=BASE, time_zone=ZONE)))
    assert missed == set()
    assert count > 500
