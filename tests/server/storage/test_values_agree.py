"""Dates, numbers, quantities and composites with every prefix: SQL finds what the rules in memory find.

A few hundred synthetic resources with values on both sides of every boundary; searches as they are written.
Covers hl7.org/fhir/R4/search.html#prefix, #quantity, #combining; test_search_agrees compares other searches.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fhir.criteria import indexed, matches
from server.fhir.index_values import index_values
from server.fhir.json_codec import encode
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.storage.versions import NewVersion

UCUM = "http://unitsofmeasure.org"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
AMOUNTS = ("0", "4.9", "5", "5.0", "5.4", "5.45", "5400", "0.0054", "-3", "37", "98.6", "1e3")
UNITS = ("mg", "g", "kg", "ug", "Cel", "[degF]", "tablet")
SYSTEMS = (UCUM, UCUM, "urn:units", None)
CODES = ("a", "b", "c")
DAYS = (
    "2025",
    "2025-12",
    "2026-02-28",
    "2026-03-01",
    "2026-03-01T12:00:00Z",
    "2026-03-01T12:00:00.5Z",
    "2027-01-01",
)


def some(random: Random, *options: Any) -> Any:
    return random.choice(options)


def concept(random: Random) -> dict[str, Any]:
    codings = []
    for _ in range(random.choice((1, 1, 2))):
        system = some(random, "urn:x", "urn:y", None)
        codings.append({"code": random.choice(CODES)} | ({"system": system} if system else {}))
    return {"coding": codings}


def quantity(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {"value": Decimal(random.choice(AMOUNTS))}
    system, unit = random.choice(SYSTEMS), random.choice(UNITS)
    if system:
        made |= {"system": system, "code": unit}
    if random.random() < 0.5:
        made["unit"] = some(random, unit, "milligram")
    if random.random() < 0.2:
        made["comparator"] = some(random, "<", "<=", ">", ">=")
    return made


def extent(random: Random) -> dict[str, Any]:
    """A Range, open or not, in one unit or two."""
    ends = {"low": {"value": random.randint(0, 5)}, "high": {"value": random.randint(5, 9)}}
    if random.random() < 0.3:
        del ends[some(random, "low", "high")]
    for end in ends.values():
        if random.random() < 0.7:
            end |= {"system": UCUM, "code": some(random, "mg", "mg", "g")}  # type: ignore[dict-item]
    return ends


def period(random: Random) -> dict[str, str]:
    start = random.randrange(len(DAYS))
    made = {"start": DAYS[start], "end": random.choice(DAYS[start:])}
    if random.random() < 0.5:
        del made[some(random, "start", "end")]
    return made


def value(random: Random) -> dict[str, Any]:
    return random.choice(
        [
            {"valueQuantity": quantity(random)},
            {"valueQuantity": quantity(random)},
            {"valueCodeableConcept": concept(random)},
            {"valueString": some(random, "Positive", "positively", "negative")},
            {"valueDateTime": random.choice(DAYS)},
            {"valuePeriod": period(random)},
            {},
        ]
    )


def effective(random: Random) -> dict[str, Any]:
    timing = {"event": [random.choice(DAYS) for _ in range(2)], "repeat": {"boundsPeriod": period(random)}}
    return random.choice(
        [
            {"effectiveDateTime": random.choice(DAYS)},
            {"effectivePeriod": period(random)},
            {"effectiveTiming": timing},
            {"effectiveTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}},
            {},
        ]
    )


def store(chart: Any, resources: list[dict[str, Any]]) -> None:
    """Write them with their decimals as they are."""
    chart.write(
        *(
            NewVersion(row["resourceType"], row["id"], 1, 0, NOW, encode(row), "PUT", index_values(row))
            for row in resources
        )
    )


def others(random: Random) -> list[dict[str, Any]]:
    context = {"code": concept(random)["coding"][0]}
    context |= random.choice(
        [
            {"valueQuantity": quantity(random)},
            {"valueRange": extent(random)},
            {"valueCodeableConcept": concept(random)},
        ]
    )
    predictions = [{"probabilityRange": extent(random)}, {"probabilityDecimal": Decimal("5.4")}]
    window = {
        "chromosome": concept(random),
        "windowStart": random.randint(1, 5),
        "windowEnd": random.randint(3, 9),
    }
    return [
        {"resourceType": "ValueSet", "status": "active", "useContext": [context]},
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "executionPeriod": period(random),
            "restriction": {"period": period(random)},
        },
        {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": {"reference": "Patient/1"},
            "prediction": predictions[: random.choice((1, 2))],
        },
        {"resourceType": "MolecularSequence", "coordinateSystem": 0, "referenceSeq": window},
    ]


def resources(random: Random) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for _ in range(160):
        component = [{"code": concept(random), **value(random)} for _ in range(random.choice((0, 0, 1, 2)))]
        for row in component:
            row.pop("valueDateTime", None)
        made.append(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept(random),
                **value(random),
                **effective(random),
                **({"component": component} if component else {}),
            }
        )
    for _ in range(40):
        made += others(random)
    return [resource | {"id": f"r{number}"} for number, resource in enumerate(made)]


prefixes, days = st.sampled_from(PREFIXES), st.sampled_from(DAYS)
amounts = st.builds("{}{}".format, prefixes, st.sampled_from(AMOUNTS))
units = st.sampled_from(["", *(f"|{s}|{u}" for s in (UCUM, "urn:units", "") for u in (*UNITS, "milligram"))])
quantities = st.builds("{}{}".format, amounts, units)
tokens = st.builds("{}{}".format, st.sampled_from(["", "|", "urn:x|", "urn:y|"]), st.sampled_from(CODES))
dates = st.builds("{}{}".format, prefixes, days)


def beside(second: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}${}".format, tokens, second)


ASKED: dict[tuple[str, str], st.SearchStrategy[str]] = {
    **{("Observation", f"{place}value-quantity"): quantities for place in ("", "component-", "combo-")},
    **{
        ("Observation", f"{place}code-value-quantity"): beside(quantities)
        for place in ("", "component-", "combo-")
    },
    **{("Observation", f"{place}code-value-concept"): beside(tokens) for place in ("", "component-", "combo-")},
    ("Observation", "combo-code"): tokens,
    ("Observation", "combo-value-concept"): tokens,
    ("Observation", "code-value-string"): beside(st.sampled_from(["pos", "positive", "neg", "x"])),
    ("Observation", "code-value-date"): beside(dates),
    ("Observation", "date"): dates,
    ("Observation", "value-date"): dates,
    ("ValueSet", "context-type-quantity"): beside(quantities),
    ("ValueSet", "context-quantity"): quantities,
    ("ValueSet", "context-type-value"): beside(tokens),
    ("Task", "due"): dates,
    ("Task", "period"): dates,
    ("RiskAssessment", "probability"): amounts,
    ("MolecularSequence", "chromosome-window-coordinate"): st.builds(
        "{}${}${}".format, tokens, amounts, amounts
    ),
}


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    resource_type, code = draw(st.sampled_from(sorted(ASKED)))
    if draw(st.integers(0, 9)) == 0:
        return resource_type, [(f"{code}:missing", draw(st.sampled_from(["true", "false"])))]
    values = draw(st.lists(ASKED[resource_type, code], min_size=1, max_size=3))
    return resource_type, [(code, ",".join(values))]


@pytest.mark.parametrize("seed", [1, 2])
def test_sql_and_the_rules_in_memory_find_the_same(chart: Any, seed: int) -> None:
    stored = resources(Random(seed))
    store(chart, stored)
    known = {resource["id"]: indexed(resource) for resource in stored}

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(searches())
    def ask(search: tuple[str, list[tuple[str, str]]]) -> None:
        resource_type, pairs = search
        query = parse_search(resource_type, pairs, now=NOW, count_default=1_000)
        found = chart.reading(lambda reader: reader.search(query, EVERYTHING)).matches
        assert {version.id for version in found} == {
            id for id, resource in known.items() if matches(resource, query)
        }, pairs
        total = chart.reading(lambda reader: reader.total(query, EVERYTHING, None))
        assert total.value == len(found)

    ask()


@pytest.mark.parametrize("code", ["combo-value-quantity", "date", "value-date"])
def test_a_sorted_search_has_every_row_once(chart: Any, code: str) -> None:
    stored = resources(Random(3))
    store(chart, stored)
    observations = [row["id"] for row in stored if row["resourceType"] == "Observation"]
    for direction in ("", "-"):
        query = parse_search("Observation", [("_sort", direction + code), ("_count", "1000")])
        found = [
            version.id
            for version in chart.reading(lambda reader, q=query: reader.search(q, EVERYTHING)).matches
        ]
        assert sorted(found) == sorted(observations)
