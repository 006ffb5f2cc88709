"""Frames on MLLP connections: noise, cut reads, several at once, ones without an end (MLLP1 to MLLP4).

Covers server/mllp/framing.py and server/mllp/listener.py, over real sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from server.mllp.limits import Limits

Listen = Callable[..., Any]


# -- 1: frames


@pytest.mark.requirement("MLLP1")
def test_bytes_between_frames_are_counted_and_passed_over(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().raw(b"\r\nnoise\r\n" + hl7v2_wire.framed(hl7v2_wire.admit("m1")) + b"\n")
    assert sender.msa() == ("AA", "m1")
    assert sender.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
    assert running.counts.noise_bytes == len(b"\r\nnoise\r\n") + 1
    assert [row[0] for row in running.rows()] == ["m1", "m2"]


@pytest.mark.requirement("MLLP1")
def test_an_end_block_without_carriage_return_ends_a_message_after_a_pause(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen()
    sender = running.sender().raw(b"\x0b" + hl7v2_wire.admit("m1") + b"\x1c")
    started = time.monotonic()
    assert sender.msa() == ("AA", "m1")
    assert 0.9 < time.monotonic() - started < 5
    assert running.rows("warnings") == [("no-carriage-return",)]


@pytest.mark.requirement("MLLP1")
def test_an_end_block_without_carriage_return_ends_a_message_where_the_next_begins(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen()
    pieces = b"\x0b" + hl7v2_wire.admit("m1") + b"\x1c" + hl7v2_wire.framed(hl7v2_wire.admit("m2"))
    sender = running.sender().raw(pieces)
    assert [sender.msa(), sender.msa()] == [("AA", "m1"), ("AA", "m2")]


@pytest.mark.requirement("MLLP1")
def test_a_start_block_inside_of_a_message_begins_anew(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().raw(b"\x0bMSH|^~\\&|half", hl7v2_wire.framed(hl7v2_wire.admit("m1")))
    assert sender.msa() == ("AA", "m1")
    assert running.rows("control_id, state, error") == [
        ("", "failed", "100 The message has no end."),
        ("m1", "received", ""),
    ]


@pytest.mark.requirement("MLLP1")
def test_an_end_block_inside_of_a_message_stays_data(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    message = hl7v2_wire.admit("m1", family="Am\x1cber")
    assert running.sender().send(message).msa() == ("AA", "m1")
    assert bytes(running.rows("raw")[0][0]) == message


# -- 2: partial reads


@pytest.mark.requirement("MLLP2")
def test_a_message_may_come_one_byte_at_a_time(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    message = hl7v2_wire.admit("m1", family="Ängström 李")
    sender = running.sender()
    for byte in hl7v2_wire.framed(message):
        sender.raw(bytes([byte]), pause=0.001)
    assert sender.msa() == ("AA", "m1")
    assert bytes(running.rows("raw")[0][0]) == message


@pytest.mark.requirement("MLLP2")
@pytest.mark.parametrize("cut", ["start", "end", "character"])
def test_a_frame_may_be_cut_anywhere(listen: Listen, hl7v2_wire: Any, cut: str) -> None:
    running = listen()
    frame = hl7v2_wire.framed(hl7v2_wire.admit("m1", family="Ängström"))
    place = {"start": 1, "end": len(frame) - 1, "character": frame.index("Ä".encode()) + 1}[cut]
    sender = running.sender().raw(frame[:place], frame[place:], pause=0.2)
    assert sender.msa() == ("AA", "m1")
    assert bytes(running.rows("raw")[0][0]) == frame[1:-2]


# -- 3: several messages


@pytest.mark.requirement("MLLP3")
def test_all_messages_of_one_read_are_answered_in_their_order(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    names = [f"m{n}" for n in range(40)]
    sender = running.sender().send(*(hl7v2_wire.admit(name, mrn=name) for name in names))
    assert [sender.msa() for _ in names] == [("AA", name) for name in names]
    assert [row[0] for row in running.rows()] == names


@pytest.mark.requirement("MLLP3")
def test_a_sender_that_does_not_wait_is_made_to_wait(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(pipelined=4, message_bytes=200_000), source={"ack_on": "processed"})
    big = [hl7v2_wire.admit(f"m{n}", more=f"NTE|1||{'x' * 100_000}\r") for n in range(400)]
    sender = running.sender(timeout=2.0)
    with pytest.raises(TimeoutError):  # nobody processes them: the first is not answered, the rest must wait
        sender.send(*big)
    running.until(lambda: len(running.rows("id")) >= 5, "some are stored")
    stored = len(running.rows("id"))
    time.sleep(0.5)
    assert len(running.rows("id")) == stored <= 4 + 4
    assert running.listener.held <= 2 * 200_000


# -- 4: no end


@pytest.mark.requirement("MLLP4")
def test_a_message_that_does_not_end_is_kept_as_truncated_and_not_answered(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen(limits=Limits(idle_seconds=1))
    message = hl7v2_wire.admit("m1")
    sender = running.sender().raw(b"\x0b" + message[:-30])
    assert sender.is_closed(5)
    (row,) = running.rows("control_id, state, error, raw, ack_code")
    assert (row[0], row[1], row[2], bytes(row[3]), row[4]) == (
        "m1",
        "failed",
        "100 The message has no end.",
        message[:-30],
        "",
    )
    assert running.sender().send(message).msa() == ("AA", "m1")  # sent again it is no repetition
    assert [row[0] for row in running.rows("state")] == ["failed", "received"]


@pytest.mark.requirement("MLLP4")
def test_a_complete_message_is_answered_at_once_whatever_the_connection_does_then(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen()
    started = time.monotonic()
    assert running.sender().send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert time.monotonic() - started < 0.9


@pytest.mark.requirement("MLLP4")
def test_an_idle_connection_between_messages_stays_open(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(idle_seconds=1))
    sender = running.sender().send(hl7v2_wire.admit("m1"))
    assert sender.msa() == ("AA", "m1")
    assert sender.is_silent(2.0)
    assert sender.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
