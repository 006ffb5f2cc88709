"""Hostile requests over all FHIR routes: no input causes a 5xx, every refusal is an OperationOutcome."""

from __future__ import annotations

import json
import os
import time
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fhir.json_codec import decode

CASES = int(os.environ.get("HOSTILE_CASES", "150"))
PROFILE = {
    "max_examples": CASES,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}

nasty_text = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            "%",
            "%00",
            "\0",
            "..",
            "../..",
            "$",
            "_history",
            "_search",
            "Patient",
            "metadata",
            "1" * 300,
            "a" * 70,
            "';--",
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
            "é\u202e",
            "*",
            "-1",
            "1e999",
            "9" * 40,
            "NaN",
            "null",
            "[]",
            "{}",
            'W/"1"',
            "|",
            "||",
            ",",
            "\\",
            "$a|b",
            "2024-02-30",
            "0000",
            "99999",
        ]
    ),
)
known_part = st.sampled_from(
    ["Patient", "Observation", "Bundle", "p1", "_history", "_search", "1", "metadata", "x"]
)
path = st.lists(st.one_of(known_part, nasty_text), max_size=6).map("/".join)
parameter = st.one_of(
    st.sampled_from(
        [
            "_id",
            "_lastUpdated",
            "_count",
            "_sort",
            "_include",
            "_revinclude",
            "_summary",
            "_elements",
            "_total",
            "_cursor",
            "_since",
            "_at",
            "_format",
            "_pretty",
            "_has:Observation:subject:code",
            "subject:Patient.name",
            "subject.name",
            "name",
            "name:exact",
            "identifier",
            "birthdate",
            "date",
            "code",
            "value-quantity",
            "code-value-quantity",
            "identifier:of-type",
            "code:in",
            "_filter",
            "_text",
            "_list",
            "near",
        ]
    ),
    nasty_text,
)
value = st.one_of(
    nasty_text,
    st.sampled_from(["Patient:link", "Observation:subject", "Observation:*", "*", "-date", "true", "count"]),
    st.sampled_from(
        ["gt2024", "ap2024-01-01", "sa1", "5.4|http://unitsofmeasure.org|mg", "Patient/p1", "a,b\\,c"]
    ),
)
query = st.lists(st.tuples(parameter, value), max_size=4).map(
    lambda pairs: "&".join(f"{quote(n, safe=':')}={quote(v, safe='')}" for n, v in pairs)
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Content-Type",
            "If-Match",
            "If-None-Match",
            "If-None-Exist",
            "If-Modified-Since",
            "Prefer",
            "Authorization",
            "X-Request-Id",
            "Origin",
            "Content-Encoding",
            "Range",
            "X-HTTP-Method-Override",
        ]
    ),
    st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
        st.sampled_from(
            ["application/fhir+json", "return=minimal; handling=lenient", 'W/"1"', "name=x", "*/*;q=x"]
        ),
    ),
    max_size=3,
)
json_value = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), nasty_text, st.just("Patient"), st.just("p1")
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [
                        "resourceType",
                        "id",
                        "meta",
                        "text",
                        "div",
                        "contained",
                        "extension",
                        "url",
                        "valueString",
                        "name",
                        "_name",
                        "given",
                        "family",
                        "birthDate",
                        "_birthDate",
                        "identifier",
                        "value",
                        "system",
                        "reference",
                        "link",
                        "other",
                        "deceasedBoolean",
                        "multipleBirthInteger",
                        "entry",
                        "request",
                        "method",
                        "resource",
                        "fullUrl",
                        "type",
                        "versionId",
                        "lastUpdated",
                        "tag",
                    ]
                ),
                nasty_text,
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)
resource = st.builds(
    lambda type, more: {"resourceType": type, **more},
    st.sampled_from(["Patient", "Observation", "Bundle", "Binary", "Parameters", "ValueSet"]),
    st.dictionaries(nasty_text, json_value, max_size=4),
)
body = st.one_of(
    st.binary(max_size=60),
    json_value.map(lambda v: json.dumps(v).encode()),
    resource.map(lambda v: json.dumps(v).encode()),
)
entry = st.one_of(
    json_value,
    st.builds(
        lambda method, url, given, more: {"request": {"method": method, "url": url, **more}, "resource": given},
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "x"]),
        st.one_of(path, st.builds(lambda p, q: f"{p}?{q}", path, query)),
        st.one_of(st.none(), resource, json_value),
        st.dictionaries(
            st.sampled_from(["ifMatch", "ifNoneExist", "ifNoneMatch", "ifModifiedSince"]),
            nasty_text,
            max_size=2,
        ),
    ),
)


@pytest.fixture
def check(fhir, build):
    """Send a request; nothing but an answer of FHIR's own may come back, and soon."""
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))

    def send(method, path, body=None, **given):
        started = time.monotonic()
        answer = fhir(method, path, body, **given)
        assert answer.status < 500, (answer.status, answer.body)
        assert time.monotonic() - started < 5
        if answer.status >= 400 and method != "HEAD":
            assert decode(answer.body)["resourceType"] == "OperationOutcome"
        return answer

    return send


@settings(**PROFILE)
@given(
    method=st.sampled_from(["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"]), path=path, query=query, given=headers
)
def test_any_path_query_and_header(check, method, path, query, given):
    check(method, f"{quote(path)}?{query}", **given)


@settings(**PROFILE)
@given(query=query)
def test_any_search(check, query):
    check("GET", f"Observation?{query}")
    check("POST", "Patient/_search", query.encode(), Content_Type="application/x-www-form-urlencoded")


@settings(**PROFILE)
@given(method=st.sampled_from(["POST", "PUT"]), path=path, body=body, given=headers)
def test_any_body(check, method, path, body, given):
    check(method, quote(path), body, **{"Content-Type": "application/fhir+json", **given})


@settings(**PROFILE)
@given(target=st.sampled_from(["Patient", "Patient/p1", "Observation", "Bundle"]), resource=resource)
def test_any_resource(check, target, resource):
    method = "PUT" if "/" in target else "POST"
    content = {**resource, "resourceType": target.partition("/")[0]}
    check(method, target, json.dumps(content).encode(), Content_Type="application/fhir+json")


@settings(**PROFILE)
@given(type=st.sampled_from(["batch", "transaction"]), entries=st.lists(entry, max_size=3))
def test_any_bundle(check, type, entries):
    bundle = {"resourceType": "Bundle", "type": type, "entry": entries}
    answer = check("POST", "", json.dumps(bundle).encode(), Content_Type="application/fhir+json")
    if answer.status == 200:
        for row in answer.json.get("entry", []):
            assert row["response"]["status"][0] in "234"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"resourceType":"Patient","id":"' + "9" * 400_000 + '"}',
        '{"resourceType":"Patient","multipleBirthInteger":' + "9" * 100_000 + "}",
        '{"resourceType":"Patient","multipleBirthInteger":1e' + "9" * 1000 + "}",
        '{"resourceType":"Patient","name":[' + '{"family":"x"},' * 50_000 + '{"family":"x"}]}',
        '{"resourceType":"Patient","birthDate":"' + "2024-" * 50_000 + '"}',
        '{"resourceType":"Patient","text":{"status":"generated","div":"<div>' + "<b>" * 100_000 + '"}}',
        '{"resourceType":"Binary","contentType":"a/b","data":"' + "A" * 100_001 + '"}',
        "\ufeff{}",
        '"\\ud800"',
        '{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
        '{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}',
    ],
    ids=range(13),
)
def test_bodies_made_to_be_slow_or_deep_are_answered_soon(check, text):
    for path, method in (("Patient", "POST"), ("", "POST"), ("Patient/p1", "PUT")):
        started = time.monotonic()
        answer = check(
            method, path, text.encode("utf-8", "surrogatepass"), Content_Type="application/fhir+json"
        )
        assert answer.status >= 400 or "Patient" in path
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"name=x{n}" for n in range(400)),
        "&".join(f"a{n}=1" for n in range(2_000)),
        "identifier=" + ",".join(str(n) for n in range(3_000)),
        "name=" + "%25" * 20_000,
        "_include=" + "&_include=".join(["Observation:subject"] * 100),
        "_has:Observation:subject:" * 50 + "code=1",
        "subject.general-practitioner." * 50 + "name=1",
    ],
    ids=range(7),
)
def test_searches_made_to_be_costly_are_answered_soon(check, query):
    started = time.monotonic()
    check("GET", f"Patient?{query}")
    assert time.monotonic() - started < 2
