"""Pages of a record: their plans look rows up, and touch no more when other records grow.

What they hold is tested by $everything (tests/server/interactions/operations). Covers
server/storage/record_pages.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from server.auth.access import referred_to
from server.fhir.visibility import EVERYTHING, Rule, Visibility
from server.storage import record_pages
from server.storage.answers import Record
from server.storage.postgresql_database import SESSION
from server.storage.postgresql_dialect import numbered

OWN = (Rule(patients=frozenset({"p1"})),)
PATIENT = Visibility(
    {"Observation": OWN, "Encounter": OWN, "Patient": OWN, "Practitioner": (Rule(referred=True),)}
)
RECORDS = (
    Record("Patient", "p1", ("p1",)),
    Record("Encounter", "e1", ("p1",)),
)


def grow(chart: Any, first: int, last: int, patient: int) -> None:
    chart.put(
        *[
            {
                "resourceType": "Observation",
                "id": f"o{number}",
                "status": "final",
                "code": {"coding": [{"system": "urn:x", "code": f"c{number % 5}"}]},
                "subject": {"reference": f"Patient/p{patient}"},
                "encounter": {"reference": f"Encounter/e{patient}"},
                "performer": [{"reference": f"Practitioner/d{number % 7}"}],
                "effectiveDateTime": f"20{10 + number % 15}-01-01",
            }
            for number in range(first, last)
        ]
    )


@pytest.fixture
def two_records(chart: Any) -> Any:
    for n in (1, 2):
        chart.put({"resourceType": "Patient", "id": f"p{n}"})
        chart.put(
            {
                "resourceType": "Encounter",
                "id": f"e{n}",
                "status": "finished",
                "class": {"code": "IMP"},
                "subject": {"reference": f"Patient/p{n}"},
            }
        )
    chart.put(*[{"resourceType": "Practitioner", "id": f"d{n}"} for n in range(7)])
    grow(chart, 0, 30, 1)
    grow(chart, 30, 330, 2)
    return chart


def asked(chart: Any, connection: Any, record: Record, visible: Visibility) -> None:
    """First and later pages, every filter."""
    since = chart.now - timedelta(days=1)
    targets = [f"Practitioner/d{n}" for n in range(7)] + [f"Observation/o{n}" for n in range(40)]
    filters: tuple[dict[str, Any], ...] = ({}, {"types": frozenset({"Observation", "Practitioner"})})
    if record.resource_type == "Patient":
        filters += ({"since": since, "care": (0, 2**60)},)
    for filter in filters:
        limited = replace(record, **filter)
        page = record_pages.members(connection, limited, visible, 10, None)
        assert len(page.versions) == 10
        assert page.next_after is not None
        record_pages.members(connection, limited, visible, 10, page.next_after)
        found = record_pages.referred(connection, limited, targets, targets, referred_to(visible), 3, 0)
        assert len(found.versions) == 3
        assert found.next_after is not None
        record_pages.referred(connection, limited, targets[:1], targets, visible, 3, int(found.next_after[0]))


class Steps:
    """An SQLite connection that notes the steps of each plan."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect  # type: ignore[attr-defined]
        self.steps: list[str] = []

    def execute(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.steps += [row[3] for row in self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return self.connection.execute(sql, parameters)


@pytest.mark.sqlite("its plans; PostgreSQL's are below")
@pytest.mark.parametrize("record", RECORDS, ids=["Patient", "Encounter"])
@pytest.mark.parametrize("visible", [EVERYTHING, PATIENT], ids=["system", "patient"])
def test_no_page_scans_a_table(two_records: Any, record: Record, visible: Visibility) -> None:
    with two_records.store.database.reading() as connection:
        noted = Steps(connection)
        asked(two_records, noted, record, visible)
    scanned = {step for step in noted.steps if step.startswith("SCAN") and "json_each" not in step}
    assert scanned <= {"SCAN driver"}  # the list of what is referred to, looked up by then
    assert noted.steps


class Touched:
    """A PostgreSQL connection that counts the pages each statement reads, in the cache or not."""

    def __init__(self, connection: Any, asking: psycopg.Connection[Any]) -> None:
        self.connection, self.dialect = connection, connection.dialect
        self.asking, self.pages = asking, 0
        self.nodes: list[dict[str, Any]] = []

    def execute(self, sql: str, parameters: Any) -> Any:
        text, names = numbered(sql)
        types = {int: "bigint", str: "text", bytes: "bytea"}
        values = [parameters[name] for name in names]
        kinds = []
        for value in values:
            if isinstance(value, list):
                kinds.append("text[]" if value and isinstance(value[0], str) else "bigint[]")
            else:
                kinds.append(types[type(value)])
        self.asking.execute(b"PREPARE asked (" + ", ".join(kinds).encode() + b") AS " + text)
        literals = ", ".join(psycopg.sql.Literal(value).as_string(self.asking) for value in values)
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({literals})"
        row = self.asking.execute(explain).fetchone()
        self.asking.execute("DEALLOCATE asked")
        assert row is not None
        plan = row[0][0]["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.nodes += nodes(plan)
        return self.connection.execute(sql, parameters)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.postgresql("its plans; SQLite's are above")
@pytest.mark.parametrize("analysed", [False, True], ids=["no statistics", "analysed"])
@pytest.mark.parametrize("record", RECORDS, ids=["Patient", "Encounter"])
@pytest.mark.parametrize("visible", [EVERYTHING, PATIENT], ids=["system", "patient"])
def test_a_page_touches_no_more_when_other_records_grow(
    two_records: Any, database_url: str, record: Record, visible: Visibility, analysed: bool
) -> None:
    def touched(asking: psycopg.Connection[Any]) -> int:
        with two_records.store.database.reading() as connection:
            counted = Touched(connection, asking)
            asked(two_records, counted, record, visible)
        kinds = {node["Node Type"] for node in counted.nodes}
        assert not kinds & {"Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join"}, kinds
        return counted.pages

    with psycopg.connect(database_url, autocommit=True) as asking:
        asking.execute(SESSION)
        small = touched(asking)
        grow(two_records, 330, 1_500, 2)
        if analysed:
            asking.execute("ANALYZE")
        assert touched(asking) <= small * 1.5 + 110
