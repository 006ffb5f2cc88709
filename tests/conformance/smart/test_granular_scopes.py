"""Scopes of some categories show those and nothing else, when they are searched for and read: lines G1-G3.

Source:
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from asking.bodies import local
from asking.ward import SETS, Sight, category


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


@line("G1", "scopes of categories can be registered, granted, and are told as they were asked")
def test_granted(register: Callable[..., Any], person: Any, chart: Any, symmetric: Any) -> None:
    asked = [f"patient/{n}.rs?category={s}|{c}" for n, wanted in SETS["1"].items() for s, c in wanted]
    app = register("public", "launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs")
    told = app.launched(person, " ".join(["launch/patient", "patient/Patient.rs", *asked]), chart.chosen)
    assert {*asked} <= {*told["scope"].split()}
    assert not {"patient/Condition.rs", "patient/Observation.rs", "patient/*.rs"} & {*told["scope"].split()}
    answer = app.get(f"Observation?patient={chart.patient}", told["access_token"])
    shown = {entry["resource"]["code"]["text"] for entry in answer.json()["entry"]}
    assert shown == {"laboratory", "social-history"}
    found = symmetric.post("introspection_endpoint", {"token": told["access_token"]}).json()
    assert {*found["scope"].split()} == {*told["scope"].split()}


SEARCHES = (
    "patient={}",
    "subject=Patient/{}",
    "patient={}&_sort=-_lastUpdated",
    "patient={}&_count=1",
    "patient={}&_id=IDS",
    "_id=IDS",
    "patient={}&category=CODES",
    "patient={}&category:not=nothing",
    "patient={}&encounter:missing=false",
    "patient:Patient={}&_elements=code",
    "patient={}&code:missing=false&_total=accurate",
)


@line("G2", "every search finds exactly what is of the categories, no more and no less")
@pytest.mark.parametrize("query", SEARCHES)
@pytest.mark.parametrize("name", ["Condition", "Observation"])
@pytest.mark.parametrize("post", [False, True], ids=["GET", "POST _search"])
def test_searches(sight: Sight, name: str, query: str, post: bool) -> None:
    everything = sight.chart.of[name]
    ids = ",".join(one["id"] for one in everything)
    codes = ",".join(category(one)[1] for one in everything)
    text = query.format(sight.chart.patient).replace("IDS", ids).replace("CODES", codes)
    if post and "_count" not in query:
        bundle_ = sight.own.form(f"{name}/_search", text)
        assert bundle_.status_code == 200, bundle_.text
        found = {entry["resource"]["id"] for entry in bundle_.json().get("entry", ())}
    else:
        found = {one["id"] for one in sight.own.matches(f"{name}?{text}")}
    assert found == sight.seen(name)
    assert {one["id"] for one in sight.chart.fhir.matches(f"{name}?{text}")} == {
        one["id"] for one in everything
    }


@line("G2-total", "a total counts what is of the categories alone")
@pytest.mark.parametrize("shape", ["_summary=count", "_total=accurate&_count=1", "_count=0"])
def test_totals(sight: Sight, shape: str) -> None:
    for name in sight.categories:
        answer = sight.own.get(f"{name}?patient={sight.chart.patient}&{shape}").json()
        assert answer["total"] == len(sight.seen(name)) < len(sight.chart.of[name])


@line("G2-hidden", "a search for what is hidden answers as if there were nothing of it")
def test_search_for_what_is_hidden(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.hidden(name):
            system, code = category(one)
            for query in (
                f"category={quote(f'{system}|{code}')}",
                f"_id={one['id']}",
                f"code={one['code']['coding'][0]['code']}",
                f"encounter={one['encounter']['reference']}",
            ):
                answer = sight.own.get(f"{name}?patient={sight.chart.patient}&{query}").json()
                assert (answer["total"], answer.get("entry", [])) == (0, []), query


@line("G3-match", "what is of the categories can be read")
def test_read_of_what_matches(sight: Sight) -> None:
    for name in sight.categories:
        for one in sight.shown(name):
            answer = sight.own.get(local(one))
            assert (answer.status_code, answer.json()) == (200, one)


@line("G3-other", "what is not cannot be read, and the answer is that to an id that nobody has")
def test_read_of_what_does_not(sight: Sight) -> None:
    for name in sight.categories:
        nobody = sight.own.get(f"{name}/nobody-has-this-id")
        for one in sight.hidden(name):
            answer = sight.own.get(local(one))
            assert answer.status_code == nobody.status_code == 404
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert answer.json()["issue"] == nobody.json()["issue"]
            assert "ETag" not in answer.headers
