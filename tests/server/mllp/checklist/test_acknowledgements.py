"""What is acknowledged, how, when, and where to (MLLP10 to MLLP12), over real sockets.

Covers server/mllp and server/hl7v2/modes.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from server.mllp.limits import Limits
from server.outbound_networks import read_networks

Listen = Callable[..., Any]


# -- 10: what an acknowledgement says


@pytest.mark.requirement("MLLP10")
def test_an_acknowledgement_speaks_to_its_sender_in_its_own_way(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    answer = running.sender().send(hl7v2_wire.admit("m1", trigger="A08", version="2.3")).answer()
    header = hl7v2_wire.fields(answer, "MSH")
    assert header[2:6] == ["BATON", "HOME", "ADT1", "NORTH"]
    assert header[8] == "ACK^A08^ACK"
    assert header[11] == "2.3"
    assert answer.endswith(b"\r")
    other = running.sender().send(hl7v2_wire.admit("m1")).answer()
    assert hl7v2_wire.fields(other, "MSH")[9] != header[9]


@pytest.mark.requirement("MLLP10")
def test_nothing_that_is_echoed_can_end_the_frame(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    message = hl7v2_wire.admit("m\x1c1\x07", application="A\x1cB")
    answer = running.sender().send(message).answer()
    assert b"\x1c" not in answer
    assert b"\x07" not in answer
    assert hl7v2_wire.fields(answer, "MSA")[2] == "m1"


@pytest.mark.requirement("MLLP10")
def test_an_acknowledgement_is_never_acknowledged(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender()
    answer = sender.send(hl7v2_wire.admit("m1")).answer()
    assert sender.send(answer).is_silent()
    assert [row[0] for row in running.rows("control_id")] == ["m1"]
    assert running.counts.messages["ignored"] == 1


@pytest.mark.requirement("MLLP10")
def test_what_is_no_message_is_rejected_and_kept(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(b"PID|1||4711\r", b"garbage", b"x\rMSH|^~\\&|A|B|C|D|1||ADT^A01|77|P|2.3\r")
    assert [sender.msa() for _ in range(3)] == [("AR", ""), ("AR", ""), ("AR", "77")]
    assert {row[:2] for row in running.rows("state, ack_code, error")} == {("failed", "AR")}
    assert {row[0] for row in running.rows("source")} == {"unknown"}


# -- 11: enhanced mode


@pytest.mark.requirement("MLLP11")
@pytest.mark.parametrize(
    ("accept", "applies", "now", "then"),
    [
        ("AL", "AL", "CA", "AA"),
        ("AL", "NE", "CA", ""),
        ("NE", "AL", "", "AA"),
        ("NE", "NE", "", ""),
        ("SU", "SU", "CA", "AA"),
        ("ER", "ER", "", ""),
        ("AL", "", "CA", ""),
        ("", "AL", "", "AA"),
    ],
)
def test_enhanced_mode_answers_what_is_asked_for(
    listen: Listen, hl7v2_wire: Any, accept: str, applies: str, now: str, then: str
) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("m1", accept=accept, applies=applies))
    if now:
        assert sender.msa() == (now, "m1")
    running.until(lambda: running.rows("id"), "it is stored")
    assert sender.is_silent(0.3)
    running.becomes("m1", "applied")
    if then:
        assert sender.msa() == (then, "m1")
    else:
        assert sender.is_silent(0.3)
    running.until(lambda: running.rows("owed") == [("",)], "nothing is owed any more")


@pytest.mark.requirement("MLLP11")
@pytest.mark.parametrize(("applies", "then"), [("AL", "AE"), ("ER", "AE"), ("SU", "")])
def test_enhanced_mode_tells_of_a_message_that_failed(
    listen: Listen, hl7v2_wire: Any, applies: str, then: str
) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("m1", accept="AL", applies=applies))
    assert sender.msa() == ("CA", "m1")
    running.becomes("m1", "failed", "101 A patient identifier is missing.")
    if then:
        answer = sender.answer()
        assert hl7v2_wire.fields(answer, "MSA")[1:3] == [then, "m1"]
        assert hl7v2_wire.fields(answer, "ERR")[3] == "101^Required field missing^HL70357"
        running.until(lambda: running.rows("ack_code") == [("AE",)], "the log says what was answered")
    else:
        assert sender.is_silent(0.3)


@pytest.mark.requirement("MLLP11")
def test_an_application_acknowledgement_goes_out_between_others(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("m1", accept="AL", applies="AL"))
    assert sender.msa() == ("CA", "m1")
    assert sender.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
    running.becomes("m1", "applied")
    assert sender.msa() == ("AA", "m1")


@pytest.mark.requirement("MLLP11")
def test_a_sender_that_hung_up_is_told_at_its_return_address(listen: Listen, hl7v2_wire: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        theirs.settimeout(1)
        address = f"127.0.0.1:{theirs.getsockname()[1]}"
        running = listen(source={"return_address": address}, outbound=read_networks(["127.0.0.0/8"]))
        with running.sender() as sender:
            assert sender.send(hl7v2_wire.admit("m1", accept="AL", applies="AL")).msa() == ("CA", "m1")
        running.until(lambda: not running.listener.awaited, "the listener has given up the connection")
        running.becomes("m1", "applied")
        running.age(20)
        for _ in range(10):  # a round leaves alone what a connection may still answer
            delivering = running.begin(running.returns.deliver())
            with suppress(TimeoutError):
                connection, _ = theirs.accept()
                break
        with connection:
            connection.settimeout(10)
            data = b""
            while not data.endswith(b"\x1c\r"):
                data += connection.recv(65_536)
        delivering.result(10)
        assert hl7v2_wire.fields(data[1:-2], "MSA")[1:3] == ["AA", "m1"]
        assert running.rows("owed, ack_code") == [("", "AA")]


@pytest.mark.requirement("MLLP11")
def test_a_return_address_that_may_not_be_called_is_not_called(listen: Listen, hl7v2_wire: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        theirs.settimeout(0.3)
        running = listen(source={"return_address": f"127.0.0.1:{theirs.getsockname()[1]}"})
        with running.sender() as sender:
            assert sender.send(hl7v2_wire.admit("m1", accept="AL", applies="AL")).msa() == ("CA", "m1")
        running.until(lambda: not running.listener.awaited, "the listener has given up the connection")
        running.becomes("m1", "applied")
        running.age(20)
        running.call(running.returns.deliver())
        with pytest.raises(TimeoutError):
            theirs.accept()
    assert running.rows("owed") == [("AL",)]


@pytest.mark.requirement("MLLP11")
@pytest.mark.parametrize(
    ("mode", "accept", "codes"),
    [("aa", "AL", ["AA"]), ("original", "AL", ["AA"]), ("enhanced", "", ["CA"]), ("", "", ["AA"])],
)
def test_a_source_may_be_heard_in_one_mode_whatever_it_asks_for(
    listen: Listen, hl7v2_wire: Any, mode: str, accept: str, codes: list[str]
) -> None:
    running = listen(source={"mode": mode})
    sender = running.sender().send(hl7v2_wire.admit("m1", accept=accept, applies=accept))
    assert [sender.msa()[0] for _ in codes] == codes
    running.becomes("m1", "applied")
    assert sender.is_silent(0.3)


@pytest.mark.requirement("MLLP11")
def test_nothing_is_waited_for_on_a_connection_that_has_gone(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"return_address": "127.0.0.1:1"})
    with running.sender() as sender:
        sender.send(*(hl7v2_wire.admit(f"m{n}", accept="AL", applies="AL") for n in range(30)))
        assert {sender.msa()[0] for _ in range(30)} == {"CA"}
        running.until(lambda: len(running.listener.awaited) == 30, "all are waited for")
    running.until(lambda: not running.listener.awaited, "none is waited for")
    assert {row[0] for row in running.rows("owed")} == {"AL"}


# -- 12: when original mode answers


@pytest.mark.requirement("MLLP12")
def test_original_mode_answers_when_the_message_is_stored(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("m1"))
    assert sender.msa() == ("AA", "m1")
    running.becomes("m1", "failed", "101 A patient identifier is missing.")
    assert sender.is_silent(0.3)


@pytest.mark.requirement("MLLP12")
def test_or_when_it_was_processed_and_says_how_that_ended(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"ack_on": "processed"})
    sender = running.sender().send(hl7v2_wire.admit("m1", "1"), hl7v2_wire.admit("m2", "2"))
    running.until(lambda: len(running.rows("id")) == 2, "both are stored")
    assert sender.is_silent(0.3)
    running.becomes("m2", "applied")
    assert sender.is_silent(0.3)  # answers keep the order of the messages
    running.becomes("m1", "failed", "101 A patient identifier is missing.")
    answer = sender.answer()
    assert hl7v2_wire.fields(answer, "MSA")[1:3] == ["AE", "m1"]
    assert hl7v2_wire.fields(answer, "ERR")[8] == "A patient identifier is missing."
    assert sender.msa() == ("AA", "m2")


@pytest.mark.requirement("MLLP12")
def test_a_message_that_is_not_processed_in_time_is_to_be_sent_again(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"ack_on": "processed"}, limits=Limits(processed_seconds=1))
    message = hl7v2_wire.admit("m1")
    sender = running.sender().send(message)
    assert sender.msa() == ("AR", "m1")
    running.becomes("m1", "applied")
    assert sender.send(message).msa() == ("AA", "m1")
    assert running.rows("state") == [("applied",), ("duplicate",)]
