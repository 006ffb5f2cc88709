"""Orders and results through the maps that ship, into the store: a late preliminary, an order after its result,
a cancellation alone, a result that loses its value. Sections 2.6 and 2.7.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mappings.engine import MapSet, load
from mappings.hl7v2.message import parse
from mappings.result import Mapped, Source

PID = "PID|1||77^^^HOSP^MR||SYNTHETIC^ALPHA"
OBR = "OBR|1|P1^CPOE|A1^LAB|GLU^Glucose^L|||20260216080000Z|||||||||||||||20260216{0}00Z||CH|{1}"
OBX = "OBX|1|NM|GLU^Glucose^L||{0}|mmol/L^^UCUM|||||{1}"


@pytest.fixture(scope="session")
def maps() -> MapSet:
    return load()


@pytest.fixture
def say(feed: Any, maps: MapSet) -> Any:
    """say(kind, time, *segments): a message of that minute of the day is applied."""

    def say(kind: str, time: str, *segments: str, patient: str = "77") -> int:
        header = f"MSH|^~\\&|LAB|X|||20260216{time}00Z||{kind}|C1|P|2.5.1"
        raw = "\r".join((header, PID, *segments)).encode()
        mapped: Mapped = maps.run(parse(raw), Source("lab"), received=datetime(2026, 2, 16, 12, tzinfo=UTC))
        assert mapped.refused is None
        return int(feed.apply(mapped, source="lab", type=kind[:3], trigger=kind[4:], patient=patient))

    return say


@pytest.mark.requirement("2.6")
def test_a_late_preliminary_never_replaces_a_final(feed, say) -> None:
    say("ORU^R01", "0930", OBR.format("0930", "F"), OBX.format("5.1", "F"))
    say("ORU^R01", "0945", OBR.format("0945", "P"), OBX.format("9.9", "P"))
    assert feed.states() == ["applied", "applied"]
    (report,), (result,) = feed.stored("DiagnosticReport"), feed.stored("Observation")
    assert report["status"] == result["status"] == "final"
    assert float(result["valueQuantity"]["value"]) == 5.1
    say("ORU^R01", "0900", OBR.format("0900", "C"), OBX.format("5.2", "C"))
    (report,), (result,) = feed.stored("DiagnosticReport"), feed.stored("Observation")
    assert report["status"] == result["status"] == "corrected"
    assert float(result["valueQuantity"]["value"]) == 5.2


@pytest.mark.requirement("2.6")
def test_of_equal_statuses_the_later_one_wins(feed, say) -> None:
    say("ORU^R01", "0930", OBR.format("0930", "F"), OBX.format("5.1", "F"))
    say("ORU^R01", "0900", OBR.format("0900", "F"), OBX.format("4.0", "F"))
    assert float(feed.stored("Observation")[0]["valueQuantity"]["value"]) == 5.1
    say("ORU^R01", "0940", OBR.format("0940", "F"), OBX.format("5.3", "F"))
    assert float(feed.stored("Observation")[0]["valueQuantity"]["value"]) == 5.3


@pytest.mark.requirement("2.6")
def test_a_result_before_its_order_makes_the_order_and_the_order_completes_it(feed, say) -> None:
    say("ORU^R01", "0930", OBR.format("0930", "F"), OBX.format("5.1", "F"))
    (stub,) = feed.stored("ServiceRequest")
    say("ORM^O01", "0700", "ORC|NW|P1^CPOE|||IP||||20260216070000Z", "OBR|1|P1^CPOE||GLU^Glucose^L|S")
    assert feed.states() == ["applied", "applied"]
    (order,) = feed.stored("ServiceRequest")
    assert order["id"] == stub["id"]
    assert (order["status"], order["priority"], order["authoredOn"]) == (
        "active",
        "stat",
        "2026-02-16T07:00:00Z",
    )
    assert {one["value"] for one in order["identifier"]} == {"P1", "A1"}
    assert feed.stored("DiagnosticReport")[0]["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]


@pytest.mark.requirement("2.6")
def test_a_cancellation_alone_changes_the_status_and_nothing_else(feed, say) -> None:
    say(
        "ORM^O01",
        "0700",
        "ORC|NW|P1^CPOE||||||||||1^ORDERING^OLA^^^^^^CPOE",
        "OBR|1|P1^CPOE||GLU^Glucose^L|S||||||G",
    )
    (before,) = feed.stored("ServiceRequest")
    say("ORM^O01", "0710", "ORC|CA|P1^CPOE")
    (after,) = feed.stored("ServiceRequest")
    assert (before.pop("status"), after.pop("status")) == ("active", "revoked")
    assert {k: v for k, v in before.items() if k != "meta"} == {k: v for k, v in after.items() if k != "meta"}
    say("ORM^O01", "0720", "ORC|RE|P1^CPOE")
    assert feed.stored("ServiceRequest")[0]["status"] == "revoked"


@pytest.mark.requirement("2.7")
def test_a_value_comes_and_goes_and_the_result_stays_valid(feed, say) -> None:
    say("ORU^R01", "0900", OBR.format("0900", "P"), OBX.format("", "P"))
    assert feed.stored("Observation")[0]["dataAbsentReason"]["coding"][0]["code"] == "temp-unknown"
    say("ORU^R01", "0910", OBR.format("0910", "F"), OBX.format("5.1", "F"))
    (result,) = feed.stored("Observation")
    assert "dataAbsentReason" not in result
    say("ORU^R01", "0920", OBR.format("0920", "X"), OBX.format("", "X"))
    (result,) = feed.stored("Observation")
    assert "valueQuantity" not in result
    assert result["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert feed.states() == ["applied"] * 3


@pytest.mark.requirement("2.7")
def test_equal_results_of_one_message_are_two_and_the_next_message_finds_both(feed, say) -> None:
    for time in ("0900", "0930"):
        say("ORU^R01", time, OBR.format(time, "F"), OBX.format("5.1", "F"), OBX.format("5.1", "F"))
    assert len(feed.stored("Observation")) == 2
    assert len(feed.stored("DiagnosticReport")[0]["result"]) == 2


@pytest.mark.requirement("2.6")
def test_tests_of_one_requisition_stay_apart_and_are_found_one_by_one(feed, say) -> None:
    two = ("OBR|1|P1^CPOE|A1^LAB|GLU^Glucose^L", "OBR|2|P1^CPOE|A1^LAB|NA^Sodium^L")
    say("ORM^O01", "0700", "ORC|NW|P1^CPOE", two[0], "ORC|NW|P1^CPOE", two[1])
    say("ORU^R01", "0900", f"{two[1]}{'|' * 21}F", OBX.format("140", "F"))
    orders = {one["code"]["coding"][0]["code"]: one["id"] for one in feed.stored("ServiceRequest")}
    assert set(orders) == {"GLU", "NA"}
    assert feed.stored("DiagnosticReport")[0]["basedOn"] == [{"reference": f"ServiceRequest/{orders['NA']}"}]


@pytest.mark.requirement("2.6")
@pytest.mark.parametrize(("control", "status"), [("CA", "revoked"), ("HR", "on-hold"), ("XO", "completed")])
def test_a_result_completes_an_order_that_is_active_and_is_taken_whatever_the_order_is(
    feed, say, control, status
) -> None:
    say("ORM^O01", "0700", "ORC|NW|P1^CPOE", "OBR|1|P1^CPOE||GLU^Glucose^L|S")
    say("ORM^O01", "0710", f"ORC|{control}|P1^CPOE")
    say("ORU^R01", "0900", "ORC|RE|P1^CPOE|A1^LAB||CM", OBR.format("0900", "F"), OBX.format("5.1", "F"))
    assert feed.states() == ["applied"] * 3
    assert feed.one("ServiceRequest")["status"] == status
    assert feed.one("DiagnosticReport")["status"] == "final"
