"""Any patch, of any format, alone and in Bundles, is answered as FHIR answers: never with a 5xx, and soon.

Covers server/interactions/patch.py, patch_formats.py, entries.py. What single operations do: tests/server/fhir.
"""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROFILE = {"max_examples": 25, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}

CONTENT_TYPES = st.sampled_from(
    [
        *(
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/fhir+json",
            "application/json",
        ),
        *(
            "",
            "application/xml-patch+xml",
            ";",
            "application/json-patch+json; charset=x",
            "a/b;fhirVersion=5.0",
        ),
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "p1", "Patient", "male", "2020-01-01", "Patient/p1", "\u0000", "\ud800", "é" * 70]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "id", "meta", "name", "given", "text", "_gender", "extension", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
pointers = st.sampled_from(
    [
        "",
        "/",
        "/name",
        "/name/0",
        "/name/0/given/-",
        "/name/99",
        "/gender",
        "/_gender",
        "/id",
        "/meta",
        "/x/y",
        "~",
        "/~2",
    ]
)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": pointers},
    optional={"value": values, "from": pointers},
)
parts = st.fixed_dictionaries(
    {"name": st.sampled_from(["type", "path", "name", "value", "index", "source", "destination"])},
    optional={
        "valueCode": st.sampled_from(["add", "insert", "delete", "replace", "move", "x"]),
        "valueString": st.sampled_from(
            ["Patient", "Patient.name", "Patient.gender", "gender", "name", "x(", "Patient.id"]
        ),
        "valueInteger": st.integers(-2, 3),
        "valueHumanName": values,
        "part": values,
        "resource": values,
    },
)
parameters = st.fixed_dictionaries(
    {"resourceType": st.just("Parameters")},
    optional={
        "parameter": st.lists(
            st.fixed_dictionaries({"name": st.just("operation"), "part": st.lists(parts, max_size=5)}) | values,
            max_size=3,
        )
    },
)
patches = (st.lists(operations | values, max_size=4) | parameters | values).map(
    lambda value: json.dumps(value).encode()
) | st.binary(max_size=40)


@pytest.fixture
def check(fhir, build):
    """Send a request; what comes back is an answer of FHIR's own, soon, and the stored patient is still one."""
    fhir.put("Patient/p1", build.patient(id="p1"))

    def send(method, path, body, **given):
        started = time.monotonic()
        answer = fhir(method, path, body, **given)
        assert answer.status < 500, (answer.status, answer.body)
        assert time.monotonic() - started < 5
        stored = fhir.get("Patient/p1")
        assert (stored.status, stored.json["resourceType"], stored.json["id"]) == (200, "Patient", "p1")
        return answer

    return send


@settings(**PROFILE)
@given(
    path=st.sampled_from(["Patient/p1", "Patient?_id=p1", "Patient"]), body=patches, content_type=CONTENT_TYPES
)
def test_any_patch(check, path, body, content_type):
    check("PATCH", path, body, Content_Type=content_type)


@settings(**PROFILE)
@given(
    kind=st.sampled_from(["batch", "transaction"]), body=patches, content_type=CONTENT_TYPES, given_more=values
)
def test_any_patch_of_an_entry(check, build, kind, body, content_type, given_more):
    binary = {"resourceType": "Binary", "contentType": content_type, "data": base64.b64encode(body).decode()}
    entries = [
        {"request": {"method": "PATCH", "url": "Patient/p1"}, "resource": binary},
        {"request": {"method": "PATCH", "url": "Patient?_id=p1"}, "resource": {**binary, "data": given_more}},
        {"request": {"method": "PATCH", "url": "Patient/p1"}, "resource": given_more},
    ]
    for entry in entries:
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
        check("POST", "", json.dumps(bundle).encode(), Content_Type="application/fhir+json")


@settings(**PROFILE)
@given(content=parameters, kind=st.sampled_from(["batch", "transaction"]))
def test_any_parameters_of_an_entry(check, content, kind):
    entry = {"request": {"method": "PATCH", "url": "Patient/p1"}, "resource": content}
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    check("POST", "", json.dumps(bundle).encode(), Content_Type="application/fhir+json")
