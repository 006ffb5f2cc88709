"""Every search that US Core 6.1.0 and 7.0.0 ask for, with values of their own examples.

Answers are judged by a reading of R4 that is apart from any server's (folder us_core): what was stored and
fulfils a search has to come, and whatever comes has to fulfil it. "U1" to "U5" of the scorecard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from us_core.table import TABLE, Search, parameter_of
from us_core.values import DAY, FIRST, LAST, at, escaped, span, tokens

RELEASES = ("6", "7")


def searches() -> Iterator[Any]:
    for resource_type, said in TABLE.items():
        for row in said["searches"]:
            by = tuple(parameter_of(resource_type, name) for name in row["by"].split("+"))
            since = f", since US Core {row['since']}" if "since" in row else ""
            yield pytest.param(
                Search(resource_type, by, tuple(row.get("or", ()))),
                id=f"{resource_type}-{row['by']}",
                marks=pytest.mark.requirement(
                    f"U1-{resource_type}-{row['by']}", f"{resource_type} by {row['by']} ({row['level']}{since})"
                ),
            )


ALL: list[Search] = [param.values[0] for param in searches()]


def each_type(line: str, what: str, only: Any = lambda resource_type: True) -> Any:
    return pytest.mark.parametrize(
        "resource_type",
        [
            pytest.param(name, marks=pytest.mark.requirement(f"{line}-{name}", f"{name}: {what}"))
            for name in TABLE
            if only(name)
        ],
    )


def parameters_of_kind(line: str, what: str, names: set[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize(
        ("resource_type", "name"),
        [
            pytest.param(
                *pair,
                id="-".join(pair),
                marks=pytest.mark.requirement(f"{line}-{pair[0]}-{pair[1]}", f"{pair[0]} {pair[1]}: {what}"),
            )
            for pair in sorted(names)
        ],
    )


def query(resource_type: str, values: dict[str, str]) -> str:
    return f"{resource_type}?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())


def ids(resources: list[dict[str, Any]]) -> set[str]:
    return {resource["id"] for resource in resources}


def check(
    fhir: Any, known: list[dict[str, Any]], resource_type: str, values: dict[str, str]
) -> list[dict[str, Any]]:
    """The matches, after the whole judgement."""
    parameters = [parameter_of(resource_type, name) for name in values]
    found = fhir.matches(query(resource_type, values))
    due = [r for r in known if all(p.fulfilled(r, values[p.name], strictly=True) for p in parameters)]
    assert ids(due) - ids(found) == set(), values
    wrong = [r for r in found if not all(p.fulfilled(r, values[p.name], strictly=False) for p in parameters)]
    assert ids(wrong) == set(), values
    assert len(ids(found)) == len(found)
    return list(found)


@pytest.fixture(scope="module")
def stored(fhir: Any, charts: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Type -> what the server gives back of the charts, `meta.lastUpdated` among it."""
    return {
        resource_type: [
            answer["resource"]
            for answer in fhir.reads([f"{resource_type}/{r['id']}" for r in charts[resource_type]])
        ]
        for resource_type in TABLE
    }


def of_release(fhir: Any, resources: list[dict[str, Any]], release: str) -> list[dict[str, Any]]:
    return [resource for resource in resources if resource["id"].startswith(f"{fhir.run}-{release}-")]


# --- the lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", list(searches()))
def test_a_search_finds_what_fulfils_it_and_nothing_else(fhir: Any, stored: Any, search: Search) -> None:
    known = stored[search.resource_type]
    for release in RELEASES:
        sample = search.sample(of_release(fhir, known, release))
        assert sample is not None, f"no example of release {release} has these elements"
        found = check(fhir, known, search.resource_type, search.values(sample))
        assert sample["id"] in ids(found)


@each_type("U2-post", "the first search by POST _search finds the same")
def test_a_search_by_post_is_the_same_search(fhir: Any, stored: Any, resource_type: str) -> None:
    search = next(search for search in ALL if search.resource_type == resource_type)
    sample = search.sample(stored[resource_type])
    assert sample is not None
    asked = query(resource_type, search.values(sample)).partition("?")[2]
    by_get, by_post = (
        fhir.get(f"{resource_type}?{asked}").json(),
        fhir.form(f"{resource_type}/_search", asked).json(),
    )
    assert by_get["entry"]
    assert [e["fullUrl"] for e in by_get["entry"]] == [e["fullUrl"] for e in by_post["entry"]]
    assert by_get.get("total") == by_post.get("total")


@each_type(
    "U2-patient",
    "patient=ID and patient=Patient/ID find the same",
    lambda t: "patient" in TABLE[t]["parameters"],
)
def test_a_patient_is_named_with_or_without_the_type(fhir: Any, stored: Any, resource_type: str) -> None:
    parameter = parameter_of(resource_type, "patient")
    patient = next(filter(None, map(parameter.asked, stored[resource_type])))
    found = check(fhir, stored[resource_type], resource_type, {"patient": patient})
    assert found
    assert ids(found) == ids(
        check(fhir, stored[resource_type], resource_type, {"patient": f"Patient/{patient}"})
    )


@parameters_of_kind(
    "U2-token",
    "as system|code it finds what has both",
    {(s.resource_type, p.name) for s in ALL for p in s.by if p.kind == "token"},
)
def test_a_token_is_asked_with_its_system(fhir: Any, stored: Any, resource_type: str, name: str) -> None:
    parameter = parameter_of(resource_type, name)
    known = stored[resource_type]
    pairs = [pair for r in known for value in parameter.values(r) for pair in tokens(value)]
    system, code = next((pair for pair in pairs if pair[0]), pairs[0] if pairs else ("", ""))
    if not system:  # an element of type code: its system is that of its value set
        assert check(fhir, known, resource_type, {name: escaped(code)})
        assert fhir.matches(f"{resource_type}?{name}={quote('urn:example:none|' + code)}") == []
        return
    found = check(fhir, known, resource_type, {name: f"{system}|{escaped(code)}"})
    assert found
    assert fhir.matches(f"{resource_type}?{name}={quote('urn:example:none|' + escaped(code))}") == []


@pytest.mark.requirement("U2-comma", "a comma of a value is escaped")
def test_a_comma_within_a_value_is_escaped(fhir: Any) -> None:
    code = f"{fhir.run},with|all$signs\\of it"
    made = fhir.create(
        {"resourceType": "Basic", "code": {"coding": [{"system": "urn:example:signs", "code": code}]}}
    )
    assert ids(fhir.matches(f"Basic?code={quote(escaped(code), safe='')}")) == {made["id"]}
    assert fhir.matches(f"Basic?code={quote(code.partition('|')[0], safe='')}&{fhir.mine}") == []


@parameters_of_kind(
    "U3",
    "gt, ge, lt, le with full timestamps",
    {(s.resource_type, p.name) for s in ALL for p in s.by if p.kind == "date"},
)
def test_dates_are_compared_with_timestamps(fhir: Any, stored: Any, resource_type: str, name: str) -> None:
    parameter = parameter_of(resource_type, name)
    known = stored[resource_type]
    sample = next(r for r in known if parameter.asked(r))
    context = (
        {"patient": parameter_of(resource_type, "patient").asked(sample)} if resource_type != "Patient" else {}
    )
    context = context or {"_id": ",".join(sorted(ids(known)))}
    limits = [found for r in known for found in map(span, parameter.values(r)) if found]
    pivots = {limit for found in limits for limit in (found.low, found.high) if FIRST < limit < LAST}
    pivot = sorted(pivots)[len(pivots) // 2]
    hits = set()
    for moment in (min(pivots) - 400 * DAY, pivot, max(pivots) + 400 * DAY):
        for prefix in ("gt", "ge", "lt", "le"):
            asked = {**context, name: f"{prefix}{moment:%Y-%m-%dT%H:%M:%S}+00:00"}
            hits |= {prefix for _ in check(fhir, known, resource_type, asked)}
    assert hits == {"gt", "ge", "lt", "le"}


@parameters_of_kind(
    "U4", "a comma list finds all of its values", {(s.resource_type, name) for s in ALL for name in s.several}
)
def test_a_list_of_values_finds_all_of_them(fhir: Any, stored: Any, resource_type: str, name: str) -> None:
    parameter = parameter_of(resource_type, name)
    known = stored[resource_type]
    patient = parameter_of(resource_type, "patient")
    sample = next(r for r in known if parameter.asked(r))
    of_patient = [r for r in known if patient.asked(r) == patient.asked(sample)]
    values = sorted(
        {escaped(code) for r in of_patient for value in parameter.values(r) for _, code in tokens(value)}
    )
    assert len(values) > 1, "one value alone is no list"
    context = {"patient": patient.asked(sample) or ""}
    apart = [check(fhir, known, resource_type, context | {name: value}) for value in values]
    together = check(fhir, known, resource_type, context | {name: ",".join(values)})
    assert ids(together) == set().union(*map(ids, apart))
    assert all(apart)


@each_type("U5-provenance", "_revinclude=Provenance:target brings the Provenance of each match")
def test_provenance_comes_with_what_it_is_about(fhir: Any, stored: Any, resource_type: str) -> None:
    search = next(search for search in ALL if search.resource_type == resource_type)
    sample = search.sample(stored[resource_type])
    assert sample is not None
    asked = f"{query(resource_type, search.values(sample))}&_revinclude=Provenance:target"
    entries = fhir.all(asked)
    matches = {f"{resource_type}/{e['resource']['id']}" for e in entries if e["search"]["mode"] == "match"}
    told = [e["resource"] for e in entries if e["search"]["mode"] == "include"]
    assert {r["resourceType"] for r in told} == {"Provenance"}
    targets = [{target["reference"] for target in r["target"]} for r in told]
    assert all(target & matches for target in targets)
    assert matches <= set().union(*targets)


@pytest.mark.parametrize(
    ("resource_type", "name"),
    [
        pytest.param(
            resource_type,
            name,
            id=f"{resource_type}-{name}",
            marks=pytest.mark.requirement(
                f"U5-include-{resource_type}-{name}",
                f"_include={resource_type}:{name} brings what is referred to, no more",
            ),
        )
        for resource_type, said in TABLE.items()
        for name in said.get("includes", ())
    ],
)
def test_what_is_referred_to_comes_along(
    fhir: Any, stored: Any, charts: Any, resource_type: str, name: str
) -> None:
    there = {f"{r['resourceType']}/{r['id']}" for resources in charts.values() for r in resources}
    paths = {"participant": "participant.member", "medication": "medicationReference"}
    path = paths.get(name, name).split(".")
    known = stored[resource_type]
    listed = ",".join(sorted(ids(known)))
    named = {v.get("reference") for r in known for v in at(r, path)} & there
    told = fhir.included(f"{resource_type}?_id={listed}&_include={resource_type}:{name}")
    assert {f"{r['resourceType']}/{r['id']}" for r in told} == named
    assert named
