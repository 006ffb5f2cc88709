"""Appointments, documents and referrals through the maps that ship into the store, message after message."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mappings.engine import MapSet, load
from mappings.hl7v2.message import parse
from mappings.result import Source

GOLDEN = Path(__file__).parents[3] / "mappings" / "maps" / "golden"
PID = "PID|1||77^^^M^MR||SYNTHETIC^ALPHA"
SCH = "SCH||F1^B|||||||||^^^{0}090000Z^{0}093000Z"
TXA = "TXA|1|DS|TEXT|||||||||{}^A|{}||||{}"


@pytest.fixture(scope="module")
def maps() -> MapSet:
    return load()


@pytest.fixture
def tell(feed: Any, maps: MapSet) -> Callable[..., str]:
    """tell(type, minutes, segments...): a message of the patient, mapped and applied; the state it came to."""

    def tell(kind: str, minute: int, *segments: str) -> str:
        header = f"MSH|^~\\&|A|F|B|C|2026021509{minute:02d}00Z||{kind}|{minute}|P|2.5.1"
        mapped = maps.run(
            parse("\r".join((header, *segments)).encode()),
            Source("ward"),
            received=datetime(2026, 2, 15, 12, tzinfo=UTC),
        )
        kind, trigger = kind.split("^")
        row = feed.row(feed.apply(mapped, patient="77", type=kind, trigger=trigger))
        return str(row["error"] or row["state"])

    return tell


@pytest.mark.requirement("2.8")
def test_an_appointment_is_booked_moved_cancelled_and_booked_again(feed: Any, tell: Any) -> None:
    with_someone = ("RGS|1", "AIP|1|A|31^DEE^DANA^^^^^^M")
    assert tell("SIU^S12", 1, SCH.format("20260301"), PID, *with_someone) == "applied"
    assert tell("SIU^S13", 2, SCH.format("20260308"), PID, *with_someone) == "applied"
    assert feed.one("Appointment")["start"] == "2026-03-08T09:00:00Z"
    assert tell("SIU^S15", 3, "SCH||F1^B||||AWAY^Away^L", PID) == "applied"
    cancelled = feed.one("Appointment")
    assert (cancelled["status"], cancelled["start"]) == ("cancelled", "2026-03-08T09:00:00Z")
    assert len(cancelled["participant"]) == 2, "who would have taken part was forgotten"
    assert tell("SIU^S14", 4, SCH.format("20260315"), PID, *with_someone) == "applied"
    again = feed.one("Appointment")
    assert (again["status"], again["start"]) == ("booked", "2026-03-15T09:00:00Z")
    assert "cancelationReason" not in again


def test_a_booking_without_a_time_gets_it_later_and_keeps_it(feed: Any, tell: Any) -> None:
    assert tell("SIU^S12", 1, "SCH||F1^B", PID) == "applied"
    assert {"_start", "_end"} <= feed.one("Appointment").keys()
    assert tell("SIU^S13", 2, SCH.format("20260301"), PID) == "applied"
    assert tell("SIU^S26", 3, "SCH||F1^B", PID) == "applied"
    appointment = feed.one("Appointment")
    assert (appointment["status"], appointment["end"]) == ("noshow", "2026-03-01T09:30:00Z")
    assert {"_start", "_end"}.isdisjoint(appointment)


@pytest.mark.requirement("2.8")
def test_a_document_is_authenticated_replaced_and_cancelled(feed: Any, tell: Any) -> None:
    assert tell("MDM^T02", 1, PID, TXA.format("D1", "", "DO"), "OBX|1|TX|A^A^L||Words") == "applied"
    assert tell("MDM^T03", 2, PID, TXA.format("D1", "", "LA")) == "applied"
    first = feed.one("DocumentReference")
    assert first["docStatus"] == "final"
    assert base64.b64decode(first["content"][0]["attachment"]["data"]) == b"Words"
    assert tell("MDM^T10", 3, PID, TXA.format("D2", "D1^A", "AU"), "OBX|1|TX|A^A^L||Other") == "applied"
    first, second = feed.stored("DocumentReference")
    assert (first["status"], second["status"]) == ("superseded", "current")
    assert first["content"][0]["attachment"]["data"] == "V29yZHM="
    target = {"reference": f"DocumentReference/{first['id']}"}
    assert second["relatesTo"] == [{"code": "replaces", "target": target}]
    assert tell("MDM^T11", 4, PID, TXA.format("D2", "", "")) == "applied"
    assert feed.read("DocumentReference", second["id"])["status"] == "entered-in-error"


def test_an_addendum_may_come_before_what_it_appends_to(feed: Any, tell: Any) -> None:
    assert tell("MDM^T06", 1, PID, TXA.format("D2", "D1^A", "AU"), "OBX|1|TX|A^A^L||More") == "applied"
    assert tell("MDM^T02", 2, PID, TXA.format("D1", "", "AU"), "OBX|1|TX|A^A^L||Words") == "applied"
    parent = next(one for one in feed.stored("DocumentReference") if "relatesTo" not in one)
    assert parent["content"][0]["attachment"]["data"] == "V29yZHM="


@pytest.mark.requirement("2.8")
def test_an_appointment_of_a_referral_points_at_it_and_changes_nothing_of_it(feed: Any, tell: Any) -> None:
    assert tell("REF^I12", 1, "RF1|A||Med|||R1^A", "PRD|RT|GEE^GUS|||||5^NPI", PID) == "applied"
    before = feed.one("ServiceRequest")
    assert tell("SIU^S12", 2, SCH.format("20260301") + "|" * 15 + "R1^A", PID) == "applied"
    assert feed.one("Appointment")["basedOn"] == [{"reference": f"ServiceRequest/{before['id']}"}]
    assert feed.one("ServiceRequest") == before


@pytest.mark.requirement("2.8")
def test_a_referral_is_accepted_and_not_set_back(feed: Any, tell: Any) -> None:
    for minute, (code, request, task) in enumerate(
        [
            ("P", "draft", "requested"),
            ("A", "active", "accepted"),
            ("P", "active", "accepted"),
            ("E", "revoked", "cancelled"),
            ("A", "revoked", "cancelled"),
        ]
    ):
        assert tell("REF^I12", minute, f"RF1|{code}|||||R1^A", "PRD|RP|DEE^DANA|||||4^NPI", PID) == "applied"
        assert (feed.one("ServiceRequest")["status"], feed.one("Task")["status"]) == (request, task)


def test_a_referral_without_a_referring_provider_is_of_its_sender(feed: Any, tell: Any) -> None:
    assert tell("REF^I12", 1, "RF1|P|||||R1^A", PID) == "applied"
    assert feed.one("Task")["requester"] == {"display": "F"}


def test_every_golden_message_can_be_applied(feed: Any, maps: MapSet) -> None:
    names = sorted(path for kind in ("siu", "mdm", "ref") for path in GOLDEN.glob(f"{kind}-*.hl7"))
    assert len(names) > 50
    for path in names:
        raw = path.read_bytes().replace(b"\n", b"\r")
        mapped = maps.run(parse(raw), Source("ward"), received=datetime(2026, 3, 1, tzinfo=UTC))
        row = feed.row(feed.apply(mapped))
        wanted = "failed" if mapped.refused else "applied"
        assert row["state"] == wanted, (path.stem, row["error"])
