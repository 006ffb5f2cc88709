"""search: the Bundle, its links, totals and pages: hl7.org/fhir/R4/search.html, http.html#search, #paging.

What matches is tested with the store; here is what becomes of it. Spec lines U1, U2.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from server.app import create_app
from server.logs import Log

PREFIX = "http://127.0.0.1:8000/fhir/"


@pytest.fixture
def chart(fhir, build, clock):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Patient/p2", build.patient(id="p2"))
    for number in range(7):
        clock.advance(seconds=1)
        owner = "Patient/p2" if number == 3 else "Patient/p1"
        date = f"2024-03-{number + 1:02d}"
        fhir.put(f"Observation/o{number}", build.observation(owner, id=f"o{number}", effectiveDateTime=date))


def ids(answer, mode="match"):
    entries = answer.json.get("entry", ())
    return [entry["resource"]["id"] for entry in entries if entry["search"]["mode"] == mode]


def link(answer, relation):
    return next((row["url"] for row in answer.json["link"] if row["relation"] == relation), None)


def pages(fhir, path):
    answer = fhir.get(path)
    while True:
        assert answer.status == 200, answer.body
        yield answer
        following = link(answer, "next")
        if following is None:
            return
        answer = fhir.get(following.removeprefix(PREFIX))


def test_a_searchset_holds_the_stored_bytes_and_says_what_was_applied(fhir, chart):
    answer = fhir.get("Observation?subject=Patient/p2")

    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 1)
    assert bundle["link"] == [{"relation": "self", "url": f"{PREFIX}Observation?subject=Patient/p2"}]
    assert bundle["entry"][0]["fullUrl"] == f"{PREFIX}Observation/o3"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    assert fhir.get("Observation/o3").body in answer.body


def test_nothing_found_is_an_empty_bundle(fhir):
    bundle = fhir.get("Observation?subject=Patient/none").json
    assert bundle["total"] == 0
    assert "entry" not in bundle


@pytest.mark.requirement("U1")
@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-date", "&_sort=-_lastUpdated"])
def test_pages_hold_every_match_once_in_order(fhir, chart, sort):
    seen = [id for page in pages(fhir, f"Observation?subject=Patient/p1&_count=2{sort}") for id in ids(page)]

    expected = ["o0", "o1", "o2", "o4", "o5", "o6"]
    assert sorted(seen) == expected
    if sort:
        assert seen == (expected if sort == "&_sort=date" else expected[::-1])


def test_the_total_is_the_same_on_every_page(fhir, chart):
    assert [page.json["total"] for page in pages(fhir, "Observation?_count=3")] == [7, 7, 7]


def test_total_none_is_not_stated_and_summary_count_is_only_that(fhir, chart):
    assert "total" not in fhir.get("Observation?_total=none").json
    for query in ("_summary=count", "_count=0"):
        counted = fhir.get(f"Observation?{query}").json
        assert counted["total"] == 7
        assert "entry" not in counted


@pytest.mark.requirement("U2")
def test_post_search_is_the_same_search(fhir, chart):
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    got = fhir.get("Observation?subject=Patient/p1&date=ge2024-03-03")
    posted = fhir("POST", "Observation/_search", b"subject=Patient%2Fp1&date=ge2024-03-03", **form)
    mixed = fhir("POST", "Observation/_search?date=ge2024-03-03", b"subject=Patient/p1", **form)

    assert posted.status == 200
    assert posted.json == got.json
    assert ids(mixed) == ids(got) == ["o2", "o4", "o5", "o6"]


def test_post_search_takes_a_form_only(fhir):
    answer = fhir("POST", "Observation/_search", b"{}", Content_Type="application/fhir+json")
    assert (answer.status, answer.codes) == (415, ["not-supported"])


def test_an_unknown_parameter_is_refused_and_the_valid_ones_are_named(fhir, chart):
    answer = fhir.get("Observation?subjekt=Patient/p1")
    assert (answer.status, answer.codes) == (400, ["not-supported"])
    assert "subject" in answer.text


def test_lenient_handling_ignores_it_and_says_so(fhir, chart):
    answer = fhir.get("Observation?subjekt=x&subject=Patient/p2", Prefer="handling=lenient")

    assert ids(answer) == ["o3"]
    assert link(answer, "self") == f"{PREFIX}Observation?subject=Patient/p2"
    outcome = next(e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome")
    assert outcome["issue"][0]["severity"] == "warning"
    assert "subjekt" in outcome["issue"][0]["diagnostics"]
    assert outcome["issue"][0]["expression"] == ["http.subjekt"]


def test_links_hold_no_character_that_a_query_may_not(fhir, chart):
    answer = fhir.get("Observation?code=http://loinc.org|8480-6&subject=Patient/p1&_count=1")

    assert link(answer, "self").startswith(
        f"{PREFIX}Observation?code=http://loinc.org%7C8480-6&subject=Patient/p1"
    )


def test_includes_come_after_the_matches_and_are_not_counted(fhir, chart):
    answer = fhir.get("Observation?subject=Patient/p1&_include=Observation:subject&_count=2")

    assert ids(answer) == ["o0", "o1"]
    assert ids(answer, "include") == ["p1"]
    assert answer.json["total"] == 6


def test_reverse_includes(fhir, chart):
    answer = fhir.get("Patient?_id=p2&_revinclude=Observation:subject")
    assert (ids(answer), ids(answer, "include")) == (["p2"], ["o3"])


def test_elements_and_summary_shorten_the_matches(fhir, chart):
    short = fhir.get("Observation?_id=o1&_elements=subject").json["entry"][0]["resource"]
    assert set(short) == {"resourceType", "id", "meta", "status", "code", "subject"}
    assert short["meta"]["tag"][0]["code"] == "SUBSETTED"
    summary = fhir.get("Patient?_id=p1&_summary=true").json["entry"][0]["resource"]
    assert summary["name"][0]["family"] == "Testfall"


def test_a_cursor_belongs_to_one_search_and_one_caller(fhir, as_token, chart):
    following = link(fhir.get("Observation?_count=2"), "next")
    cursor = quote(following.partition("_cursor=")[2])
    stranger = as_token("patient/*.rs", patient="p2")

    assert fhir.get(f"Observation?_count=2&_cursor={cursor}").status == 200
    for wrong in (
        f"Observation?_count=3&_cursor={cursor}",
        f"Observation?_count=2&status=final&_cursor={cursor}",
        f"Patient?_count=2&_cursor={cursor}",
        f"Observation?_count=2&_cursor={cursor[:-2]}",
        f"Observation?_count=2&_cursor={cursor}&_cursor={cursor}",
        "Observation?_count=2&_cursor=",
        "Observation?_count=2&_cursor=%F0%9F%98%80",
    ):
        answer = fhir.get(wrong)
        assert (answer.status, answer.codes) == (400, ["value"]), wrong
    assert stranger.get(f"Observation?_count=2&_cursor={cursor}").status == 400


def test_a_patient_token_finds_and_counts_its_own_chart_only(as_token, chart):
    own = as_token("patient/*.rs", patient="p2")

    assert ids(own.get("Observation")) == ["o3"]
    assert own.get("Observation?_summary=count").json["total"] == 1
    assert ids(own.get("Observation?subject=Patient/p1")) == []
    assert ids(own.get("Observation?_include=Observation:subject"), "include") == ["p2"]


def test_includes_of_types_outside_the_scopes_stay_out(as_token, chart):
    answer = as_token("system/Observation.rs").get("Observation?_id=o1&_include=Observation:subject")
    assert (ids(answer), ids(answer, "include")) == (["o1"], [])


# Totals ----------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(settings, store, clock, authorization, chart, as_token):
    """Requests to a server that counts to three unasked."""
    fhir = as_token("system/*.rs")
    app = create_app(replace(settings, limits={"total_cap": 3}), store=store, clock=clock, log=Log("ERROR"))
    return type(fhir)(app.test_client(), fhir._token)


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ("", None),
        ("&_total=estimate", 3),
        ("&_total=accurate", 7),
        ("&_total=none", None),
        ("&_totalMethod=estimate", 3),
        ("&_totalMethod=count", 7),
        ("&_totalMethod=none", None),
    ],
)
def test_a_total_beyond_the_limit_is_left_out_estimated_or_counted(counted, asked, total):
    seen = [page.json.get("total") for page in pages(counted, f"Observation?_count=2{asked}")]
    assert seen == [total] * 4


@pytest.mark.parametrize("asked", ["", "&_total=estimate", "&_total=accurate"])
def test_a_total_within_the_limit_is_exact_however_it_is_asked_for(counted, asked):
    assert counted.get(f"Observation?subject=Patient/p2&_count=5{asked}").json["total"] == 1
    assert counted.get(f"?_type=Observation,Patient&_id=o1,o2,p1&_count=2{asked}").json["total"] == 3


def test_what_was_written_between_two_pages_does_not_change_the_total_they_state(fhir, build, chart):
    first = fhir.get("Observation?subject=Patient/p1&_count=4")
    fhir.put("Observation/o9", build.observation("Patient/p1", id="o9"))
    following = fhir.get(link(first, "next").removeprefix(PREFIX))
    assert (first.json["total"], following.json["total"]) == (6, 6)
    assert ids(following) == ["o5", "o6", "o9"]


# Parts of resources ----------------------------------------------------------------------------------------


@pytest.fixture
def told(fhir, build, chart):
    """A patient with a narrative, a modifier element and one that is in no summary."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a synthetic patient</div>'
    more = {
        "text": {"status": "generated", "div": div},
        "active": True,
        "gender": "female",
        "maritalStatus": {"text": "not said"},
        "communication": [{"language": {"text": "de"}}],
    }
    fhir.put("Patient/p3", build.patient(id="p3", **more))


HEAD = {"resourceType", "id", "meta"}


@pytest.mark.parametrize(
    ("asked", "present", "absent"),
    [
        (
            "_summary=true",
            {"active", "name", "gender", "birthDate"},
            {"text", "maritalStatus", "communication"},
        ),
        ("_summary=text", {"text", "active"}, {"name", "gender", "maritalStatus"}),
        ("_summary=data", {"name", "maritalStatus", "communication"}, {"text"}),
        ("_elements=gender,maritalStatus", {"gender", "maritalStatus", "active"}, {"text", "name"}),
        ("_elements=gender&_elements=name", {"gender", "name"}, {"text", "maritalStatus"}),
        ("_summary=false&_elements=gender", {"gender", "active"}, {"text", "name"}),
    ],
)
def test_a_part_of_a_resource_is_what_was_asked_for_and_says_that_it_is_one(fhir, told, asked, present, absent):
    (entry,) = fhir.get(f"Patient?_id=p3&{asked}").json["entry"]
    shown = set(entry["resource"])
    assert HEAD | present <= shown
    assert not absent & shown
    assert [tag["code"] for tag in entry["resource"]["meta"]["tag"]] == ["SUBSETTED"]
    assert entry["fullUrl"] == f"{PREFIX}Patient/p3"


def test_a_whole_resource_is_not_said_to_be_a_part(fhir, told):
    for asked in ("", "&_summary=false"):
        assert fhir.get("Patient/p3").body in fhir.get(f"Patient?_id=p3{asked}").body


def test_what_is_included_is_summarised_too_but_keeps_its_elements(fhir, told, build):
    fhir.put("Observation/o8", build.observation("Patient/p3", id="o8"))
    asked = "Observation?_id=o8&_include=Observation:subject"

    def patient(more):
        entries = fhir.get(f"{asked}&{more}").json["entry"]
        return next(e["resource"] for e in entries if e["search"]["mode"] == "include")

    assert "maritalStatus" not in patient("_summary=true")
    assert "text" not in patient("_summary=data")
    assert {"maritalStatus", "text"} <= set(patient("_elements=status"))


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("_summary=text&_include=Patient:organization", "http._summary"),
        ("_summary=true&_elements=name", "http._elements"),
        ("_elements=name.family", "http._elements"),
        ("_elements=", "http._elements"),
        ("_summary=true&_summary=false", "http._summary"),
        ("_sort=gender", "http._sort"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(fhir, query, path):
    answer = fhir.get(f"Patient?{query}")
    assert answer.status == 400
    assert answer.paths == [path]


def test_a_count_alone_has_no_entries_and_no_pages(fhir, chart):
    answer = fhir.get("Observation?_summary=count&_count=2&_elements=status&_sort=-date")
    assert answer.json["total"] == 7
    assert [row["relation"] for row in answer.json["link"]] == ["self"]


# Order -----------------------------------------------------------------------------------------------------


def test_several_keys_order_one_after_the_other(fhir, build, chart):
    for number, (family, born) in enumerate([("B", "1950"), ("A", "1950"), ("A", "1960"), ("B", "1940")]):
        patient = build.patient(id=f"s{number}", name=[{"family": family}], birthDate=born)
        fhir.put(f"Patient/s{number}", patient)
    for sort, expected in [
        ("family,-birthdate", ["s2", "s1", "s0", "s3"]),
        ("-family,birthdate", ["s3", "s0", "s1", "s2"]),
        ("birthdate,family", ["s3", "s1", "s0", "s2"]),
        ("-birthdate&_sort=-_id", ["s2", "s1", "s0", "s3"]),
    ]:
        found = [
            id for page in pages(fhir, f"Patient?_id=s0,s1,s2,s3&_count=1&_sort={sort}") for id in ids(page)
        ]
        assert found == expected, sort
