"""$validate: nothing is stored, and nothing unchecked passes.

Source: hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

import pytest

PROFILES = "http://hl7.org/fhir/StructureDefinition/"


def issues(answer):
    assert answer.status == 200, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    return [(issue["severity"], issue["code"]) for issue in answer.json["issue"]]


OK = [("information", "informational")]


def wrapped(resource=None, **more):
    rows = [{"name": "resource", "resource": resource}] if resource is not None else []
    rows += [{"name": name, "valueCode": value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": rows}


def test_a_valid_resource_is_all_ok_and_not_stored(fhir, build):
    assert issues(fhir.post("Patient/$validate", build.patient())) == OK
    assert issues(fhir.post("Patient/$validate", wrapped(build.patient()))) == OK
    assert issues(fhir.post("Patient/$validate", wrapped(build.patient(), mode="create"))) == OK
    assert fhir.get("Patient?_summary=count").json["total"] == 0


def test_every_fault_is_said_with_its_path(fhir, build):
    answer = fhir.post("Patient/$validate", build.patient(gender="x", birthDate="soon"))
    assert {severity for severity, _ in issues(answer)} == {"error"}
    assert {"Patient.gender", "Patient.birthDate"} <= set(answer.paths)


@pytest.mark.parametrize(
    "resource", [{"resourceType": "Patient", "nonsense": 1}, {"resourceType": "Nothing"}, {}]
)
def test_what_cannot_be_stored_can_be_asked_about(fhir, resource):
    answer = fhir.post("Patient/$validate", wrapped(resource))
    assert "error" in {severity for severity, _ in issues(answer)}


def test_another_type_than_the_urls_is_a_fault(fhir, build):
    answer = fhir.post("Observation/$validate", build.patient())
    assert issues(answer) == [("error", "invalid")]
    assert answer.paths == ["resourceType"]


def test_without_a_resource_the_stored_one_is_checked(fhir, build, as_token):
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert issues(fhir.get("Patient/p1/$validate")) == OK
    assert fhir.get("Patient/p2/$validate").status == 404
    assert as_token("patient/*.rs", patient="p2").get("Patient/p1/$validate").status == 404
    answer = fhir.post("Patient/$validate", wrapped())
    place = "Parameters.parameter.where(name = 'resource')"
    assert (answer.status, answer.codes, answer.paths) == (400, ["required"], [place])


@pytest.mark.parametrize("mode", ["update", "delete", "profile"])
def test_modes_of_one_resource_are_refused_at_the_type(fhir, build, mode):
    for path, body, place in (
        ("Patient/$validate", wrapped(build.patient(), mode=mode), "Parameters.parameter.where(name = 'mode')"),
        (f"Patient/$validate?mode={mode}", build.patient(), "http.mode"),
    ):
        answer = fhir.post(path, body)
        assert (answer.status, answer.codes, answer.paths) == (400, ["value"], [place])


def test_an_unknown_mode_is_refused(fhir, build):
    assert fhir.post("Patient/$validate?mode=perhaps", build.patient()).status == 400


def test_a_profile_that_cannot_be_checked_never_passes(fhir, build):
    asked = fhir.post("Patient/$validate?profile=http://example.org/p", build.patient())
    assert issues(asked) == [("error", "not-supported")]
    assert asked.paths == ["http.profile"]
    claimed = fhir.post("Patient/$validate", build.patient(meta={"profile": ["http://example.org/p"]}))
    assert issues(claimed) == [("warning", "not-supported"), *OK]
    assert claimed.paths == ["Patient.meta.profile[0]"]


def test_the_profile_that_is_the_base_definition_is_checked(fhir, build):
    assert issues(fhir.post(f"Patient/$validate?profile={PROFILES}Patient", build.patient())) == OK
    other = fhir.post(f"Patient/$validate?profile={PROFILES}Observation", build.patient())
    assert issues(other) == [("error", "not-supported")]


def test_limits_are_said(fhir, build):
    many = [{"system": "urn:example", "value": str(number)} for number in range(12_000)]
    answer = fhir.post("Patient/$validate", build.patient(identifier=many))
    assert ("error", "too-costly") in issues(answer)


def test_it_needs_a_token_but_no_permission_to_write(as_token, anonymous, build):
    reader = as_token("patient/Observation.r", patient="p1")
    assert issues(reader.post("Patient/$validate", build.patient())) == OK
    assert anonymous.post("Patient/$validate", build.patient()).status == 401


def test_create_says_whether_the_token_may(as_token, build):
    reader = as_token("patient/*.rs", patient="p1")
    asked = wrapped(build.observation("Patient/p1"), mode="create")
    assert issues(reader.post("Observation/$validate", asked)) == [("error", "forbidden")]
    writer = as_token("patient/*.cruds", patient="p1")
    assert issues(writer.post("Observation/$validate", asked)) == OK
    other = wrapped(build.observation("Patient/p2"), mode="create")
    assert issues(writer.post("Observation/$validate", other)) == [("error", "forbidden")]


def test_update_checks_id_version_and_permission(fhir, build, as_token):
    fhir.put("Patient/p1", build.patient(id="p1"))
    body = wrapped(build.patient(id="p1", gender="male"), mode="update")
    assert issues(fhir.post("Patient/p1/$validate", body)) == OK
    assert issues(fhir.post("Patient/p1/$validate", body, If_Match='W/"2"')) == [("error", "conflict")]
    wrong = wrapped(build.patient(id="p2"), mode="update")
    assert issues(fhir.post("Patient/p1/$validate", wrong)) == [("error", "invalid")]
    reader = as_token("system/*.rs")
    assert issues(reader.post("Patient/p1/$validate", body)) == [("error", "forbidden")]
    assert fhir.get("Patient/p1").headers["ETag"] == 'W/"1"'


def test_update_is_held_to_lifecycles(fhir):
    goal = {
        "resourceType": "Goal",
        "id": "g1",
        "lifecycleStatus": "completed",
        "description": {"text": "walk"},
        "subject": {"reference": "Patient/p1"},
    }
    assert fhir.put("Goal/g1", goal).status == 201
    body = wrapped(goal | {"lifecycleStatus": "proposed"}, mode="update")
    assert issues(fhir.post("Goal/g1/$validate", body))[0] == ("error", "business-rule")


def test_delete_asks_whether_it_could_be_deleted(fhir, build, as_token):
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert issues(fhir.get("Patient/p1/$validate?mode=delete")) == OK
    assert issues(as_token("system/*.rs").get("Patient/p1/$validate?mode=delete")) == [("error", "forbidden")]
    hidden = as_token("patient/*.cruds", patient="p2").get("Patient/p1/$validate?mode=delete")
    absent = fhir.get("Patient/nobody/$validate?mode=delete")
    assert issues(hidden) == issues(absent)
    assert fhir.get("Patient/p1").status == 200
