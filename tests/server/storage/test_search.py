"""What searches promise beyond matching: flat plans, bounded cost, total order, no query that breaks the store.

Covers hl7.org/fhir/R4/search.html#sort, #count, #include and the cost of a search.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.hashing import reference_hash
from server.fhir.search_conditions import LINKS_MAXIMUM
from server.fhir.search_parameters import parameter
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import (
    Chained,
    Clause,
    Condition,
    DateValue,
    Has,
    Include,
    NumberValue,
    ReferenceValue,
    SearchQuery,
    SortKey,
    StringValue,
    TokenValue,
)
from server.fhir.visibility import EVERYTHING, Limit, Rule, Visibility
from server.storage import open_store
from server.storage import search as planner
from server.storage.search import Search

PATIENT_SCOPE = Visibility(
    {
        "Observation": (Rule(patients=frozenset({"p1"})),),
        "Patient": (Rule(patients=frozenset({"p1"})),),
        "Practitioner": (Rule(referred=True),),
    }
)


def observation(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "urn:x", "code": f"c{number % 5}"}]},
        "subject": {"reference": f"Patient/p{number % 3}"},
        **more,
    }


def patient(number: int) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": f"Family{number}"}]}


# A person who sees related charts, in the reach of an organization and beside one that narrows it; and launched
# into one chart.
_LIMITS = (Limit(True), Limit(False, frozenset({reference_hash("Organization/house"), 7})))
_CALLER = (reference_hash("Practitioner/d1"), 1_700_000_000_000_000)
RELATED = Visibility(
    {**dict.fromkeys(("Observation", "Patient"), (Rule(limits=_LIMITS),)), "Practitioner": (Rule(),)}, *_CALLER
)
LAUNCHED = Visibility(
    {
        **dict.fromkeys(("Observation", "Patient"), (Rule(patients=frozenset({"p1"}), limits=_LIMITS[:1]),)),
        "Practitioner": (Rule(referred=True),),
    },
    *_CALLER,
)


class Explained:
    """A connection that notes the plan of each statement that runs on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect  # type: ignore[attr-defined]
        self.steps: list[str] = []

    def execute(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.steps += [row[3] for row in plan]
        return self.connection.execute(sql, parameters)


@pytest.mark.sqlite("its plans; PostgreSQL's are in test_plans")
@pytest.mark.parametrize(
    "visible",
    [EVERYTHING, PATIENT_SCOPE, RELATED, LAUNCHED],
    ids=["system", "patient", "related", "launched"],
)
@pytest.mark.parametrize("caps", [(500, 20_000), (0, 0)], ids=["driven", "walked"])
def test_no_search_scans_a_table(
    chart: Any, shapes: Any, visible: Visibility, caps: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "_SMALL", caps[0])
    monkeypatch.setattr(planner, "_LARGE", caps[1])
    chart.put(*[patient(n) for n in range(3)], *[observation(n) for n in range(20)])
    for name, (resource_type, asked) in shapes.items():
        sorts: list[tuple[SortKey, ...]] = [(), (SortKey(_known(resource_type, "_lastUpdated"), True),)]
        if resource_type == "Observation":
            sorts.append((SortKey(_known("Observation", "date"), True),))
        for sort in sorts:
            with chart.store.database.reading() as connection:
                explained = Explained(connection)
                includes = INCLUDES if resource_type == "Observation" else ()
                query = SearchQuery(resource_type, asked, sort, count=5, includes=includes)
                search = Search(explained, query, visible)  # type: ignore[arg-type]
                search.page(100)
                search.total(100)
            # What is looked through in an order is a co-routine, which a table of that name is not.
            assert explained.steps.count("SCAN r") <= explained.steps.count("CO-ROUTINE r"), (name, sort)
            for step in explained.steps:
                # Co-routines and lists of parameters are scanned; tables are searched by an index.
                assert not step.startswith("SCAN") or step in PASSES, (name, sort, step)
                assert "AUTOMATIC" not in step, (name, sort, step)
                for table in ("date_value", "string_value", "quantity_value", "uri_value"):
                    assert f"{table}_" not in step or "parameter=?" in step
                if "relationship" in step or "membership" in step:
                    assert "actor=?" in step or "member=?" in step, (name, sort, step)


INCLUDES = (
    Include("", None, iterate=True),
    Include("", None, reverse=True),
    Include("Observation", parameter("Observation", "performer"), reverse=True, iterate=True),
)
PASSES = {
    "SCAN r",
    "SCAN CONSTANT ROW",
    "SCAN u",
    "SCAN units",
    "SCAN page",
    "SCAN driver",
    "SCAN c",
    "SCAN every",
    "SCAN link",
    "SCAN json_each VIRTUAL TABLE INDEX 1:",
}


def _known(resource_type: str, code: str) -> Any:
    found = parameter(resource_type, code)
    assert found is not None
    return found


@pytest.mark.sqlite("counts the steps of its virtual machine")
def test_the_work_of_a_search_does_not_grow_with_what_it_does_not_match(chart: Any) -> None:
    """Counted in steps of SQLite's virtual machine, so that the machine's speed does not matter."""
    fixed = [observation(n, subject={"reference": "Patient/p1"}) for n in range(8)]
    chart.put(patient(1), patient(2), *fixed)

    def steps(resource_type: str, asked: tuple[Condition, ...], visible: Visibility) -> int:
        with chart.store.database.reading() as connection:
            counted = [0]

            def tick() -> int:
                counted[0] += 1
                return 0

            connection.set_progress_handler(tick, 10)
            try:
                found = Search(connection, SearchQuery(resource_type, asked, count=20), visible).page(100)
                assert found.matches
            finally:
                connection.set_progress_handler(None, 0)
            return counted[0]

    clause = chart.clause
    subject = clause("Observation", "patient", ReferenceValue("Patient", "p1"))
    family = clause("Patient", "family", StringValue("family1"), modifier="exact")
    family = replace(family, values=(StringValue("Family1"),))
    searches: list[tuple[str, tuple[Condition, ...]]] = [
        ("Observation", (subject, clause("Observation", "status", TokenValue(None, "final")))),
        ("Observation", (Chained(subject.parameter, (("Patient", family),)),)),
        (
            "Patient",
            (
                family,
                Has("Observation", subject.parameter, clause("Observation", "code", TokenValue(None, "c1"))),
            ),
        ),
    ]
    small = [steps(*search, visible) for search in searches for visible in (EVERYTHING, PATIENT_SCOPE)]
    for start in range(0, 1_000, 500):
        chart.put(
            *[observation(n, subject={"reference": "Patient/p2"}) for n in range(100 + start, 600 + start)]
        )
    large = [steps(*search, visible) for search in searches for visible in (EVERYTHING, PATIENT_SCOPE)]
    # 60 ticks: counting the long list of `status` up to its cap.
    assert all(after <= before * 1.5 + 60 for before, after in zip(small, large, strict=True)), (small, large)


def test_missing_values_sort_last_both_ways_and_paging_reaches_them(chart: Any) -> None:
    chart.put(
        observation(1, effectiveDateTime="2024-01-01"),
        observation(2),
        observation(3, effectiveDateTime="2025-01-01"),
        observation(4),
    )
    key = SortKey(_known("Observation", "date"))
    for descending, want in ((False, ["o1", "o3", "o2", "o4"]), (True, ["o3", "o1", "o2", "o4"])):
        query = SearchQuery("Observation", sort=(replace(key, descending=descending),), count=1)
        found: list[str] = []
        while True:
            page = chart.reading(lambda r, q=query: r.search(q, EVERYTHING))
            found += [version.id for version in page.matches]
            if page.next_after is None:
                break
            query = replace(query, after=page.next_after)
        assert found == want


def test_text_sorts_by_its_bytes(chart: Any) -> None:
    names = ["Zoë", "zeta", "Äbel", "李", "abel"]
    chart.put(*[{**patient(n), "name": [{"family": name}]} for n, name in enumerate(names)])
    query = SearchQuery("Patient", sort=(SortKey(_known("Patient", "family")),))
    assert chart.found(query) == ["p2", "p4", "p1", "p0", "p3"]  # abel = abel (order of arrival), zeta, zoe, 李


def test_a_type_that_no_rule_names_shows_nothing(chart: Any) -> None:
    chart.put(patient(1), observation(1))
    only = Visibility({"Observation": (Rule(),)})
    assert chart.found(SearchQuery("Patient"), only) == []
    assert chart.found(SearchQuery(""), only) == ["o1"]
    assert chart.found(SearchQuery(""), Visibility({"*": (Rule(),), "Patient": ()})) == ["o1"]


def test_a_referred_resource_is_shown_only_while_a_visible_one_refers_to_it(chart: Any) -> None:
    doctor = {"resourceType": "Practitioner", "id": "d"}
    chart.put(patient(1), patient(2), doctor, observation(2, performer=[{"reference": "Practitioner/d"}]))
    assert chart.found(SearchQuery("Practitioner"), PATIENT_SCOPE) == []
    chart.put(observation(1, performer=[{"reference": "Practitioner/d"}]))
    assert chart.found(SearchQuery("Practitioner"), PATIENT_SCOPE) == ["d"]
    chart.delete("Observation", "o1")
    assert chart.found(SearchQuery("Practitioner"), PATIENT_SCOPE) == []


def test_a_sort_that_has_no_order_is_refused(chart: Any) -> None:
    query = SearchQuery("Observation", sort=(SortKey(_known("Observation", "status")),))
    with pytest.raises(FhirError) as refused:
        chart.found(query)
    assert (refused.value.kind, refused.value.status) == ("unsupported-search", 400)


def test_a_page_of_another_search_is_refused(chart: Any) -> None:
    for after in ((1, 2), (None,), ()):
        with pytest.raises(FhirError) as refused:
            chart.found(SearchQuery("Observation", after=after))
        assert refused.value.kind == "invalid-search"


@pytest.mark.slow
@pytest.mark.parametrize("visible", [EVERYTHING, PATIENT_SCOPE], ids=["system", "patient"])
def test_no_query_is_too_big_for_the_store_to_answer_or_refuse(chart: Any, visible: Visibility) -> None:
    chart.put(patient(1), observation(1))
    clause = chart.clause
    many = 1_000
    texts = tuple(StringValue(f"name {n}") for n in range(many))
    codes = tuple(TokenValue(None, f"c{n}") for n in range(many))
    days = tuple(DateValue("ne", n, n + 1) for n in range(many))
    amounts = tuple(NumberValue("ap", Decimal(n), Decimal("-1e400"), Decimal("1e400")) for n in range(many))
    target = clause("Provenance", "target", *(ReferenceValue(None, f"x{n}") for n in range(100)))
    family = Clause(_known("Patient", "family"), "", texts)
    subject = _known("Observation", "patient")
    searches = [
        SearchQuery("Patient", (family,)),
        SearchQuery("Patient", (replace(family, modifier="contains"),) * 5),
        SearchQuery("Observation", (clause("Observation", "code", *codes),)),
        SearchQuery("Observation", (clause("Observation", "code", *codes, modifier="not"),) * 30),
        SearchQuery("Observation", (clause("Observation", "date", *days),) * 3),
        SearchQuery("Observation", (clause("Observation", "value-quantity", *amounts),)),
        SearchQuery("Provenance", (target,)),
        SearchQuery("Observation", (Chained(subject, (("Patient", family),)),) * 3),
        SearchQuery("Patient", (Has("Observation", subject, clause("Observation", "date", *days)),)),
        SearchQuery("Observation", (clause("Observation", "status", TokenValue(None, "final")),) * 3_000),
        SearchQuery("Patient", (clause("Patient", "family", StringValue("\ud800\0'\"%_\\")),)),
        SearchQuery("Patient", includes=(Include("Observation", None, reverse=True, iterate=True),) * 200),
        parse_search(
            "Provenance", [("target.patient.family", "x"), *(("target.code", f"{n}") for n in range(2))]
        ),
        parse_search("Observation", [("has-member." * 8 + "code:not", f"{n}") for n in range(20)]),
    ]
    for query in searches:
        for ask in (
            lambda r, q=query: r.search(q, visible),
            lambda r, q=query: r.total(q, visible, 10),
        ):
            kind = ""
            try:
                chart.reading(ask)
            except FhirError as refused:
                kind = refused.kind
            assert kind in ("", "too-costly"), query


@pytest.mark.parametrize("visible", [EVERYTHING, PATIENT_SCOPE], ids=["system", "patient"])
@pytest.mark.parametrize("caps", [(500, 20_000), (0, 0)], ids=["driven", "walked"])
@pytest.mark.parametrize(
    ("resource_type", "name", "value"),
    [
        ("Observation", "has-member:Observation." * LINKS_MAXIMUM + "status", "final"),
        ("Observation", "has-member." * LINKS_MAXIMUM + "date", "ge2020"),
        ("Observation", "has-member." * LINKS_MAXIMUM + "value-quantity", "gt5,6"),
        ("Observation", "has-member." * LINKS_MAXIMUM + "code:not", "x"),
        ("Observation", "_has:Observation:has-member:" * LINKS_MAXIMUM + "value-quantity", "gt5"),
        (
            "Patient",
            "_has:Observation:patient:" + "_has:Observation:has-member:" * 6 + "subject:Patient.family",
            "e",
        ),
        (
            "Provenance",
            "target:Observation." + "_has:Observation:has-member:" * 5 + "performer.name:contains",
            "e",
        ),
        ("Provenance", "target.code", "x"),
        ("Provenance", "target.subject:Patient.family", "x"),
        ("Provenance", "target.patient.family", "x"),
    ],
)
def test_chains_are_answered_at_their_greatest_length_and_breadth(
    chart: Any,
    visible: Visibility,
    caps: tuple[int, int],
    resource_type: str,
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "_SMALL", caps[0])
    monkeypatch.setattr(planner, "_LARGE", caps[1])
    member = [{"reference": "Observation/o1"}]
    chart.put(patient(1), observation(1, subject={"reference": "Patient/p1"}, hasMember=member))
    query = parse_search(resource_type, [(name, value), ("_sort", "_lastUpdated")])
    for seen in (visible, EVERYTHING):
        assert chart.reading(lambda r, seen=seen: r.search(query, seen)) is not None
        assert chart.reading(lambda r, seen=seen: r.total(query, seen, 10)) is not None


def test_a_ring_of_references_is_followed_link_by_link(chart: Any) -> None:
    chart.put(*[observation(n, hasMember=[{"reference": f"Observation/o{(n + 1) % 3}"}]) for n in range(3)])
    for links, found in ((1, ["o2"]), (2, ["o1"]), (3, ["o0"]), (4, ["o2"]), (8, ["o1"])):
        query = parse_search("Observation", [("has-member:Observation." * links + "_id", "o0")])
        assert chart.found(query) == found
        back = parse_search("Observation", [("_has:Observation:has-member:" * links + "_id", "o0")])
        assert chart.found(back) == [f"o{links % 3}"]


def test_a_search_that_takes_too_long_is_refused(chart: Any, database_url: str) -> None:
    # 200,000 probes keep a database busy for longer than no time at all.
    for start in range(0, 1_000, 250):
        chart.put(*[observation(n) for n in range(start, start + 250)])
    impatient = open_store(database_url, statement_seconds=0.0)
    slow = tuple(
        chart.clause("Observation", "code", TokenValue(None, f"absent{n}"), modifier="not") for n in range(200)
    )
    with pytest.raises(FhirError) as refused, impatient.reading() as reader:
        reader.total(SearchQuery("Observation", slow), EVERYTHING, None)
    assert (refused.value.kind, refused.value.status) == ("too-costly", 422)
    with impatient.reading() as reader:  # the connection stays usable
        assert reader.read("Observation", "o1", EVERYTHING) is not None
    impatient.close()
