"""Stored before it is acknowledged, once, in order (MLLP7 to MLLP9), over real sockets.

Covers server/hl7v2/intake.py. Killed processes: tests/server/mllp/test_kills.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

Listen = Callable[..., Any]


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
        running.until(lambda: running.rows("id"), "it is stored")
    assert running.sender().send(message, message).msa() == ("AA", "m1")
    running.until(lambda: len(running.rows("id")) == 3, "all are logged")
    found = running.rows("id, state, duplicate_of, length(raw)")
    original = found[0][0]
    assert [row[1:] for row in found] == [
        ("received", None, len(message)),
        ("duplicate", original, 0),
        ("duplicate", original, 0),
    ]
    running.until(lambda: running.counts.messages["duplicate"] == 2, "both are counted")


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
