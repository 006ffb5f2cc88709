"""Transactions, migrations and refusals of the database file itself."""

from __future__ import annotations

import errno
import fcntl
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.visibility import EVERYTHING
from server.storage import DatabaseUrlError, open_store
from server.storage.migrations import SchemaTooNew, migrations, upgrade
from server.storage.sqlite_database import SqliteDatabase


def test_an_empty_file_is_upgraded_once_and_then_left_alone(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'new' / 'baton.sqlite3'}")
    assert not store.ready()
    latest = migrations("sqlite")[-1].number
    assert store.upgrade() == latest
    assert store.upgrade() == latest
    assert store.ready()
    store.close()


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    path = tmp_path / "baton.sqlite3"
    found: list[int] = []

    def start() -> None:
        database = SqliteDatabase(path)
        found.append(upgrade(database))
        database.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [migrations("sqlite")[-1].number] * 6


def test_a_newer_schema_is_refused_and_not_touched(store: Any) -> None:
    with store.database.writing() as connection:
        connection.execute("UPDATE schema_version SET value = 9999")
    with pytest.raises(SchemaTooNew, match="9999"):
        store.upgrade()
    assert not store.ready()
    with store.database.reading() as connection:
        assert store.database.schema_version(connection) == 9999


def test_a_migration_that_fails_leaves_the_schema_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SqliteDatabase(tmp_path / "baton.sqlite3")
    (first,) = migrations("sqlite")[:1]
    broken = type(first)(1, first.script + "\nCREATE TABLE half (;\nNOT SQL;\n")
    monkeypatch.setattr("server.storage.migrations.migrations", lambda dialect: (broken,))
    with pytest.raises(sqlite3.Error):
        upgrade(database)
    with database.reading() as connection:
        assert database.schema_version(connection) == 0
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize(
    "url", ["", "mysql://x/y", "postgresql://[", "sqlite://", "sqlite:///", "baton.sqlite3"]
)
def test_other_database_urls_are_refused_with_words(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="sqlite:///PATH"):
        open_store(url)


def test_a_snapshot_does_not_change_under_its_reader(chart: Any) -> None:
    chart.put({"resourceType": "Patient", "id": "a"})
    with chart.store.reading() as reader:
        assert reader.read("Patient", "a", EVERYTHING).version_id == 1
        chart.put({"resourceType": "Patient", "id": "a", "active": True})
        assert reader.read("Patient", "a", EVERYTHING).version_id == 1
    assert chart.reading(lambda r: r.read("Patient", "a", EVERYTHING)).version_id == 2


@pytest.mark.sqlite("the size of a PostgreSQL database cannot be limited")
def test_a_full_disk_answers_507_and_writes_nothing(chart: Any) -> None:
    chart.put({"resourceType": "Patient", "id": "a"})
    with chart.store.database.writing() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = {"resourceType": "Patient", "id": "b", "language": "x" * 100_000}
    with pytest.raises(FhirError) as refused:
        chart.put({"resourceType": "Patient", "id": "c"}, big)
    assert (refused.value.kind, refused.value.status) == ("storage-full", 507)
    for id in "bc":
        assert chart.reading(lambda r, i=id: r.read("Patient", i, EVERYTHING)) is None
    with chart.store.database.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    chart.put(big)
    assert chart.reading(lambda r: r.read("Patient", "b", EVERYTHING)).version_id == 1


def test_a_database_that_is_gone_answers_503(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'baton.sqlite3'}")
    (tmp_path / "baton.sqlite3").write_bytes(b"this is no database" * 1000)
    assert not store.ready()
    with pytest.raises(FhirError) as refused, store.reading() as reader:
        reader.read("Patient", "a", EVERYTHING)
    assert (refused.value.kind, refused.value.status) == ("unavailable", 503)


@pytest.mark.sqlite("PostgreSQL has many writers")
def test_writers_queue_on_the_lock_file(chart: Any) -> None:
    """While one writes, the other waits outside of SQLite, whose own waiting would be unfair."""
    entered, release, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with chart.store.writing() as writer:
            writer.claim(b"first")
            entered.set()
            release.wait(5)
            order.append("first")

    def second() -> None:
        entered.wait(5)
        with chart.store.writing() as writer:
            writer.claim(b"second")
            order.append("second")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    entered.wait(5)
    with pytest.raises(OSError) as busy:
        _try_lock(chart.store.database.lock_path)
    assert busy.value.errno in (errno.EAGAIN, errno.EACCES)
    release.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "second"]


def _try_lock(path: Path) -> None:

    with path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_thread_that_ends_leaves_nothing_open(chart: Any) -> None:
    chart.put({"resourceType": "Patient", "id": "a"})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        thread = threading.Thread(target=lambda: chart.reading(lambda r: r.read("Patient", "a", EVERYTHING)))
        thread.start()
        thread.join()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3


@pytest.mark.sqlite("PostgreSQL bounds its log itself")
def test_a_long_log_is_bounded_without_a_worker(chart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.sqlite_database.LOG_LIMIT_BYTES", 100_000)
    for number in range(20):
        chart.put({"resourceType": "Patient", "id": f"p{number}", "language": "x" * 20_000})
    assert chart.store.database.log_path.stat().st_size < 400_000
