"""Orders, dispenses and administrations by the maps that ship: what they leave in the record.

Two drugs never become one request, whichever numbers they share; the same order again is the same request. All
patients are synthetic.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mappings.engine import MapSet, load
from mappings.hl7v2.message import parse
from mappings.result import Source

pytestmark = pytest.mark.requirement("hl7v2-2.9")
RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)
PID = "PID|1||1^^^HOSP^MR||Synthetic^Ana||19700102|F"
TAPER = ("TQ1|1|40.0^mg|QD|||3^d|20260302|||||S", "TQ1|2|7.50^mg|QD|||4^d|20260305")


@pytest.fixture(scope="module")
def shipped() -> MapSet:
    """The maps that ship, loaded once."""
    return load()


@pytest.fixture
def send(feed: Any, shipped: MapSet) -> Any:
    """Sends a message of an event, of a minute later than the one before; it must be applied."""
    sent = 0

    def message(event: str, *segments: str, source: str = "pharmacy", medication_list: bool = False) -> None:
        nonlocal sent
        sent += 1
        kind, trigger = event.split("^")
        head = f"MSH|^~\\&|RX|HOSP|BATON|SITE|2026030108{sent:02}00-0600||{event}|C{sent}|P|2.5.1"
        raw = "\r".join((head, PID, *segments, "")).encode()
        sender = Source(source, time_zone="America/Chicago", medication_list=medication_list)
        mapped = shipped.run(parse(raw), sender, received=RECEIVED)
        row = feed.row(feed.apply(mapped, type=kind, trigger=trigger, raw=raw))
        assert (row["state"], row["error"]) == ("applied", "")

    return message


def order(control: str, drug: str, dose: str = "10", number: str = "F1^RX") -> tuple[str, ...]:
    return (f"ORC|{control}|P1^CPOE|{number}", f"RXE||{drug}^drug {drug}^RXNORM|{dose}||mg")


def requests(feed: Any) -> dict[str, str]:
    """Statuses of all requests by their drug."""
    return {
        one["medicationCodeableConcept"]["coding"][0]["code"]: one["status"]
        for one in feed.stored("MedicationRequest")
    }


def test_an_order_is_held_goes_on_and_is_stopped(send: Any, feed: Any) -> None:
    for control, status in (
        ("NW", "active"),
        ("HD", "on-hold"),
        ("XO", "on-hold"),
        ("RL", "active"),
        ("DC", "stopped"),
    ):
        send("RDE^O11", *order(control, "1191"), "TQ1|1||BID", "RXR|PO")
        assert requests(feed) == {"1191": status}
    assert feed.one("MedicationRequest")["meta"]["versionId"] == "4"


def test_two_drugs_of_one_number_are_two_requests_also_in_two_messages(send: Any, feed: Any) -> None:
    send("RDE^O11", *order("NW", "1191"), "RXR|PO", *order("NW", "36567"), "RXR|PO")
    send("RDE^O11", *order("NW", "6809"), "RXR|PO")
    send("RDE^O11", *order("DC", "36567"), "RXR|PO")
    assert requests(feed) == {"1191": "active", "36567": "stopped", "6809": "active"}


def test_a_taper_keeps_its_phases_and_digits_and_a_change_replaces_them(send: Any, feed: Any) -> None:
    send("RDE^O11", *order("NW", "8640"), *TAPER, "RXR|PO")
    send("RDE^O11", *order("NW", "8640"), *TAPER, "RXR|PO")
    phases = feed.one("MedicationRequest")["dosageInstruction"]
    doses = [phase["doseAndRate"][0]["doseQuantity"]["value"] for phase in phases]
    assert [str(dose) for dose in doses] == ["40.0", "7.50"]
    send("RDE^O11", *order("XO", "8640"), "TQ1|1|5.0^mg|QD", "RXR|PO")
    (phase,) = feed.one("MedicationRequest")["dosageInstruction"]
    assert str(phase["doseAndRate"][0]["doseQuantity"]["value"]) == "5.0"


def test_an_order_of_one_system_and_its_encoding_of_another_are_two_requests_that_are_linked(
    send: Any, feed: Any
) -> None:
    rxo = ("ORC|NW|P1^CPOE", "TQ1|1||BID", "RXO|1191^drug^RXNORM|10||mg", "RXR|PO")
    send("OMP^O09", *rxo, source="cpoe")
    original = feed.one("MedicationRequest")
    send(
        "RDE^O11",
        "ORC|NW|P1^CPOE|F1^RX",
        "RXO|1191^drug^RXNORM|99||mg",
        "RXR|SL",
        "RXE||83367^other^RXNORM|20||mg",
        "RXR|PO",
    )
    both = {one["intent"]: one for one in feed.stored("MedicationRequest")}
    assert both["original-order"]["dosageInstruction"] == original["dosageInstruction"]
    assert both["filler-order"]["basedOn"] == [{"reference": f"MedicationRequest/{original['id']}"}]


def test_a_dispense_and_an_administration_lead_to_their_order_and_change_nothing_of_it(
    send: Any, feed: Any
) -> None:
    send("RDE^O11", *order("NW", "1191"), "TQ1|1||BID", "RXR|PO")
    rxd = "RXD|1|308416^drug tablet^RXNORM|20260301|30|{tbl}^^UCUM"
    send("RDS^O13", *order("RE", "1191", "99"), "TQ1|1||QD", "RXR|PO", rxd, "RXR|PO")
    send(
        "RAS^O17",
        *order("RE", "1191", "99"),
        "TQ1|1||QD",
        "RXR|PO",
        "RXA|0|1|20260301080000||1191^drug^RXNORM|10|mg",
        "RXR|PO",
    )
    request = feed.one("MedicationRequest")
    assert str(request["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"]) == "10"
    assert request["meta"]["versionId"] == "1"
    to_it = {"reference": f"MedicationRequest/{request['id']}"}
    assert to_it in feed.one("MedicationDispense")["authorizingPrescription"]
    assert feed.one("MedicationAdministration")["request"] == to_it


def test_an_administration_that_is_taken_back_is_marked_so(send: Any, feed: Any) -> None:
    for action in ("A", "D"):
        rxa = f"RXA|0|1|20260301080000||1191^drug^RXNORM|10|mg{'|' * 13}CP|{action}"
        send("RAS^O17", "ORC|RE||F1^RX", rxa, "RXR|PO")
    assert feed.one("MedicationAdministration")["status"] == "entered-in-error"


def test_a_medication_list_makes_one_statement_an_order_however_often_it_is_sent(send: Any, feed: Any) -> None:
    for control in ("SN", "SN", "DC"):
        send("RDE^O11", *order(control, "1191"), "TQ1|1||BID", "RXR|PO", medication_list=True)
    statement, request = feed.one("MedicationStatement"), feed.one("MedicationRequest")
    assert statement["status"] == "stopped"
    assert statement["derivedFrom"] == [{"reference": f"MedicationRequest/{request['id']}"}]
