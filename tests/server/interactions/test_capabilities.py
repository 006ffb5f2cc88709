"""The CapabilityStatement and whether it tells the truth: hl7.org/fhir/R4/capabilitystatement.html; C1, C5."""

from __future__ import annotations

import itertools

import pytest

from server.fhir.validation import validate


@pytest.fixture
def statement(anonymous):
    answer = anonymous.get("metadata")
    assert answer.status == 200
    return answer.json


@pytest.fixture
def rest(statement):
    return statement["rest"][0]


@pytest.mark.requirement("C1")
def test_it_is_open_valid_and_of_r4(statement):
    assert [issue for issue in validate(statement) if issue.severity == "error"] == []
    assert statement["fhirVersion"] == "4.0.1"
    assert {"json", "application/json", "application/fhir+json"} <= set(statement["format"])
    assert statement["implementation"]["url"] == "http://127.0.0.1:8000/fhir"
    assert statement["kind"] == "instance"


@pytest.mark.requirement("C5")
def test_security_names_smart_and_its_endpoints(rest):
    assert rest["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    (extension,) = rest["security"]["extension"]
    assert extension["url"] == "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    uris = {part["url"]: part["valueUri"] for part in extension["extension"]}
    assert uris["token"] == "http://127.0.0.1:8000/oauth2/token"
    assert uris["authorize"] == "http://127.0.0.1:8000/oauth2/authorize"


@pytest.mark.requirement("C5")
def test_the_endpoints_it_names_exist(app, rest):
    (extension,) = rest["security"]["extension"]
    for part in extension["extension"]:
        path = part["valueUri"].removeprefix("http://127.0.0.1:8000")
        answers = [
            app.test_client().open(path, method=method, base_url="http://127.0.0.1:8000").status_code
            for method in ("GET", "POST")
        ]
        assert 404 not in answers, path


def test_all_types_of_r4_are_served(rest):
    assert len(rest["resource"]) == 146


@pytest.mark.requirement("C5")
def test_every_claimed_interaction_of_a_type_works(fhir, build, rest):
    claimed = {
        row["code"] for row in next(r for r in rest["resource"] if r["type"] == "Patient")["interaction"]
    }
    performed = {
        "update": fhir.put("Patient/p1", build.patient(id="p1")),
        "create": fhir.post("Patient", build.patient()),
        "read": fhir.get("Patient/p1"),
        "vread": fhir.get("Patient/p1/_history/1"),
        "history-instance": fhir.get("Patient/p1/_history"),
        "history-type": fhir.get("Patient/_history"),
        "search-type": fhir.get("Patient"),
        "patch": fhir("PATCH", "Patient/p1", b"[]", Content_Type="application/json-patch+json"),
        "delete": fhir.delete("Patient/p1"),
    }
    assert claimed == set(performed)
    assert all(answer.status < 300 for answer in performed.values())


@pytest.mark.requirement("C5")
def test_every_claimed_interaction_of_the_system_works(fhir, build, rest):
    claimed = {row["code"] for row in rest["interaction"]}
    performed = {
        "transaction": fhir.post("", build.bundle("transaction")),
        "batch": fhir.post("", build.bundle("batch")),
        "history-system": fhir.get("_history"),
        "search-system": fhir.get(""),
    }
    assert claimed == set(performed)
    assert all(answer.status == 200 for answer in performed.values())


@pytest.mark.requirement("C5")
def test_what_it_says_of_versions_and_conditions_is_so(fhir, build, rest):
    patient = next(r for r in rest["resource"] if r["type"] == "Patient")
    condition = "identifier=urn:example:mrn|A-1"

    assert patient["versioning"] == "versioned"
    assert fhir.put("Patient/p1", build.patient(id="p1")).status == 201
    assert patient["updateCreate"] is True
    assert patient["conditionalCreate"] is True
    assert fhir.post("Patient", build.patient(), If_None_Exist=condition).status == 200
    assert patient["conditionalRead"] == "full-support"
    assert fhir.get("Patient/p1", If_None_Match='W/"1"').status == 304
    assert patient["conditionalUpdate"] is True
    assert fhir.put(f"Patient?{condition}", build.patient(gender="male")).headers["ETag"] == 'W/"2"'
    assert patient["conditionalDelete"] == "single"
    assert fhir.delete(f"Patient?{condition}").headers["ETag"] == 'W/"3"'
    assert patient["readHistory"] is True


@pytest.mark.requirement("C5")
def test_patches_are_taken_in_the_formats_it_names(fhir, build, statement):
    fhir.put("Patient/p1", build.patient(id="p1"))
    bodies = {
        "application/json-patch+json": b"[]",
        "application/merge-patch+json": b"{}",
        "application/fhir+json": b'{"resourceType":"Parameters"}',
    }
    assert set(statement["patchFormat"]) == set(bodies)
    for content_type, body in bodies.items():
        assert fhir("PATCH", "Patient/p1", body, Content_Type=content_type).status == 200


_SAMPLE = {
    "date": "2024",
    "number": "1",
    "quantity": "1",
    "token": "x",
    "string": "x",
    "reference": "x",
    "uri": "urn:x",
}


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "Task", "MedicationRequest", "Encounter"])
def test_every_claimed_search_parameter_and_include_is_answered(fhir, rest, resource_type):
    resource = next(r for r in rest["resource"] if r["type"] == resource_type)
    for parameter in resource["searchParam"]:
        if parameter["type"] in _SAMPLE:
            answer = fhir.get(f"{resource_type}?{parameter['name']}={_SAMPLE[parameter['type']]}")
            # Boolean tokens do not take "x", but their parameter is known.
            assert answer.status == 200 or answer.codes == ["value"], (parameter, answer.body)
    for path in resource["searchInclude"]:
        assert fhir.get(f"{resource_type}?_include={path}").status == 200, path
    for path in itertools.islice(resource["searchRevInclude"], 0, None, 10):
        assert fhir.get(f"{resource_type}?_revinclude={path}").status == 200, path


def test_the_limits_are_published(rest):
    (limits,) = [extension for extension in rest["extension"] if extension["url"] == "urn:baton:limits"]
    published = {part["url"]: part["valueInteger"] for part in limits["extension"]}
    assert published["body-bytes"] == 5_000_000
    assert published["bundle-entries"] == 5_000
    assert published["count-maximum"] == 1_000


def test_the_published_limits_are_those_that_are_kept(fhir, build, rest):
    (limits,) = [extension for extension in rest["extension"] if extension["url"] == "urn:baton:limits"]
    published = {part["url"]: part["valueInteger"] for part in limits["extension"]}

    entries = [build.entry("GET", "x")] * (published["bundle-entries"] + 1)
    refused = fhir.post("", build.bundle("batch", *entries))
    assert (refused.status, refused.codes) == (413, ["too-long"])
    deep: dict = {"resourceType": "Patient", "extension": []}
    level = deep
    for _ in range(published["nesting"]):
        level["extension"] = [{"url": "urn:x", "extension": []}]
        level = level["extension"][0]
    assert fhir.post("Patient", deep).status == 400


def test_what_it_says_is_sortable_sorts_and_nothing_else(fhir, rest):
    patient = next(row for row in rest["resource"] if row["type"] == "Patient")
    sortable = {one["valueCode"] for one in patient["extension"] if one["url"] == "urn:baton:sortable"}
    assert {"_id", "_lastUpdated", "family", "birthdate"} <= sortable
    for parameter in patient["searchParam"]:
        expected = 200 if parameter["name"] in sortable else 400
        assert fhir.get(f"Patient?_sort={parameter['name']}").status == expected, parameter


def test_the_compartments_it_names_can_be_searched(fhir, rest):
    names = [url.rpartition("/")[2].capitalize() for url in rest["compartment"]]
    assert sorted(names) == ["Device", "Encounter", "Patient", "Practitioner", "Relatedperson"]
    for name in names:
        name = name.replace("person", "Person")
        assert fhir.get(f"{name}/x/*").status == 200
