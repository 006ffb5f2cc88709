"""Observation/$lastn: hl7.org/fhir/R4/observation-operation-lastn.html."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LOINC = "http://loinc.org"
CATEGORY = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
]


def coded(*codes, text=None):
    code = {"coding": [{"system": LOINC, "code": code} for code in codes]} if codes else {}
    return code | ({"text": text} if text is not None else {})


@pytest.fixture
def put(fhir, build):
    def write(id, code, date, patient="p1", **more):
        moment = {"effectiveDateTime": date} if date else {"effectiveDateTime": None}
        resource = build.observation(f"Patient/{patient}", id=id, code=code, category=CATEGORY, **moment) | more
        resource = {name: value for name, value in resource.items() if value is not None}
        answer = fhir.put(f"Observation/{id}", resource)
        assert answer.status in (200, 201), answer.body

    return write


def last(fhir, query):
    answer = fhir.get(f"Observation/$lastn?{query}")
    assert answer.status == 200, answer.body
    return [e["resource"]["id"] for e in answer.json.get("entry", ()) if e["search"]["mode"] == "match"]


ASKED = "patient=p1&category=laboratory"


def test_the_newest_of_each_code_and_as_many_as_asked_for(fhir, put):
    for day in (1, 2, 3):
        put(f"a{day}", coded("a"), f"2024-03-0{day}")
        put(f"b{day}", coded("b"), f"2024-02-0{day}")
        put(f"x{day}", coded("a"), f"2024-04-0{day}", patient="p2")
    assert last(fhir, ASKED) == ["a3", "b3"]
    assert last(fhir, f"{ASKED}&max=2") == ["a3", "a2", "b3", "b2"]
    assert last(fhir, f"{ASKED}&max=9") == ["a3", "a2", "a1", "b3", "b2", "b1"]
    assert last(fhir, "subject=Patient/p1&code=b") == ["b3"]
    bundle = fhir.get(f"Observation/$lastn?{ASKED}").json
    assert (bundle["type"], bundle["total"]) == ("searchset", 2)
    assert bundle["link"] == [
        {"relation": "self", "url": f"http://127.0.0.1:8000/fhir/Observation/$lastn?{ASKED}"}
    ]


def test_observations_of_one_moment_come_together(fhir, put):
    put("a1", coded("a"), "2024-03-01T10:00:00Z")
    put("a2", coded("a"), "2024-03-01T10:00:00Z")
    put("a3", coded("a"), "2024-03-01T11:00:00+01:00")
    put("a4", coded("a"), "2024-03-02")
    assert last(fhir, ASKED) == ["a4"]
    assert sorted(last(fhir, f"{ASKED}&max=2")) == ["a1", "a2", "a3", "a4"]


def test_codes_that_a_third_observation_has_together_are_one_kind(fhir, put):
    put("a", coded("a"), "2024-03-03")
    put("b", coded("b"), "2024-03-02")
    put("c", coded("c"), "2024-03-01")
    assert last(fhir, ASKED) == ["a", "b", "c"]
    put("ab", coded("a", "b"), "2024-01-01")  # the oldest, and yet it joins them
    assert last(fhir, ASKED) == ["a", "c"]
    assert last(fhir, f"{ASKED}&max=2") == ["a", "b", "c"]


def test_one_code_of_two_systems_is_two_kinds(fhir, put):
    put("a", coded("a"), "2024-03-03")
    put("other", {"coding": [{"system": "urn:example", "code": "a"}]}, "2024-03-02")
    assert last(fhir, ASKED) == ["a", "other"]


def test_a_code_that_is_only_text_is_grouped_by_the_very_text(fhir, put):
    put("t1", coded(text="Weight"), "2024-03-03")
    put("t2", coded(text="Weight"), "2024-03-02")
    put("t3", coded(text="weight"), "2024-03-01")
    put("t4", coded("a", text="Weight"), "2024-02-01")
    assert last(fhir, ASKED) == ["t1", "t3", "t4"]


def test_without_a_time_is_older_than_any_and_of_no_one_moment(fhir, put):
    put("a1", coded("a"), None)
    put("a2", coded("a"), None)
    put("a3", coded("a"), "2001-01-01")
    assert last(fhir, ASKED) == ["a3"]
    assert len(last(fhir, f"{ASKED}&max=2")) == 2


def test_a_period_counts_by_its_start(fhir, put):
    put("a1", coded("a"), None, effectivePeriod={"start": "2024-03-01", "end": "2024-06-01"})
    put("a2", coded("a"), "2024-04-01")
    assert last(fhir, ASKED) == ["a2"]


def test_other_search_parameters_filter_and_no_status_is_left_out_unasked(fhir, put):
    put("a1", coded("a"), "2024-03-01")
    put("a2", coded("a"), "2024-03-02", status="entered-in-error")
    assert last(fhir, ASKED) == ["a2"]
    assert last(fhir, f"{ASKED}&status=final") == ["a1"]
    assert last(fhir, f"{ASKED}&date=lt2024-03-02") == ["a1"]


def test_nothing_found_says_so_without_an_error(fhir):
    answer = fhir.get(f"Observation/$lastn?{ASKED}")
    assert (answer.status, answer.json["total"]) == (200, 0)
    (entry,) = answer.json["entry"]
    assert (entry["search"]["mode"], entry["resource"]["issue"][0]["severity"]) == ("outcome", "information")


@pytest.mark.parametrize(
    ("query", "code", "path"),
    [
        ("category=laboratory", "required", "http.patient"),
        ("patient:missing=false&category=laboratory", "required", "http.patient"),
        ("patient.gender=female&category=laboratory", "required", "http.patient"),
        ("patient=p1", "required", "http.category"),
        ("patient=p1&status=final", "required", "http.category"),
        (f"{ASKED}&max=0", "value", "http.max"),
        (f"{ASKED}&max=1&max=2", "value", "http.max"),
        (f"{ASKED}&_sort=date", "not-supported", "http._sort"),
        (f"{ASKED}&_count=3", "not-supported", "http._count"),
        (f"{ASKED}&_include=Observation:subject", "not-supported", "http._include"),
        (f"{ASKED}&nonsense=1", "not-supported", "http.nonsense"),
        (f"{ASKED}&date=soon", "value", "http.date"),
    ],
)
def test_what_is_missing_or_cannot_be_is_refused_by_name(fhir, query, code, path):
    answer = fhir.get(f"Observation/$lastn?{query}")
    assert (answer.status, answer.codes, answer.paths) == (400, [code], [path])


def test_parameters_may_come_in_a_body(fhir, put):
    put("a1", coded("a"), "2024-03-01")
    put("a2", coded("a"), "2024-03-02")
    rows = [
        {"name": "patient", "valueString": "p1"},
        {"name": "code", "valueString": f"{LOINC}|a"},
        {"name": "max", "valuePositiveInt": 2},
    ]
    answer = fhir.post("Observation/$lastn", {"resourceType": "Parameters", "parameter": rows})
    assert [entry["resource"]["id"] for entry in answer.json["entry"]] == ["a2", "a1"]


def test_only_what_the_token_may_see_counts(fhir, put, as_token):
    put("a1", coded("a"), "2024-03-01")
    put("a2", coded("a"), "2024-03-02", status="preliminary")
    assert last(as_token("patient/*.rs", patient="p2"), ASKED) == []
    assert last(as_token("patient/Observation.rs?status=final", patient="p1"), ASKED) == ["a1"]
    assert as_token("patient/Observation.r", patient="p1").get(f"Observation/$lastn?{ASKED}").status == 403


def expected(rows, most):
    """The same by hand: groups by common codes until nothing joins, then the newest of each with ties."""
    groups = [({code}, []) for code in {code for _, codes, _ in rows for code in codes}]
    for _, codes, _ in rows:
        joined = [group for group in groups if group[0] & codes]
        groups = [group for group in groups if group not in joined]
        groups.append((set().union(*(group[0] for group in joined)), []))
    found = set()
    for known, _ in groups:
        own = sorted((row for row in rows if row[1] & known), key=lambda row: row[2], reverse=True)
        if own:
            limit = own[min(most, len(own)) - 1][2]
            found |= {id for id, _, day in own if day >= limit}
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3), st.integers(1, 6)),
        min_size=1,
        max_size=12,
    ),
    most=st.integers(1, 3),
)
def test_groups_and_ties_are_those_of_a_plain_calculation(fhir, build, rows, most):
    entries = []
    wanted = []
    patient = f"p{abs(hash((tuple(map(str, rows)), most)))}"
    for number, (codes, day) in enumerate(rows):
        resource = build.observation(
            f"Patient/{patient}",
            id=f"{patient}-{number}",
            code=coded(*sorted(codes)),
            category=CATEGORY,
            effectiveDateTime=f"2024-03-0{day}",
        )
        entries.append(build.entry("PUT", f"Observation/{patient}-{number}", resource))
        wanted.append((f"{patient}-{number}", codes, day))
    assert fhir.post("", build.bundle("transaction", *entries)).status == 200
    found = last(fhir, f"patient={patient}&category=laboratory&max={most}")
    assert len(found) == len(set(found))
    assert set(found) == expected(wanted, most)
