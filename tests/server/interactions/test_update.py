"""update, update as create, delete: hl7.org/fhir/R4/http.html#update, #upsert, #concurrency, #delete."""

from __future__ import annotations

import pytest


@pytest.fixture
def stored(fhir, build):
    return fhir.put("Patient/p1", build.patient(id="p1"))


def test_an_update_of_a_new_id_creates_it(fhir, stored):
    assert stored.status == 201
    assert stored.headers["Location"] == "http://127.0.0.1:8000/fhir/Patient/p1/_history/1"
    assert stored.headers["ETag"] == 'W/"1"'


def test_an_update_makes_the_next_version(fhir, build, clock, stored):
    clock.advance(seconds=5)

    answer = fhir.put("Patient/p1", build.patient(id="p1", gender="male"))

    assert answer.status == 200
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Content-Location"] == "http://127.0.0.1:8000/fhir/Patient/p1/_history/2"
    assert "Location" not in answer.headers
    assert answer.json["meta"] == {"versionId": "2", "lastUpdated": "2024-05-17T12:00:05.123Z"}


def test_identical_content_makes_no_version_whatever_the_order_of_its_keys(fhir, build, clock, stored):
    clock.advance(seconds=5)
    reordered = dict(reversed(build.patient(id="p1").items()))

    for body in (build.patient(id="p1"), reordered, stored.json):
        answer = fhir.put("Patient/p1", body)
        assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')
        assert answer.body == stored.body
    assert fhir.get("Patient/p1/_history").json["total"] == 1


def test_another_precision_is_another_content(fhir, build):
    fhir.put("Observation/o1", build.observation("Patient/p1", "1.50", id="o1"))
    answer = fhir.put("Observation/o1", build.observation("Patient/p1", "1.5", id="o1"))
    assert answer.headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize("id", [None, "p2"])
def test_the_body_has_the_id_of_the_url(fhir, build, stored, id):
    body = build.patient() if id is None else build.patient(id=id)
    answer = fhir.put("Patient/p1", body)
    assert (answer.status, answer.codes, answer.paths) == (400, ["invalid"], ["Patient.id"])


@pytest.mark.parametrize("id", ["a_b", "x" * 65, "a%20b"])
def test_an_id_that_is_none_is_refused(fhir, build, id):
    answer = fhir.put(f"Patient/{id}", build.patient(id="p1"))
    assert answer.status == 400


def test_if_match_with_the_current_version_passes(fhir, build, stored):
    answer = fhir.put("Patient/p1", build.patient(id="p1", gender="male"), If_Match='W/"1"')
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')


def test_if_match_with_an_old_version_is_refused_and_names_the_current_one(fhir, build, stored):
    fhir.put("Patient/p1", build.patient(id="p1", gender="male"))

    answer = fhir.put("Patient/p1", build.patient(id="p1", gender="other"), If_Match='W/"1"')

    assert (answer.status, answer.codes) == (412, ["conflict"])
    assert 'W/"2"' in answer.text
    assert answer.headers["ETag"] == 'W/"2"'
    assert fhir.get("Patient/p1").json["gender"] == "male"


def test_if_match_needs_something_to_match(fhir, build):
    for header in ('W/"1"', "*"):
        assert fhir.put("Patient/new", build.patient(id="new"), If_Match=header).status == 412
    assert fhir.put("Patient/new", build.patient(id="new"), If_Match="1").status == 400
    assert fhir.get("Patient/new").status == 404


def test_if_none_match_any_creates_and_overwrites_nobody(fhir, build, stored):
    assert fhir.put("Patient/new", build.patient(id="new"), If_None_Match="*").status == 201

    answer = fhir.put("Patient/p1", build.patient(id="p1", gender="other"), If_None_Match="*")

    assert (answer.status, answer.codes) == (412, ["conflict"])
    assert answer.headers["ETag"] == 'W/"1"'
    assert fhir.get("Patient/p1").headers["ETag"] == 'W/"1"'


def test_a_deleted_id_can_be_written_again(fhir, build, stored):
    fhir.delete("Patient/p1")
    answer = fhir.put("Patient/p1", build.patient(id="p1"))
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"3"')
    assert [entry["response"]["etag"] for entry in fhir.get("Patient/p1/_history").json["entry"]] == [
        'W/"3"',
        'W/"2"',
        'W/"1"',
    ]


def test_a_clock_that_goes_back_does_not_make_a_version_older_than_the_one_before(fhir, build, clock, stored):
    clock.advance(hours=-2)
    answer = fhir.put("Patient/p1", build.patient(id="p1", gender="male"))
    assert answer.json["meta"]["lastUpdated"] == "2024-05-17T12:00:00.123Z"


def test_delete_answers_204_and_makes_a_version(fhir, stored):
    answer = fhir.delete("Patient/p1")
    assert (answer.status, answer.body, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    assert fhir.get("Patient").json["total"] == 0


def test_deleting_again_or_what_never_was_changes_nothing(fhir, stored):
    fhir.delete("Patient/p1")
    assert fhir.delete("Patient/p1").status == 204
    assert fhir.delete("Patient/nobody").status == 204
    assert fhir.get("Patient/p1/_history").json["total"] == 2


def test_delete_honours_if_match(fhir, stored):
    assert fhir.delete("Patient/p1", If_Match='W/"2"').status == 412
    assert fhir.get("Patient/p1").status == 200
    assert fhir.delete("Patient/p1", If_Match='W/"1"').status == 204


def test_a_token_cannot_overwrite_or_delete_what_it_may_not_see(fhir, as_token, build, stored):
    own = as_token("patient/*.cruds", patient="p2")
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))

    taken = own.put("Observation/o1", build.observation("Patient/p2", id="o1"))

    assert (taken.status, taken.codes) == (403, ["forbidden"])
    assert own.delete("Observation/o1").status == 204  # as if it were absent
    assert fhir.get("Observation/o1").json["subject"] == {"reference": "Patient/p1"}


def test_a_resource_cannot_be_moved_into_another_chart(fhir, as_token, build):
    fhir.put("Observation/o1", build.observation("Patient/p2", id="o1"))
    own = as_token("patient/*.cruds", patient="p2")

    answer = own.put("Observation/o1", build.observation("Patient/p1", id="o1"))

    assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert fhir.get("Observation/o1/_history").json["total"] == 1


@pytest.mark.parametrize("deleted", [False, True])
def test_a_resource_of_two_charts_is_not_taken_out_of_the_other(fhir, as_token, build, deleted):
    """A result of p1 that p2 took part in: both see it, p2 alone does not change it."""
    shared = build.observation("Patient/p1", id="o1", performer=[{"reference": "Patient/p2"}])
    fhir.put("Observation/o1", shared)
    if deleted:
        fhir.delete("Observation/o1")
    before = fhir.get("Observation/o1/_history").body
    own = as_token("patient/*.cruds", patient="p2")

    for taken in (build.observation("Patient/p2", id="o1"), shared | {"status": "amended"}):
        answer = own.put("Observation/o1", taken)
        assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert own.delete("Observation/o1").status == (204 if deleted else 403)
    assert fhir.get("Observation/o1/_history").body == before


def test_creating_by_update_needs_the_permission_to_create(as_token, build):
    answer = as_token("system/Patient.ru").put("Patient/p9", build.patient(id="p9"))
    assert (answer.status, answer.codes) == (403, ["forbidden"])


def test_a_reader_may_neither_update_nor_delete(as_token, build, stored):
    reader = as_token("system/Patient.rs")
    assert reader.put("Patient/p1", build.patient(id="p1")).status == 403
    assert reader.delete("Patient/p1").status == 403
