"""The schema could be spread over machines by patient, as docs/explanation/scale.md says.

The tables of that page are the data: where each table stands, what is unique across charts, what numbers
itself. Here they are held against the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.fhir.hashing import reference_hash
from server.fhir.search_parameters import parameter
from server.fhir.search_query import Include, ReferenceValue, SearchQuery
from server.fhir.visibility import EVERYTHING
from server.storage.migrations import migrations

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "scale.md"
DIALECTS = ("sqlite", "postgresql")
BUCKETS = 4096


def page_table(name: str) -> list[list[str]]:
    """The rows of one of the page's tables, without the marks of code."""
    text = PAGE.read_text("utf-8")
    block = text.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    rows = [line.strip().strip("|").split("|") for line in block.strip().splitlines()]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows[2:]]


STANDS = {row[0]: row[1] for row in page_table("tables")}
PLACED_BY = {row[0]: row[2].rpartition(" ")[2] for row in page_table("tables") if row[1] == "chart"}
NUMBERS_ITSELF = {(row[0], row[3]) for row in page_table("tables") if row[3]}
UNIQUE_ACROSS = {(row[0], tuple(row[1].split(", "))) for row in page_table("unique")}


class Schema:
    """What the database itself says of its tables."""

    def __init__(self, store: Any) -> None:
        with store.database.reading() as connection:
            self._ask = lambda sql: connection.execute(sql, {}).fetchall()
            read = self._postgresql if store.database.dialect.name == "postgresql" else self._sqlite
            read()

    def _postgresql(self) -> None:
        rows = self._ask(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
        self.columns = _grouped(rows)
        self.unique = {
            (str(table), tuple(columns.split(",")))
            for table, columns in self._ask(
                "SELECT t.relname, (SELECT string_agg(a.attname::text, ',' ORDER BY k.place)"
                " FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)"
                " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number)"
                " FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
                " JOIN pg_namespace n ON n.oid = t.relnamespace"
                " WHERE i.indisunique AND n.nspname = current_schema()"
            )
        }

    def _sqlite(self) -> None:
        tables = [row[0] for row in self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self.columns, self.unique = {}, set()
        for table in tables:
            rows = self._ask(f"PRAGMA table_info({table})")
            self.columns[table] = {row[1] for row in rows}
            key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
            self.unique.add((table, key))
            for index in self._ask(f"PRAGMA index_list({table})"):
                if index[2]:
                    columns = self._ask(f"PRAGMA index_info({index[1]})")
                    self.unique.add((table, tuple(row[2] for row in columns)))


def _grouped(rows: list[Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(str(table), set()).add(str(column))
    return found


@pytest.fixture
def schema(store: Any) -> Schema:
    return Schema(store)


def statements(dialect: str) -> str:
    """All migrations of a dialect without their comments."""
    return re.sub(r"--[^\n]*", "", "\n".join(migration.script for migration in migrations(dialect)))


def test_every_table_has_its_place_on_the_page_and_no_other_has(schema: Schema) -> None:
    assert set(schema.columns) == set(STANDS)
    assert set(STANDS.values()) == {"chart", "shard", "everywhere", "one place"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_table_has_a_foreign_key_a_trigger_or_a_view(dialect: str) -> None:
    ways = r"\b(REFERENCES|FOREIGN\s+KEY|CREATE\s+(?:\w+\s+)*(?:TRIGGER|VIEW))\b"
    assert not re.search(ways, statements(dialect), re.IGNORECASE)


def test_every_row_of_a_chart_carries_what_places_it(schema: Schema) -> None:
    for table, column in PLACED_BY.items():
        assert column in schema.columns[table], table
        assert "rid" in schema.columns[table], table


def test_nothing_is_unique_across_charts_but_what_the_page_lists(schema: Schema) -> None:
    across = {
        (table, columns)
        for table, columns in schema.unique
        if table in PLACED_BY and PLACED_BY[table] not in columns and "rid" not in columns
    }
    assert across == UNIQUE_ACROSS


def test_only_the_listed_columns_number_themselves_and_take_a_given_number() -> None:
    text = statements("postgresql")
    found = set()
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", text, re.DOTALL):
        found |= {
            (table, column) for column in re.findall(r"^\s*\"?(\w+)\"? .*\bIDENTITY\b", body, re.MULTILINE)
        }
    assert found == NUMBERS_ITSELF
    assert "GENERATED ALWAYS AS IDENTITY" not in text
    assert not re.search(r"\b(SERIAL|BIGSERIAL|AUTOINCREMENT)\b", text + statements("sqlite"), re.IGNORECASE)


PATIENTS = ("a", "b", "c", "d", "e")


def resources() -> Iterator[dict[str, Any]]:
    yield {"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "Beispiel"}]}
    for patient in PATIENTS:
        subject = {"reference": f"Patient/{patient}"}
        yield {"resourceType": "Patient", "id": patient, "name": [{"family": f"Testfall {patient}"}]}
        yield {
            "resourceType": "Encounter",
            "id": f"stay-{patient}",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": subject,
            "participant": [{"individual": {"reference": "Practitioner/doctor"}}],
            "period": {"start": f"2026-02-0{1 + PATIENTS.index(patient)}"},
        }
        for number in range(3):
            yield {
                "resourceType": "Observation",
                "id": f"o-{patient}-{number}",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": f"code-{number}"}]},
                "subject": subject,
                "encounter": {"reference": f"Encounter/stay-{patient}"},
                "effectiveDateTime": f"2026-01-{10 + number}",
            }


def renumber(store: Any) -> None:
    """Give every resource the `rid` it would have on shards, and every version a number with gaps."""
    with store.database.writing() as connection:
        rows = connection.execute("SELECT rid, coalesce(patient, self_hash) FROM resource", {}).fetchall()
        with_rid = [table for table, column in PLACED_BY.items()] + ["outbox"]
        for rid, home in rows:
            new = ((home % BUCKETS) << 51) + 2**50 + rid
            for table in with_rid:
                connection.execute(f"UPDATE {table} SET rid = :new WHERE rid = :rid", {"new": new, "rid": rid})
        connection.execute("UPDATE version SET seq = seq * 1000003 + 7", {})


def answers(chart: Any) -> dict[str, Any]:
    """What the store says, read by id, by search and by history."""
    found: dict[str, Any] = {}
    for patient in PATIENTS:
        read = chart.reading(lambda reader, id=patient: reader.read("Patient", id, EVERYTHING))
        found[f"read {patient}"] = (read.id, read.version_id)
        clause = chart.clause("Observation", "patient", ReferenceValue("Patient", patient))
        query = SearchQuery(
            "Observation", (clause,), includes=(Include("Observation", parameter("Observation", "encounter")),)
        )
        page = chart.reading(lambda reader, query=query: reader.search(query, EVERYTHING))
        found[f"search {patient}"] = [v.id for v in page.matches], sorted(v.id for v in page.included)
        history = chart.reading(
            lambda reader, id=patient: reader.history(
                "Observation", f"o-{id}-0", EVERYTHING, since=None, at=None, count=10, after=None
            )
        )
        found[f"history {patient}"] = [v.version_id for v in history.versions]
    paged: list[str] = []
    query = SearchQuery("Observation", (), count=2)
    while True:
        page = chart.reading(lambda reader, query=query: reader.search(query, EVERYTHING))
        paged += [version.id for version in page.matches]
        if page.next_after is None:
            break
        query = SearchQuery("Observation", (), count=2, after=page.next_after)
    assert len(paged) == len(set(paged))
    found["all pages"] = sorted(paged)
    seen: list[tuple[str, int]] = []
    after = None
    while True:
        versions = chart.reading(
            lambda reader, after=after: reader.history(
                None, None, EVERYTHING, since=None, at=None, count=7, after=after
            )
        )
        seen += [(version.id, version.version_id) for version in versions.versions]
        after = versions.next_after
        if after is None:
            break
    found["history of all"] = seen
    return found


def test_answers_do_not_depend_on_how_resources_are_numbered(store: Any, chart: Any) -> None:
    for resource in resources():
        chart.put(resource)
    for patient in PATIENTS:
        chart.put({**next(r for r in resources() if r["id"] == f"o-{patient}-0"), "status": "amended"})
    before = answers(chart)
    assert before["all pages"]
    renumber(store)
    assert answers(chart) == before
    chart.put({"resourceType": "Patient", "id": "later"})
    chart.put({**next(r for r in resources() if r["id"] == "o-a-1"), "status": "amended"})
    assert chart.reading(lambda reader: reader.read("Observation", "o-a-1", EVERYTHING)).version_id == 2


def test_a_patient_falls_into_the_bucket_of_its_own_chart(store: Any, chart: Any) -> None:
    chart.put(*resources())
    with store.database.reading() as connection:
        rows = connection.execute("SELECT type, id, self_hash, patient FROM resource", {}).fetchall()
    homes = {f"{row[0]}/{row[1]}": row[3] if row[3] is not None else row[2] for row in rows}
    for patient in PATIENTS:
        home = reference_hash(f"Patient/{patient}")
        assert homes[f"Patient/{patient}"] == homes[f"Encounter/stay-{patient}"] == home
        assert homes[f"Observation/o-{patient}-2"] == home
    assert homes["Practitioner/doctor"] == reference_hash("Practitioner/doctor")
