"""Indexing again what is stored: step by step, resumable, and never over what was written meanwhile.

Covers server/storage/reindex.py, server/interactions/reindex.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.index_rows import IndexRows
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.interactions.reindex import index_again
from server.storage import reindex
from server.storage.database_store import DatabaseStore

UCUM = "http://unitsofmeasure.org"
AGAIN = partial(index_again, base_url="", time_zone="UTC")
MASS = ("value-quantity", f"5|{UCUM}|mg")


def observation(number: int, value: int = 5) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "urn:x", "code": "c"}]},
        "effectiveDateTime": "2026-03-01",
        "valueQuantity": {"value": value, "unit": "mg", "system": UCUM, "code": "mg"},
    }


def forget(store: DatabaseStore) -> None:
    """What a release that knew no such rows leaves behind."""
    with store.database.writing() as connection:
        connection.execute("DELETE FROM quantity_value")
        connection.execute("DELETE FROM token")
        connection.execute(
            "UPDATE resource SET tokens = :none, main_date = NULL", {"none": connection.dialect.pack(())}
        )
        reindex.begin(connection, reindex.SCHEMA_5)


def rows(store: DatabaseStore) -> dict[str, list[Any]]:
    with store.database.reading() as connection:
        return {
            table: sorted(map(tuple, connection.execute(f"SELECT {columns} FROM {table}").fetchall()))
            for table, columns in {
                "quantity_value": "rid, parameter, low, high, unit",
                "token": "hash, rid",
                "date_value": "rid, parameter, low, high",
                "resource": "rid, version, main_date",
            }.items()
        }


def found(chart: Any, *pairs: tuple[str, str]) -> list[str]:
    ids: list[str] = chart.found(parse_search("Observation", pairs))
    return ids


def finish(store: DatabaseStore, index: Callable[[bytes], IndexRows | None] = AGAIN) -> None:
    while store.reindexing():
        reindex.step(store.database, reindex.SCHEMA_5, index, count=3)


def test_a_new_database_has_nothing_to_do(store: DatabaseStore) -> None:
    assert store.reindexing() == ()
    assert store.reindex(reindex.SCHEMA_5, AGAIN) is None


def test_afterwards_everything_is_as_if_it_had_been_written_today(chart: Any, store: DatabaseStore) -> None:
    chart.put(*(observation(number) for number in range(10)))
    chart.put(observation(1, 6))
    chart.delete("Observation", "o2")
    before = rows(store)
    forget(store)
    assert rows(store) != before
    finish(store)
    assert rows(store) == before
    assert store.reindexing() == ()
    assert found(chart, MASS) == ["o0", *(f"o{number}" for number in range(3, 10))]


def test_a_search_that_would_not_find_everything_is_refused_until_it_does(
    chart: Any, store: DatabaseStore
) -> None:
    chart.put(*(observation(number) for number in range(10)))
    forget(store)
    reindex.step(store.database, reindex.SCHEMA_5, AGAIN, count=4)
    for ask in (
        lambda reader: reader.search(parse_search("Observation", [MASS]), EVERYTHING),
        lambda reader: reader.total(
            parse_search("Observation", [("code-value-quantity", "c$5")]), EVERYTHING, None
        ),
        lambda reader: reader.search(parse_search("Task", [("due", "2026")]), EVERYTHING),
        lambda reader: reader.search(parse_search("Task", [("_sort", "-due")]), EVERYTHING),
    ):
        with pytest.raises(FhirError) as refused:
            chart.reading(ask)
        assert refused.value.status == 400
        assert refused.value.issues[0].code == "transient"
        assert refused.value.headers["Retry-After"]
    assert len(found(chart, ("date", "2026"))) == 10  # what needs none of the new rows goes on
    finish(store)
    assert len(found(chart, MASS)) == 10


def test_an_interrupted_run_goes_on_where_it_stopped(chart: Any, store: DatabaseStore) -> None:
    chart.put(*(observation(number) for number in range(10)))
    before = rows(store)
    forget(store)
    asked: list[bytes] = []

    def failing(body: bytes) -> IndexRows | None:
        asked.append(body)
        if len(asked) == 6:
            raise OSError("the power went")
        return AGAIN(body)

    with pytest.raises(OSError, match="power"):
        finish(store, failing)
    (state,) = store.reindexing()
    assert 0 < state.position < state.last
    assert not state.done
    seen = len(asked)
    finish(store, failing)
    assert len(asked) == seen + 7  # three were done before; three of a step were begun and not written
    assert rows(store) == before


def test_what_is_written_meanwhile_keeps_its_own_rows(chart: Any, store: DatabaseStore) -> None:
    chart.put(*(observation(number) for number in range(4)))
    forget(store)
    written = []

    def while_others_write(body: bytes) -> IndexRows | None:
        if not written:
            written.append(True)
            chart.put(observation(3, 7), observation(9))
            chart.delete("Observation", "o2")
        return AGAIN(body)

    finish(store, while_others_write)
    assert found(chart, MASS) == ["o0", "o1", "o9"]
    assert found(chart, ("value-quantity", f"7|{UCUM}|mg")) == ["o3"]
    assert store.reindexing() == ()


def test_a_step_that_somebody_else_took_is_not_taken_twice(chart: Any, store: DatabaseStore) -> None:
    chart.put(*(observation(number) for number in range(4)))
    before = rows(store)
    forget(store)
    nested = []

    def twice(body: bytes) -> IndexRows | None:
        if not nested:
            nested.append(reindex.step(store.database, reindex.SCHEMA_5, AGAIN, count=3))
        return AGAIN(body)

    state = reindex.step(store.database, reindex.SCHEMA_5, twice, count=3)
    assert state is not None
    assert nested[0].position > state.position
    finish(store)
    assert rows(store) == before


def test_a_resource_that_cannot_be_indexed_keeps_its_rows(chart: Any, store: DatabaseStore) -> None:
    chart.put(observation(1), observation(2))
    before = rows(store)
    with store.database.writing() as connection:
        reindex.begin(connection, reindex.SCHEMA_5)
    finish(store, lambda body: None)
    assert rows(store) == before
    assert store.reindexing() == ()


def test_what_begins_again_begins_at_the_first_resource(chart: Any, store: DatabaseStore) -> None:
    chart.put(*(observation(number) for number in range(5)))
    forget(store)
    reindex.step(store.database, reindex.SCHEMA_5, AGAIN, count=3)
    with store.database.writing() as connection:
        reindex.begin(connection, reindex.SCHEMA_5)
        reindex.begin(connection, "another")
    assert [(state.what, state.position) for state in store.reindexing()] == [("another", 0), ("schema-5", 0)]
