"""Preconditions of a write: whoever changes a plan, goal, task, list or episode says which version it replaces.

Covers: hl7.org/fhir/R4/http.html#concurrency, RFC 9110 section 13.1, RFC 6585 section 3 (428), and what is told
of the version in force: its number and which elements changed, never what they say.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.policy.if_match_required import if_match_required

PATIENT = {"reference": "Patient/p1"}
GUARDED: dict[str, dict[str, Any]] = {
    "CarePlan": {"status": "active", "intent": "plan", "subject": PATIENT},
    "Goal": {"lifecycleStatus": "active", "description": {"text": "Walk"}, "subject": PATIENT},
    "Task": {"status": "requested", "intent": "order", "for": PATIENT},
    "List": {"status": "current", "mode": "working", "subject": PATIENT},
    "EpisodeOfCare": {"status": "active", "patient": PATIENT},
}
TASK = {"resourceType": "Task", "id": "t1"} | GUARDED["Task"]


@pytest.fixture(params=sorted(GUARDED))
def guarded(request: pytest.FixtureRequest) -> dict[str, Any]:
    """An existing kind of resource that several people work on."""
    return {"resourceType": request.param, "id": "x1"} | GUARDED[request.param]


def changed(resource: dict[str, Any]) -> dict[str, Any]:
    return resource | {"language": "en"}


def test_the_types_are_those_that_people_work_on_together(fhir):
    assert if_match_required() == set(GUARDED)
    rows = {row["type"]: row for row in fhir.get("metadata").json["rest"][0]["resource"]}
    assert {name for name, row in rows.items() if row["versioning"] == "versioned-update"} == set(GUARDED)


def test_an_update_without_if_match_is_refused_and_told_the_version(fhir, guarded):
    path = f"{guarded['resourceType']}/x1"
    assert fhir.put(path, guarded).status == 201  # as it creates

    for headers in ({}, {"If_Match": "*"}, {"If_None_Match": 'W/"7"'}):
        answer = fhir.put(path, changed(guarded), **headers)
        assert (answer.status, answer.codes) == (428, ["required"])
        assert "If-Match" in answer.text
        assert answer.headers["ETag"] == 'W/"1"'
    assert fhir.put(path, guarded).status == 428  # also where nothing would change
    assert fhir.get(path).headers["ETag"] == 'W/"1"'
    assert fhir.put(path, changed(guarded), If_Match='W/"1"').status == 200


def test_a_delete_without_if_match_is_refused_and_told_the_version(fhir, guarded):
    path = f"{guarded['resourceType']}/x1"
    fhir.put(path, guarded)

    answer = fhir.delete(path)

    assert (answer.status, answer.codes, answer.headers["ETag"]) == (428, ["required"], 'W/"1"')
    assert fhir.get(path).status == 200
    assert fhir.delete(path, If_Match='W/"1"').status == 204


def test_what_is_not_there_needs_no_if_match(fhir, guarded):
    path = f"{guarded['resourceType']}/x1"
    assert fhir.delete(path).status == 204
    fhir.put(path, guarded)
    fhir.delete(path, If_Match='W/"1"')
    assert fhir.delete(path).status == 204  # deleted already
    assert fhir.put(path, guarded).status == 201  # over a deletion


def test_other_types_are_written_without(fhir, build):
    for gender in ("female", "male"):
        assert fhir.put("Patient/p1", build.patient(id="p1", gender=gender)).status in (200, 201)
    assert fhir.delete("Patient/p1").status == 204


def test_entries_of_a_bundle_name_their_version_too(fhir, build):
    fhir.put("Task/t1", TASK)
    blind = build.entry("PUT", "Task/t1", changed(TASK))

    answer = fhir.post("", build.bundle("transaction", blind))

    assert (answer.status, answer.codes, answer.paths) == (428, ["required"], ["Bundle.entry[0]"])
    assert "request.ifMatch" in answer.text
    (row,) = fhir.post("", build.bundle("batch", blind)).json["entry"]
    assert (row["response"]["status"][:3], row["response"]["etag"]) == ("428", 'W/"1"')
    (row,) = fhir.post("", build.bundle("batch", build.entry("DELETE", "Task/t1"))).json["entry"]
    assert row["response"]["status"].startswith("428")
    knowing = build.entry("PUT", "Task/t1", changed(TASK), ifMatch='W/"1"')
    assert fhir.post("", build.bundle("transaction", knowing)).status == 200
    assert fhir.get("Task/t1").headers["ETag"] == 'W/"2"'


def test_a_hidden_resource_is_neither_named_nor_told_of(fhir, as_token):
    fhir.put("Task/t1", TASK)
    stranger = as_token("patient/*.cruds", patient="p2")
    theirs = TASK | {"for": {"reference": "Patient/p2"}}

    answers = [stranger.put("Task/t1", theirs), stranger.delete("Task/t1"), stranger.delete("Task/none")]

    assert [answer.status for answer in answers] == [403, 204, 204]
    assert not any("ETag" in answer.headers for answer in answers)
    for path in ("Task/t1", "Task/none"):
        answer = stranger.put(path, theirs | {"id": path[5:]}, If_Match='W/"1"')
        assert (answer.status, answer.headers.get("ETag")) == (412, None)
        assert answer.text == "If-Match names a version, but there is no current one"


def test_an_old_if_match_is_told_which_elements_changed_and_not_how(fhir):
    fhir.put("Task/t1", TASK | {"description": "Zebedee"})
    second = TASK | {"description": "Florence", "owner": {"reference": "Practitioner/dougal"}}
    fhir.put("Task/t1", second, If_Match='W/"1"')
    fhir.put("Task/t1", second | {"note": [{"text": "Dylan"}]}, If_Match='W/"2"')

    answer = fhir.put("Task/t1", changed(TASK), If_Match='W/"1"')

    assert (answer.status, answer.codes, answer.headers["ETag"]) == (412, ["conflict"], 'W/"3"')
    assert 'W/"3"' in answer.text
    assert "changed since then: Task.description, Task.owner, Task.note" in answer.text
    assert not any(value in answer.text for value in ("Zebedee", "Florence", "dougal", "Dylan"))
    assert "changed since then: Task.note" in fhir.delete("Task/t1", If_Match='W/"2"').text


def test_a_version_that_came_back_to_what_it_was_says_so(fhir):
    fhir.put("Task/t1", TASK)
    fhir.put("Task/t1", changed(TASK), If_Match='W/"1"')
    fhir.put("Task/t1", TASK, If_Match='W/"2"')
    assert "changed since then: nothing" in fhir.put("Task/t1", changed(TASK), If_Match='W/"1"').text


@pytest.mark.parametrize("known", ['W/"9"', 'W/"0"', 'W/"x"', 'W/"1234567890123456789012"', 'W/"²"', 'W/"-1"'])
def test_a_version_that_never_was_is_compared_with_nothing(fhir, known):
    fhir.put("Task/t1", TASK)
    answer = fhir.put("Task/t1", changed(TASK), If_Match=known)
    assert answer.status in (400, 412)
    assert "changed" not in answer.text


def test_a_deletion_is_compared_with_nothing(fhir):
    fhir.put("Task/t1", TASK)
    fhir.delete("Task/t1", If_Match='W/"1"')
    fhir.put("Task/t1", TASK)
    answer = fhir.put("Task/t1", changed(TASK), If_Match='W/"2"')
    assert (answer.status, answer.headers["ETag"]) == (412, 'W/"3"')
    assert "changed" not in answer.text


def test_a_version_from_another_chart_is_compared_with_nothing(fhir, as_token):
    """The Task came into this patient's chart with its second version: the first is none of its business."""
    fhir.put("Task/t1", TASK | {"for": {"reference": "Patient/p2"}, "description": "about p2"})
    fhir.put("Task/t1", TASK, If_Match='W/"1"')
    own = as_token("patient/*.cruds", patient="p1")

    answer = own.put("Task/t1", changed(TASK), If_Match='W/"1"')

    assert (answer.status, answer.headers["ETag"]) == (412, 'W/"2"')
    assert "changed" not in answer.text


def test_if_none_match_any_still_creates_and_overwrites_nobody(fhir):
    assert fhir.put("Task/t1", TASK, If_None_Match="*").status == 201
    answer = fhir.put("Task/t1", changed(TASK), If_None_Match="*")
    assert (answer.status, answer.headers["ETag"]) == (412, 'W/"1"')
    assert fhir.delete("Task/t1", If_None_Match="*").status == 412


def test_a_patch_without_if_match_is_refused_and_an_old_one_is_told_what_changed(fhir, guarded):
    path = f"{guarded['resourceType']}/x1"
    operations = b'[{"op":"add","path":"/language","value":"en"}]'
    json_patch = {"Content_Type": "application/json-patch+json"}
    fhir.put(path, guarded)

    answer = fhir("PATCH", path, operations, **json_patch)

    assert (answer.status, answer.codes, answer.headers["ETag"]) == (428, ["required"], 'W/"1"')
    assert fhir("PATCH", path, operations, If_Match='W/"1"', **json_patch).status == 200
    late = fhir("PATCH", path, operations, If_Match='W/"1"', **json_patch)
    assert late.status == 412
    assert f"changed since then: {guarded['resourceType']}.language" in late.text


def test_what_finds_its_resource_by_criteria_needs_no_if_match_and_honours_one(fhir):
    marked = TASK | {"identifier": [{"system": "urn:example:task", "value": "1"}]}
    fhir.put("Task/t1", marked)
    condition = "Task?identifier=urn:example:task|1"
    assert fhir.put(condition, changed(marked)).headers["ETag"] == 'W/"2"'
    assert fhir.put(condition, marked, If_Match='W/"1"').status == 412
    assert fhir.delete(condition, If_Match='W/"1"').status == 412
    assert fhir.delete(condition).status == 204
    assert fhir.get("Task/t1").status == 410


@pytest.mark.parametrize("query", ["_id=t1", "status=requested", "_pretty=true", "x"])
def test_a_resource_that_is_named_is_not_called_found_by_a_query_beside_it(fhir, query):
    fhir.put("Task/t1", TASK)
    assert fhir.put(f"Task/t1?{query}", changed(TASK)).status in (400, 428)
    assert fhir.delete(f"Task/t1?{query}").status in (400, 428)
    assert fhir.get("Task/t1").headers["ETag"] == 'W/"1"'
