"""Who may connect: TLS, certificates, networks, disabled sources (MLLP13), over real sockets.

Covers server/mllp/tls.py and server/mllp/listener.py.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.mllp.limits import Limits
from server.mllp.tls import Certificates

Listen = Callable[..., Any]


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
