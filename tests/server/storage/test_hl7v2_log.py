"""The log of HL7 v2 messages: many kept by one commit, repetitions known, ids in the order of the commits.

Covers server/storage/hl7v2_log.py, server/storage/hl7v2_sources.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.hl7v2_log import REUSED, Kept, NewMessage, Outcome
from server.storage.hl7v2_sources import SourceRow
from server.storage.table_copy import finish, read_rows, tables, write_rows


@pytest.fixture
def store(database_url: str) -> Iterator[DatabaseStore]:
    made = open_store(database_url)
    made.upgrade()
    yield made
    made.close()


def message(control_id: str = "m1", raw: bytes = b"MSH|1", **fields: Any) -> NewMessage:
    values = {
        "source": "north",
        "listener": "mllp",
        "control_id": control_id,
        "sha256": sha256(raw).digest(),
        "received": 1_000,
        "raw": raw,
        "ack_code": "AA",
    }
    return NewMessage(**values | fields)


def rows(store: DatabaseStore, columns: str) -> list[tuple[Any, ...]]:
    with store.database.reading() as connection:
        return connection.execute(f"SELECT {columns} FROM hl7v2_message ORDER BY id").fetchall()


def test_messages_are_kept_in_their_order_by_one_commit(store: DatabaseStore) -> None:
    kept = store.hl7v2_log.keep([message(f"m{n}", b"%d" % n) for n in range(50)], since=0)
    assert [one.id for one in kept] == sorted(one.id for one in kept)
    assert rows(store, "id, control_id") == [(one.id, f"m{n}") for n, one in enumerate(kept)]


def test_a_repetition_is_known_within_a_commit_and_across(store: DatabaseStore) -> None:
    first, again = store.hl7v2_log.keep([message(), message()], since=0)
    (later,) = store.hl7v2_log.keep([message(ack_code="CA")], since=0)
    assert (first.duplicate, again, later) == (
        False,
        Kept(first.id, "AA", duplicate=True),
        Kept(first.id, "AA", duplicate=True),
    )
    assert rows(store, "state, duplicate_of, raw") == [
        ("received", None, b"MSH|1"),
        ("duplicate", first.id, b""),
        ("duplicate", first.id, b""),
    ]


def test_what_came_before_the_window_is_not_looked_at(store: DatabaseStore) -> None:
    store.hl7v2_log.keep([message(received=1_000)], since=0)
    (again,) = store.hl7v2_log.keep([message(received=5_000)], since=1_001)
    assert not again.duplicate


def test_sources_and_parts_of_messages_are_never_repetitions(store: DatabaseStore) -> None:
    kept = store.hl7v2_log.keep(
        [message(), message(source="south"), message(sha256=b""), message(sha256=b"")], since=0
    )
    assert not any(one.duplicate for one in kept)


def test_a_control_id_with_other_bytes_is_marked_or_refused(store: DatabaseStore) -> None:
    store.hl7v2_log.keep([message("1", b"a")], since=0)
    marked, refused = store.hl7v2_log.keep(
        [message("1", b"b"), message("1", b"c", reused_code="AR", owed="AL")], since=0
    )
    assert (marked.refused, refused.refused, refused.ack_code) == (False, True, "AR")
    assert rows(store, "state, warnings, ack_code, owed")[1:] == [
        ("received", REUSED, "AA", ""),
        ("failed", REUSED, "AR", ""),
    ]


def test_new_sources_come_with_their_first_message_and_are_heard(store: DatabaseStore) -> None:
    row = SourceRow("north", "ADT1", "NORTH", "new", "{}", 900)
    store.hl7v2_log.keep([message(received=1_000)], since=0, new_sources=[row])
    store.hl7v2_log.keep([message("m2", received=2_000)], since=0, new_sources=[row])
    (found,) = store.hl7v2_sources.all()
    assert (found.name, found.state, found.created, found.last_message) == ("north", "new", 900, 2_000)
    store.hl7v2_sources.put(SourceRow("north", "ADT1", "NORTH", "confirmed", '{"mode": "aa"}', 900))
    found = store.hl7v2_sources.get("north")
    assert found is not None
    assert (found.state, found.settings, found.last_message) == ("confirmed", '{"mode": "aa"}', 2_000)
    assert store.hl7v2_sources.get("south") is None


def test_what_is_owed_is_told_until_it_was_answered(store: DatabaseStore) -> None:
    one, two, three = store.hl7v2_log.keep(
        [message("1", owed="AL"), message("2", b"2", owed="ER"), message("3", b"3")], since=0
    )
    assert store.hl7v2_log.owed(before=9_999, limit=10) == []  # nothing was processed yet
    with store.database.writing() as connection:
        connection.execute("UPDATE hl7v2_message SET state = 'failed', error = '101 Missing.'")
    first, second = store.hl7v2_log.owed(before=9_999, limit=10)
    assert (first.id, first.condition, first.outcome) == (one.id, "AL", Outcome("failed", "101 Missing."))
    assert [row.id for row in store.hl7v2_log.owed(before=9_999, after=first.id, limit=10)] == [second.id]
    assert store.hl7v2_log.owed(before=1_000, limit=10) == []
    store.hl7v2_log.answered([(one.id, "AE"), (two.id, "")])
    assert store.hl7v2_log.owed(before=9_999, limit=10) == []
    assert rows(store, "ack_code") == [("AE",), ("AA",), ("AA",)]
    assert set(store.hl7v2_log.outcomes([one.id, three.id, 999])) == {one.id, three.id}
    assert store.hl7v2_log.raw(two.id) == b"2"
    assert store.hl7v2_log.raw(999) == b""


def test_two_processes_never_keep_a_message_twice_and_ids_appear_in_order(
    store: DatabaseStore, database_url: str
) -> None:
    seen: list[int] = []
    ended = threading.Event()

    def keep() -> None:
        own = open_store(database_url)
        for n in range(40):
            own.hl7v2_log.keep([message(f"m{n}", b"%d" % n)], since=0)
        own.close()

    def watch() -> None:
        own = open_store(database_url)
        while not ended.is_set():
            with own.database.reading() as connection:
                ids = [
                    row[0] for row in connection.execute("SELECT id FROM hl7v2_message ORDER BY id").fetchall()
                ]
            assert ids[: len(seen)] == seen  # none appears before one that was there
            seen[:] = ids
        own.close()

    threads = [threading.Thread(target=keep) for _ in range(4)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    watcher.join()
    assert len(rows(store, "id")) == 160
    assert [row[0] for row in rows(store, "state")].count("received") == 40


def test_a_backup_holds_messages_and_sources_and_goes_on_where_they_end(
    store: DatabaseStore, fresh_database: Callable[[], AbstractContextManager[str]]
) -> None:
    row = SourceRow("north", "ADT1", "NORTH", "new", "{}", 900)
    kept = store.hl7v2_log.keep([message(f"m{n}", b"%d" % n) for n in range(9)], since=0, new_sources=[row])
    with fresh_database() as url:
        other = open_store(url)
        other.upgrade()
        with store.database.reading() as source, other.database.writing() as target:
            copied = {name: columns for name, columns in tables(source).items() if name.startswith("hl7v2_")}
            for name, columns in copied.items():
                write_rows(target, name, columns, list(read_rows(source, name, columns)))
            finish(target, datetime(2026, 1, 1, tzinfo=UTC))
        assert set(copied) == {"hl7v2_message", "hl7v2_source", "hl7v2_identity", "hl7v2_trace"}
        again, new = other.hl7v2_log.keep([message("m3", b"3"), message("m9", b"9")], since=0)
        assert again == Kept(kept[3].id, "AA", duplicate=True)
        assert new.id > kept[-1].id
        assert [source.name for source in other.hl7v2_sources.all()] == ["north"]
        other.close()
