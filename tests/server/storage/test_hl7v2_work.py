"""Claims of HL7 v2 messages and what they say.

Covers server/storage/hl7v2_work.py; the rules of the order are in tests/server/hl7v2/applying.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_traces import packed
from server.storage.hl7v2_work import Claimed, Hl7v2Work, LeaseLost

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=20)
SHORT, LONG = b"MSH|short", b"MSH|" + b"long" * 20_000


@pytest.fixture
def messages(store: Any) -> dict[int, bytes]:
    """By id; each is of a patient of its own."""
    kept = store.hl7v2_log.keep(
        [
            NewMessage(
                "north", "mllp", f"m{key}", sha256(raw).digest(), 1_000, raw, "ADT", "A01", "ADT_A01", 0,
                key, None, "", "", ack_code="AA",
            )
            for key, raw in enumerate((SHORT, LONG, SHORT))
        ],
        since=0,
    )  # fmt: skip
    return {one.id: raw for one, raw in zip(kept, (SHORT, LONG, SHORT), strict=True)}


def claim(work: Hl7v2Work, now: datetime = NOW) -> tuple[Claimed, ...]:
    return work.claim(now, lease=LEASE, limit=10)


def test_a_message_says_the_same_whether_it_was_read_with_its_claim_or_not(
    store: Any, messages: dict[int, bytes]
) -> None:
    claimed = claim(store.hl7v2_work)
    assert [one.id for one in claimed] == sorted(messages)
    for one in claimed:
        found = [
            work.received(one.id) for work in (store.hl7v2_work, store.hl7v2_work, Hl7v2Work(store.database))
        ]
        assert found[0] is not None
        assert found[0].raw == messages[one.id]
        assert (found[0].id, found[0].source, found[0].type, found[0].trigger) == (
            one.id,
            "north",
            "ADT",
            "A01",
        )
        assert found[1] == found[2] == found[0]


def test_what_is_given_back_is_kept_nowhere(store: Any, messages: dict[int, bytes]) -> None:
    work = store.hl7v2_work
    assert work.give_back(claim(work)) == len(messages)
    with store.database.writing() as connection:
        connection.execute("DELETE FROM hl7v2_message")
    assert [work.received(id) for id in messages] == [None] * len(messages)


def test_an_end_that_comes_too_late_undoes_what_it_is_written_with(
    store: Any, messages: dict[int, bytes]
) -> None:
    work = store.hl7v2_work
    first = claim(work)[0]
    late = NOW + 2 * LEASE
    again = next(one for one in claim(work, late) if one.id == first.id)
    with pytest.raises(LeaseLost), store.writing():
        store.hl7v2_traces.put(first.id, "v1", packed(b"late"))
        work.applied(first, late, version="v1", result=["Patient/a/_history/1"])
    assert store.hl7v2_traces.get(first.id, "v1") is None
    with store.writing():
        store.hl7v2_traces.put(again.id, "v1", packed(b"in time"))
        work.applied(again, late, version="v1", result=["Patient/a/_history/1"])
    assert store.hl7v2_traces.get(first.id, "v1") == b"in time"
    with store.database.reading() as connection:
        rows = connection.execute("SELECT id FROM hl7v2_message WHERE state = 'applied'").fetchall()
    assert rows == [(first.id,)]
