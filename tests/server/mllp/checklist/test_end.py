"""The end of a listener: what was read is answered, the port is free (MLLP15), over real sockets.

Covers server/mllp/listener.py. Signals: tests/server/mllp/test_listening.py.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.mllp.limits import Limits
from server.mllp.listener import why_not

Listen = Callable[..., Any]


@pytest.mark.requirement("MLLP15")
def test_what_was_read_is_answered_before_the_end(listen: Listen, hl7v2_wire: Any) -> None:
    running = listen(limits=Limits(window_milliseconds=500))
    sender = running.sender().send(*(hl7v2_wire.admit(f"m{n}") for n in range(20)))
    running.until(lambda: running.counts.received_bytes > 0, "it was read")
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
    running.until(lambda: running.rows("id"), "it is stored")
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
