"""What the store alone costs: durable creates, updates, reads and searches at growing sizes.

    python benchmarks/storage.py [--database sqlite|postgresql] [SIZE ...]        default: 1000 10000 100000

Synthetic charts of 100 resources a patient, through the same interface as the server, validation and HTTP left
out. The searches have the same number of matches at every size, so their time may not grow. The sizes take
turns, and so do creates and the bare limit: the same rows inserted by plain statements, with the same driver
and settings and one durable transaction each.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
from bare import Inserts, connect
from charts import CHART, START, chart, new_version
from data_sets import DATABASES

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

PATIENT = 7
TURNS = 7
# Population-wide ones cost more with every resource that matches; the bar speaks of a fixed number of matches.
GROWING = ("Observation?code&_sort=-date", "Observation?status (all)")


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
            "Patient", (clause("Patient", "identifier", TokenValue("urn:oid:1.2.3.4", f"{patient:08}")),)
        ),
        "Observation?patient.family": SearchQuery(
            "Observation", (Chained(code("Observation", "patient"), (("Patient", name),)),), count=20
        ),
        "Patient?identifier&_has:Observation": SearchQuery(
            "Patient",
            (
                clause("Patient", "identifier", TokenValue("urn:oid:1.2.3.4", f"{patient:08}")),
                Has("Observation", code("Observation", "patient"), clause("Observation", "code", loinc)),
            ),
        ),
        "Task?patient&_include=focus": SearchQuery(
            "Task", (subject("Task"),), includes=(Include("Task", code("Task", "focus")),)
        ),
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One figure at every size. unit: "us" (a call) or "/s". last_to_first: how much slower the largest is."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def last_to_first(self) -> float:
        first, last = self.values[0], self.values[-1]
        return last / first if self.unit == "us" else first / last


def measure(database: str, sizes: Sequence[int], step: Callable[[str], None]) -> list[Row]:
    """All figures of one database. step: called before each part with what it measures."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        source = DATABASES[database](Path(folder))
        try:
            urls = [source.open(size) for size in sizes]
            stores = [open_store(ours) for ours, _ in urls]
            rows = [*_reading(stores, sizes, step), *_writing(stores, [bare for _, bare in urls], step)]
            for store in stores:
                store.close()
        finally:
            source.close()
    return rows


def _reading(stores: Sequence[DatabaseStore], sizes: Sequence[int], step: Callable[[str], None]) -> list[Row]:
    def read(store: DatabaseStore, patient: int, visible: Visibility) -> None:
        with store.reading() as reader:
            assert reader.read("Patient", f"p{patient}", visible) is not None

    one = Visibility({"*": (Rule(patients=frozenset({f"p{PATIENT}"})),)})
    calls: dict[str, list[Callable[[], object]]] = {
        "read": [partial(read, store, PATIENT, EVERYTHING) for store in stores],
        "read, in a compartment": [partial(read, store, PATIENT, one) for store in stores],
    }
    for name, query in searches(PATIENT).items():
        if name in GROWING:
            found = ""
        else:
            matches = {_matches(store, query) for store in stores}
            assert len(matches) == 1, f"{name} finds {matches}"
            found = f" [{matches.pop()}]"
        calls[f"{name}{found}"] = [partial(_search, store, query, EVERYTHING) for store in stores]
        if "patient=" in name or "patient" in name.partition("?")[2].split("&"):
            calls[f"{name}, as the patient"] = [partial(_search, store, query, one) for store in stores]
    rows = []
    for name, at_sizes in calls.items():
        step(name)
        samples: list[list[float]] = [[] for _ in at_sizes]
        for _ in range(TURNS):
            for call, own in zip(at_sizes, samples, strict=True):
                own.append(_microseconds(call))
        rows.append(Row(name, "us", tuple(min(own) for own in samples)))
    return rows


def _matches(store: DatabaseStore, query: SearchQuery) -> int:
    with store.reading() as reader:
        return len(reader.search(query, EVERYTHING).matches)


def _search(store: DatabaseStore, query: SearchQuery, visible: Visibility) -> None:
    with store.reading() as reader:
        reader.search(query, visible)


def _microseconds(call: Callable[[], object], times: int = 20) -> float:
    """Median time of one call."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples) * 1e6


def _writing(stores: Sequence[DatabaseStore], bare: Sequence[str], step: Callable[[str], None]) -> list[Row]:
    """Creates, the same rows bare, and updates; a turn each of 70 and of 13 resources."""
    rates: dict[str, list[list[float]]] = {
        name: [[] for _ in stores] for name in ("create", "the same rows, bare", "update")
    }
    inserts = [Inserts(connection, url, 0) for url in bare for connection in [connect(url)]]
    for turn in range(TURNS):
        step(f"writes {turn + 1}/{TURNS}")
        for number, store in enumerate(stores):
            fresh = [
                new_version({**one, "id": f"{one['id']}-{turn}"}, 1, START)
                for one in chart(PATIENT)
                if one["resourceType"] == "Observation"
            ]
            later = START + timedelta(days=10 + turn)
            # The first task has a history already.
            changed = [
                new_version({**one, "description": f"turn {turn}"}, 2 + turn, later)
                for one in chart(PATIENT)
                if one["resourceType"] == "Task" and not one["id"].endswith("-0")
            ]
            rates["create"][number].append(_rate(partial(_put, store), fresh))
            rates["the same rows, bare"][number].append(_rate(inserts[number].insert, range(len(fresh))))
            rates["update"][number].append(_rate(partial(_put, store), changed))
    return [
        Row(name, "/s", tuple(statistics.median(own) for own in at_sizes)) for name, at_sizes in rates.items()
    ]


def _put(store: DatabaseStore, new: Any) -> None:
    with store.writing() as writer:
        writer.put(new)


def _rate(call: Callable[[Any], object], subjects: Sequence[Any]) -> float:
    start = time.perf_counter()
    for subject in subjects:
        call(subject)
    return len(subjects) / (time.perf_counter() - start)


def table(rows: Sequence[Row], sizes: Sequence[int]) -> str:
    """The figures as text for a terminal."""
    lines = [f"{'resources':45}" + "".join(f"{size:>12,}" for size in sizes) + "  last/first"]
    for row in rows:
        figures = "".join(f"{value:>12,.0f}" for value in row.values)
        lines.append(f"{row.name + ' ' + row.unit:45}{figures}{row.last_to_first:>12.2f}")
    return "\n".join(lines)


@click.command()
@click.option("--database", type=click.Choice(sorted(DATABASES)), default="sqlite", show_default=True)
@click.argument("sizes", type=click.IntRange(CHART * 10), nargs=-1)
def main(database: str, sizes: tuple[int, ...]) -> None:
    """Measure the store alone at these SIZES."""
    chosen = sizes or (1_000, 10_000, 100_000)
    rows = measure(database, chosen, lambda name: click.echo(f"\r\033[K{name}", nl=False, err=True))
    click.echo("\r\033[K", nl=False, err=True)
    click.echo(table(rows, chosen))


if __name__ == "__main__":
    main()
