"""PostgreSQL away, back, busy and odd: what the store answers, and that it recovers by itself.

A cluster of this module's own is stopped and killed here; the rest of the tests keeps theirs.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import psycopg
import pytest

from server.errors import FhirError
from server.fhir.search_query import SearchQuery, StringValue
from server.fhir.visibility import EVERYTHING
from server.storage import open_store
from server.storage.postgresql_dialect import numbered
from server.storage.versions import VersionConflict

pytestmark = pytest.mark.postgresql("it is about it")
FORK = multiprocessing.get_context("fork")
PATIENT = {"resourceType": "Patient", "id": "a"}


@pytest.fixture(scope="module")
def fragile(postgresql: ModuleType, cluster: Any) -> Iterator[Any]:
    """A cluster that may be killed."""
    made = postgresql.Cluster(max_connections="12")
    made.start()
    yield made
    made.remove()


@pytest.fixture
def mortal(fragile: Any, new_chart: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A chart in a database of that cluster."""
    store = open_store(fragile.create_database(f"t{abs(hash(request.node.name))}"))
    store.upgrade()
    yield new_chart(store)
    store.close()


def test_a_restart_between_two_requests_is_not_noticed(fragile: Any, mortal: Any) -> None:
    mortal.put(PATIENT)
    fragile.restart()
    assert mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING)).version_id == 1
    fragile.restart()
    mortal.put(PATIENT)
    assert mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING)).version_id == 2


def test_while_it_is_away_everything_is_unavailable_and_then_works_again(fragile: Any, mortal: Any) -> None:
    mortal.put(PATIENT)
    fragile.kill()
    for use in (
        lambda: mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING)),
        lambda: mortal.put(PATIENT),
    ):
        with pytest.raises(FhirError) as refused:
            use()
        assert (refused.value.kind, refused.value.status) == ("unavailable", 503)
    assert not mortal.store.ready()
    fragile.start()
    assert mortal.store.ready()
    assert mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING)).version_id == 1


def test_what_was_committed_survives_a_kill_and_what_was_not_does_not(fragile: Any, mortal: Any) -> None:
    mortal.put(PATIENT)
    with pytest.raises(FhirError) as refused, mortal.store.writing() as writer:
        mortal.put_in(writer, {"resourceType": "Patient", "id": "b"})
        fragile.kill()
    assert refused.value.kind == "unavailable"
    fragile.start()
    assert mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING)) is not None
    assert mortal.reading(lambda r: r.read("Patient", "b", EVERYTHING)) is None


def test_more_clients_than_it_takes_are_unavailable(fragile: Any, mortal: Any) -> None:
    url = fragile.url("postgres")
    held = []
    try:
        for _ in range(12):
            held.append(psycopg.connect(url))
    except psycopg.OperationalError:
        pass
    answers: list[str] = []

    def ask() -> None:
        try:
            mortal.reading(lambda r: r.read("Patient", "a", EVERYTHING))
        except FhirError as refused:
            answers.append(refused.kind)

    thread = threading.Thread(target=ask)  # a new thread: a new connection
    thread.start()
    thread.join()
    for connection in held:
        connection.close()
    assert answers == ["unavailable"]


def test_a_deadlock_ends_in_a_conflict_that_can_be_tried_again(chart: Any) -> None:
    chart.put(PATIENT, {"resourceType": "Patient", "id": "b"})
    barrier, outcomes = threading.Barrier(2), []

    def work(first: str, second: str) -> None:
        try:
            with chart.store.writing() as writer:
                writer.read("Patient", first, EVERYTHING)
                barrier.wait(10)
                writer.read("Patient", second, EVERYTHING)
            outcomes.append("done")
        except VersionConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "done"]
    chart.put(PATIENT)


def test_two_who_create_the_same_id_do_not_both(chart: Any) -> None:
    with chart.store.writing() as writer:
        writer.put(chart.version(PATIENT, 0, chart.now))
        assert writer.read("Patient", "a", EVERYTHING) is not None  # what is made ready is written by now
        outcomes = []

        def second() -> None:
            try:
                chart.write(chart.version(PATIENT, 0, chart.now))
            except VersionConflict:
                outcomes.append("conflict")

        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)  # it waits for this transaction
        assert thread.is_alive()
    thread.join()
    assert outcomes == ["conflict"]


def test_a_child_leaves_the_connections_of_its_parent_alone(chart: Any) -> None:
    chart.put(PATIENT)
    with chart.store.reading() as reader:
        assert reader.read("Patient", "a", EVERYTHING) is not None

        def child() -> None:
            chart.put({"resourceType": "Patient", "id": f"child-{os.getpid()}"})

        processes = [FORK.Process(target=child) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        assert reader.total(SearchQuery("Patient"), EVERYTHING, None).value == 1  # still its snapshot
    assert chart.reading(lambda r: r.total(SearchQuery("Patient"), EVERYTHING, None)).value == 4


@pytest.mark.parametrize("modifier", ["", "exact", "contains"])
def test_a_value_with_a_nul_matches_nothing(chart: Any, modifier: str) -> None:
    chart.put({**PATIENT, "name": [{"family": "Eve\ufffdx"}]})
    for text in ("Eve\0x", "\0", "Eve\0"):
        asked = chart.clause("Patient", "family", StringValue(text), modifier=modifier)
        assert chart.found(SearchQuery("Patient", (asked,))) == []
    assert chart.store.authorization.user("nobody\0") is None


def test_texts_longer_than_an_index_entry_are_found_and_told_apart(chart: Any) -> None:
    long = "x" * 40_000
    chart.put(*[{**PATIENT, "id": id, "name": [{"family": long + id}]} for id in "ab"])
    for text, modifier, want in (
        (long, "", ["a", "b"]),
        (long + "b", "", ["b"]),
        (long + "a", "exact", ["a"]),
        ("xxb", "contains", ["b"]),
    ):
        asked = chart.clause("Patient", "family", StringValue(text), modifier=modifier)
        assert chart.found(SearchQuery("Patient", (asked,))) == want


def test_a_statement_is_numbered_and_its_literals_and_casts_are_left() -> None:
    assert numbered("SELECT ':a', x::text FROM t WHERE b = :b AND c = :c AND d = :b") == (
        b"SELECT ':a', x::text FROM t WHERE b = $1 AND c = $2 AND d = $1",
        ("b", "c"),
    )


def test_a_commit_is_durable_whatever_the_role_prefers(cluster: Any, database_url: str) -> None:
    name = database_url.rpartition("/")[2]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        store = open_store(database_url)
        with store.database.writing() as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        store.close()
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} RESET synchronous_commit")


def test_other_encodings_than_utf8_are_refused(cluster: Any) -> None:
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0")
    with pytest.raises(FhirError) as refused:
        open_store(cluster.url("latin")).upgrade()
    assert "UTF8" in refused.value.diagnostics
