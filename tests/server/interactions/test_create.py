"""create and conditional create: hl7.org/fhir/R4/http.html#create, #ccreate, #return."""

from __future__ import annotations

import pytest

CONDITION = "identifier=urn:example:mrn|A-1"


def test_create_assigns_an_id_and_a_first_version(fhir, build):
    answer = fhir.post("Patient", build.patient(id="mine", meta={"versionId": "7", "source": "urn:x"}))

    assert answer.status == 201
    assert answer.headers["Location"] == "http://127.0.0.1:8000/fhir/Patient/new-1/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Fri, 17 May 2024 12:00:00 GMT"
    assert answer.json["id"] == "new-1"
    assert answer.json["meta"] == {
        "versionId": "1",
        "source": "urn:x",
        "lastUpdated": "2024-05-17T12:00:00.123Z",
    }
    assert fhir.get("Patient/new-1").body == answer.body
    assert fhir.get("Patient/mine").status == 404


@pytest.mark.parametrize("preference", ["minimal", "representation", "OperationOutcome"])
def test_prefer_decides_what_a_create_returns(fhir, build, preference):
    answer = fhir.post("Patient", build.patient(), Prefer=f"return={preference}")

    assert answer.status == 201
    assert answer.headers["Location"].endswith("/Patient/new-1/_history/1")
    if preference == "minimal":
        assert answer.body == b""
    elif preference == "representation":
        assert answer.json["resourceType"] == "Patient"
    else:
        assert answer.codes == ["informational"]


def test_an_invalid_resource_is_refused_with_every_error_and_its_path(fhir, build):
    answer = fhir.post("Patient", build.patient(gender="wrong", birthDate="2024-02-30", nonsense=1))

    assert answer.status == 400
    assert {"Patient.gender", "Patient.birthDate"} <= set(answer.paths)
    assert len(answer.codes) >= 3
    assert fhir.get("Patient").json["total"] == 0


def test_a_resource_of_another_type_is_refused(fhir, build):
    answer = fhir.post("Observation", build.patient())
    assert (answer.status, answer.codes) == (400, ["invalid"])


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "required"), (b"{", "structure"), (b"[]", "structure"), (b'{"a":1,"a":2}', "structure")],
)
def test_a_body_that_is_no_json_object_is_refused(fhir, body, code):
    answer = fhir("POST", "Patient", body, Content_Type="application/fhir+json")
    assert (answer.status, answer.codes) == (400, [code])


def test_a_conditional_create_creates_once(fhir, build):
    first = fhir.post("Patient", build.patient(), If_None_Exist=CONDITION)
    second = fhir.post("Patient", build.patient(gender="male"), If_None_Exist=CONDITION)

    assert (first.status, second.status) == (201, 200)
    assert second.headers["ETag"] == 'W/"1"'
    assert second.json == first.json
    assert fhir.get("Patient").json["total"] == 1


def test_a_condition_in_the_url_means_what_it_means_in_if_none_exist(fhir, build):
    first = fhir.post(f"Patient?{CONDITION}", build.patient())
    for second in (
        fhir.post(f"Patient?{CONDITION}", build.patient(gender="male")),
        fhir.post("Patient", build.patient(), If_None_Exist=CONDITION),
    ):
        assert (second.status, second.json) == (200, first.json)
    assert first.status == 201
    assert fhir.get("Patient").json["total"] == 1


@pytest.mark.parametrize(
    ("parameters", "headers", "code"),
    [
        ("unheard=1", {}, "not-supported"),
        ("_count=1", {}, "value"),
        (CONDITION, {"If_None_Exist": CONDITION}, "invalid"),
    ],
)
def test_parameters_of_a_create_are_one_condition_or_refused(fhir, build, parameters, headers, code):
    answer = fhir.post(f"Patient?{parameters}", build.patient(), **headers)

    assert (answer.status, answer.codes) == (400, [code])
    assert fhir.get("Patient").json["total"] == 0


def test_a_condition_with_several_matches_is_refused(fhir, build):
    fhir.post("Patient", build.patient())
    fhir.post("Patient", build.patient())

    answer = fhir.post("Patient", build.patient(), If_None_Exist=CONDITION)

    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert fhir.get("Patient").json["total"] == 2


def test_a_condition_may_match_again_what_was_deleted(fhir, build):
    fhir.post("Patient", build.patient(), If_None_Exist=CONDITION)
    fhir.delete("Patient/new-1")
    assert fhir.post("Patient", build.patient(), If_None_Exist=CONDITION).status == 201


@pytest.mark.parametrize("condition", ["nonsense=1", "_count=1", "identifier=%FF", "birthdate=x"])
def test_a_condition_that_cannot_be_decided_is_refused(fhir, build, condition):
    answer = fhir.post("Patient", build.patient(), If_None_Exist=condition)
    assert answer.status == 400
    assert fhir.get("Patient").json["total"] == 0


def test_a_hidden_match_neither_duplicates_nor_tells_its_id(fhir, as_token, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2", identifier=[{"value": "other"}]))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1", identifier=[{"value": "lab-1"}]))
    own = as_token("patient/*.cruds", patient="p2")

    answer = own.post("Observation", build.observation("Patient/p2"), If_None_Exist="identifier=lab-1")

    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert b"o1" not in answer.body
    assert fhir.get("Observation").json["total"] == 1


@pytest.mark.parametrize(
    "condition", ["patient=p1&code=2160-0", "patient.family=Testfall&code=2160-0", "code=2160-0"]
)
def test_a_condition_asks_nothing_of_what_is_hidden(fhir, as_token, build, condition):
    """Otherwise the answer would tell whether somebody else has such a result."""
    for id in ("p1", "p2"):
        fhir.put(f"Patient/{id}", build.patient(id=id))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    own = as_token("patient/*.cruds", patient="p2")

    answer = own.post("Observation", build.observation("Patient/p2"), If_None_Exist=condition)

    assert answer.status == 201
    assert answer.headers["Location"].endswith("/Observation/new-1/_history/1")


def test_an_identifier_that_is_hidden_tells_nothing_else_of_its_resource(fhir, as_token, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1", identifier=[{"value": "lab-1"}]))
    own = as_token("patient/*.cruds", patient="p2")

    for status in ("final", "preliminary"):
        condition = f"identifier=lab-1&status={status}"
        answer = own.post("Observation", build.observation("Patient/p2"), If_None_Exist=condition)
        assert (answer.status, answer.codes) == (412, ["multiple-matches"])


def test_a_conditional_create_shows_nothing_to_who_may_not_read(fhir, as_token, build):
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1", identifier=[{"value": "lab-1"}]))
    feed = as_token("system/Observation.c")

    answer = feed.post("Observation", build.observation("Patient/p1"), If_None_Exist="identifier=lab-1")

    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert b"o1" not in answer.body


def test_a_patient_token_creates_in_its_own_chart_only(fhir, as_token, build):
    for id in ("p1", "p2"):
        fhir.put(f"Patient/{id}", build.patient(id=id))
    own = as_token("patient/*.cruds", patient="p2")

    assert own.post("Observation", build.observation("Patient/p2")).status == 201
    refused = own.post("Observation", build.observation("Patient/p1"))
    assert (refused.status, refused.codes) == (403, ["forbidden"])
    assert fhir.get("Observation").json["total"] == 1


def test_what_may_not_be_created_is_refused_before_its_content_is_looked_at(as_token):
    answer = as_token("system/Patient.rs").post("Patient", {"resourceType": "Patient", "nonsense": 1})
    assert (answer.status, answer.codes) == (403, ["forbidden"])
