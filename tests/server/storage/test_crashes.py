"""Several processes on one real database: nothing lost, nothing half written, no rule of the queue broken.

Processes are forked, so that these tests also show that an open store may be carried across a fork.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.fhir.hashing import reference_hash
from server.fhir.search_query import ReferenceValue, SearchQuery
from server.fhir.visibility import EVERYTHING
from server.storage.dialect import SQLITE
from server.storage.index_tables import RELATIONS, TABLES
from server.storage.versions import VersionConflict

FORK = multiprocessing.get_context("fork")


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run work(number) in that many processes at once; what each returned."""
    answers: Any = FORK.Queue()
    start = FORK.Event()

    def run(number: int) -> None:
        start.wait()
        answers.put((number, work(number)))

    processes = [FORK.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    start.set()
    found = dict(answers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return [found[number] for number in range(count)]


def patient(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **more}


def test_of_parallel_updates_of_one_version_exactly_one_wins(chart: Any) -> None:
    chart.put(patient("a"))

    def work(number: int) -> list[bool]:
        won = []
        for expected in range(1, 11):
            try:
                with chart.store.writing() as writer:
                    current = writer.read("Patient", "a", EVERYTHING)
                    assert current is not None
                    writer.put(chart.version(patient("a", active=bool(number)), expected, chart.now))
                won.append(True)
            except VersionConflict:
                won.append(False)
            while chart.reading(lambda r: r.read("Patient", "a", EVERYTHING)).version_id <= expected:
                time.sleep(0.001)
        return won

    answers = together(4, work)
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 10
    history = chart.reading(
        lambda r: r.history("Patient", "a", EVERYTHING, since=None, at=None, count=100, after=None)
    )
    assert [version.version_id for version in history.versions] == list(range(11, 0, -1))


def test_parallel_creates_are_all_kept(chart: Any) -> None:
    def work(number: int) -> int:
        for turn in range(25):
            chart.put(patient(f"{number}-{turn}"))
        return 25

    assert sum(together(4, work)) == 100
    with chart.store.reading() as reader:
        total = reader.total(SearchQuery("Patient"), EVERYTHING, None)
    assert (total.value, total.exact) == (100, True)
    assert sound(chart)


def test_a_claim_is_new_to_exactly_one_of_many(chart: Any) -> None:
    def work(number: int) -> bool:
        with chart.store.writing() as writer:
            return bool(writer.claim(b"the same condition"))

    assert sum(together(20, work)) == 1


def test_a_claim_of_a_transaction_that_failed_is_free_again(chart: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        claim_and_fail(chart)
    with chart.store.writing() as writer:
        assert writer.claim(b"key")
        assert not writer.claim(b"key")


def claim_and_fail(chart: Any) -> None:
    with chart.store.writing() as writer:
        assert writer.claim(b"key")
        raise ZeroDivisionError


@pytest.mark.sqlite("PostgreSQL checkpoints itself")
def test_checkpoints_during_writes_lose_nothing(chart: Any) -> None:
    def work(number: int) -> int:
        if number == 0:
            for turn in range(40):
                chart.store.checkpoint(truncate=turn % 8 == 0)
                time.sleep(0.002)
        else:
            for turn in range(40):
                chart.put(patient(f"{number}-{turn}"))
                assert chart.reading(lambda r, t=turn: r.read("Patient", f"{number}-{t}", EVERYTHING))
        return number

    together(3, work)
    chart.store.checkpoint(truncate=True)
    assert chart.store.database.log_path.stat().st_size == 0
    assert chart.reading(lambda r: r.total(SearchQuery("Patient"), EVERYTHING, None)).value == 80
    assert sound(chart)


def pair(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A patient and an observation of it: written together, so they exist together."""
    return patient(f"p{name}"), {
        "resourceType": "Observation",
        "id": f"o{name}",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/p{name}"},
    }


@pytest.mark.parametrize("after_seconds", [0.05, 0.11, pytest.param(0.23, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_whole_transactions(chart: Any, after_seconds: float) -> None:
    acknowledged, tell = os.pipe()

    def write_for_ever() -> None:
        os.close(acknowledged)
        number = 0
        while True:
            chart.put(*pair(str(number)))
            if number % 3 == 2:
                chart.put({**pair(str(number))[0], "active": True})
            os.write(tell, f"{number}\n".encode())
            number += 1

    process = FORK.Process(target=write_for_ever)
    process.start()
    os.close(tell)
    first = os.read(acknowledged, 2)  # it is under way
    time.sleep(after_seconds)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    text = first
    while piece := os.read(acknowledged, 65_536):
        text += piece
    os.close(acknowledged)
    last = int(text.split()[-1])

    assert sound(chart)
    chart.put(*pair("next"))  # the lock died with its holder
    with chart.store.reading() as reader:
        for number in range(last + 1):
            for resource in pair(str(number)):
                assert reader.read(resource["resourceType"], resource["id"], EVERYTHING) is not None
        beyond = [reader.read(r["resourceType"], r["id"], EVERYTHING) for r in pair(str(last + 1))]
        assert beyond[0] is not None or beyond[1] is None
        assert (beyond[0] is None) == (beyond[1] is None)
        found = reader.search(SearchQuery("Observation", count=10_000), EVERYTHING).matches
    for version in found:
        subject = chart.clause("Observation", "patient", ReferenceValue("Patient", f"p{version.id[1:]}"))
        assert chart.found(SearchQuery("Observation", (subject,))) == [version.id]
    assert_index_agrees(chart)


def assert_index_agrees(chart: Any) -> None:
    """Every index row belongs to a live resource and every live resource has the rows of its content."""
    with chart.store.database.reading() as connection:
        rows = connection.execute(
            "SELECT rid, type, id, body, tokens FROM resource WHERE deleted = 0"
        ).fetchall()
        for rid, resource_type, id, body, tokens in rows:
            index = chart.version(json.loads(body), 0, chart.now).index
            of = {"rid": rid, "self": reference_hash(f"{resource_type}/{id}")}
            hashes = connection.execute("SELECT hash FROM token WHERE rid = :rid", of).fetchall()
            assert {row[0] for row in hashes} == SQLITE.unpack(tokens) >= index.tokens
            assert connection.execute("SELECT rid FROM resource WHERE self_hash = :self", of).fetchone()
            versions = connection.execute("SELECT count(*), max(version) FROM version WHERE rid = :rid", of)
            assert len(set(versions.fetchone())) == 1
        for table in ("token", "compartment", "version", *(table.name for table in (*TABLES, *RELATIONS))):
            sql = f"SELECT count(*) FROM {table} WHERE rid NOT IN (SELECT rid FROM resource)"
            assert connection.execute(sql).fetchone() == (0,), table
        outbox = connection.execute("SELECT count(*) FROM outbox").fetchone()
        assert outbox == connection.execute("SELECT count(*) FROM version").fetchone()


def sound(chart: Any) -> bool:
    """SQLite's own check of the file; PostgreSQL has no file of ours."""
    if chart.store.database.dialect.name != "sqlite":
        return True
    connection = sqlite3.connect(chart.store.database.path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        connection.close()
