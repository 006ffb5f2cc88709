"""$meta, $meta-add, $meta-delete: hl7.org/fhir/R4/resource-operation-meta.html and its neighbours."""

from __future__ import annotations

import pytest

TAG = {"system": "urn:example:tags", "code": "seen"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PROFILE = "http://example.org/StructureDefinition/one"


@pytest.fixture
def patient(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1", meta={"tag": [TAG | {"display": "Seen"}]}))


def given(**meta):
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def returned(answer):
    assert answer.status == 200, answer.body
    (row,) = answer.json["parameter"]
    assert row["name"] == "return"
    return row["valueMeta"]


def test_meta_shows_the_meta_of_the_current_and_of_an_earlier_version(fhir, patient, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert returned(fhir.get("Patient/p1/$meta"))["versionId"] == "2"
    old = returned(fhir.get("Patient/p1/_history/1/$meta"))
    assert (old["versionId"], old["tag"]) == ("1", [TAG | {"display": "Seen"}])


def test_adding_makes_a_version_and_no_duplicates(fhir, patient):
    answer = fhir.post("Patient/p1/$meta-add", given(tag=[TAG], security=[LABEL, LABEL], profile=[PROFILE]))
    meta = returned(answer)
    assert (meta["tag"], meta["security"], meta["profile"]) == ([TAG | {"display": "Seen"}], [LABEL], [PROFILE])
    assert (meta["versionId"], answer.headers["ETag"]) == ("2", 'W/"2"')
    assert fhir.get("Patient/p1").json["meta"] == meta
    assert fhir.get(f"Patient?_tag={TAG['code']}&_security={LABEL['code']}").json["total"] == 1
    assert fhir.get("Patient/p1").json["name"][0]["family"] == "Testfall"


def test_adding_what_is_there_makes_no_version(fhir, patient):
    assert returned(fhir.post("Patient/p1/$meta-add", given(tag=[TAG])))["versionId"] == "1"


def test_deleting_takes_away_and_leaves_the_rest(fhir, patient):
    fhir.post("Patient/p1/$meta-add", given(security=[LABEL], profile=[PROFILE]))
    meta = returned(fhir.post("Patient/p1/$meta-delete", given(tag=[TAG], profile=[PROFILE])))
    assert ("tag" in meta, "profile" in meta, meta["security"]) == (False, False, [LABEL])
    assert returned(fhir.post("Patient/p1/$meta-delete", given(tag=[TAG])))["versionId"] == "3"


def test_the_version_and_time_of_a_given_meta_are_left_aside(fhir, patient):
    meta = returned(fhir.post("Patient/p1/$meta-add", given(versionId="9", lastUpdated="2001-01-01T00:00:00Z")))
    assert meta["versionId"] == "1"


@pytest.mark.parametrize("meta", [{"tag": "x"}, {"tag": ["x"]}, {"profile": [1]}, {"tag": [{"code": 1}]}])
def test_what_is_no_meta_is_refused(fhir, patient, meta):
    answer = fhir.post("Patient/p1/$meta-add", given(**meta))
    assert answer.status == 400
    assert answer.paths
    assert fhir.get("Patient/p1").headers["ETag"] == 'W/"1"'


def test_if_match_is_kept(fhir, patient):
    refused = fhir.post("Patient/p1/$meta-add", given(security=[LABEL]), If_Match='W/"7"')
    assert (refused.status, refused.codes) == (412, ["conflict"])
    assert fhir.post("Patient/p1/$meta-add", given(security=[LABEL]), If_Match='W/"1"').status == 200


def test_it_needs_the_permissions_of_a_read_and_of_an_update(as_token, patient):
    reader = as_token("system/*.rs")
    assert reader.get("Patient/p1/$meta").status == 200
    assert reader.post("Patient/p1/$meta-add", given(tag=[TAG])).status == 403
    assert as_token("system/*.u").post("Patient/p1/$meta-add", given(tag=[TAG])).status == 403
    assert as_token("system/Observation.cruds").get("Patient/p1/$meta").status == 403


def test_what_is_hidden_is_absent(as_token, patient, fhir):
    stranger = as_token("patient/*.cruds", patient="p2")
    for answer in (
        stranger.get("Patient/p1/$meta"),
        stranger.get("Patient/p1/_history/1/$meta"),
        stranger.post("Patient/p1/$meta-add", given(security=[LABEL])),
        stranger.post("Patient/p1/$meta-delete", given(tag=[TAG])),
    ):
        assert (answer.status, answer.codes) == (404, ["not-found"])
    assert fhir.get("Patient/p1").headers["ETag"] == 'W/"1"'


def test_a_tag_cannot_be_taken_off_by_whom_it_alone_shows_the_resource(as_token, fhir, patient):
    """A token that sees only what is tagged may not write it out of its own sight."""
    granular = as_token(f"system/Patient.rus?_tag={TAG['system']}|{TAG['code']}")
    assert granular.post("Patient/p1/$meta-add", given(profile=[PROFILE])).status == 200
    answer = granular.post("Patient/p1/$meta-delete", given(tag=[TAG]))
    assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert fhir.get("Patient/p1").json["meta"]["tag"]


def test_deleted_is_said(fhir, patient):
    fhir.delete("Patient/p1")
    assert fhir.get("Patient/p1/$meta").status == 410
    assert fhir.post("Patient/p1/$meta-add", given(tag=[TAG])).status == 410
