"""A store on a real database, and the shortest way to put resources into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from server.fhir.compartments import in_compartment
from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.search_parameters import parameter
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import (
    Chained,
    Clause,
    CompositeValue,
    Condition,
    DateValue,
    Has,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    SearchQuery,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from server.fhir.visibility import EVERYTHING, Visibility
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.interface import Reader, Writer
from server.storage.versions import NewVersion

UCUM = "http://unitsofmeasure.org"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Chart:
    """Writes and searches with the least ceremony; every write is one second after the one before."""

    def __init__(self, store: DatabaseStore) -> None:
        self.store = store
        self.now = NOW

    @staticmethod
    def version(resource: dict[str, Any], expected: int, moment: datetime, method: str = "PUT") -> NewVersion:
        stamped = {**resource, "meta": {"lastUpdated": moment.isoformat(timespec="milliseconds")}}
        return NewVersion(
            resource_type=resource["resourceType"],
            id=resource["id"],
            version_id=expected + 1,
            expected_version=expected,
            last_updated=moment,
            body=json.dumps(stamped).encode(),
            method=method,
            index=index_values(stamped),
        )

    def put_in(self, writer: Writer, resource: dict[str, Any], method: str = "PUT") -> None:
        """Write the next version within a transaction."""
        current = writer.read(resource["resourceType"], resource["id"], EVERYTHING)
        self.now += timedelta(seconds=1)
        writer.put(self.version(resource, current.version_id if current else 0, self.now, method))

    def put(self, *resources: dict[str, Any]) -> None:
        """Write the next version of each in one transaction."""
        with self.store.writing() as writer:
            for resource in resources:
                self.put_in(writer, resource)

    def write(self, *versions: NewVersion, then: Exception | None = None) -> None:
        """Write versions as they are in one transaction, which ends by raising `then`."""
        with self.store.writing() as writer:
            for version in versions:
                writer.put(version)
            if then is not None:
                raise then

    def delete(self, resource_type: str, id: str) -> None:
        self.now += timedelta(seconds=1)
        with self.store.writing() as writer:
            current = writer.read(resource_type, id, EVERYTHING)
            assert current is not None
            writer.put(
                NewVersion(
                    resource_type=resource_type,
                    id=id,
                    version_id=current.version_id + 1,
                    expected_version=current.version_id,
                    last_updated=self.now,
                    body=b"",
                    method="DELETE",
                    index=IndexRows(),
                )
            )

    def reading(self, ask: Callable[[Reader], Any]) -> Any:
        with self.store.reading() as reader:
            return ask(reader)

    def found(self, query: SearchQuery, visible: Visibility = EVERYTHING) -> list[str]:
        """The ids of one page, in order."""
        return [version.id for version in self.reading(lambda r: r.search(query, visible)).matches]

    @staticmethod
    def clause(resource_type: str, code: str, *values: Value, modifier: str = "") -> Clause:
        known = parameter(resource_type, code)
        assert known is not None, code
        return Clause(known, modifier, values)


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStore]:
    opened = open_store(database_url)
    yield opened
    opened.close()


@pytest.fixture
def chart(store: DatabaseStore) -> Chart:
    return Chart(store)


@pytest.fixture
def search(chart: Chart) -> Callable[..., list[str]]:
    """`search(type, **{parameter: value})`: the ids that are found, sorted."""

    def search(resource_type: str, visible: Visibility = EVERYTHING, **asked: str) -> list[str]:
        return sorted(chart.found(parse_search(resource_type, list(asked.items())), visible))

    return search


@pytest.fixture
def new_chart() -> type[Chart]:
    """For tests that open stores of their own."""
    return Chart


@pytest.fixture
def shapes() -> dict[str, tuple[str, tuple[Condition, ...]]]:
    """The main shapes of a search: name -> type and conditions."""
    clause = Chart.clause
    subject = clause("Observation", "patient", ReferenceValue("Patient", "p1"))
    family = clause("Patient", "family", StringValue("family1"))
    link = subject.parameter
    code = clause("Observation", "code", TokenValue(None, "c1"))
    doctor = clause("Patient", "general-practitioner").parameter
    name = clause("Practitioner", "name", StringValue("family1"))
    performer = clause("Observation", "performer").parameter
    day = DateValue("ge", 1_700_000_000_000_000, 1_700_100_000_000_000)
    amount = NumberValue("gt", Decimal(5), Decimal("4.5"), Decimal("5.5"))
    return {
        "token": ("Observation", (clause("Observation", "code", TokenValue("urn:x", "c1")),)),
        "tokens": (
            "Observation",
            (clause("Observation", "code", TokenValue(None, "c1"), TokenValue(None, "c2")),),
        ),
        "reference": ("Observation", (subject,)),
        "reference and token and date": (
            "Observation",
            (
                subject,
                clause("Observation", "status", TokenValue(None, "final")),
                clause("Observation", "date", day),
            ),
        ),
        "date": ("Observation", (clause("Observation", "date", day),)),
        "date eq": ("Observation", (clause("Observation", "date", replace(day, prefix="eq")),)),
        "date le": ("Observation", (clause("Observation", "date", replace(day, prefix="le")),)),
        "string": ("Patient", (family,)),
        "string exact": ("Patient", (clause("Patient", "family", StringValue("Family1"), modifier="exact"),)),
        "quantity": (
            "Observation",
            (clause("Observation", "value-quantity", QuantityValue(amount, None, None)),),
        ),
        "quantity of a system": (
            "Observation",
            (clause("Observation", "value-quantity", QuantityValue(amount, UCUM, "mg")),),
        ),
        "quantity within": (
            "Observation",
            (clause("Observation", "value-quantity", QuantityValue(replace(amount, prefix="eq"), UCUM, "mg")),),
        ),
        "quantity of the whole or a part": (
            "Observation",
            (clause("Observation", "combo-value-quantity", QuantityValue(amount, UCUM, "mg")),),
        ),
        "composite": (
            "Observation",
            (
                clause(
                    "Observation",
                    "combo-code-value-quantity",
                    CompositeValue((TokenValue("urn:x", "c1"), QuantityValue(amount, UCUM, "mg"))),
                    CompositeValue((TokenValue(None, "c2"), QuantityValue(amount, None, None))),
                ),
            ),
        ),
        "uri": ("ValueSet", (clause("ValueSet", "url", UriValue("urn:x")),)),
        "id": ("Observation", (clause("Observation", "_id", TokenValue(None, "o1")),)),
        "last updated": ("Observation", (clause("Observation", "_lastUpdated", day),)),
        "chain": ("Observation", (Chained(link, (("Patient", family),)),)),
        "has": (
            "Patient",
            (family, Has("Observation", link, clause("Observation", "code", TokenValue(None, "c1")))),
        ),
        "has alone": (
            "Patient",
            (Has("Observation", link, clause("Observation", "code", TokenValue(None, "c1"))),),
        ),
        "chain of two links": (
            "Observation",
            (Chained(link, (("Patient", Chained(doctor, (("Practitioner", name),))),)),),
        ),
        "chain that branches": (
            "Observation",
            (Chained(performer, (("Patient", family), ("Practitioner", name))),),
        ),
        "has in has": ("Practitioner", (Has("Patient", doctor, Has("Observation", link, code)),)),
        "chain in has": ("Patient", (Has("Observation", link, Chained(performer, (("Practitioner", name),))),)),
        "has in chain": ("Observation", (Chained(link, (("Patient", Has("Observation", link, code)),)),)),
        "compartment": ("Observation", (in_compartment("Patient", "p1", "Observation"),)),
        "its own compartment": ("Patient", (in_compartment("Patient", "p1", "Patient"),)),
        "nothing": ("Observation", ()),
    }
