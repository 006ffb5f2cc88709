"""The store's SQL answers as the rules of matching in memory do, whatever is stored and whatever is asked.

Covers hl7.org/fhir/R4/search.html: parameter types, prefixes, modifiers, chains, `_has`, sorting, paging,
includes; and that every answer is limited to what the caller may see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fhir.compartments import COMPARTMENTS, in_compartment
from server.fhir.criteria import Indexed, indexed, matches
from server.fhir.hashing import reference_hash
from server.fhir.search_parameters import parameter, sortable
from server.fhir.search_query import (
    Chained,
    Clause,
    Condition,
    DateValue,
    Has,
    Include,
    MissingValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    SearchParameter,
    SearchQuery,
    SortKey,
    StringValue,
    TokenValue,
    UriValue,
)
from server.fhir.visibility import EVERYTHING, Rule, Visibility
from server.storage import open_store
from server.storage import search as planner
from server.storage.interface import Reader
from server.storage.versions import NewVersion

TYPES = ("Patient", "Observation", "Encounter", "Practitioner", "RiskAssessment", "ValueSet")
IDS = ("1", "2", "3", "4")
DAY = 86_400_000_000
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

days = st.sampled_from(["2024", "2024-02", "2024-02-10", "2024-02-10T08:00:00Z", "2025-01-01", "1999-12-31"])
names = st.sampled_from(["Eve", "Evelyn", "Ève", "steve", "O'Brien", "Smith-Jones", "Zoë Anna", "李"])
codes = st.sampled_from(["a", "b", "c"])
systems = st.sampled_from(["urn:x", "urn:y", None])
amounts = st.sampled_from([0, 1, 5, 5.4, 100, -3])
uris = st.sampled_from(["http://x.org/a", "http://x.org/a/b", "http://x.org/a/b/c", "http://x.org/ab", "urn:z"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def reference(*types: str) -> st.SearchStrategy[dict[str, str]]:
    return st.builds(lambda t, i: {"reference": f"{t}/{i}"}, st.sampled_from(types), st.sampled_from(IDS))


codings = st.builds(lambda s, c: {"coding": [{"code": c} | ({"system": s} if s else {})]}, systems, codes)
human_names = st.lists(
    st.builds(lambda f, g: {"family": f, "given": g}, names, st.lists(names, min_size=1, max_size=2)),
    max_size=2,
)
periods = st.builds(lambda a, b: {"start": a} | ({"end": b} if b else {}), days, st.just("2025-06"))
quantities = st.builds(lambda v, c: {"value": v, "system": "urn:u", "code": c}, amounts, codes)

# Elements of each type, optional unless FHIR requires them; what matters is that parameters select them.
ELEMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "Patient": {
        "name": human_names,
        "birthDate": maybe(st.sampled_from(["1990", "1990-05", "1990-05-06"])),
        "gender": maybe(st.sampled_from(["male", "female"])),
        "identifier": st.lists(st.builds(lambda v: {"system": "urn:x", "value": v}, codes), max_size=2),
        "generalPractitioner": st.lists(reference("Practitioner"), max_size=1),
    },
    "Observation": {
        "status": st.sampled_from(["final", "amended"]),
        "code": codings,
        "category": st.lists(codings, max_size=2),
        "subject": maybe(reference("Patient")),
        "encounter": maybe(reference("Encounter")),
        "performer": st.lists(reference("Practitioner", "Patient"), max_size=2),
        "effectiveDateTime": maybe(days),
        "valueQuantity": maybe(quantities),
    },
    "Encounter": {
        "status": st.sampled_from(["finished", "planned"]),
        "class": st.builds(lambda c: {"code": c}, codes),
        "subject": maybe(reference("Patient")),
        "period": maybe(periods),
        "length": maybe(quantities),
    },
    "Practitioner": {"name": human_names, "gender": maybe(st.just("male"))},
    "RiskAssessment": {
        "status": st.just("final"),
        "subject": reference("Patient"),
        "prediction": st.lists(st.builds(lambda v: {"probabilityDecimal": v}, amounts), max_size=2),
    },
    "ValueSet": {"status": st.just("active"), "url": maybe(uris)},
}


@st.composite
def resources(draw: st.DrawFn) -> dict[str, Any]:
    resource_type = draw(st.sampled_from(TYPES))
    resource = {"resourceType": resource_type, "id": draw(st.sampled_from(IDS))}
    for name, strategy in ELEMENTS[resource_type].items():
        value = draw(strategy)
        if value is not None and value != []:
            resource[name] = value
    return resource


prefixes = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
dates = st.builds(
    lambda prefix, day, length: DateValue(prefix, day * DAY, (day + length) * DAY),
    prefixes,
    st.sampled_from([7_305, 19_754, 19_758, 19_763, 19_998, 20_089]),
    st.sampled_from([1, 31, 366]),
)
numbers = st.builds(
    lambda prefix, value: NumberValue(prefix, Decimal(value), Decimal(value) - 1, Decimal(value) + 1),
    prefixes,
    st.sampled_from(["0", "1", "5", "5.4", "99.5", "-3"]),
)

asked_names = st.sampled_from(["eve", "Ève", "Eve", "o", "OBRIEN", "smith", "zoe an", "李"])

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "date": dates,
    "number": numbers,
    "quantity": st.builds(QuantityValue, numbers, st.sampled_from([None, "urn:u"]), maybe(codes)),
    "string": st.builds(StringValue, asked_names),
    "token": st.builds(
        TokenValue,
        st.sampled_from([None, "", "urn:x"]),
        st.sampled_from(["a", "b", "final", "male", "finished"]),
    ),
    "uri": st.builds(UriValue, uris),
}
MODIFIERS = {"string": ["", "exact", "contains"], "token": ["", "not"], "date": [""], "reference": [""]}


def references_to(found: SearchParameter) -> st.SearchStrategy[ReferenceValue]:
    types = [name for name in TYPES if name in found.targets] or [found.targets[0]]
    return st.builds(ReferenceValue, st.sampled_from([*types, None]), st.sampled_from(IDS))


def asked_parameters(resource_type: str) -> list[SearchParameter]:
    """The parameters that select something of the elements above."""
    wanted = {
        "Patient": ("name", "family", "birthdate", "gender", "identifier", "general-practitioner", "_id"),
        "Observation": ("status", "code", "category", "patient", "subject", "encounter", "performer", "date",
                        "value-quantity", "_lastUpdated"),
        "Encounter": ("status", "class", "patient", "date", "length", "_id"),
        "Practitioner": ("name", "given", "gender"),
        "RiskAssessment": ("patient", "probability"),
        "ValueSet": ("url", "status"),
    }  # fmt: skip
    return [found for code in wanted[resource_type] if (found := parameter(resource_type, code))]


@st.composite
def clauses(draw: st.DrawFn, resource_type: str) -> Clause:
    found = draw(st.sampled_from(asked_parameters(resource_type)))
    if found.code == "_id":
        chosen = draw(st.lists(st.sampled_from(IDS), min_size=1))
        return Clause(found, "", tuple(TokenValue(None, id) for id in chosen))
    if found.code == "_lastUpdated":
        moment = int(START.timestamp()) * 1_000_000 + draw(st.integers(0, 30)) * 1_000_000
        length = draw(st.sampled_from([10, 1_000, 1_000_000]))
        return Clause(found, "", (DateValue(draw(prefixes), moment, moment + length),))
    if draw(st.integers(0, 6)) == 0:
        return Clause(found, "missing", (MissingValue(draw(st.booleans())),))
    values = references_to(found) if found.type == "reference" else VALUES[found.type]
    return Clause(
        found,
        draw(st.sampled_from(MODIFIERS.get(found.type, [""]))),
        tuple(draw(st.lists(values, min_size=1, max_size=3))),
    )


LINKS = {
    "Observation": [("patient", "Patient"), ("encounter", "Encounter"), ("performer", "Practitioner")],
    "Encounter": [("patient", "Patient")],
    "Patient": [("general-practitioner", "Practitioner")],
}
BACK = {
    "Patient": [("Observation", "patient"), ("Encounter", "patient")],
    "Practitioner": [("Patient", "general-practitioner"), ("Observation", "performer")],
    "Encounter": [("Observation", "encounter")],
}


@st.composite
def conditions(draw: st.DrawFn, resource_type: str, links: int = 3) -> Condition:
    """A clause, or at most so many links, forward, backward or mixed, and a clause at their end."""
    kind = draw(st.integers(0, 6)) if links else 6
    if kind < 2 and resource_type in LINKS:
        code, target = draw(st.sampled_from(LINKS[resource_type]))
        link = parameter(resource_type, code)
        assert link is not None
        ways = [(target, draw(conditions(target, links - 1)))]
        if code == "performer":
            ways.append(("Patient", draw(conditions("Patient", links - 1))))
        return Chained(link, tuple(ways))
    if kind == 2 and resource_type in BACK:
        source, code = draw(st.sampled_from(BACK[resource_type]))
        link = parameter(source, code)
        assert link is not None
        return Has(source, link, draw(conditions(source, links - 1)))
    if kind == 3:
        owner = draw(
            st.sampled_from([name for name in COMPARTMENTS if resource_type in COMPARTMENTS[name]] or [""])
        )
        if inside := in_compartment(owner, draw(st.sampled_from(IDS)), resource_type):
            return inside
    return draw(clauses(resource_type))


@st.composite
def queries(draw: st.DrawFn) -> SearchQuery:
    resource_type = draw(st.sampled_from(TYPES))
    keys = [p for p in asked_parameters(resource_type) if p.code in sortable(resource_type)]
    keys.append(sortable(resource_type)["_lastUpdated"])
    sort = draw(st.lists(st.builds(SortKey, st.sampled_from(keys), st.booleans()), max_size=2))
    return SearchQuery(
        resource_type,
        tuple(draw(st.lists(conditions(resource_type), max_size=3))),
        tuple({key.parameter.code: key for key in sort}.values()),
        count=draw(st.integers(1, 3)),
    )


@st.composite
def queries_of_types(draw: st.DrawFn) -> SearchQuery:
    """Several types at once; each has conditions of its own, all have one order."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4, unique=True))
    codes = draw(st.lists(st.sampled_from(["_id", "_lastUpdated"]), max_size=2, unique=True))
    keys = [(code, draw(st.booleans())) for code in codes]
    return SearchQuery(
        "",
        count=draw(st.integers(1, 3)),
        parts=tuple(
            SearchQuery(
                name,
                tuple(draw(st.lists(conditions(name), max_size=2))),
                tuple(SortKey(sortable(name)[code], descending) for code, descending in keys),
            )
            for name in types
        ),
    )


@st.composite
def visibilities(draw: st.DrawFn) -> Visibility:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return EVERYTHING
    patients = frozenset(draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=2)))
    rules: dict[str, tuple[Rule, ...]] = {
        name: (Rule(patients=patients),) for name in ("Patient", "Observation", "Encounter", "RiskAssessment")
    }
    if kind >= 2:
        rules["Practitioner"] = (Rule(referred=True),)
    if kind == 3:
        rules["Observation"] = (Rule(patients=patients, criteria=(draw(clauses("Observation")),)),)
        rules["Encounter"] = (Rule(criteria=(draw(clauses("Encounter")),)), Rule(patients=patients))
    return Visibility(rules)


# -- the second opinion


def may_see(subject: Indexed, visible: Visibility, among: list[Indexed]) -> bool:
    """The meaning of `server.fhir.visibility`, written down without SQL."""
    rules = visible.of(subject.resource["resourceType"])
    return any(_may_see_by(subject, rule, visible, among) for rule in rules)


def _may_see_by(subject: Indexed, rule: Rule, visible: Visibility, among: list[Indexed]) -> bool:
    if not all(matches(subject, clause, among) for clause in rule.criteria):
        return False
    if rule.referred:
        here = reference_hash(f"{subject.resource['resourceType']}/{subject.resource['id']}")
        return any(
            here in other.rows.tokens
            and any(
                way.patients is not None and not way.referred and _may_see_by(other, way, visible, among)
                for way in visible.of(other.resource["resourceType"])
            )
            for other in among
        )
    return rule.patients is None or bool(rule.patients & set(subject.rows.compartments))


def expected(query: SearchQuery, visible: Visibility, stored: list[Indexed]) -> list[Indexed]:
    """Visible matches in the order asked for; chains reach only what is visible."""
    seen = [subject for subject in stored if may_see(subject, visible, stored)]
    parts = query.parts or (query,)
    found = [subject for subject in seen if any(matches(subject, part, seen) for part in parts)]
    for key in reversed(parts[0].sort):
        valued = [(value, subject) for subject in found if (value := sort_value(subject, key)) is not None]
        missing = [subject for subject in found if sort_value(subject, key) is None]
        valued.sort(key=lambda pair: pair[0], reverse=key.descending)  # stable, reversed keeps ties in order
        found = [subject for _, subject in valued] + missing
    return found


def sort_value(subject: Indexed, key: SortKey) -> Any:
    number, rows = key.parameter.number, subject.rows
    if key.parameter.code == "_id":
        return subject.resource["id"]
    if key.parameter.code == "_lastUpdated":
        return subject.resource["meta"]["lastUpdated"]
    kinds: dict[str, Callable[[], list[Any]]] = {
        "date": lambda: [row.low for row in rows.dates if row.parameter == number],
        "string": lambda: [row.normal.encode() for row in rows.strings if row.parameter == number],
        "number": lambda: [row.low for row in rows.quantities if row.parameter == number],
        "quantity": lambda: [row.low for row in rows.quantities if row.parameter == number],
        "uri": lambda: [row.uri.encode() for row in rows.uris if row.parameter == number],
    }
    values = kinds[key.parameter.type]()
    return (max if key.descending else min)(values) if values else None


# -- the store under test


Stored = Callable[[list[dict[str, Any]]], AbstractContextManager[tuple[Reader, list[Indexed]]]]


@pytest.fixture
def stored(fresh_database: Callable[[], AbstractContextManager[str]]) -> Stored:
    return partial(_stored, fresh_database)


@contextmanager
def _stored(
    fresh_database: Callable[[], AbstractContextManager[str]], contents: list[dict[str, Any]]
) -> Iterator[tuple[Reader, list[Indexed]]]:
    """A store to which all of it was written in order (later ones update), and what it should hold by rid."""
    with fresh_database() as database_url:
        store = open_store(database_url)
        store.upgrade()
        current: dict[tuple[str, str], tuple[int, Indexed]] = {}
        with store.writing() as writer:
            for position, content in enumerate(contents):
                moment = START + timedelta(seconds=position % 20, milliseconds=position)
                resource = {**content, "meta": {"lastUpdated": moment.isoformat(timespec="milliseconds")}}
                subject = indexed(resource)
                key = (resource["resourceType"], resource["id"])
                version = current[key][0] + 1 if key in current else 1
                current[key] = (version, subject)
                body = json.dumps(resource).encode()
                writer.put(NewVersion(*key, version, version - 1, moment, body, "PUT", subject.rows))
        try:
            with store.reading() as reader:
                yield reader, [subject for _, subject in current.values()]
        finally:
            store.close()


def ids(found: list[Indexed]) -> list[str]:
    return [subject.resource["id"] for subject in found]


@pytest.fixture(params=["short lists", "window", "long lists", "walk"])
def every_plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner's caps, so small that a few resources take it down each of its ways."""
    small, large, window = {
        "short lists": (500, 20_000, 2_000),
        "window": (0, 20_000, 2_000),
        "long lists": (0, 20_000, 1),
        "walk": (0, 0, 1),
    }[request.param]
    monkeypatch.setattr(planner, "_SMALL", small)
    monkeypatch.setattr(planner, "_LARGE", large)
    monkeypatch.setattr(planner, "_WINDOW", window)


contents = st.lists(resources(), min_size=1, max_size=24)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.usefixtures("every_plan")
def test_any_search_agrees_with_the_rules_in_memory(stored: Stored, data: st.DataObject) -> None:
    with stored(data.draw(contents)) as (reader, subjects):
        for _ in range(10):
            query = data.draw(st.one_of(queries(), queries(), queries_of_types()))
            visible = data.draw(visibilities())
            want = ids(expected(query, visible, subjects))
            assert pages(reader, query, visible) == want
            total = reader.total(query, visible, None)
            assert (total.value, total.exact) == (len(want), True)
            capped = reader.total(query, visible, 1)
            assert (capped.value, capped.exact) == (min(len(want), 1), len(want) <= 1)


def pages(reader: Reader, query: SearchQuery, visible: Visibility) -> list[str]:
    """The ids of all pages, each of which must be full but the last."""
    found: list[str] = []
    while True:
        page = reader.search(query, visible)
        found += [version.id for version in page.matches]
        if page.next_after is None:
            return found
        assert len(page.matches) == query.count
        query = replace(query, after=json.loads(json.dumps(page.next_after)))


INCLUDES = [
    Include("", None),
    Include("", None, iterate=True),
    Include("", None, reverse=True),
    Include("Encounter", parameter("Encounter", "patient"), iterate=True),
    Include("Patient", parameter("Patient", "general-practitioner"), reverse=True, iterate=True),
    Include("Observation", parameter("Observation", "patient")),
    Include("Observation", parameter("Observation", "performer"), target_type="Practitioner"),
    Include("Observation", None),
    Include("Patient", parameter("Patient", "general-practitioner"), iterate=True),
    Include("Encounter", parameter("Encounter", "patient"), reverse=True),
    Include("Observation", None, reverse=True),
]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    contents=contents,
    visible=visibilities(),
    includes=st.lists(st.sampled_from(INCLUDES), min_size=1, max_size=3, unique=True),
    resource_type=st.sampled_from(["Observation", "Patient"]),
)
def test_includes_bring_exactly_what_is_referred_to_and_visible(
    stored: Stored,
    contents: list[dict[str, Any]],
    visible: Visibility,
    includes: list[Include],
    resource_type: str,
) -> None:
    with stored(contents) as (reader, subjects):
        seen = [subject for subject in subjects if may_see(subject, visible, subjects)]
        start = [subject for subject in seen if subject.resource["resourceType"] == resource_type]
        want = included(start, includes, seen)
        page = reader.search(SearchQuery(resource_type, count=100, includes=tuple(includes)), visible)
        assert len(page.matches) == len(start)
        assert sorted((v.resource_type, v.id) for v in page.included) == sorted(want)
        assert not page.includes_truncated
        if want:
            cut = reader.search(
                SearchQuery(resource_type, count=100, includes=tuple(includes)),
                visible,
                includes_maximum=len(want) - 1,
            )
            assert cut.includes_truncated
            assert len(cut.included) == len(want) - 1


def test_includes_that_bring_the_same_resource_leave_nothing_out_unsaid(stored: Stored) -> None:
    """The second include finds again what the first has found, and one more, for which there is no room."""
    code = {"coding": [{"system": "urn:x", "code": "a"}]}
    refer = [
        {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "code": code,
            "performer": [{"reference": to}],
        }
        for name, to in (("1", "Patient/1"), ("2", "Practitioner/1"))
    ]
    contents = [{"resourceType": "Practitioner", "id": "1"}, {"resourceType": "Patient", "id": "1"}, *refer]
    includes = (INCLUDES[6], INCLUDES[0])
    with stored(contents) as (reader, _):
        query = SearchQuery("Observation", count=100, includes=includes)
        whole = reader.search(query, EVERYTHING)
        assert sorted(version.resource_type for version in whole.included) == ["Patient", "Practitioner"]
        assert not whole.includes_truncated
        cut = reader.search(query, EVERYTHING, includes_maximum=1)
        assert [version.resource_type for version in cut.included] == ["Practitioner"]
        assert cut.includes_truncated


def included(start: list[Indexed], includes: list[Include], seen: list[Indexed]) -> set[tuple[str, str]]:
    def key(subject: Indexed) -> tuple[str, str]:
        return subject.resource["resourceType"], subject.resource["id"]

    known = {key(subject) for subject in start}
    found: set[tuple[str, str]] = set()
    sources, current = start, includes
    while sources and current:
        fresh = [
            other
            for other in seen
            if key(other) not in known
            and any(follows(include, source, other) for include in current for source in sources)
        ]
        known |= {key(subject) for subject in fresh}
        found |= {key(subject) for subject in fresh}
        sources, current = fresh, [include for include in includes if include.iterate]
    return found


def follows(include: Include, source: Indexed, other: Indexed) -> bool:
    one, another = (other, source) if include.reverse else (source, other)
    target = another.resource["resourceType"]
    return (
        include.source_type in ("", one.resource["resourceType"])
        and include.target_type in (None, target)
        and any(
            row.target == reference_hash(f"{target}/{another.resource['id']}")
            and (include.parameter is None or row.parameter == include.parameter.number)
            for row in one.rows.references
        )
    )
