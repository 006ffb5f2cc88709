"""read and vread: hl7.org/fhir/R4/http.html#read, #vread, #cread; spec lines T8, G3."""

from __future__ import annotations

import pytest


@pytest.fixture
def stored(fhir, build):
    return fhir.put("Patient/p1", build.patient(id="p1"))


def test_read_answers_with_the_stored_bytes_and_their_version(fhir, build, stored):
    answer = fhir.get("Patient/p1")

    assert answer.status == 200
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Fri, 17 May 2024 12:00:00 GMT"
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.json == build.patient(id="p1") | {
        "meta": {"versionId": "1", "lastUpdated": "2024-05-17T12:00:00.123Z"}
    }
    assert answer.body == stored.body


def test_decimals_are_served_with_the_digits_they_came_with(fhir):
    body = (
        b'{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.50},"referenceRange":[{"low":{"value":0.10},"high":{"value":1.0E-22}}]}'
    )
    assert fhir.put("Observation/o1", body, Content_Type="application/fhir+json").status == 201

    read = fhir.get("Observation/o1").body

    assert b'"value":1.50}' in read
    assert b'"value":0.10}' in read
    assert b'"value":1.0E-22}' in read


def test_an_unknown_id_is_not_found(fhir):
    answer = fhir.get("Patient/nobody")
    assert (answer.status, answer.codes) == (404, ["not-found"])


def test_an_unknown_type_is_not_found_and_said_to_be_none(fhir):
    answer = fhir.get("Patients/p1")
    assert (answer.status, answer.codes) == (404, ["not-supported"])


def test_a_deleted_resource_is_gone_and_names_the_version_that_deleted_it(fhir, stored):
    fhir.delete("Patient/p1")

    answer = fhir.get("Patient/p1")

    assert (answer.status, answer.codes) == (410, ["deleted"])
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Location"] == "http://127.0.0.1:8000/fhir/Patient/p1/_history/2"


def test_a_client_that_has_the_version_gets_304_without_a_body(fhir, stored):
    for header in ('W/"1"', '"1"', "*", 'W/"7", W/"1"'):
        answer = fhir.get("Patient/p1", If_None_Match=header)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == 'W/"1"'
    assert fhir.get("Patient/p1", If_None_Match='W/"2"').status == 200


def test_if_modified_since_compares_whole_seconds_and_yields_to_if_none_match(fhir, stored):
    at, before = "Fri, 17 May 2024 12:00:00 GMT", "Fri, 17 May 2024 11:59:59 GMT"
    assert fhir.get("Patient/p1", If_Modified_Since=at).status == 304
    assert fhir.get("Patient/p1", If_Modified_Since=before).status == 200
    assert fhir.get("Patient/p1", If_Modified_Since="yesterday").status == 200
    assert fhir.get("Patient/p1", If_Modified_Since=at, If_None_Match='W/"9"').status == 200


def test_vread_answers_with_each_version(fhir, build, stored):
    fhir.put("Patient/p1", build.patient(id="p1", gender="male"))

    first, second = fhir.get("Patient/p1/_history/1"), fhir.get("Patient/p1/_history/2")

    assert (first.json["gender"], first.headers["ETag"]) == ("female", 'W/"1"')
    assert (second.json["gender"], second.headers["ETag"]) == ("male", 'W/"2"')
    assert first.body == stored.body


@pytest.mark.parametrize("version", ["3", "0", "-1", "01", "x", "99999999999999999999", "%C2%B2", "1.0"])
def test_a_version_that_never_was_is_not_found(fhir, stored, version):
    answer = fhir.get(f"Patient/p1/_history/{version}")
    assert (answer.status, answer.codes) == (404, ["not-found"])


def test_the_version_that_deleted_is_gone(fhir, stored):
    fhir.delete("Patient/p1")
    assert fhir.get("Patient/p1/_history/2").status == 410
    assert fhir.get("Patient/p1/_history/1").status == 200


def test_elements_returns_the_named_and_the_mandatory_elements_tagged_subsetted(fhir, build):
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))

    part = fhir.get("Observation/o1?_elements=value").json

    assert set(part) == {"resourceType", "id", "meta", "status", "code", "valueQuantity"}
    assert part["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert str(part["valueQuantity"]["value"]) == "1.50"


def test_summary_text_and_data_split_the_narrative_from_the_rest(fhir, build):
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1", text=text))

    assert set(fhir.get("Observation/o1?_summary=text").json) == {
        "resourceType",
        "id",
        "meta",
        "text",
        "status",
        "code",
    }
    data = fhir.get("Observation/o1?_summary=data").json
    assert "text" not in data
    assert "valueQuantity" in data


def test_a_read_takes_no_other_parameters(fhir, stored):
    answer = fhir.get("Patient/p1?_element=name")
    assert (answer.status, answer.codes) == (400, ["not-supported"])


@pytest.mark.requirement("T8")
def test_without_a_token_nothing_is_read(anonymous, stored):
    answer = anonymous.get("Patient/p1")
    assert (answer.status, answer.codes) == (401, ["login"])
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_patient_outside_the_token_is_as_if_absent(fhir, as_token, build, stored):
    fhir.put("Patient/p2", build.patient(id="p2"))
    own = as_token("patient/Patient.rs", patient="p2")

    assert own.get("Patient/p2").status == 200
    for path in ("Patient/p1", "Patient/p1/_history/1", "Patient/p1/_history"):
        hidden = own.get(path)
        assert (hidden.status, hidden.codes) == (404, ["not-found"])
    assert hidden.text == fhir.get("Patient/nobody").text


def test_a_type_outside_the_scopes_is_forbidden(as_token, stored):
    answer = as_token("system/Observation.rs").get("Patient/p1")
    assert (answer.status, answer.codes) == (403, ["forbidden"])
