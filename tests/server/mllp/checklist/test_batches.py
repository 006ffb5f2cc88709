"""Batches: taken apart, counted, acknowledged (MLLP14), over real sockets.

Covers server/hl7v2/intake.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Listen = Callable[..., Any]


def batch(*messages: bytes, count: int | None = None) -> bytes:
    inside = b"".join(messages)
    trailer = f"BTS|{len(messages) if count is None else count}\rFTS|1\r".encode()
    return (
        b"FHS|^~\\&|ADT1|NORTH|BATON|HOME|||||f1\rBHS|^~\\&|ADT1|NORTH|BATON|HOME|||||b1\r" + inside + trailer
    )


@pytest.mark.requirement("MLLP14")
def test_a_batch_is_taken_apart_and_answered_by_one(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    messages = [hl7v2_wire.admit(f"m{n}", str(n)) for n in range(3)]
    answer = running.sender().send(batch(*messages)).answer()
    lines = answer.decode().split("\r")
    assert [line[:3] for line in lines if line] == ["FHS", "BHS", *(["MSH", "MSA"] * 3), "BTS", "FTS"]
    assert [line for line in lines if line.startswith("MSA")] == ["MSA|AA|m0", "MSA|AA|m1", "MSA|AA|m2"]
    assert [row[0] for row in running.rows("control_id")] == ["m0", "m1", "m2"]


@pytest.mark.requirement("MLLP14")
def test_or_each_message_of_it_by_its_own(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"batch": "each"})
    sender = running.sender().send(batch(*(hl7v2_wire.admit(f"m{n}", str(n)) for n in range(3))))
    assert [sender.msa() for _ in range(3)] == [("AA", "m0"), ("AA", "m1"), ("AA", "m2")]


@pytest.mark.requirement("MLLP14")
def test_a_batch_that_counts_otherwise_is_taken_with_a_warning(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    running.sender().send(batch(hl7v2_wire.admit("m0"), count=2)).answer()
    assert running.rows("control_id, state, warnings") == [("m0", "received", "batch-count")]


@pytest.mark.requirement("MLLP14")
def test_a_batch_sent_again_is_known_message_by_message(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    first, second = hl7v2_wire.admit("m0", "0"), hl7v2_wire.admit("m1", "1")
    sender = running.sender()
    sender.send(batch(first)).answer()
    answer = sender.send(batch(first, second)).answer()
    assert answer.count(b"MSA|AA|") == 2
    assert [row[0] for row in running.rows("state")] == ["received", "duplicate", "received"]


@pytest.mark.requirement("MLLP14")
@pytest.mark.requirement("MLLP11")
def test_each_message_of_a_batch_is_owed_the_acknowledgement_that_it_asks_for(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen()
    asks = {"m0": "AL", "m1": "NE", "m2": "ER"}
    messages = [hl7v2_wire.admit(name, name, accept="AL", applies=ask) for name, ask in asks.items()]
    sender = running.sender().send(batch(*messages))
    assert sender.answer().count(b"MSA|CA|") == 3
    running.becomes("m2", "failed", "101 A patient identifier is missing.")
    assert sender.msa() == ("AE", "m2")
    running.becomes("m1", "applied")
    running.becomes("m0", "applied")
    assert sender.msa() == ("AA", "m0")
    assert sender.is_silent(0.3)
    running.until(lambda: running.rows("owed") == [("",)] * 3, "nothing is owed any more")


@pytest.mark.requirement("MLLP14")
@pytest.mark.requirement("MLLP12")
def test_a_batch_is_answered_when_it_is_stored_however_long_its_messages_take(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen(source={"ack_on": "processed"})
    sender = running.sender().send(batch(*(hl7v2_wire.admit(f"m{n}", str(n)) for n in range(3))))
    assert sender.answer().count(b"MSA|AA|") == 3
