"""What the store alone costs: durable creates, updates, reads and searches per second at growing sizes.

    python benchmarks/storage.py [SIZE ...]        default: 1000 10000 100000

Synthetic charts of 100 resources a patient, on a real file in the temporary folder, through the same
interface as the server, validation and HTTP left out. The searches have the same number of matches at every
size, so their time may not grow. Beside the creates stands the bare limit of the same run: the same rows
inserted by plain statements, with the same driver and settings and one transaction each.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from server.fhir.hashing import reference_hash
from server.fhir.index_values import index_values
from server.fhir.search_parameters import parameter
from server.fhir.search_query import (
    Chained,
    Clause,
    DateValue,
    Has,
    Include,
    ReferenceValue,
    SearchParameter,
    SearchQuery,
    SortKey,
    StringValue,
    TokenValue,
)
from server.fhir.visibility import EVERYTHING, Rule, Visibility
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.interface import NewVersion

START = datetime(2026, 1, 1, tzinfo=UTC)
OBSERVATIONS = 70  # a patient; with the patient itself, 8 encounters, 8 medications and 13 tasks: 100


def chart(patient: int) -> Iterator[dict[str, Any]]:
    """One patient with what belongs to it. Ids, codes and dates are spread deterministically."""
    dice = random.Random(patient)
    subject = {"reference": f"Patient/p{patient}"}
    yield {
        "resourceType": "Patient",
        "id": f"p{patient}",
        "identifier": [{"system": "urn:mrn", "value": f"{patient:08}"}],
        "name": [{"family": f"Family{patient}", "given": [f"Given{patient % 97}"]}],
        "gender": dice.choice(["female", "male"]),
        "birthDate": f"{1930 + patient % 80}-0{1 + patient % 9}-1{patient % 9}",
    }
    for number in range(8):
        yield {
            "resourceType": "Encounter",
            "id": f"e{patient}-{number}",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": subject,
            "period": {"start": f"20{10 + number}-03-01", "end": f"20{10 + number}-03-05"},
        }
    for number in range(OBSERVATIONS):
        yield {
            "resourceType": "Observation",
            "id": f"o{patient}-{number}",
            "status": "final",
            "category": [{"coding": [{"system": "urn:category", "code": "laboratory"}]}],
            "code": {
                "coding": [{"system": "http://loinc.org", "code": f"c{number % 14}"}],
                "text": "Some test",
            },
            "subject": subject,
            "encounter": {"reference": f"Encounter/e{patient}-{number % 8}"},
            "effectiveDateTime": f"20{10 + number % 8}-0{1 + number % 9}-{10 + dice.randrange(18)}T08:00:00Z",
            "valueQuantity": {
                "value": dice.randrange(1000) / 10,
                "unit": "mg",
                "code": "mg",
                "system": "urn:u",
            },
        }
    for number in range(8):
        yield {
            "resourceType": "MedicationStatement",
            "id": f"m{patient}-{number}",
            "status": "active",
            "medicationCodeableConcept": {"coding": [{"system": "urn:rxnorm", "code": f"r{number}"}]},
            "subject": subject,
        }
    for number in range(13):
        yield {
            "resourceType": "Task",
            "id": f"t{patient}-{number}",
            "status": dice.choice(["requested", "completed"]),
            "intent": "order",
            "for": subject,
            "owner": {"reference": f"Practitioner/d{patient // 2}"},
            "focus": {"reference": f"Observation/o{patient}-{number}"},
        }


def new_version(resource: dict[str, Any], version_id: int, moment: datetime) -> NewVersion:
    resource = {**resource, "meta": {"versionId": str(version_id), "lastUpdated": moment.isoformat()}}
    return NewVersion(
        resource_type=resource["resourceType"],
        id=resource["id"],
        version_id=version_id,
        expected_version=version_id - 1,
        last_updated=moment,
        body=json.dumps(resource, separators=(",", ":")).encode(),
        method="PUT",
        index=index_values(resource),
    )


def grow(store: DatabaseStore, patients: range) -> float:
    """Load the charts, 50 a transaction; resources a second, indexing included."""
    start, count = time.perf_counter(), 0
    for first in range(patients.start, patients.stop, 50):
        with store.writing() as writer:
            for patient in range(first, min(first + 50, patients.stop)):
                for resource in chart(patient):
                    writer.put(new_version(resource, 1, START))
                    count += 1
        store.checkpoint()
    return count / (time.perf_counter() - start)


def code(resource_type: str, name: str) -> SearchParameter:
    found = parameter(resource_type, name)
    assert found is not None
    return found


def searches(patient: int) -> dict[str, SearchQuery]:
    """One search of each shape about one patient, the number of matches the same at any size."""

    def clause(resource_type: str, name: str, *values: Any, modifier: str = "") -> Clause:
        return Clause(code(resource_type, name), modifier, values)

    def subject(resource_type: str) -> Clause:
        return clause(resource_type, "patient", ReferenceValue("Patient", f"p{patient}"))

    loinc = TokenValue("http://loinc.org", "c3")
    year = DateValue("ge", 1_420_070_400_000_000, 1_451_606_400_000_000)
    newest = (SortKey(code("Observation", "date"), descending=True),)
    name = clause("Patient", "family", StringValue(f"Family{patient}"), modifier="exact")
    return {
        "Task?owner&status": SearchQuery(
            "Task",
            (
                clause("Task", "owner", ReferenceValue("Practitioner", f"d{patient // 2}")),
                clause("Task", "status", TokenValue(None, "requested")),
            ),
        ),
        "MedicationStatement?patient": SearchQuery("MedicationStatement", (subject("MedicationStatement"),)),
        "Observation?patient&code&date": SearchQuery(
            "Observation",
            (subject("Observation"), clause("Observation", "code", loinc), clause("Observation", "date", year)),
        ),
        "Observation?patient&_sort=-date": SearchQuery("Observation", (subject("Observation"),), newest, 20),
        "Observation?code&_sort=-date": SearchQuery(
            "Observation", (clause("Observation", "code", loinc),), newest, 20
        ),
        "Observation?status (all)": SearchQuery(
            "Observation", (clause("Observation", "status", TokenValue(None, "final")),), count=20
        ),
        "Patient?family:exact": SearchQuery("Patient", (name,)),
        "Patient?identifier": SearchQuery(
            "Patient", (clause("Patient", "identifier", TokenValue("urn:mrn", f"{patient:08}")),)
        ),
        "Observation?patient.family": SearchQuery(
            "Observation", (Chained(code("Observation", "patient"), (("Patient", name),)),), count=20
        ),
        "Patient?identifier&_has:Observation": SearchQuery(
            "Patient",
            (
                clause("Patient", "identifier", TokenValue("urn:mrn", f"{patient:08}")),
                Has("Observation", code("Observation", "patient"), clause("Observation", "code", loinc)),
            ),
        ),
        "Task?patient&_include=focus": SearchQuery(
            "Task", (subject("Task"),), includes=(Include("Task", code("Task", "focus")),)
        ),
    }


def microseconds(call: Callable[[], object], times: int = 60) -> float:
    """Median time of one call."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples) * 1e6


def _each(call: Callable[[Any], object], subjects: list[Any], number: int) -> object:
    return call(subjects[number])


def rate(call: Callable[[int], object], times: int) -> float:
    start = time.perf_counter()
    for number in range(times):
        call(number)
    return times / (time.perf_counter() - start)


Rows = list[tuple[str, list[tuple[Any, ...]]]]


def copied_rows(connection: sqlite3.Connection, new: NewVersion) -> Rows:
    """The rows a create left in each table, as INSERT statements of a resource that does not exist yet."""
    self_hash = reference_hash(f"{new.resource_type}/{new.id}")
    (rid,) = connection.execute("SELECT rid FROM resource WHERE self_hash = ?", (self_hash,)).fetchone()
    copies: Rows = []
    for table in TABLES_WRITTEN:
        cursor = connection.execute(f"SELECT * FROM {table} WHERE rid = ?", (rid,))
        names = [column[0] for column in cursor.description]
        keyless = {"version": "seq", "outbox": "id"}.get(table)  # numbers that the database gives
        rows = []
        for row in cursor:
            values = dict(zip(names, row, strict=True)) | {"rid": rid + 1_000_000_000}
            if table == "resource":
                values |= {"self_hash": self_hash ^ 1, "id": f"bare-{new.id}"}
            values.pop(keyless or "", None)
            rows.append(tuple(values.values()))
        if rows:
            kept = [name for name in names if name != keyless]
            marks = ", ".join("?" for _ in kept)
            copies.append((f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({marks})", rows))
    return copies


def insert_bare(connection: sqlite3.Connection, copies: Rows) -> None:
    """What a create costs when nothing has to be decided: one transaction of plain inserts."""
    connection.execute("BEGIN IMMEDIATE")
    for sql, rows in copies:
        connection.executemany(sql, rows)
    connection.execute("COMMIT")


TABLES_WRITTEN = (
    "resource",
    "version",
    "token",
    "date_value",
    "string_value",
    "quantity_value",
    "uri_value",
    "reference_value",
    "compartment",
    "outbox",
)


def measure(store: DatabaseStore, patients: int) -> dict[str, float]:
    """All figures at the present size: rates a second, searches in microseconds."""
    found: dict[str, float] = {}
    fresh = [
        new_version({**resource, "id": f"{resource['id']}-{patients}-{turn}"}, 1, START)
        for turn in range(6)
        for resource in chart(3)
    ]

    def put(new: NewVersion) -> None:
        with store.writing() as writer:
            writer.put(new)

    connection = store.database.connect()
    interleaved: dict[str, list[float]] = {"create/s": [], "same rows, bare/s": []}
    for turn in range(5):
        part = fresh[turn * 100 : turn * 100 + 100]
        interleaved["create/s"].append(rate(partial(_each, put, part), 100))
        copies = [copied_rows(connection, new) for new in part]
        interleaved["same rows, bare/s"].append(
            rate(partial(_each, partial(insert_bare, connection), copies), 100)
        )
    connection.close()
    found |= {name: statistics.median(values) for name, values in interleaved.items()}
    chosen = list(chart(5))
    later = START + timedelta(days=1)
    with store.reading() as reader:
        versions = [reader.read(r["resourceType"], r["id"], EVERYTHING) for r in chosen]
    updates = [
        new_version({**resource, "language": f"x-{patients}"}, version.version_id + 1, later)
        for resource, version in zip(chosen, versions, strict=True)
        if version is not None
    ]
    found["update/s"] = rate(lambda number: put(updates[number]), len(updates))

    def read(number: int, visible: Visibility) -> None:
        with store.reading() as reader:
            assert reader.read("Patient", f"p{number % patients}", visible) is not None

    one = Visibility({"*": (Rule(patients=frozenset({"p7"})),)})
    found["read/s"] = rate(lambda number: read(number, EVERYTHING), 5_000)
    found["read/s in a compartment"] = rate(lambda number: read(7, one), 5_000)
    for name, query in searches(7).items():
        with store.reading() as reader:
            matches = len(reader.search(query, EVERYTHING).matches)
        assert matches, name

        def search(query: SearchQuery = query, visible: Visibility = EVERYTHING) -> None:
            with store.reading() as reader:
                reader.search(query, visible)

        found[f"us {name} [{matches}]"] = microseconds(search)
        if "patient" in name:
            found[f"us   as the patient {name}"] = microseconds(partial(search, query, one))
    return found


def main(sizes: list[int]) -> None:
    table: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'baton.sqlite3'}")
        store.upgrade()
        present = 0
        for size in sizes:
            patients = size // 100
            bulk = grow(store, range(present, patients))
            present = patients
            row = {"bulk/s with indexing": bulk, **measure(store, patients)}
            store.checkpoint(truncate=True)
            row["bytes a resource"] = store.database.path.stat().st_size / size
            for name, value in row.items():
                table.setdefault(name, []).append(value)
        store.close()
    print(f"{'resources':45}" + "".join(f"{size:>12,}" for size in sizes) + "    last/first")
    for name, values in table.items():
        print(
            f"{name:45}" + "".join(f"{value:>12,.0f}" for value in values) + f"{values[-1] / values[0]:>12.2f}"
        )


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000])
