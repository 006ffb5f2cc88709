"""What goes wrong on MLLP connections, line by line: frames, limits, order, acknowledgements, TLS, the end.

Each test names the line of the checklist that it verifies (MLLP1 to MLLP15); all of them over real sockets.
Covers server/mllp and server/hl7v2/intake.py.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.mllp.limits import Limits
from server.mllp.listener import why_not
from server.mllp.tls import Certificates
from server.outbound_networks import read_networks

Listen = Callable[..., Any]


def until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


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
    until(lambda: len(running.rows("id")) >= 5, "some are stored")
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


# -- 5: too large


@pytest.mark.requirement("MLLP5")
@pytest.mark.parametrize(("accept", "code"), [("", "AR"), ("AL", "CR")])
def test_a_message_that_is_too_large_is_rejected_with_its_control_id(
    listen: Listen, hl7v2_wire: Any, accept: str, code: str
) -> None:
    running = listen(limits=Limits(message_bytes=20_000))
    sender = running.sender()
    sender.send(hl7v2_wire.admit("big", accept=accept, more=f"NTE|1||{'x' * 30_000}\r"))
    answer = sender.answer()
    assert hl7v2_wire.fields(answer, "MSA")[1:3] == [code, "big"]
    assert hl7v2_wire.fields(answer, "ERR")[3].startswith("207^")
    assert sender.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
    kept = running.rows("control_id, state, length(raw)")
    assert kept[0] == ("big", "failed", 4096)
    assert kept[1][:2] == ("m2", "received")


@pytest.mark.requirement("MLLP5")
def test_a_message_that_has_no_end_of_size_ends_its_connection(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(message_bytes=20_000))
    sender = running.sender()
    head = b"\x0b" + hl7v2_wire.admit("endless")
    try:
        sender.raw(head, *([b"x" * 10_000] * 50))
        assert sender.msa() == ("AR", "endless")
    except ConnectionError:
        pass  # it was closed while more came
    assert sender.is_closed(5)
    assert running.rows("control_id, state") == [("endless", "failed")]
    assert running.listener.held == 0


@pytest.mark.requirement("MLLP5")
def test_a_flood_of_start_blocks_costs_little(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender(timeout=20)
    started = time.process_time()
    sender.raw(b"\x0b" * 4_000_000 + b"\x1c" * 1_000_000 + b"\r")
    sender.send(hl7v2_wire.admit("m1"))
    assert [sender.msa(), sender.msa()] == [("AR", ""), ("AA", "m1")]
    assert time.process_time() - started < 20
    assert running.counts.messages["stored"] == 1


@pytest.mark.requirement("MLLP5")
def test_all_connections_together_hold_a_bounded_number_of_bytes(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(held_bytes=500_000))
    senders = [running.sender() for _ in range(8)]
    text = "x" * 150_000
    for number, sender in enumerate(senders):
        sender.raw(b"\x0b" + hl7v2_wire.admit(f"m{number}", more=f"NTE|1||{text}"))
    until(lambda: running.counts.received_bytes > 8 * 150_000, "all of it was read")
    assert running.listener.held <= 500_000 + 65_536
    answers = [sender.raw(b"\r\x1c\r").msa()[0] for sender in senders]
    assert {"AA", "AR"} == set(answers)
    assert running.listener.held == 0


# -- 6: slow ones


@pytest.mark.requirement("MLLP6")
def test_a_message_that_comes_too_slowly_ends_its_connection(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(idle_seconds=5, grace_seconds=1, bytes_per_second=1_000_000))
    sender = running.sender().raw(b"\x0bMSH|^~\\&|")
    started = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - started < 10:
            sender.raw(b"x", pause=0.1)
    assert time.monotonic() - started < 5
    assert running.counts.closed["too-slow"] == 1


@pytest.mark.requirement("MLLP6")
def test_a_sender_that_takes_no_answers_is_let_go(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(write_seconds=1))
    echoed = "x" * 900  # comes back in every acknowledgement
    sender = running.sender(timeout=20)
    message = hl7v2_wire.framed(hl7v2_wire.admit("m1", application=echoed, facility=echoed))
    with pytest.raises(OSError):
        for _ in range(20_000):
            sender.raw(message)
    until(lambda: running.counts.connections == 0, "the connection was ended")
    assert running.counts.closed["takes-no-answers"] == 1


@pytest.mark.requirement("MLLP6")
def test_connections_beyond_the_limit_are_turned_away(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(connections=2))
    first, second = running.sender(), running.sender()
    first.send(hl7v2_wire.admit("m1")).msa()
    second.send(hl7v2_wire.admit("m2")).msa()
    assert running.sender().is_closed()
    assert running.counts.refused == {"full": 1}
    assert first.send(hl7v2_wire.admit("m3")).msa() == ("AA", "m3")
    second.close()
    until(lambda: running.counts.connections == 1, "a place is free")
    assert running.sender().send(hl7v2_wire.admit("m4")).msa() == ("AA", "m4")


@pytest.mark.requirement("MLLP6")
def test_a_source_has_as_many_connections_as_its_settings_allow(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"connections": 1})
    first, second = running.sender(), running.sender()
    assert first.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert second.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")  # it is stored, so it is said
    assert second.is_closed()
    assert first.send(hl7v2_wire.admit("m3")).msa() == ("AA", "m3")


@pytest.mark.requirement("MLLP6")
def test_connections_are_probed_before_a_firewall_forgets_them(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    running.sender().send(hl7v2_wire.admit("m1")).msa()
    (connection,) = running.listener._connections
    own = connection._writer.get_extra_info("socket")
    assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 180


@pytest.mark.requirement("MLLP6")
def test_a_sender_that_has_said_all_it_has_to_say_is_answered(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(*(hl7v2_wire.admit(f"m{n}") for n in range(5)))
    sender.socket.shutdown(socket.SHUT_WR)
    assert [sender.msa() for _ in range(5)] == [("AA", f"m{n}") for n in range(5)]
    assert sender.is_closed(2)


# -- 7: stored before it is acknowledged (killed processes: test_kills.py)


@pytest.mark.requirement("MLLP7")
def test_what_is_acknowledged_is_in_the_database(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    message = hl7v2_wire.admit("m1", "4711")
    assert running.sender().send(message).msa() == ("AA", "m1")
    (row,) = running.rows(
        "source, listener, control_id, raw, type, trigger, structure, mrn, visit, state, ack_code"
    )
    assert (*row[:3], bytes(row[3]), *row[4:]) == (
        *("adt1-north", "mllp", "m1", message),
        *("ADT", "A01", "ADT_A01", "4711", "V1", "received", "AA"),
    )


@pytest.mark.requirement("MLLP7")
@pytest.mark.parametrize(
    ("settings", "accept", "code"), [({}, "", "AR"), ({"busy": "AE"}, "", "AE"), ({}, "AL", "CR")]
)
def test_what_cannot_be_stored_is_never_accepted(
    listen: Listen, hl7v2_wire: Any, settings: dict[str, str], accept: str, code: str
) -> None:
    running = listen(source=settings)
    sender = running.sender().send(hl7v2_wire.admit("m0"))
    assert sender.msa() == ("AA", "m0")
    with running.store.database.writing() as connection:
        connection.execute("ALTER TABLE hl7v2_message RENAME TO gone")
    try:
        assert sender.send(hl7v2_wire.admit("m1", accept=accept)).msa() == (code, "m1")
    finally:
        with running.store.database.writing() as connection:
            connection.execute("ALTER TABLE gone RENAME TO hl7v2_message")
    assert sender.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert running.rows("control_id, state") == [("m0", "received"), ("m1", "received")]


# -- 8: sent again


@pytest.mark.requirement("MLLP8")
def test_a_message_that_comes_again_gets_the_same_answer_and_is_not_processed_again(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen()
    message = hl7v2_wire.admit("m1")
    with running.sender() as first:
        first.send(message)  # and does not wait for the answer
        first.socket.shutdown(socket.SHUT_WR)
        until(lambda: running.rows("id"), "it is stored")
    assert running.sender().send(message, message).msa() == ("AA", "m1")
    until(lambda: len(running.rows("id")) == 3, "all are logged")
    found = running.rows("id, state, duplicate_of, length(raw)")
    original = found[0][0]
    assert [row[1:] for row in found] == [
        ("received", None, len(message)),
        ("duplicate", original, 0),
        ("duplicate", original, 0),
    ]
    until(lambda: running.counts.messages["duplicate"] == 2, "both are counted")


@pytest.mark.requirement("MLLP8")
def test_other_bytes_under_a_known_control_id_are_taken_with_a_warning(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("1", "4711"), hl7v2_wire.admit("1", "4712"))
    assert [sender.msa(), sender.msa()] == [("AA", "1"), ("AA", "1")]
    assert running.rows("state, warnings") == [("received", ""), ("received", "control-id-reused")]


@pytest.mark.requirement("MLLP8")
def test_a_source_may_have_them_refused(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"reused_control_id": "reject"})
    sender = running.sender().send(hl7v2_wire.admit("1", "4711"), hl7v2_wire.admit("1", "4712"))
    assert sender.msa() == ("AA", "1")
    answer = sender.answer()
    assert hl7v2_wire.fields(answer, "MSA")[1:3] == ["AR", "1"]
    assert hl7v2_wire.fields(answer, "ERR")[2:4] == ["MSH^1^10^1^1", "205^Duplicate key identifier^HL70357"]
    assert running.rows("state, ack_code") == [("received", "AA"), ("failed", "AR")]


@pytest.mark.requirement("MLLP8")
def test_a_message_without_control_id_is_known_by_its_bytes_alone(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    messages = (hl7v2_wire.admit("", "1"), hl7v2_wire.admit("", "2"), hl7v2_wire.admit("", "1"))
    sender = running.sender().send(*messages)
    assert [sender.msa() for _ in messages] == [("AA", "")] * 3
    assert running.rows("state, warnings") == [("received", ""), ("received", ""), ("duplicate", "")]


@pytest.mark.requirement("MLLP8")
def test_senders_that_count_alike_are_kept_apart(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender().send(hl7v2_wire.admit("1"), hl7v2_wire.admit("1", application="LAB"))
    assert [sender.msa(), sender.msa()] == [("AA", "1"), ("AA", "1")]
    assert running.rows("source, state, warnings") == [
        ("adt1-north", "received", ""),
        ("lab-north", "received", ""),
    ]


# -- 9: order (claiming in order: the tests of server/hl7v2/work.py)


@pytest.mark.requirement("MLLP9")
def test_messages_of_one_patient_share_a_key_and_a_merge_has_both(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    merge = hl7v2_wire.admit("m3", "1", trigger="A40", more="MRG|2^^^NORTH^MR\r")
    messages = (hl7v2_wire.admit("m1", "1"), hl7v2_wire.admit("m2", "2"), merge)
    elsewhere = hl7v2_wire.admit("m4", "1", application="LAB")
    sender = running.sender().send(*messages, elsewhere)
    assert {sender.msa()[0] for _ in range(4)} == {"AA"}
    one, two, both, lab = running.rows("order_key, second_key")
    assert both == (one[0], two[0])
    assert one[0] != two[0]
    assert lab == (one[0], None)  # the authority names the patient, whoever tells of them
    assert all(key > 0 for key in (one[0], two[0]))


@pytest.mark.requirement("MLLP9")
def test_the_log_is_in_the_order_of_each_connection(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    senders = [running.sender() for _ in range(4)]
    for number in range(30):
        for place, sender in enumerate(senders):
            sender.send(hl7v2_wire.admit(f"{place}-{number}", str(place)))
    for place, sender in enumerate(senders):
        assert [sender.msa()[1] for _ in range(30)] == [f"{place}-{n}" for n in range(30)]
    logged = [row[0] for row in running.rows("control_id")]
    for place in range(4):
        own = [name for name in logged if name.startswith(f"{place}-")]
        assert own == [f"{place}-{n}" for n in range(30)]


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
    until(lambda: running.rows("id"), "it is stored")
    assert sender.is_silent(0.3)
    running.becomes("m1", "applied")
    if then:
        assert sender.msa() == (then, "m1")
    else:
        assert sender.is_silent(0.3)
    until(lambda: running.rows("owed") == [("",)], "nothing is owed any more")


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
        until(lambda: running.rows("ack_code") == [("AE",)], "the log says what was answered")
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
        until(lambda: not running.listener.awaited, "the listener has given up the connection")
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
        until(lambda: not running.listener.awaited, "the listener has given up the connection")
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
    until(lambda: len(running.rows("id")) == 2, "both are stored")
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


# -- 13: TLS


@pytest.mark.requirement("MLLP13")
def test_messages_come_by_tls(listen: Listen, hl7v2_wire: Any, authority: Any) -> None:
    running = listen(certificates=Certificates(*authority.server()))
    sender = running.sender(context=authority.client())
    assert sender.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert sender.socket.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.requirement("MLLP13")
def test_older_versions_of_tls_are_refused(listen: Listen, authority: Any) -> None:
    running = listen(certificates=Certificates(*authority.server()))
    old = authority.client()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):
        running.sender(context=old).send(b"MSH|").answer()


@pytest.mark.requirement("MLLP13")
def test_a_certificate_is_a_source_and_no_other_sender_passes_for_it(
    listen: Listen, hl7v2_wire: Any, authority: Any
) -> None:
    certificates = Certificates(*authority.server(), authority.ca)
    running = listen(certificates=certificates, source={"certificates": ["adt.north.example"]})
    known = running.sender(context=authority.client("adt.north.example"))
    assert known.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert known.send(hl7v2_wire.admit("m2", application="OTHER", facility="NAME")).msa() == ("AA", "m2")
    other = running.sender(context=authority.client("lab.south.example"))
    assert other.send(hl7v2_wire.admit("m3")).msa() == ("AR", "m3")
    assert other.send(hl7v2_wire.admit("m4", application="LAB", facility="SOUTH")).msa() == ("AA", "m4")
    assert running.rows("control_id, source") == [("m1", "north"), ("m2", "north"), ("m4", "lab-south")]


@pytest.mark.requirement("MLLP13")
def test_who_has_no_certificate_of_the_authority_is_not_let_in(
    listen: Listen, hl7v2_wire: Any, authority: Any
) -> None:
    running = listen(certificates=Certificates(*authority.server(), authority.ca))
    with pytest.raises((OSError, EOFError)):
        running.sender(context=authority.client()).send(hl7v2_wire.admit("m1")).answer()
    good = running.sender(context=authority.client("adt.north.example"))
    assert good.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
    assert [row[0] for row in running.rows("control_id")] == ["m2"]


@pytest.mark.requirement("MLLP13")
def test_handshakes_that_do_not_end_hold_nobody_up_and_plain_text_is_sent_away(
    listen: Listen, hl7v2_wire: Any, authority: Any
) -> None:
    running = listen(certificates=Certificates(*authority.server()), limits=Limits(handshake_seconds=2))
    silent = [running.sender() for _ in range(20)]
    plain = running.sender().send(hl7v2_wire.admit("m1"))
    started = time.monotonic()
    assert running.sender(context=authority.client()).send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")
    assert time.monotonic() - started < 2
    assert plain.is_closed(5)
    assert all(sender.is_closed(5) for sender in silent)
    assert [row[0] for row in running.rows("control_id")] == ["m2"]


@pytest.mark.requirement("MLLP13")
def test_a_new_certificate_is_taken_up_without_a_restart(
    listen: Listen, hl7v2_wire: Any, authority: Any
) -> None:
    cert, key = authority.server()
    certificates = Certificates(cert, key)
    running = listen(certificates=certificates)
    before = running.sender(context=authority.client())
    first = before.socket.getpeercert()["serialNumber"]
    Path(cert).write_bytes(b"not a certificate")
    with pytest.raises(OSError):
        certificates.reload()
    assert running.sender(context=authority.client()).socket.getpeercert()["serialNumber"] == first
    fresh_cert, fresh_key = authority.server()
    Path(key).write_bytes(Path(fresh_key).read_bytes())
    Path(cert).write_bytes(Path(fresh_cert).read_bytes())
    assert certificates.reload()
    assert not certificates.reload()
    after = running.sender(context=authority.client())
    assert after.socket.getpeercert()["serialNumber"] != first
    assert before.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    assert after.send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")


@pytest.mark.requirement("MLLP13")
def test_only_networks_that_were_named_may_connect(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(networks="10.0.0.0/8")
    assert running.sender().is_closed()
    assert running.counts.refused == {"network": 1}


@pytest.mark.requirement("MLLP13")
def test_a_source_sends_from_its_own_networks_alone(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"networks": ["10.1.0.0/16"]})
    sender = running.sender()
    assert sender.send(hl7v2_wire.admit("m1")).msa() == ("AR", "m1")
    assert sender.send(hl7v2_wire.admit("m2", application="LAB")).msa() == ("AA", "m2")
    assert [row[0] for row in running.rows("control_id")] == ["m2"]
    assert running.counts.messages["refused"] == 1


@pytest.mark.requirement("MLLP13")
def test_a_source_that_was_disabled_is_refused_within_a_second(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen()
    sender = running.sender()
    assert sender.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    row = running.store.hl7v2_sources.get("adt1-north")
    running.store.hl7v2_sources.put(replace(row, state="disabled"))
    time.sleep(1.1)
    assert sender.send(hl7v2_wire.admit("m2")).msa() == ("AR", "m2")


# -- 14: batches


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
    until(lambda: running.rows("owed") == [("",)] * 3, "nothing is owed any more")


@pytest.mark.requirement("MLLP14")
@pytest.mark.requirement("MLLP12")
def test_a_batch_is_answered_when_it_is_stored_however_long_its_messages_take(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen(source={"ack_on": "processed"})
    sender = running.sender().send(batch(*(hl7v2_wire.admit(f"m{n}", str(n)) for n in range(3))))
    assert sender.answer().count(b"MSA|AA|") == 3


# -- 15: the end (signals: test_listening.py)


@pytest.mark.requirement("MLLP15")
def test_what_was_read_is_answered_before_the_end(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(window_milliseconds=500))
    sender = running.sender().send(*(hl7v2_wire.admit(f"m{n}") for n in range(20)))
    until(lambda: running.counts.received_bytes > 0, "it was read")
    stopping = running.begin(running.listener.stop())
    assert [sender.msa() for _ in range(20)] == [("AA", f"m{n}") for n in range(20)]
    assert sender.is_closed()
    stopping.result(15)
    with pytest.raises(ConnectionError):
        running.sender()
    assert len(running.rows("id")) == 20


@pytest.mark.requirement("MLLP15")
def test_an_answer_that_somebody_else_has_to_give_does_not_hold_up_the_end(
    listen: Listen, hl7v2_wire: Any
) -> None:
    running = listen(source={"ack_on": "processed"})
    sender = running.sender().send(hl7v2_wire.admit("m1"))
    until(lambda: running.rows("id"), "it is stored")
    started = time.monotonic()
    running.call(running.listener.stop())
    assert time.monotonic() - started < 3
    assert sender.is_closed()


@pytest.mark.requirement("MLLP15")
def test_the_port_can_be_used_again_at_once(listen: Listen, hl7v2_wire: Any) -> None:
    first = listen()
    sender = first.sender().send(hl7v2_wire.admit("m1"))
    assert sender.msa() == ("AA", "m1")
    first.call(first.listener.stop())
    second = listen(port=first.port)
    assert second.sender().send(hl7v2_wire.admit("m2")).msa() == ("AA", "m2")


@pytest.mark.requirement("MLLP15")
def test_a_port_that_is_taken_is_said(listen: Listen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as refused:
        listen(port=taken.getsockname()[1])
    assert why_not(refused.value) == "somebody else listens there"


@pytest.mark.requirement("MLLP11")
def test_nothing_is_waited_for_on_a_connection_that_has_gone(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(source={"return_address": "127.0.0.1:1"})
    with running.sender() as sender:
        sender.send(*(hl7v2_wire.admit(f"m{n}", accept="AL", applies="AL") for n in range(30)))
        assert {sender.msa()[0] for _ in range(30)} == {"CA"}
        until(lambda: len(running.listener.awaited) == 30, "all are waited for")
    until(lambda: not running.listener.awaited, "none is waited for")
    assert {row[0] for row in running.rows("owed")} == {"AL"}
