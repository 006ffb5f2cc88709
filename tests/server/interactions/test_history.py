"""history of instance, type and system: hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

import pytest


@pytest.fixture
def five_versions(fhir, build, clock):
    for gender in ("female", "male", "other", "unknown"):
        fhir.put("Patient/p1", build.patient(id="p1", gender=gender))
        clock.advance(seconds=10)
    fhir.delete("Patient/p1")


def etags(answer):
    return [entry["response"]["etag"] for entry in answer.json.get("entry", ())]


def link(answer, relation):
    return next((row["url"] for row in answer.json["link"] if row["relation"] == relation), None)


def test_the_history_of_an_instance_is_newest_first_with_what_was_asked_and_answered(fhir, five_versions):
    bundle = fhir.get("Patient/p1/_history").json

    assert (bundle["type"], bundle["total"]) == ("history", 5)
    newest, *_, oldest = bundle["entry"]
    assert newest == {
        "fullUrl": "http://127.0.0.1:8000/fhir/Patient/p1",
        "request": {"method": "DELETE", "url": "Patient/p1"},
        "response": {"status": "204", "etag": 'W/"5"', "lastModified": "2024-05-17T12:00:40.123Z"},
    }
    assert oldest["resource"]["gender"] == "female"
    assert oldest["request"] == {"method": "PUT", "url": "Patient/p1"}
    assert oldest["response"]["status"] == "201"


def test_a_created_resource_shows_the_post_that_made_it(fhir, build):
    fhir.post("Patient", build.patient())
    entry = fhir.get("Patient/new-1/_history").json["entry"][0]
    assert entry["request"] == {"method": "POST", "url": "Patient"}
    assert entry["response"]["status"] == "201"


def test_pages_hold_every_version_once(fhir, five_versions):
    seen, url = [], "Patient/p1/_history?_count=2"
    while url:
        page = fhir.get(url)
        assert page.status == 200
        seen += etags(page)
        following = link(page, "next")
        url = following and following.removeprefix("http://127.0.0.1:8000/fhir/")
    assert seen == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]


def test_since_leaves_out_what_is_older(fhir, five_versions):
    answer = fhir.get("Patient/p1/_history?_since=2024-05-17T12:00:20Z")
    assert etags(answer) == ['W/"5"', 'W/"4"', 'W/"3"']


def test_since_reads_a_plus_that_was_not_escaped_and_a_day_in_the_practices_zone(fhir, five_versions):
    assert len(etags(fhir.get("Patient/p1/_history?_since=2024-05-17T14:00:20+02:00"))) == 3
    assert len(etags(fhir.get("Patient/p1/_history?_since=2024-05-17"))) == 5
    assert etags(fhir.get("Patient/p1/_history?_since=2024-05-18")) == []


def test_at_shows_what_was_current_then(fhir, five_versions):
    assert etags(fhir.get("Patient/p1/_history?_at=2024-05-17T12:00:15Z")) == ['W/"2"']
    assert etags(fhir.get("Patient/p1/_history?_at=2024-05-17T11:00:00Z")) == []


def test_at_a_span_shows_all_that_was_current_at_some_time_of_it(fhir, five_versions):
    assert etags(fhir.get("Patient/p1/_history?_at=2024-05-17T12:00Z")) == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]
    assert etags(fhir.get("Patient/p1/_history?_at=2024")) == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]


def test_type_and_system_histories_reach_further(fhir, build, five_versions):
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    fhir.put("Patient/p2", build.patient(id="p2"))

    assert fhir.get("Patient/_history").json["total"] == 6
    assert fhir.get("_history").json["total"] == 7
    newest = fhir.get("_history").json["entry"][0]
    assert newest["fullUrl"] == "http://127.0.0.1:8000/fhir/Patient/p2"


def test_an_instance_that_never_was_is_not_found(fhir):
    answer = fhir.get("Patient/nobody/_history")
    assert (answer.status, answer.codes) == (404, ["not-found"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("_since=x", "value"),
        ("_since=2024-13-01", "value"),
        ("_at=99999-01-01", "value"),
        ("_at=9999", "value"),
        ("_count=-1", "value"),
        ("_count=1&_count=2", "value"),
        ("_cursor=abc", "value"),
        ("_sort=_id", "not-supported"),
    ],
)
def test_what_cannot_be_answered_is_refused(fhir, five_versions, query, code):
    answer = fhir.get(f"Patient/p1/_history?{query}")
    assert (answer.status, answer.codes) == (400, [code])


def test_a_cursor_is_good_for_its_own_history_only(fhir, five_versions):
    following = link(fhir.get("Patient/p1/_history?_count=2"), "next")
    cursor = following.partition("_cursor=")[2]
    assert fhir.get(f"Patient/_history?_count=2&_cursor={cursor}").status == 400
    assert fhir.get(f"Patient/p1/_history?_count=3&_cursor={cursor}").status == 400


def test_histories_show_a_patient_token_its_own_chart_only(fhir, as_token, build, five_versions):
    fhir.put("Patient/p2", build.patient(id="p2"))
    own = as_token("patient/*.rs", patient="p2")

    assert [e["fullUrl"] for e in own.get("_history").json["entry"]] == [
        "http://127.0.0.1:8000/fhir/Patient/p2"
    ]
    assert own.get("Patient/_history").json["total"] == 1
