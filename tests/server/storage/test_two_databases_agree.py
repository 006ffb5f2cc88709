"""SQLite and PostgreSQL answer alike: the same resources, the same queries, equal pages, cursors and totals.

Random resources, updates and deletions go into both; then random queries of every kind of parameter, modifier,
chain, `_has`, list, compartment, include and sort, of one type and of several, are asked of both by callers who
see different things, down every way of the planner. A failure names its seed; BATON_TEST_SEED repeats it.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.compartments import in_compartment
from server.fhir.search_parsing import parse_search, parse_search_of_types
from server.fhir.search_query import Clause, SearchQuery
from server.fhir.visibility import EVERYTHING, Rule, Visibility
from server.storage import open_store
from server.storage import search as planner
from server.storage.database_store import DatabaseStore
from server.storage.interface import Reader

SEED = int(os.environ.get("BATON_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IDS = ("1", "2", "3", "4", "5", "6", "7", "8")
DAYS = ("2024", "2024-02", "2024-02-10", "2024-02-10T08:00:00Z", "2025-01-01", "1999-12-31")
LONG = "lang " * 150  # longer than what PostgreSQL's index holds of a text
NAMES = ("Eve", "Evelyn", "Ève", "steve", "O'Brien", "Smith-Jones", "Zoë Anna", "李", LONG, LONG + "er")
SYSTEMS = ("urn:x", "urn:y", "")
CODES = ("a", "b", "c", "A")
AMOUNTS = (0, 1, 5, 5.4, 100, -3, 1e-9, 1e300)
URIS = (
    "http://x.org/a",
    "http://x.org/a/b",
    "http://x.org/a/b/c",
    "http://x.org/ab",
    "urn:z",
    "http://x.org/" + "a" * 600,
)
PLANS = {
    "short lists": (500, 20_000, 2_000),
    "window": (0, 20_000, 2_000),
    "long lists": (0, 20_000, 1),
    "walk": (0, 0, 1),
}


class Dice(random.Random):
    """What is drawn at random."""

    def some(self, *makers: Callable[[], Any], most: int = 2) -> list[Any]:
        return [self.choice(makers)() for _ in range(self.randint(0, most))]

    def concept(self) -> dict[str, Any]:
        system = self.choice(SYSTEMS)
        coding = {"code": self.choice(CODES)} | ({"system": system} if system else {})
        return {"coding": [coding | {"display": self.choice(NAMES)}], "text": self.choice(NAMES)}

    def quantity(self) -> dict[str, Any]:
        return {"value": self.choice(AMOUNTS), "unit": "u", "system": "urn:u", "code": self.choice(CODES)}

    def reference(self, *types: str) -> dict[str, Any]:
        if self.random() < 0.1:
            return {"identifier": {"system": "urn:x", "value": self.choice(CODES)}}
        return {"reference": f"{self.choice(types)}/{self.choice(IDS)}"}

    def name(self) -> dict[str, Any]:
        return {"family": self.choice(NAMES), "given": [self.choice(NAMES)]}

    def identifier(self) -> dict[str, Any]:
        kind = {"coding": [{"system": "urn:types", "code": self.choice(CODES)}]}
        return {"type": kind, "system": self.choice(SYSTEMS) or "urn:x", "value": self.choice(CODES)}


def resource(dice: Dice, build: ModuleType) -> dict[str, Any]:
    """A resource of a few types; most of its elements may be missing."""
    kind = dice.choice(
        [
            "Patient",
            "Observation",
            "Observation",
            "Encounter",
            "Practitioner",
            "RiskAssessment",
            "ValueSet",
            "List",
        ]
    )
    made: dict[str, Any]
    if kind == "Patient":
        made = build.patient(
            identifier=dice.some(dice.identifier), name=dice.some(dice.name),
            gender=dice.choice(["male", "female", None]), birthDate=dice.choice(["1990", "1990-05-06", None]),
            generalPractitioner=dice.some(lambda: dice.reference("Practitioner"), most=1),
        )  # fmt: skip
    elif kind == "Observation":
        made = build.observation(
            f"Patient/{dice.choice(IDS)}", code=dice.concept(), category=dice.some(dice.concept),
            status=dice.choice(["final", "amended"]), effectiveDateTime=dice.choice([*DAYS, None]),
            valueQuantity=dice.choice([dice.quantity(), None]),
            encounter=dice.choice([dice.reference("Encounter"), None]),
            performer=dice.some(lambda: dice.reference("Practitioner", "Patient")),
        )  # fmt: skip
    elif kind == "Encounter":
        made = {
            "status": dice.choice(["finished", "planned"]), "class": {"code": dice.choice(CODES)},
            "subject": dice.choice([dice.reference("Patient"), None]),
            "period": dice.choice([{"start": dice.choice(DAYS)} | dice.choice([{}, {"end": "2025-06"}]), None]),
            "length": dice.choice([dice.quantity(), None]),
        }  # fmt: skip
    elif kind == "Practitioner":
        made = {"name": dice.some(dice.name), "gender": dice.choice(["male", None])}
    elif kind == "RiskAssessment":
        predictions = dice.some(lambda: {"probabilityDecimal": dice.choice(AMOUNTS[:6])})
        made = {"status": "final", "subject": dice.reference("Patient"), "prediction": predictions}
    elif kind == "List":
        entries = dice.some(lambda: {"item": dice.reference("Patient", "Observation", "Encounter")}, most=3)
        made = {"status": "current", "mode": "working", "code": dice.concept(), "entry": entries}
    else:
        made = {"status": "active", "url": dice.choice([*URIS, None])}
    kept = {name: value for name, value in made.items() if value not in (None, [])}
    return kept | {"resourceType": kind, "id": dice.choice(IDS)}


def date(dice: Dice) -> str:
    return dice.choice(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]) + dice.choice(DAYS)


def number(dice: Dice) -> str:
    prefix = dice.choice(["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
    return prefix + dice.choice(["0", "1", "5", "5.4", "1e2", "-3", "1e-9"])


def quantity(dice: Dice) -> str:
    return number(dice) + dice.choice(["", "||a", "|urn:u|b"])


def moment(dice: Dice) -> str:
    return dice.choice(["ge", "lt", "ne", "ap"]) + f"2026-03-01T12:0{dice.randrange(5)}:00Z"


def token(dice: Dice) -> str:
    system, code = dice.choice(SYSTEMS), dice.choice([*CODES, "final", "male", "finished", "active"])
    return dice.choice([code, f"{system}|{code}", f"|{code}", f"{system or 'urn:x'}|"])


def text(dice: Dice) -> str:
    value = dice.choice([*NAMES, "e", "o", "smith", "ZOE AN", LONG[:300], "nobody", "%", "_"])
    return value.strip().replace("\\", "\\\\").replace(",", "\\,")


def uri(dice: Dice) -> str:
    return dice.choice([*URIS, "http://x.org"])


# (parameter, its modifiers, its values) of each type
Asked = tuple[str, tuple[str, ...], Callable[[Dice], str]]
TOKEN = ("", "", ":not", ":missing")
STRING = ("", "", ":exact", ":contains", ":missing")
REFERENCE = ("", "", ":missing")


def reference(*types: str) -> Callable[[Dice], str]:
    return lambda dice: dice.choice(["", f"{dice.choice(types)}/"]) + dice.choice(IDS)


PARAMETERS: dict[str, tuple[Asked, ...]] = {
    "Patient": (
        ("name", STRING, text), ("family", STRING, text), ("birthdate", ("", ":missing"), date),
        ("gender", ("", ":not", ":missing"), token), ("identifier", ("", ":not", ":missing"), token),
        ("general-practitioner", REFERENCE, reference("Practitioner")),
        ("_id", ("",), lambda dice: dice.choice(IDS)),
        ("_lastUpdated", ("",), moment),
    ),
    "Observation": (
        ("code", TOKEN, token), ("category", TOKEN, token), ("status", ("", ":not"), token),
        ("patient", REFERENCE, reference("Patient")), ("subject", REFERENCE, reference("Patient")),
        ("performer", REFERENCE, reference("Patient", "Practitioner")),
        ("encounter", REFERENCE, reference("Encounter")),
        ("performer", (":identifier",), lambda dice: f"urn:x|{dice.choice(CODES)}"),
        ("date", ("", "", ":missing"), date),
        ("value-quantity", ("", "", ":missing"), quantity),
    ),
    "Encounter": (
        ("status", ("", ":not"), token), ("class", ("", ":missing"), token), ("date", ("", ":missing"), date),
        ("patient", REFERENCE, reference("Patient")), ("length", ("", ":missing"), number),
    ),
    "Practitioner": (("name", STRING, text), ("given", STRING, text), ("gender", ("", ":missing"), token)),
    "RiskAssessment": (("probability", ("", ":missing"), number), ("patient", REFERENCE, reference("Patient"))),
    "ValueSet": (("url", ("", "", ":missing"), uri), ("status", ("",), token)),
    "List": (("code", TOKEN, token), ("item", REFERENCE, reference("Patient", "Observation", "Encounter"))),
}  # fmt: skip
LISTED = ("Patient", "Observation", "Encounter")
LINKS = {
    "Observation": (("patient", "Patient"), ("encounter", "Encounter"), ("performer", "Practitioner")),
    "Encounter": (("patient", "Patient"),),
    "Patient": (("general-practitioner", "Practitioner"),),
}
BACK = {
    "Patient": (("Observation", "patient"), ("Encounter", "patient"), ("List", "item")),
    "Practitioner": (("Patient", "general-practitioner"), ("Observation", "performer")),
    "Encounter": (("Observation", "encounter"), ("List", "item")),
}
SORTS = {
    "Patient": ("family", "birthdate", "_lastUpdated", "_id"),
    "Observation": ("date", "_lastUpdated", "value-quantity"),
    "Encounter": ("date", "length", "_lastUpdated"),
    "Practitioner": ("name", "_lastUpdated"),
    "RiskAssessment": ("probability", "_lastUpdated"),
    "ValueSet": ("url", "_lastUpdated"),
    "List": ("_lastUpdated", "_id"),
}
INCLUDES = {
    "Patient": (("_include", "Patient:general-practitioner"), ("_revinclude", "Observation:patient"),
                ("_revinclude", "Encounter:patient"), ("_include", "Patient:*"), ("_revinclude", "*"),
                ("_revinclude:iterate", "Observation:encounter"),
                ("_include:iterate", "Observation:performer")),
    "Observation": (("_include", "Observation:patient"), ("_include", "Observation:*"),
                    ("_include", "Observation:performer:Practitioner"), ("_revinclude", "Observation:*"),
                    ("_include:iterate", "Patient:general-practitioner"), ("_include", "*"),
                    ("_include:iterate", "*"), ("_include:recurse", "Encounter:patient")),
    "Encounter": (("_include", "Encounter:patient"), ("_revinclude", "Observation:encounter")),
}  # fmt: skip


def condition(dice: Dice, kind: str) -> tuple[str, str]:
    """A parameter of a type with its modifier, and values."""
    code, modifiers, value = dice.choice(PARAMETERS[kind])
    modifier = dice.choice(modifiers)
    if modifier == ":missing":
        return code + modifier, dice.choice(["true", "false"])
    return code + modifier, ",".join(value(dice) for _ in range(dice.choice([1, 1, 1, 2, 3])))


def chain(dice: Dice, kind: str, links: int = 4) -> tuple[str, str]:
    """A condition on a type, most often after some links of either direction."""
    way = dice.random() if links else 1
    if way < 0.2 and kind in LINKS:
        link, target = dice.choice(LINKS[kind])
        name, value = chain(dice, target, links - 1)
        return f"{dice.choice([link, f'{link}:{target}'])}.{name}", value
    if way < 0.4 and kind in BACK:
        source, link = dice.choice(BACK[kind])
        name, value = chain(dice, source, links - 1)
        return f"_has:{source}:{link}:{name}", value
    if way < 0.45 and kind in LISTED:
        return "_list", ",".join(dice.sample(IDS, dice.randint(1, 2)))
    return condition(dice, kind)


def asked(dice: Dice) -> tuple[str, list[tuple[str, str]]]:
    """A type and the pairs of a query string."""
    kind = dice.choice(list(PARAMETERS))
    pairs = []
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        pairs.append(chain(dice, kind))
    if dice.random() < 0.6:
        keys = dice.sample(SORTS[kind], dice.randint(1, 2))
        pairs.append(("_sort", ",".join(dice.choice(["", "-"]) + key for key in keys)))
    if kind in INCLUDES and dice.random() < 0.4:
        pairs += dice.sample(INCLUDES[kind], dice.randint(1, 2))
    pairs.append(("_count", str(dice.randint(1, 5))))
    return kind, pairs


COMMON = (("_lastUpdated", moment), ("_id", lambda dice: dice.choice(IDS)))


def asked_of_types(dice: Dice) -> SearchQuery:
    """The same parameters of several types, often within a compartment."""
    kinds = dice.sample(list(PARAMETERS), dice.randint(1, 4))
    pairs = [(name, value(dice)) for name, value in COMMON if dice.random() < 0.3]
    if set(kinds) <= {"Observation", "Encounter", "RiskAssessment"} and dice.random() < 0.5:
        pairs.append(("patient", dice.choice(IDS)))
    if dice.random() < 0.6:
        pairs.append(("_sort", ",".join(dice.sample(["_id", "-_id", "_lastUpdated", "-_lastUpdated"], 2))))
    if dice.random() < 0.3:
        pairs.append(("_include", "*"))
    query = parse_search_of_types(kinds, [*pairs, ("_count", str(dice.randint(1, 5)))], now=NOW)
    if dice.random() < 0.5:
        return query
    owner, id = dice.choice(["Patient", "Encounter", "Practitioner"]), dice.choice(IDS)
    inside = ((part, in_compartment(owner, id, part.resource_type)) for part in query.parts)
    parts = [replace(part, conditions=(*part.conditions, one)) for part, one in inside if one is not None]
    return replace(query, parts=tuple(parts) or query.parts)


def beyond_http(dice: Dice, query: SearchQuery) -> SearchQuery:
    """Sometimes what the store can and a query string cannot ask: `:above`, `:below`."""
    if dice.random() < 0.7:
        return query
    return replace(
        query,
        conditions=tuple(
            replace(one, modifier=dice.choice(["above", "below"]))
            if isinstance(one, Clause) and one.parameter.type == "uri" and not one.modifier
            else one
            for one in query.conditions
        ),
    )


def seen_by(dice: Dice) -> Visibility:
    way = dice.randrange(5)
    if way < 2:
        return EVERYTHING
    patients = frozenset(dice.sample(IDS, dice.randint(1, 3)))
    rules: dict[str, tuple[Rule, ...]] = {
        kind: (Rule(patients=patients),) for kind in ("Patient", "Observation", "Encounter", "RiskAssessment")
    }
    if way > 2:
        rules["Practitioner"] = (Rule(referred=True),)
    if way == 4:
        for kind in ("Observation", "Encounter"):
            clauses = parse_search(kind, [condition(dice, kind)]).conditions
            rules[kind] = (Rule(patients=patients, criteria=clauses),)  # type: ignore[arg-type]
    return Visibility(rules)


@pytest.fixture
def stores(tmp_path: Path, store: DatabaseStore) -> Iterator[tuple[DatabaseStore, DatabaseStore]]:
    """SQLite and PostgreSQL."""
    other = open_store(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    other.upgrade()
    yield other, store
    other.close()


def answer(store: DatabaseStore, query: SearchQuery, visible: Visibility) -> list[Any]:
    """Everything a client could learn from a query: all pages with their cursors, totals, or the refusal."""
    with store.reading() as reader:
        try:
            return [*_pages(reader, query, visible), *(reader.total(query, visible, cap) for cap in (None, 2))]
        except FhirError as refused:
            return [refused.kind]


def _pages(reader: Reader, query: SearchQuery, visible: Visibility) -> Iterator[Any]:
    for _ in range(40):
        page = reader.search(query, visible, includes_maximum=6)
        yield page
        if page.next_after is None:
            return
        query = replace(query, after=tuple(json.loads(json.dumps(page.next_after))))
    raise AssertionError("a search that does not end")


@pytest.mark.postgresql("it asks both")
@pytest.mark.parametrize("queries", [100, pytest.param(2_000, marks=pytest.mark.long)])
def test_both_answer_any_query_alike(
    stores: tuple[DatabaseStore, DatabaseStore],
    new_chart: Any,
    build: ModuleType,
    queries: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    print(f"BATON_TEST_SEED={SEED}")
    dice, charts = Dice(SEED), [new_chart(store) for store in stores]
    for _ in range(100):
        contents = [resource(dice, build) for _ in range(dice.randint(1, 3))]
        unique = list({(content["resourceType"], content["id"]): content for content in contents}.values())
        forgotten = dice.random() < 0.05
        for chart in charts:
            chart.put(*unique)
            if forgotten:
                chart.delete(unique[0]["resourceType"], unique[0]["id"])
    matched = 0
    for turn in range(queries):
        if turn % 50 == 0:
            for name, value in zip(
                ("_SMALL", "_LARGE", "_WINDOW"), dice.choice(list(PLANS.values())), strict=True
            ):
                monkeypatch.setattr(planner, name, value)
        kind, pairs = asked(dice)
        visible = seen_by(dice)
        try:
            if dice.random() < 0.15:
                query = asked_of_types(dice)
            else:
                query = beyond_http(dice, parse_search(kind, pairs, now=NOW))
        except FhirError as refused:
            raise AssertionError(f"{kind} {pairs}: {refused.issues}") from refused
        one, another = (answer(store, query, visible) for store in stores)
        assert one == another, f"BATON_TEST_SEED={SEED}: {query.parts or (kind, pairs)} {visible}"
        matched += len(one[0].matches) > 0 if not isinstance(one[0], str) else 0
    assert matched > queries * 0.2, "queries that find nothing prove nothing"
    for kind in ("Patient", "Observation", None):
        for id in (*IDS, None) if kind else (None,):
            one, another = (_history(store, kind, id) for store in stores)
            assert one == another, (kind, id)


def _history(store: DatabaseStore, kind: str | None, id: str | None) -> list[Any]:
    pages: list[Any] = []
    after = None
    moments = (NOW + timedelta(seconds=20), NOW + timedelta(seconds=90))
    with store.reading() as reader:
        for at in (None, moments):
            for since in (None, moments[0]):
                while True:
                    page = reader.history(kind, id, EVERYTHING, since=since, at=at, count=20, after=after)
                    pages.append(page)
                    after = page.next_after
                    if after is None:
                        break
    return pages
