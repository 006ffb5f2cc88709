"""Conditional delete of a single resource: hl7.org/fhir/R4/http.html#3.1.0.7.1.

Covers server/interactions/conditional.py and delete.py.
"""

from __future__ import annotations

import pytest

MRN = "identifier=urn:example:mrn|A-1"


@pytest.fixture
def stored(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2", identifier=[{"system": "urn:example:mrn", "value": "B-2"}]))


def test_the_one_match_is_deleted(fhir, stored):
    answer = fhir.delete(f"Patient?{MRN}")
    assert (answer.status, answer.body, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    assert fhir.get("Patient/p1").status == 410
    assert fhir.get("Patient/p2").status == 200


def test_nothing_matches_and_nothing_changes(fhir, stored):
    assert fhir.delete("Patient?identifier=urn:example:mrn|none").status == 204
    fhir.delete(f"Patient?{MRN}")
    assert fhir.delete(f"Patient?{MRN}").status == 204
    assert fhir.get("Patient/p1/_history").json["total"] == 2


def test_several_match_and_none_is_deleted(fhir, stored):
    answer = fhir.delete("Patient?birthdate=1950-03-02")
    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert fhir.get("Patient").json["total"] == 2


@pytest.mark.parametrize("query", ["", "?", "?_count=1", "?_format=json", "?nonsense=1", "?birthdate=x"])
def test_a_condition_that_selects_nothing_deletes_nothing(fhir, stored, query):
    assert fhir.delete(f"Patient{query}").status == 400
    assert fhir.get("Patient").json["total"] == 2


@pytest.mark.parametrize(
    "query",
    [
        *(
            "identifier=",
            "identifier=|",
            "identifier=,",
            "name=",
            "name=%20",
            "name:contains=",
            "_id=",
            "_id=,",
        ),
        *(
            "birthdate=",
            "gender=",
            "_has:Observation:patient:code=",
            "general-practitioner=",
            "_list=",
            "_type=",
        ),
        *("_lastUpdated=", "address=", "phone=|", "_sort=name&name=", "identifier:missing="),
    ],
)
def test_a_value_that_was_left_empty_deletes_nothing(fhir, build, query):
    """Whoever forgot to fill in a value did not mean the only patient there is."""
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert fhir.delete(f"Patient?{query}").status in (400, 204)
    assert fhir.get("Patient/p1").status == 200


def test_lenient_handling_ignores_no_part_of_a_condition(fhir, stored):
    answer = fhir.delete(f"Patient?{MRN}&nonsense=1", Prefer="handling=lenient")
    assert answer.status == 400
    assert fhir.get("Patient/p1").status == 200


def test_if_match_holds_for_the_match(fhir, stored):
    assert fhir.delete(f"Patient?{MRN}", If_Match='W/"2"').status == 412
    assert fhir.delete(f"Patient?{MRN}", If_Match='W/"1"').status == 204


def test_a_condition_and_an_id_in_the_url_do_not_go_together(fhir, stored):
    answer = fhir.delete(f"Patient/p1?{MRN}")
    assert (answer.status, answer.codes) == (400, ["not-supported"])
    assert fhir.get("Patient/p1").status == 200


def test_it_needs_the_permissions_to_delete_and_to_search(fhir, as_token, stored):
    for scope in ("system/Patient.crud", "system/Patient.crus"):
        answer = as_token(scope).delete(f"Patient?{MRN}")
        assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert as_token("system/Patient.ds").delete(f"Patient?{MRN}").status == 204


def test_what_is_hidden_is_as_if_absent_also_where_its_identifier_is_known(fhir, as_token, build):
    theirs = build.observation("Patient/p1", id="o1", identifier=[{"system": "urn:x", "value": "1"}])
    fhir.put("Observation/o1", theirs)
    own = as_token("patient/*.cruds", patient="p2")
    for value in ("1", "none"):
        answer = own.delete(f"Observation?identifier=urn:x|{value}")
        assert (answer.status, answer.body) == (204, b"")
    assert fhir.get("Observation/o1").status == 200


def test_hidden_resources_do_not_make_one_match_several(fhir, as_token, build):
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    fhir.put("Observation/o2", build.observation("Patient/p2", id="o2"))
    own = as_token("patient/*.cruds", patient="p2")
    assert own.delete("Observation?code=2160-0").status == 204
    assert fhir.get("Observation/o2").status == 410
    assert fhir.get("Observation/o1").status == 200


def test_what_another_patient_takes_part_in_is_not_deleted(fhir, as_token, build):
    shared = build.observation("Patient/p1", id="o1", performer=[{"reference": "Patient/p2"}])
    fhir.put("Observation/o1", shared)
    own = as_token("patient/*.cruds", patient="p2")
    assert own.delete("Observation?code=2160-0").codes == ["forbidden"]
