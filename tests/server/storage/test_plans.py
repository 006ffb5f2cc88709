"""PostgreSQL's plans: whatever it knows of the tables, a search looks rows up by an index, and reads no table.
What it touches is counted, and may not grow with what it does not match.

Plans are taken as they run (prepared, generic), on a few thousand rows, before any statistics exist and after.
Covers the cost of hl7.org/fhir/R4/search.html; SQLite's plans are in test_search.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from server.fhir.compartments import in_compartment
from server.fhir.hashing import reference_hash
from server.fhir.search_parameters import parameter
from server.fhir.search_query import (
    Chained,
    CompositeValue,
    Has,
    Include,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    SearchQuery,
    SortKey,
    StringValue,
    TokenValue,
)
from server.fhir.visibility import EVERYTHING, Limit, Rule, Visibility
from server.storage import search as planner
from server.storage.postgresql_database import SESSION
from server.storage.postgresql_dialect import numbered
from server.storage.search import Search
from server.storage.search_of_types import SearchOfTypes

pytestmark = pytest.mark.postgresql("its plans")

PATIENT_SCOPE = Visibility(
    {
        "Observation": (Rule(patients=frozenset({"p1"})),),
        "Patient": (Rule(patients=frozenset({"p1"})),),
        "Practitioner": (Rule(referred=True),),
    }
)
HOUSE = frozenset({reference_hash("Organization/house"), reference_hash("Organization/other")})
# A person who sees related charts, in the reach of an organization and beside one that narrows it.
RELATED = Visibility(
    {
        **dict.fromkeys(("Observation", "Patient"), (Rule(limits=(Limit(True), Limit(False, HOUSE))),)),
        "Practitioner": (Rule(),),
    },
    reference_hash("Practitioner/d1"),
    1_700_000_000_000_000,
)
# The same person, launched into one chart.
LAUNCHED = Visibility(
    {
        **dict.fromkeys(("Observation", "Patient"), (Rule(patients=frozenset({"p1"}), limits=(Limit(),)),)),
        "Practitioner": (Rule(referred=True),),
    },
    reference_hash("Practitioner/d1"),
    1_700_000_000_000_000,
)


def known(resource_type: str, code: str) -> Any:
    found = parameter(resource_type, code)
    assert found is not None
    return found


INCLUDES = (
    Include("Observation", known("Observation", "patient")),
    Include("", None, iterate=True),
    Include("", None, reverse=True),
    Include("Observation", known("Observation", "performer"), reverse=True, iterate=True),
)
UNIQUE = {"resource_pkey", "resource_self"}  # the indexes that find one resource
UCUM = "http://unitsofmeasure.org"
RELATIONS = ("relationship", "membership")
VALUES = ("date_value", "string_value", "quantity_value", "uri_value", "reference_value")


class Explained:
    """A connection that notes the plan of each statement that runs on it, as it runs.

    asking: another connection with the same settings; plans: those already known, by statement.
    """

    def __init__(
        self,
        connection: Any,
        asking: psycopg.Connection[Any],
        plans: dict[str, Any],
        explain: str = "EXPLAIN (FORMAT JSON)",
    ) -> None:
        self.connection, self.dialect = connection, connection.dialect
        self.plans = plans
        self._asking, self._explain = asking, explain

    def execute(self, sql: str, parameters: Any) -> Any:
        if sql not in self.plans:
            self.plans[sql] = self._plan(sql, parameters)
        return self.connection.execute(sql, parameters)

    def _plan(self, sql: str, parameters: Any) -> dict[str, Any]:
        text, names = numbered(sql)
        types = {int: "bigint", str: "text", float: "double precision", bytes: "bytea"}
        values = [parameters[name] for name in names]
        kinds = ", ".join("bigint[]" if isinstance(value, list) else types[type(value)] for value in values)
        asking = self._asking
        asking.execute(b"PREPARE asked" + (f" ({kinds}) AS ".encode() if kinds else b" AS ") + text)
        literals = ", ".join(psycopg.sql.Literal(value).as_string(asking) for value in values)
        execute = f"EXECUTE asked ({literals})" if values else "EXECUTE asked"
        found = asking.execute(f"{self._explain} {execute}").fetchone()
        asking.execute("DEALLOCATE asked")
        assert found is not None
        plan: dict[str, Any] = found[0][0]["Plan"]
        return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.fixture
def thousands(chart: Any) -> None:
    """Three patients, one of whom has nearly everything; every kind of index row."""
    observations = [
        {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "code": {"coding": [{"system": "urn:x", "code": f"c{number % 5}"}]},
            "subject": {"reference": f"Patient/p{2 if number > 8 else 1}"},
            "effectiveDateTime": f"20{10 + number % 15}-01-01",
            "valueQuantity": {"value": number % 100},
        }
        for number in range(1_000)
    ]
    for number in range(3):
        chart.put({"resourceType": "Patient", "id": f"p{number}", "name": [{"family": f"Family{number}"}]})
    for number in range(40):
        chart.put(
            {
                "resourceType": "CareTeam",
                "id": f"t{number}",
                "participant": [{"member": {"reference": f"Practitioner/d{number % 4}"}}],
            }
            | ({"subject": {"reference": f"Patient/p{number % 2 + 1}"}} if number % 3 else {})
        )
    chart.put(*observations)


@pytest.mark.usefixtures("thousands")
@pytest.mark.parametrize("analysed", [False, True], ids=["no statistics", "analysed"])
@pytest.mark.parametrize(
    "visible",
    [EVERYTHING, PATIENT_SCOPE, RELATED, LAUNCHED],
    ids=["system", "patient", "related", "launched"],
)
@pytest.mark.parametrize("caps", [(500, 20_000), (0, 0)], ids=["driven", "walked"])
def test_no_search_reads_a_table(
    chart: Any,
    shapes: Any,
    database_url: str,
    visible: Visibility,
    caps: tuple[int, int],
    analysed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "_SMALL", caps[0])
    monkeypatch.setattr(planner, "_LARGE", caps[1])
    asking = psycopg.connect(database_url, autocommit=True)
    asking.execute(SESSION)
    if analysed:
        asking.execute("ANALYZE")
    plans: dict[str, Any] = {}
    for resource_type, asked in shapes.values():
        sorts: list[tuple[SortKey, ...]] = [(), (SortKey(known(resource_type, "_lastUpdated"), True),)]
        includes: tuple[Include, ...] = ()
        if resource_type == "Observation":
            sorts.append((SortKey(known("Observation", "date"), True),))
            includes = INCLUDES
        for sort in sorts:
            with chart.store.database.reading() as connection:
                explained = Explained(connection, asking, plans)
                query = SearchQuery(resource_type, asked, sort, count=5, includes=includes)
                search = Search(explained, query, visible)  # type: ignore[arg-type]
                search.page(100)
                search.total(100)
    with chart.store.database.reading() as connection:
        parts = tuple(
            SearchQuery(kind, (in_compartment("Patient", "p1", kind),), (SortKey(known(kind, "_id")),))
            for kind in ("Observation", "Patient")
        )
        explained = Explained(connection, asking, plans)
        several = SearchOfTypes(explained, SearchQuery("", parts=parts, includes=INCLUDES, count=5), visible)  # type: ignore[arg-type]
        several.page(100)
        several.total(100)
    asking.close()
    assert len(plans) > 30
    for sql, plan in plans.items():
        check(plan, sql)


def check(plan: dict[str, Any], about: str) -> None:
    for node in nodes(plan):
        kind = node["Node Type"]
        assert kind not in ("Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join", "Materialize"), about
        if not kind.startswith("Index"):
            continue
        bound = node.get("Index Cond", "")
        index, table = node["Index Name"], node["Relation Name"]
        assert bound, about
        if table == "resource" and " driver " in about:
            assert index in UNIQUE or "every" in about, (index, about)
        if table in VALUES:
            # An include by every parameter reads all references of one resource after the other.
            every = table == "reference_value" and "rid = " in bound
            assert every or "parameter" in bound or "target" in bound, (index, bound, about)
        if table in RELATIONS:
            # By who asks and the patient, or by who asks alone: never by what the other column happens to hold.
            assert index == f"{table}_pkey", (index, about)
            assert ("actor" if table == "relationship" else "member") in bound, (index, bound, about)
        if table == "compartment":
            assert "patient" in bound or index == "compartment_rid", (index, bound, about)


def touched(
    store: Any, asking: psycopg.Connection[Any], query: SearchQuery, visible: Visibility = EVERYTHING
) -> int:
    """Pages that a search reads, in the cache or not: the same on a busy machine."""
    with store.database.reading() as connection:
        explained = Explained(connection, asking, {}, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)")
        kind = Search if query.resource_type else SearchOfTypes
        kind(explained, query, visible).page(100)  # type: ignore[arg-type]
    return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in explained.plans.values())


@pytest.mark.parametrize("analysed", ["never", "before", "after"])
def test_a_search_touches_no_more_pages_when_everything_else_grows(
    chart: Any, database_url: str, analysed: str
) -> None:
    """analysed: when statistics were made; before: they tell of a table of one type and a tenth of the size."""

    def grow(first: int, last: int, patient: int, **more: Any) -> None:
        chart.put(
            *[
                {
                    "resourceType": "Observation",
                    "id": f"o{number}",
                    "status": "final",
                    "code": {"coding": [{"system": "urn:x", "code": f"c{number % 5}"}]},
                    "subject": {"reference": f"Patient/p{patient}"},
                    "effectiveDateTime": f"20{10 + number % 15}-01-01",
                    "valueQuantity": {"value": number % 100, "system": UCUM, "code": "mg"},
                    **more,
                }
                for number in range(first, last)
            ]
        )

    clause = chart.clause
    for n in (1, 2):
        seen_by = [{"reference": f"Practitioner/d{n}"}]
        chart.put(
            {"resourceType": "Practitioner", "id": f"d{n}", "name": [{"family": f"D{n}"}]},
            {
                "resourceType": "Patient",
                "id": f"p{n}",
                "name": [{"family": f"F{n}"}],
                "generalPractitioner": seen_by,
            },
        )
    grow(0, 20, 1, valueQuantity={"value": 500, "system": UCUM, "code": "mg"})
    grow(20, 300, 2)
    subject = clause("Observation", "patient", ReferenceValue("Patient", "p1"))
    above = NumberValue("gt", Decimal(200), Decimal("199.5"), Decimal("200.5"))
    family = clause("Patient", "family", StringValue("F1"), modifier="exact")
    doctor = known("Patient", "general-practitioner")
    name = clause("Practitioner", "family", StringValue("D1"), modifier="exact")
    newest = (SortKey(known("Observation", "date"), True),)
    conditions: dict[str, tuple[Any, ...]] = {
        "reference": (subject,),
        "reference and token": (subject, clause("Observation", "status", TokenValue(None, "final"))),
        "quantity": (clause("Observation", "value-quantity", QuantityValue(above, None, None)),),
        "quantity of a unit": (clause("Observation", "value-quantity", QuantityValue(above, None, "mg")),),
        "quantity of a system": (clause("Observation", "value-quantity", QuantityValue(above, UCUM, "mg")),),
        "quantity of the whole or a part": (
            clause("Observation", "combo-value-quantity", QuantityValue(above, UCUM, "mg")),
        ),
        "composite": (
            clause(
                "Observation",
                "code-value-quantity",
                *[
                    CompositeValue((TokenValue("urn:x", f"c{n}"), QuantityValue(above, UCUM, "mg")))
                    for n in range(5)
                ],
            ),
        ),
        "chain": (Chained(subject.parameter, (("Patient", family),)),),
        "chain of two links": (
            Chained(subject.parameter, (("Patient", Chained(doctor, (("Practitioner", name),))),)),
        ),
        "compartment": (in_compartment("Patient", "p1", "Observation"),),
    }
    queries = {
        (name, bool(sort)): SearchQuery("Observation", asked, sort, count=20)
        for name, asked in conditions.items()
        for sort in ((), newest)
    }
    of_chart = tuple(
        SearchQuery(kind, (in_compartment("Patient", "p1", kind),)) for kind in ("Observation", "Patient")
    )
    queries["whole compartment", False] = SearchQuery("", count=20, parts=of_chart)
    queries["has", False] = SearchQuery(
        "Practitioner",
        (Has("Patient", doctor, Has("Observation", subject.parameter, conditions["quantity of a unit"][0])),),
        count=20,
    )
    queries["the patients", False] = SearchQuery("Patient", count=20)
    by_name = (SortKey(known("Patient", "family")),)
    queries["the patients", True] = SearchQuery("Patient", sort=by_name, count=20)
    with psycopg.connect(database_url, autocommit=True) as asking:
        asking.execute(SESSION)
        if analysed == "before":
            asking.execute("ANALYZE")
        small = {name: touched(chart.store, asking, query) for name, query in queries.items()}
        for first in range(300, 3_000, 900):
            grow(first, first + 900, 2)
        if analysed == "after":
            asking.execute("ANALYZE")
        large = {name: touched(chart.store, asking, query) for name, query in queries.items()}
    # A tree of ten times the entries is a level higher at most; up to _SHORT entries of a list are counted.
    grown = {name: (small[name], large[name]) for name in queries if large[name] > small[name] * 1.5 + 110}
    assert not grown


@pytest.mark.parametrize("analysed", [False, True], ids=["no statistics", "analysed"])
def test_a_caseload_touches_no_more_pages_when_other_peoples_grow(
    chart: Any, database_url: str, analysed: bool
) -> None:
    """One person has one patient, whatever everybody else has; by every way that a chart is related."""

    def grow(first: int, last: int, person: str) -> None:
        for number in range(first, last):
            patient = {"reference": f"Patient/p{number}"}
            chart.put(
                {"resourceType": "Patient", "id": f"p{number}"},
                {
                    "resourceType": "CareTeam",
                    "id": f"t{number}",
                    "subject": patient,
                    "participant": [{"member": {"reference": person}}],
                },
                *[
                    {
                        "resourceType": "Observation",
                        "id": f"o{number}-{each}",
                        "status": "final",
                        "code": {"coding": [{"system": "urn:x", "code": "c"}]},
                        "subject": patient,
                        "effectiveDateTime": "2024-01-01",
                    }
                    for each in range(3)
                ],
            )

    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": "Practitioner/d1"}}
    chart.put(role | {"id": "r1", "organization": {"reference": "Organization/house"}})
    grow(0, 1, "Practitioner/d1")
    grow(1, 60, "Practitioner/d2")
    newest = (SortKey(known("Observation", "date"), True),)
    code = chart.clause("Observation", "code", TokenValue("urn:x", "c"))
    queries = {
        "all": SearchQuery("Observation", count=20),
        "newest": SearchQuery("Observation", sort=newest, count=20),
        "code": SearchQuery("Observation", (code,), newest, count=20),
        "patients": SearchQuery("Patient", count=20),
    }
    with psycopg.connect(database_url, autocommit=True) as asking:
        asking.execute(SESSION)
        small = {name: touched(chart.store, asking, query, RELATED) for name, query in queries.items()}
        grow(60, 900, "Practitioner/d2")
        if analysed:
            asking.execute("ANALYZE")
        large = {name: touched(chart.store, asking, query, RELATED) for name, query in queries.items()}
    grown = {name: (small[name], large[name]) for name in queries if large[name] > small[name] * 1.5 + 110}
    assert not grown
