"""Every feature of search in R4, one after the other, over HTTP: hl7.org/fhir/R4/search.html.

The tables (search_features.toml) say what is asked and found, by GET and by POST; what is more than a set of
matches is asked in tests of its own below. "SF-..." of the scorecard.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

HERE = Path(__file__).parent
TABLES: dict[str, Any] = tomllib.loads((HERE / "search_features.toml").read_text("utf-8"))


def rows(table: str) -> list[Any]:
    """The rows of a table; a row without words continues the one before."""
    said: dict[str, str] = {}
    for id, what, *_ in TABLES[table]:
        said[id] = "; ".join(filter(None, (said.get(id, ""), what)))
    return [
        pytest.param(*rest, id=f"{id}-{number}", marks=pytest.mark.requirement(id, said[id]))
        for number, (id, _, *rest) in enumerate(TABLES[table])
    ]


class Resources:
    """The resources of the table, under ids of this run."""

    def __init__(self, fhir: Any) -> None:
        self.fhir = fhir
        self.prefix = f"{fhir.run}-s-"
        self.tag = f"_tag=urn:example:conformance|{fhir.run}-s"

    def text(self, text: str) -> str:
        """text with ids for @name, and the names of run and base."""
        text = text.replace("@base", self.fhir.base).replace("@run", self.fhir.run)
        return re.sub(r"@([\w-]+)", lambda match: self.prefix + match[1], text)

    def query(self, search: str) -> tuple[str, str]:
        """(path, query) of a search among these resources."""
        path, _, query = self.text(search).partition("?")
        parts = [
            f"{name}={quote(value, safe='')}"
            for name, _, value in (p.partition("=") for p in query.split("&") if p)
        ]
        return path, "&".join((*parts, quote(self.tag, safe="=")))

    def answers(self, search: str) -> Iterator[dict[str, Any]]:
        """The same search by GET and by POST."""
        path, query = self.query(search)
        for answer in (self.fhir.get(f"{path}?{query}"), self.fhir.form(f"{path}/_search".lstrip("/"), query)):
            assert answer.status_code == 200, answer.text
            yield answer.json()

    def names(self, bundle: dict[str, Any], mode: str = "match") -> list[str]:
        return [
            entry["resource"]["id"].removeprefix(self.prefix)
            for entry in bundle.get("entry", [])
            if entry["search"]["mode"] == mode
        ]


@pytest.fixture(scope="module")
def resources(fhir: Any) -> Resources:
    made = Resources(fhir)
    said = (HERE / "search_resources.json").read_text("utf-8").replace("@run", fhir.run)
    listed = json.loads(said)
    for resource in listed:
        text = json.dumps(resource)
        for other in listed:
            name = f"{other['resourceType']}/{other['id']}"
            text = text.replace(
                f'"reference": "{name}"', f'"reference": "{other["resourceType"]}/{made.prefix}{other["id"]}"'
            )
        whole = json.loads(text)
        whole["id"] = made.prefix + whole["id"]
        whole.setdefault("meta", {})["tag"] = [{"system": "urn:example:conformance", "code": f"{fhir.run}-s"}]
        answer = fhir.put(f"{whole['resourceType']}/{whole['id']}", whole)
        assert answer.status_code == 201, answer.text
    return made


@pytest.mark.parametrize(("search", "expected"), rows("found"))
def test_a_search_finds(resources: Resources, search: str, expected: str) -> None:
    for bundle in resources.answers(search):
        assert sorted(resources.names(bundle)) == sorted(expected.split())
        assert bundle["total"] == len(expected.split())


@pytest.mark.parametrize(("search", "expected"), rows("ordered"))
def test_a_search_is_sorted(resources: Resources, search: str, expected: str) -> None:
    for bundle in resources.answers(search):
        assert resources.names(bundle) == expected.split()


@pytest.mark.parametrize(("search", "expected"), rows("included"))
def test_a_search_brings_along(resources: Resources, search: str, expected: str) -> None:
    for bundle in resources.answers(search):
        assert resources.names(bundle)
        assert sorted(resources.names(bundle, "include")) == sorted(expected.split())


@pytest.mark.parametrize(("search", "status", "code", "expression"), rows("refused"))
def test_a_search_is_refused(
    resources: Resources, search: str, status: int, code: str, expression: str
) -> None:
    path, query = resources.query(search)
    answer = resources.fhir.get(f"{path}?{query}")
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    issue = outcome["issue"][0]
    assert code in ("", issue["code"])
    assert issue["expression"][0].startswith(expression)
    assert resources.fhir.form(f"{path}/_search", query).status_code == status


# --- the result ---------------------------------------------------------------------------------------------


def page(resources: Resources, search: str, **headers: str) -> dict[str, Any]:
    path, query = resources.query(search)
    answer = resources.fhir.get(f"{path}?{query}", **headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((row["url"] for row in bundle["link"] if row["relation"] == relation), None)


@pytest.mark.requirement("SF-bundle")
def test_a_searchset_has_self_link_full_urls_and_modes(resources: Resources) -> None:
    bundle = page(resources, "Patient?gender=female&_revinclude=Group:member")
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 1)
    assert str(link(bundle, "self")).startswith(f"{resources.fhir.base}/Patient?gender=female")
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "include"]
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"{resources.fhir.base}/{resource['resourceType']}/{resource['id']}"


@pytest.mark.requirement("SF-empty")
def test_nothing_found_is_an_empty_searchset(resources: Resources) -> None:
    bundle = page(resources, "Patient?family=nobody")
    assert bundle["total"] == 0
    assert "entry" not in bundle


@pytest.mark.parametrize("sort", ["", "_sort=-date", "_sort=_lastUpdated"])
@pytest.mark.requirement("SF-paging")
def test_pages_hold_every_match_once(resources: Resources, sort: str) -> None:
    whole = resources.names(page(resources, f"Observation?{sort}"))
    bundle = page(resources, f"Observation?_count=2&{sort}".rstrip("&"))
    seen, totals = resources.names(bundle), {bundle["total"]}
    while following := link(bundle, "next"):
        bundle = resources.fhir.get(following).json()
        assert bundle["entry"], "no empty page at the end"
        totals.add(bundle["total"])
        seen += resources.names(bundle)
    assert seen == whole
    assert totals == {len(whole)} == {5}


@pytest.mark.requirement("SF-paging-includes")
def test_includes_come_with_the_page_of_their_match_and_do_not_count(resources: Resources) -> None:
    bundle = page(resources, "Observation?_count=1&_include=Observation:subject&_sort=_id")
    assert (resources.names(bundle), resources.names(bundle, "include")) == (["bp"], ["eve"])
    assert bundle["total"] == 5


@pytest.mark.requirement("SF-count")
def test_count_limits_a_page_and_zero_asks_for_the_total(resources: Resources) -> None:
    assert len(page(resources, "Observation?_count=3")["entry"]) == 3
    none = page(resources, "Observation?_count=0")
    assert (none["total"], none.get("entry")) == (5, None)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, marks=pytest.mark.requirement(f"SF-total-{m}", f"_total={m}"))
        for m in ("none", "estimate", "accurate")
    ],
)
def test_the_total_is_what_was_asked_for(resources: Resources, method: str) -> None:
    bundle = page(resources, f"Observation?_total={method}&_count=2")
    assert bundle.get("total") == (None if method == "none" else 5)


@pytest.mark.parametrize(
    ("mode", "has", "lacks"),
    [
        pytest.param(
            mode,
            has.split(),
            lacks.split(),
            id=mode,
            marks=pytest.mark.requirement(f"SF-summary-{mode}", f"_summary={mode}"),
        )
        for mode, has, lacks in (
            ("true", "id identifier name gender active", "text"),
            ("text", "id text", "name gender identifier"),
            ("data", "id name gender generalPractitioner", "text"),
            ("false", "id text name gender generalPractitioner", ""),
        )
    ],
)
def test_a_summary_is_a_part(resources: Resources, mode: str, has: list[str], lacks: list[str]) -> None:
    (entry,) = page(resources, f"Patient?_id=@eve&_summary={mode}")["entry"]
    resource = entry["resource"]
    assert set(has) <= set(resource)
    assert not set(lacks) & set(resource)
    parts = [tag["code"] for tag in resource["meta"]["tag"]]
    assert ("SUBSETTED" in parts) == (mode != "false")


@pytest.mark.requirement("SF-summary-count")
def test_a_summary_of_count_is_the_total_alone(resources: Resources) -> None:
    bundle = page(resources, "Observation?_summary=count")
    assert (bundle["total"], bundle.get("entry")) == (5, None)


@pytest.mark.requirement("SF-elements")
def test_elements_bring_what_is_named_and_what_is_mandatory(resources: Resources) -> None:
    (entry,) = page(resources, "Observation?_id=@k1&_elements=valueQuantity")["entry"]
    resource = entry["resource"]
    assert {"id", "status", "code", "valueQuantity"} <= set(resource)
    assert not {"subject", "effectiveDateTime", "performer"} & set(resource)
    assert "SUBSETTED" in [tag["code"] for tag in resource["meta"]["tag"]]


@pytest.mark.requirement("SF-lenient")
def test_lenient_handling_ignores_what_is_unknown_and_says_so(resources: Resources) -> None:
    bundle = page(resources, "Patient?colour=red&gender=female", Prefer="handling=lenient")
    assert resources.names(bundle) == ["eve"]
    assert "colour" not in str(link(bundle, "self"))
    (outcome,) = [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "outcome"]
    assert outcome["resourceType"] == "OperationOutcome"
    assert "http.colour" in json.dumps(outcome)


@pytest.mark.requirement("SF-strict")
def test_strict_handling_refuses_and_names_what_there_is(resources: Resources) -> None:
    path, query = resources.query("Patient?colour=red")
    answer = resources.fhir.get(f"{path}?{query}", Prefer="handling=strict")
    assert answer.status_code == 400
    assert "birthdate" in answer.text


@pytest.mark.requirement("SF-text-values")
def test_a_refusal_does_not_repeat_the_value(resources: Resources) -> None:
    answer = resources.fhir.get("Patient?birthdate=Snow-White")
    assert answer.status_code == 400
    assert "Snow" not in answer.text


@pytest.mark.requirement("SF-post-both")
def test_a_search_by_post_may_have_parameters_in_the_url_too(resources: Resources) -> None:
    tag = quote(resources.tag, safe="=")
    answer = resources.fhir.form(f"Patient/_search?{tag}", "gender=female")
    assert resources.names(answer.json()) == ["eve"]
