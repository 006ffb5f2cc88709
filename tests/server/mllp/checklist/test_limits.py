"""What a sender may ask of a listener: size, memory, time, connections (MLLP5, MLLP6).

Covers server/mllp/limits.py and server/mllp/listener.py, over real sockets.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.mllp.limits import Limits

Listen = Callable[..., Any]


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
    running.until(lambda: running.counts.received_bytes > 8 * 150_000, "all of it was read")
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
    running.until(lambda: running.counts.connections == 0, "the connection was ended")
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
    running.until(lambda: running.counts.connections == 1, "a place is free")
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
