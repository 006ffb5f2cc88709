"""Conditional update: hl7.org/fhir/R4/http.html#cond-update. Covers server/interactions/conditional.py."""

from __future__ import annotations

import pytest

MRN = "identifier=urn:example:mrn|A-1"


def other(build, **more):
    return build.patient(identifier=[{"system": "urn:example:mrn", "value": "B-2"}], **more)


def test_nothing_matches_and_no_id_is_given_a_new_id_is_made(fhir, build):
    answer = fhir.put(f"Patient?{MRN}", build.patient())
    assert (answer.status, answer.json["id"], answer.headers["ETag"]) == (201, "new-1", 'W/"1"')
    assert answer.headers["Location"].endswith("/Patient/new-1/_history/1")
    assert fhir.get("Patient/new-1").body == answer.body
    assert fhir.get(f"Patient?{MRN}").json["total"] == 1


def test_nothing_matches_and_a_free_id_is_given_it_is_created_there(fhir, build):
    answer = fhir.put(f"Patient?{MRN}", build.patient(id="mine"))
    assert (answer.status, answer.json["id"]) == (201, "mine")


def test_nothing_matches_and_the_id_was_deleted_it_is_created_again(fhir, build):
    fhir.put("Patient/mine", build.patient(id="mine"))
    fhir.delete("Patient/mine")
    answer = fhir.put(f"Patient?{MRN}", build.patient(id="mine"))
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"3"')


def test_nothing_matches_and_the_id_is_taken_409(fhir, build):
    fhir.put("Patient/mine", other(build, id="mine"))
    answer = fhir.put(f"Patient?{MRN}", build.patient(id="mine"))
    assert (answer.status, answer.codes, answer.paths) == (409, ["conflict"], ["Patient.id"])
    assert fhir.get("Patient/mine").headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("id", [{}, {"id": "p1"}])
def test_one_matches_and_is_updated(fhir, build, id):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", other(build, id="p2"))
    answer = fhir.put(f"Patient?{MRN}", build.patient(gender="male", **id))
    assert (answer.status, answer.json["id"], answer.json["gender"]) == (200, "p1", "male")
    assert answer.headers["ETag"] == 'W/"2"'
    assert fhir.get("Patient?gender=male").json["total"] == 1


def test_one_matches_and_says_the_same_already(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    answer = fhir.put(f"Patient?{MRN}", build.patient())
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')


def test_one_matches_and_the_body_has_another_id_400(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    answer = fhir.put(f"Patient?{MRN}", build.patient(id="p2"))
    assert (answer.status, answer.codes, answer.paths) == (400, ["invalid"], ["Patient.id"])


def test_several_match_412(fhir, build):
    for id in ("p1", "p2"):
        fhir.put(f"Patient/{id}", build.patient(id=id))
    answer = fhir.put(f"Patient?{MRN}", build.patient(gender="male"))
    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert fhir.get("Patient?gender=male").json["total"] == 0


def test_if_match_and_if_none_match_hold_for_the_match(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    changed = build.patient(gender="male")
    assert fhir.put(f"Patient?{MRN}", changed, If_Match='W/"2"').status == 412
    assert fhir.put(f"Patient?{MRN}", changed, If_None_Match="*").status == 412
    assert fhir.put(f"Patient?{MRN}", changed, If_Match='W/"1"').status == 200
    assert fhir.put("Patient?identifier=urn:example:mrn|none", other(build), If_None_Match="*").status == 201


@pytest.mark.parametrize(
    "query", ["", "?", "?_count=1", "?nonsense=1", "?identifier:nonsense=x", "?birthdate=x"]
)
def test_a_condition_that_selects_nothing_is_refused(fhir, build, query):
    answer = fhir.put(f"Patient{query}", build.patient())
    assert answer.status == 400
    assert fhir.get("Patient").json["total"] == 0


def test_a_condition_and_an_id_in_the_url_do_not_go_together(fhir, build):
    answer = fhir.put(f"Patient/p1?{MRN}", build.patient(id="p1"))
    assert (answer.status, answer.codes) == (400, ["not-supported"])


def test_the_body_is_judged_before_the_condition(fhir, build):
    answer = fhir.put(f"Patient?{MRN}", build.patient(gender="wrong"))
    assert (answer.status, answer.paths) == (400, ["Patient.gender"])
    assert fhir.put(f"Observation?{MRN}", build.patient()).status == 400


def test_general_parameters_are_no_part_of_the_condition(fhir, build):
    assert fhir.put(f"Patient?{MRN}&_format=json&_pretty=true", build.patient()).status == 201
    assert fhir.put(f"Patient?_format=json&{MRN}", build.patient(gender="male")).status == 200


def test_a_condition_of_several_parameters_is_one_whatever_their_order(fhir, build):
    assert fhir.put(f"Patient?{MRN}&birthdate=1950-03-02", build.patient()).status == 201
    assert fhir.put(f"Patient?birthdate=1950-03-02&{MRN}", build.patient(gender="male")).status == 200


class TestAccess:
    def test_it_needs_the_permissions_to_update_and_to_search(self, as_token, build):
        for scope in ("system/Patient.cru", "system/Patient.crds", "patient/Patient.cruds"):
            answer = as_token(scope).put(f"Patient?{MRN}", build.patient())
            assert (answer.status, answer.codes) == (403, ["forbidden"])

    def test_creating_needs_the_permission_to_create(self, fhir, as_token, build):
        assert as_token("system/Patient.us").put(f"Patient?{MRN}", build.patient()).status == 403
        assert fhir.get("Patient").json["total"] == 0

    def test_a_hidden_resource_is_no_match_and_its_identifier_is_not_given_twice(self, fhir, as_token, build):
        theirs = build.observation("Patient/p1", id="o1", identifier=[{"system": "urn:x", "value": "1"}])
        fhir.put("Observation/o1", theirs)
        own = as_token("patient/*.cruds", patient="p2")
        mine = build.observation("Patient/p2", identifier=[{"system": "urn:x", "value": "1"}])

        by_identifier = own.put("Observation?identifier=urn:x|1", mine)
        assert (by_identifier.status, by_identifier.codes) == (412, ["multiple-matches"])
        assert b"o1" not in by_identifier.body
        assert own.put("Observation?code=2160-0", mine).status == 201
        assert fhir.get("Observation/o1/_history").json["total"] == 1

    def test_a_hidden_id_is_neither_overwritten_nor_explained(self, fhir, as_token, build):
        fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
        own = as_token("patient/*.cruds", patient="p2")
        answer = own.put("Observation?code=none", build.observation("Patient/p2", id="o1"))
        assert (answer.status, answer.codes) == (403, ["forbidden"])
        assert fhir.get("Observation/o1").json["subject"] == {"reference": "Patient/p1"}

    def test_the_match_must_be_writable_before_and_after(self, fhir, as_token, build):
        shared = build.observation("Patient/p1", id="o1", performer=[{"reference": "Patient/p2"}])
        fhir.put("Observation/o1", shared)
        own = as_token("patient/*.cruds", patient="p2")
        answer = own.put("Observation?code=2160-0", build.observation("Patient/p2"))
        assert (answer.status, answer.codes) == (403, ["forbidden"])


def test_types_that_are_changed_only_with_if_match_may_be_updated_by_condition(fhir):
    task = {
        "resourceType": "Task",
        "identifier": [{"system": "urn:x", "value": "1"}],
        "status": "requested",
        "intent": "order",
    }
    made = fhir.put("Task?identifier=urn:x|1", task)
    assert made.status == 201
    assert fhir.put(f"Task/{made.json['id']}", made.json | {"priority": "urgent"}).status == 428
    assert fhir.put("Task?identifier=urn:x|1", task | {"priority": "urgent"}).status == 200
