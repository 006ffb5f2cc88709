"""The message log as people see it: search by any of its names, pages, decisions, and how long it is kept.

Covers server/storage/hl7v2_messages.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.fhir.dates import microseconds
from server.storage import open_store
from server.storage.dialect import Parameters
from server.storage.hl7v2_log import Hl7v2Log, NewMessage
from server.storage.hl7v2_messages import Hl7v2Messages, MessageQuery, search_sql
from server.storage.hl7v2_work import Hl7v2Work

START = datetime(2026, 3, 1, tzinfo=UTC)


class Log:
    """Messages of the tests. Each is received a minute after the one before."""

    def __init__(self, store: Any) -> None:
        self.database = store.database
        self.people = Hl7v2Messages(store.database)
        self.work = Hl7v2Work(store.database)
        self._log = Hl7v2Log(store.database)
        self.sent = 0

    def add(self, **fields: Any) -> int:
        """The number of a new message."""
        self.sent += 1
        at = microseconds(START + timedelta(minutes=self.sent))
        given = {
            "source": "adt", "listener": "mllp", "control_id": f"C{self.sent}", "received": at, "event_at": at,
            "sha256": self.sent.to_bytes(32, "big"), "raw": b"MSH|", "type": "ADT", "trigger": "A08",
            "order_key": self.sent, "mrn": "1", "ack_code": "AA",
        }  # fmt: skip
        (kept,) = self._log.keep([NewMessage(**given | fields)], since=0)
        return kept.id

    def found(self, **query: Any) -> list[int]:
        """The numbers of all messages that a search finds, page by page."""
        numbers, before = [], None
        while True:
            page = self.people.search(MessageQuery(**{"count": 2} | query, before=before))
            numbers += [message.id for message in page.messages]
            if page.next_before is None:
                return numbers
            before = page.next_before


@pytest.fixture
def log(database_url: str) -> Iterator[Log]:
    store = open_store(database_url)
    store.upgrade()
    yield Log(store)
    store.close()


def test_messages_are_found_by_each_of_their_names_newest_first(log: Log) -> None:
    one = log.add(control_id="X", mrn="7", visit="V7", type="ORU", trigger="R01", source="lab")
    two = log.add(mrn="7")
    three = log.add(type="ORU", trigger="R01")
    assert log.found() == [three, two, one]
    assert log.found(control_id="X") == [one]
    assert log.found(mrn="7") == [two, one]
    assert log.found(visit="V7") == [one]
    assert log.found(type="ORU", trigger="R01") == [three, one]
    assert log.found(type="ORU") == [three, one]
    assert log.found(source="lab") == [one]
    assert log.found(mrn="7", type="ADT") == [two]
    assert log.found(trigger="R01", source="adt") == [three]
    assert log.found(state="failed") == []


def test_pages_neither_repeat_nor_skip(log: Log) -> None:
    sent = [log.add(mrn=str(number % 2)) for number in range(9)]
    assert log.found(mrn="0", count=1) == sent[0::2][::-1]
    assert log.found(count=4) == sent[::-1]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"control_id": "X", "state": "failed"}, "hl7v2_message_control_id"),
        ({"mrn": "7"}, "hl7v2_message_mrn"),
        ({"visit": "7", "source": "x"}, "hl7v2_message_visit"),
        ({"type": "ADT", "trigger": "A08"}, "hl7v2_message_type"),
        ({"state": "failed", "source": "x"}, "hl7v2_message_state"),
        ({"source": "x"}, "hl7v2_message_source"),
        ({}, ""),
        ({"type": "ADT"}, ""),
    ],
)
def test_a_search_walks_its_own_index_and_sorts_nothing(log: Log, query: dict[str, str], index: str) -> None:
    for _ in range(5):
        log.add()
    with log.database.reading() as connection:
        parameters = Parameters(connection.dialect)
        sql = search_sql(MessageQuery(**query, before=3), parameters)
        rows = connection.execute(connection.dialect.explain(sql), parameters.values).fetchall()
        plan = "\n".join(connection.dialect.steps(rows))
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan
    assert (index in plan) if index else ("hl7v2_message_" not in plan.replace("hl7v2_message_pkey", ""))


def test_decisions_change_only_what_is_in_such_a_state(log: Log) -> None:
    now = START + timedelta(hours=1)
    waiting, failed, applied, duplicate = (log.add() for _ in range(4))
    for id, state in ((failed, "failed"), (applied, "applied"), (duplicate, "duplicate")):
        with log.database.writing() as connection:
            values = {"id": id, "state": state}
            connection.execute("UPDATE hl7v2_message SET state = :state WHERE id = :id", values)
    everything = (waiting, failed, applied, duplicate)

    def states() -> list[str]:
        return [message.state for id in everything if (message := log.people.get(id))]

    assert log.people.park(everything, now) == 2
    assert states() == ["parked", "parked", "applied", "duplicate"]
    assert log.people.release([waiting], now) == 1
    assert log.people.discard([failed], now, "discarded by a person") == 1
    assert states() == ["received", "failed", "applied", "duplicate"]
    assert log.people.replay(everything, now) == 3
    assert states() == ["received", "received", "received", "duplicate"]


def test_what_somebody_is_about_to_do_is_not_replayed_under_their_hands(log: Log) -> None:
    now = START + timedelta(hours=1)
    id = log.add()
    log.work.claim(now, lease=timedelta(minutes=1), limit=1)
    assert log.people.replay([id], now) == 0
    assert log.people.replay([id], now + timedelta(minutes=2)) == 1


def test_a_repeated_message_shows_the_bytes_of_the_first(log: Log) -> None:
    first = log.add(raw=b"MSH|first", sha256=b"same", control_id="S")
    with log.database.writing() as connection:
        connection.execute(
            "UPDATE hl7v2_message SET raw = :raw WHERE id = :id", {"raw": b"MSH|first", "id": first}
        )
    log.add(raw=b"MSH|first", sha256=b"same", control_id="S")
    (repeated,) = log.found(state="duplicate")
    assert log.people.raw(repeated) == b"MSH|first"
    assert log.people.raw(999) == b""


def test_what_is_old_is_deleted_with_its_trace_and_what_waits_never(log: Log) -> None:
    ids = [log.add() for _ in range(4)]
    with log.database.writing() as connection:
        connection.execute("UPDATE hl7v2_message SET state = 'applied' WHERE id <> :id", {"id": ids[0]})
        for id in ids:
            connection.execute(
                "INSERT INTO hl7v2_trace (message, mapping_version, body) VALUES (:id, 'v', :body)",
                {"id": id, "body": b"x"},
            )
    assert log.people.purge("applied", START + timedelta(minutes=3, seconds=30)) == 2
    assert log.found() == [ids[3], ids[0]]
    with log.database.reading() as connection:
        left = connection.execute("SELECT message FROM hl7v2_trace ORDER BY message").fetchall()
    assert [row[0] for row in left] == [ids[0], ids[3]]


def test_what_is_not_done_is_counted_by_source_with_the_oldest(log: Log) -> None:
    first = log.add()
    log.add()
    log.add(source="lab", state="failed")
    by_source = {state.source: state for state in log.people.states()}
    message = log.people.get(first)
    assert message is not None
    assert (by_source["adt"].waiting, by_source["adt"].oldest) == (2, message.received)
    assert (by_source["lab"].failed, by_source["lab"].oldest) == (1, None)
    newest, recent = log.people.recent()
    assert newest == log.found()[0]
    assert [(each.source, each.messages, each.failed) for each in recent] == [("adt", 2, 0), ("lab", 1, 1)]
