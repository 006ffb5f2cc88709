"""Whatever is sent to an operation, the answer is one of its own or an OperationOutcome: never a failure.

Covers server/interactions/operations. Source: hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = (
    "Patient/p1/$everything",
    "Encounter/e1/$everything",
    "Patient/$validate",
    "Observation/o1/$validate",
    "Patient/p1/$meta",
    "Patient/p1/$meta-add",
    "Patient/p1/$meta-delete",
    "Observation/$lastn",
    "Patient/$match",
    "CodeSystem/$lookup",
    "CodeSystem/$validate-code",
    "CodeSystem/cs/$validate-code",
    "CodeSystem/$subsumes",
    "ValueSet/$expand",
    "ValueSet/vs/$expand",
    "ValueSet/$validate-code",
    "ConceptMap/$translate",
)
NAMES = (
    "start",
    "end",
    "_since",
    "_type",
    "_count",
    "_cursor",
    "resource",
    "mode",
    "profile",
    "meta",
    "max",
    "patient",
    "subject",
    "category",
    "code",
    "onlyCertainMatches",
    "count",
    "date",
    "nonsense",
    "url",
    "system",
    "version",
    "coding",
    "codeableConcept",
    "codeSystem",
    "valueSet",
    "conceptMap",
    "codeA",
    "codingB",
    "filter",
    "offset",
    "displayLanguage",
    "property",
    "reverse",
    "targetsystem",
)
WORDS = st.one_of(
    st.sampled_from(
        (
            "",
            " ",
            "0",
            "1",
            "-1",
            "9" * 30,
            "true",
            "2024-01-01",
            "9999-12-31",
            "0001-01-01",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2024-02-30",
            "Patient",
            "Patient,Observation",
            "create",
            "update",
            "delete",
            "profile",
            "p1",
            "Patient/p1",
            "urn:x|y",
            "urn:cs",
            "urn:vs",
            "http://hl7.org/fhir/administrative-gender",
            "http://hl7.org/fhir/ValueSet/administrative-gender",
            "http://snomed.info/sct?fhir_vs=isa/138875005",
            "http://unitsofmeasure.org",
            "a,b\\",
            "'",
            "\U0001f600",
            "x" * 5_000,
        )
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)
JSON = st.recursive(
    st.one_of(WORDS, st.booleans(), st.none(), st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                (
                    "resourceType",
                    "name",
                    "family",
                    "given",
                    "identifier",
                    "system",
                    "value",
                    "tag",
                    "security",
                    "profile",
                    "code",
                    "birthDate",
                    "telecom",
                    "address",
                    "id",
                    "meta",
                    "extension",
                    "text",
                    "coding",
                    "display",
                    "url",
                    "compose",
                    "include",
                    "concept",
                    "filter",
                    "valueSet",
                    "group",
                    "element",
                    "target",
                    "expansion",
                    "contains",
                )
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
RESOURCES = st.builds(
    lambda kind, more: more | {"resourceType": kind},
    st.sampled_from(
        ("Patient", "Observation", "CodeSystem", "ValueSet", "ConceptMap", "Parameters", "Nothing", 1)
    ),
    st.dictionaries(
        st.sampled_from(
            ("id", "name", "identifier", "birthDate", "meta", "status", "code", "url", "compose", "concept")
        ),
        JSON,
        max_size=4,
    ),
)
ELEMENTS = (
    "valueString",
    "valueCode",
    "valueDate",
    "valueInstant",
    "valueInteger",
    "valuePositiveInt",
    "valueBoolean",
    "valueMeta",
    "valueUri",
    "valueCoding",
    "valueCodeableConcept",
    "resource",
    "part",
)
ROWS = st.one_of(
    JSON,
    st.builds(
        lambda name, element, value: {"name": name, element: value},
        st.sampled_from(NAMES),
        st.sampled_from(ELEMENTS),
        st.one_of(JSON, RESOURCES),
    ),
)
BODIES = st.one_of(
    RESOURCES,
    st.builds(
        lambda rows: {"resourceType": "Parameters", "parameter": rows},
        st.one_of(JSON, st.lists(ROWS, max_size=5)),
    ),
)


@pytest.fixture
def chart(fhir: Any, build: Any) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    stated = {"status": "active", "content": "complete", "concept": [{"code": "p1"}]}
    fhir.put("CodeSystem/cs", {"resourceType": "CodeSystem", "id": "cs", "url": "urn:cs", **stated})
    include = {"include": [{"system": "urn:cs"}]}
    value_set = {
        "resourceType": "ValueSet",
        "id": "vs",
        "url": "urn:vs",
        "status": "active",
        "compose": include,
    }
    assert fhir.put("ValueSet/vs", value_set).status == 201


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    path=st.sampled_from(PATHS),
    query=st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=4),
    body=st.one_of(st.none(), BODIES),
)
def test_nothing_that_is_sent_makes_it_fail(
    fhir: Any, chart: None, path: str, query: list[tuple[str, str]], body: dict[str, Any] | None
) -> None:
    url = f"{path}?{urlencode(query)}" if query else path
    answer = fhir.get(url) if body is None else fhir.post(url, body)
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert answer.json["resourceType"] == "OperationOutcome"
        for issue in answer.json["issue"]:
            assert "x" * 50 not in issue.get("diagnostics", "")
