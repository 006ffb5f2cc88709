"""Operations as such: where they are found, how parameters are read, what is listed, audited and batched.

Covers server/interactions/operations (registry and parameters), its routes and its rows in the
CapabilityStatement. Source: hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import pytest

from server.fhir.unstored import UNSTORED
from server.interactions.operations import OPERATIONS, find_operation
from server.interactions.operations.definition import COMPLEX
from server.interactions.operations.parameters import TYPES


def parameters(**values):
    rows = [{"name": name, **value} for name, value in values.items()]
    return {"resourceType": "Parameters", "parameter": rows}


@pytest.fixture
def chart(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))


@pytest.mark.parametrize(
    "path",
    [
        "$nothing",
        "Patient/$nothing",
        "Patient/p1/$nothing",
        "Patient/$match/p1",
        "metadata/$meta",
        "Patient/_history/$meta",
        "Patient/p1/Observation/$lastn",
        "Patient/$everything",
        "Patient/$meta",
        "$validate",
        "Observation/o1/$lastn",
        "Observation/$match",
        "Practitioner/p1/$everything",
        "Patient/p1/_history/1/$validate",
        "$",
        "Patient/$",
        "Patient/p1/$meta$",
    ],
)
def test_an_operation_that_is_not_offered_at_a_place_is_404_and_shows_nothing(fhir, chart, path):
    for method in ("GET", "POST"):
        answer = fhir(method, path, {"resourceType": "Parameters"} if method == "POST" else None)
        assert (answer.status, answer.codes[0]) in ((404, "not-supported"), (404, "not-found")), path
        assert b"Testfall" not in answer.body


def test_at_a_wrong_level_it_says_where_to_ask(fhir, chart):
    assert "one Patient" in fhir.get("Patient/$everything").text
    assert "the type Observation" in fhir.get("Observation/o1/$lastn").text


def test_an_unknown_type_is_told_before_the_operation(fhir):
    assert fhir.get("Nothing/1/$everything").status == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("Patient/p1/$everything", "GET, HEAD, POST"),
        ("Patient/p1/$meta-add", "POST"),
        ("Patient/$match", "POST"),
    ],
)
def test_a_method_that_is_not_offered_is_405_with_those_that_are(fhir, chart, path, allow):
    method = "DELETE" if "GET" in allow else "GET"
    answer = fhir(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allow)


def test_get_is_offered_exactly_where_nothing_changes_and_primitive_parameters_suffice():
    for operation in OPERATIONS:
        complex_needed = any(p.required and p.type in COMPLEX for p in operation.parameters)
        assert ("GET" in operation.methods) == (not operation.affects_state and not complex_needed)
        assert "POST" in operation.methods
        assert {parameter.type for parameter in operation.parameters} <= set(TYPES)


def test_no_two_rows_answer_at_one_place():
    for operation in OPERATIONS:
        for level in operation.levels:
            for resource_type in operation.types or ("Patient",):
                assert find_operation(operation.name, resource_type, level) is operation


def test_head_is_get_without_the_body(fhir, chart):
    got = fhir.get("Patient/p1/$meta")
    answer = fhir("HEAD", "Patient/p1/$meta")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["ETag"] == got.headers["ETag"]


def test_a_token_is_needed(anonymous):
    for path in ("Patient/p1/$everything", "Patient/p1/$meta", "Observation/$lastn?patient=p1&category=x"):
        answer = anonymous.get(path)
        assert (answer.status, answer.codes) == (401, ["login"])


# -- parameters


@pytest.mark.parametrize(
    ("query", "code", "path"),
    [
        ("start=soon", "value", "http.start"),
        ("start=2024-02-30", "value", "http.start"),
        ("end=2024-01-01T10:00:00Z", "value", "http.end"),
        ("start=2024-02-01&end=2024-01-01", "value", "http.end"),
        ("_since=yesterday", "value", "http._since"),
        ("_count=0", "value", "http._count"),
        ("_count=many", "value", "http._count"),
        ("_count=1&_count=2", "value", "http._count"),
        ("_type=Nothing", "value", "http._type"),
        ("_type=", "value", "http._type"),
        ("_cursor=x", "value", None),
        ("name=x", "not-supported", "http.name"),
    ],
)
def test_a_parameter_of_the_url_that_cannot_be_is_refused_by_its_name(fhir, chart, query, code, path):
    answer = fhir.get(f"Patient/p1/$everything?{query}")
    assert (answer.status, answer.codes) == (400, [code])
    assert answer.paths == ([path] if path else [])


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ({"name": "start", "valueDate": "soon"}, "Parameters.parameter.where(name = 'start')"),
        ({"name": "start", "valueBoolean": True}, "Parameters.parameter.where(name = 'start')"),
        ({"name": "_count", "valueInteger": True}, "Parameters.parameter.where(name = '_count')"),
        ({"name": "_count", "valueInteger": -1}, "Parameters.parameter.where(name = '_count')"),
        ({"name": "_count"}, "Parameters.parameter[0]"),
        ({"name": "_count", "valueInteger": 1, "valueString": "1"}, "Parameters.parameter[0]"),
        ({"name": "else", "valueInteger": 1}, "Parameters.parameter.where(name = 'else')"),
        ({"name": "it's", "valueInteger": 1}, "Parameters.parameter[0]"),
        ({"valueInteger": 1}, "Parameters.parameter[0]"),
        ("start", "Parameters.parameter[0]"),
    ],
)
def test_a_parameter_of_a_body_that_cannot_be_is_refused_by_its_place(fhir, chart, row, path):
    answer = fhir.post("Patient/p1/$everything", {"resourceType": "Parameters", "parameter": [row]})
    assert (answer.status, answer.paths) == (400, [path])


def test_parameters_may_come_in_the_url_in_a_body_or_in_both(fhir, chart):
    body = parameters(_type={"valueCode": "Observation"})
    by_url = fhir.get("Patient/p1/$everything?_type=Observation&_count=5").json
    in_both = fhir.post("Patient/p1/$everything?_count=5", body).json
    assert [e["resource"]["id"] for e in by_url["entry"]] == ["o1"]
    assert in_both["entry"] == by_url["entry"]
    twice = fhir.post("Patient/p1/$everything?_count=5", parameters(_count={"valueInteger": 5}))
    assert (twice.status, twice.codes) == (400, ["value"])


def test_a_body_of_another_type_is_refused_where_no_resource_is_taken(fhir, chart, build):
    answer = fhir.post("Patient/p1/$everything", build.patient())
    assert (answer.status, answer.codes, answer.paths) == (400, ["invalid"], ["resourceType"])


def test_a_resource_cannot_stand_in_a_url(fhir, chart):
    answer = fhir.get("Patient/p1/$validate?resource=x")
    assert (answer.status, answer.paths) == (400, ["http.resource"])


# -- what is listed


@pytest.mark.requirement("C5")
def test_every_operation_is_listed_with_its_definition_where_it_is_offered(anonymous):
    (rest,) = anonymous.get("metadata").json["rest"]
    listed = {
        (row["type"], operation["name"], operation["definition"])
        for row in rest["resource"]
        for operation in row.get("operation", ())
    }
    for operation in OPERATIONS:
        types = [
            name
            for name in operation.types or [row["type"] for row in rest["resource"]]
            if name not in UNSTORED or not operation.access
        ]
        assert {(name, operation.name, operation.definition) for name in types} <= listed
    assert ("Patient", "lastn") not in {row[:2] for row in listed}
    own = ("http://hl7.org/fhir/OperationDefinition/", "urn:baton:operation:")
    assert all(row[2].startswith(own) for row in listed)


@pytest.mark.requirement("C5")
def test_every_listed_operation_is_known_to_the_routes(fhir, chart, anonymous):
    (rest,) = anonymous.get("metadata").json["rest"]
    (patient,) = [row for row in rest["resource"] if row["type"] == "Patient"]
    for operation in patient["operation"]:
        paths = (f"Patient/${operation['name']}", f"Patient/p1/${operation['name']}")
        assert any(fhir.post(path, {"resourceType": "Parameters"}).status != 404 for path in paths)


# -- audit


def test_an_operation_is_audited_by_its_name_with_names_of_parameters_only(fhir, chart, store, settings):
    store.ingest_audit(settings.home / "audit")
    before = len(store.audit_rows(limit=1_000))
    fhir.get("Patient/p1/$everything?_type=Observation&start=2001-02-03")
    fhir.get("Patient/p1/$everything?start=Zebedee")
    fhir.get("Patient/nobody/$meta")
    store.ingest_audit(settings.home / "audit")
    rows = list(reversed(store.audit_rows(limit=1_000)))[before:]
    assert [row.interaction for row in rows] == ["operation"] * 3
    assert [row.outcome for row in rows] == [200, 400, 404]
    assert [row.detail for row in rows] == ["$everything _type start", "$everything", "$meta"]
    assert [row.patient for row in rows] == ["p1", "p1", "nobody"]
    assert "Zebedee" not in str(rows)


def test_a_refusal_before_the_door_is_audited_by_the_operations_name(anonymous, fhir, chart, store, settings):
    anonymous.get("Patient/p1/$everything")
    store.ingest_audit(settings.home / "audit")
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.id, row.outcome, row.detail) == ("operation", "p1", 401, "$everything")


# -- bundles


def test_operations_stand_in_batches_and_transactions(fhir, chart, build):
    meta = {"tag": [{"system": "urn:example", "code": "seen"}]}
    entries = (
        build.entry("GET", "Patient/p1/$everything?_type=Observation"),
        build.entry("POST", "Patient/p1/$meta-add", parameters(meta={"valueMeta": meta})),
        build.entry("POST", "Patient/$validate?mode=create", build.patient()),
        build.entry("GET", "Observation/$lastn?patient=p1&code=2160-0"),
    )
    for kind in ("batch", "transaction"):
        answer = fhir.post("", build.bundle(kind, *entries))
        assert answer.status == 200, answer.body
        everything, added, validated, lastn = answer.json["entry"]
        assert {row["response"]["status"] for row in answer.json["entry"]} == {"200 OK"}
        assert everything["resource"]["entry"][0]["resource"]["id"] == "o1"
        assert added["response"]["etag"] == 'W/"2"'
        assert "fullUrl" not in added
        assert validated["resource"]["issue"][0]["severity"] == "information"
        assert lastn["resource"]["total"] == 1
    assert fhir.get("Patient/p1").json["meta"]["tag"] == meta["tag"]


def test_a_transaction_refuses_two_entries_of_one_resource_also_where_one_is_an_operation(fhir, chart, build):
    meta = {"tag": [{"system": "urn:example", "code": "seen"}]}
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("PUT", "Patient/p1", build.patient(id="p1", gender="male")),
            build.entry("POST", "Patient/p1/$meta-add", parameters(meta={"valueMeta": meta})),
        ),
    )
    assert answer.status == 400
    assert "0 and 1" in answer.text
    assert fhir.get("Patient/p1").headers["ETag"] == 'W/"1"'


def test_a_refused_operation_undoes_its_transaction_and_is_named(fhir, chart, build):
    answer = fhir.post(
        "",
        build.bundle(
            "transaction",
            build.entry("POST", "Patient", build.patient()),
            build.entry("POST", "Patient/p1/$meta-add", parameters()),
        ),
    )
    assert (answer.status, answer.codes) == (400, ["required"])
    assert answer.paths[0].startswith("Bundle.entry[1]")
    assert fhir.get("Patient?_summary=count").json["total"] == 1
