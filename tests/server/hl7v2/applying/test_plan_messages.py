"""Problems, goals and pathways as senders write them, by the maps that ship: what they leave in the record.

Messages of one problem follow each other: what is added, changed, resolved, deleted and added again stays valid
R4 all the way. All patients are synthetic.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mappings.engine import MapSet, load
from mappings.hl7v2.message import parse
from mappings.result import Source

pytestmark = pytest.mark.requirement("hl7v2-2.10")
SOURCE = Source("plans", time_zone="America/Chicago")
RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)
PID = "PID|1||1^^^HOSP^MR||Synthetic^Ana||19700102|F"


@pytest.fixture(scope="module")
def shipped() -> MapSet:
    """The maps that ship, loaded once."""
    return load()


@pytest.fixture
def send(feed: Any, shipped: MapSet) -> Any:
    """Sends a message of an event, of a minute later than the one before; it must be applied."""
    sent = 0

    def message(event: str, *segments: str) -> None:
        nonlocal sent
        sent += 1
        kind, trigger = event.split("^")
        head = f"MSH|^~\\&|CARE|HOSP|BATON|SITE|2026030108{sent:02}00-0600||{event}|C{sent}|P|2.5.1"
        raw = "\r".join((head, PID, *segments, "")).encode()
        mapped = shipped.run(parse(raw), SOURCE, received=RECEIVED)
        row = feed.row(feed.apply(mapped, type=kind, trigger=trigger, raw=raw))
        assert (row["state"], row["error"]) == ("applied", "")

    return message


def problem(action: str, **fields: str) -> str:
    """A PRB of one problem. fields: f9, f13, ..."""
    filled = {1: action, 2: "20260301", 3: "I50.9^Heart failure^I10C", 4: "P1^HOSP"}
    filled |= {int(name[1:]): text for name, text in fields.items()}
    return "PRB|" + "|".join(filled.get(number, "") for number in range(1, max(filled) + 1))


def codes(resource: dict[str, Any], name: str) -> list[str]:
    return [coding["code"] for coding in resource.get(name, {}).get("coding", ())]


def test_a_problem_goes_through_its_life(send: Any, feed: Any) -> None:
    send("PPR^PC1", problem("AD"))
    assert codes(feed.one("Condition"), "clinicalStatus") == ["active"]
    send("PPR^PC2", problem("UP", f13="C"))
    assert codes(feed.one("Condition"), "verificationStatus") == ["confirmed"]
    send("PPR^PC2", problem("UP", f9="20260228"))
    assert codes(feed.one("Condition"), "clinicalStatus") == ["resolved"]
    send("PPR^PC2", problem("UP", f14="recurrence"))
    assert codes(feed.one("Condition"), "clinicalStatus") == ["recurrence"]
    assert "abatementDateTime" not in feed.one("Condition")
    send("PPR^PC3", problem("DE"))
    assert codes(feed.one("Condition"), "verificationStatus") == ["entered-in-error"]
    assert "clinicalStatus" not in feed.one("Condition")
    send("PPR^PC1", problem("AD"))
    assert codes(feed.one("Condition"), "clinicalStatus") == ["active"]
    assert "verificationStatus" not in feed.one("Condition")
    assert feed.one("Condition")["meta"]["versionId"] == "6"


def test_a_problem_that_has_ended_can_be_deleted(send: Any, feed: Any) -> None:
    send("PPR^PC1", problem("AD", f9="20260228"))
    send("PPR^PC3", problem("DE", f9="20260228"))
    assert codes(feed.one("Condition"), "verificationStatus") == ["entered-in-error"]
    assert "abatementDateTime" not in feed.one("Condition")


def test_an_update_that_says_no_status_leaves_the_stored_one(send: Any, feed: Any) -> None:
    send("PPR^PC1", problem("AD", f14="remission"))
    recorded = feed.one("Condition")["recordedDate"]
    send("PPR^PC2", problem("UP", f2="20260302", f16="20260101"))
    assert codes(feed.one("Condition"), "clinicalStatus") == ["remission"]
    assert feed.one("Condition")["recordedDate"] == recorded
    assert feed.one("Condition")["onsetDateTime"] == "2026-01-01"


def test_a_problem_that_is_only_linked_is_not_changed(send: Any, feed: Any) -> None:
    send("PPR^PC1", problem("AD", f14="remission"))
    before = feed.one("Condition")
    for action in ("LI", "UC", "UN"):
        send("PPR^PC2", problem(action, f14="active", f16="20200101"))
    assert feed.one("Condition") == before


def test_a_goal_that_is_linked_to_a_further_problem_addresses_both(send: Any, feed: Any) -> None:
    goal = "GOL|{}||WT^Weight^99CARE|G1^HOSP||||||||||||||{}"
    send("PPR^PC1", problem("AD"), goal.format("AD", "proposed"))
    send("PPR^PC2", problem("AD", f4="P2^HOSP"), goal.format("LI", ""))
    assert len(feed.one("Goal")["addresses"]) == 2
    assert feed.one("Goal")["lifecycleStatus"] == "proposed"
    send("PPR^PC2", problem("UC"), goal.format("DE", ""))
    assert feed.one("Goal")["lifecycleStatus"] == "entered-in-error"
    assert len(feed.one("Goal")["addresses"]) == 2


def test_who_joins_and_leaves_a_care_team(send: Any, feed: Any) -> None:
    person = "ROL|1|{}|AT^Attending^HL70443|{}^AAA^ANN^^^^^^HOSP|20260201"
    send("PPR^PC1", problem("AD"), person.format("AD", 1), person.format("AD", 2))
    send("PPR^PC2", problem("UC"), person.format("UN", 1))
    ended, open_ = feed.one("CareTeam")["participant"]
    assert ended["period"]["end"].startswith("2026-03-01T")
    assert open_["period"] == {"start": "2026-02-01"}


def test_a_pathway_gathers_what_belongs_to_it_over_messages(send: Any, feed: Any) -> None:
    pathway = "PTH|{}|HF^Heart failure^99CARE|W1^HOSP|20260201|{}|20260202"
    send("PPP^PCB", pathway.format("AD", "active"), problem("AD"))
    send("PPP^PCC", pathway.format("UP", "H"), problem("AD", f3="E11.9^Diabetes^I10C", f4="P2^HOSP"))
    plan = feed.one("CarePlan")
    assert len(plan["addresses"]) == 2
    assert plan["status"] == "on-hold"
    assert plan["meta"]["extension"] == [{"url": "urn:baton:v2:PTH-6", "valueDateTime": "2026-02-02"}]
    send("PPP^PCD", pathway.format("DE", ""))
    assert feed.one("CarePlan")["status"] == "entered-in-error"
    assert len(feed.stored("Condition")) == 2


def test_the_demographics_of_a_problem_change_no_patient(send: Any, feed: Any, shipped: MapSet) -> None:
    send("PPR^PC1", problem("AD"))
    before = feed.one("Patient")
    raw = (
        "MSH|^~\\&|CARE|HOSP|BATON|SITE|20260301095900-0600||PPR^PC2|C99|P|2.5.1\r"
        + PID.replace("Ana", "Amy")
        + "\r"
        + problem("UP")
        + "\r"
    ).encode()
    feed.apply(shipped.run(parse(raw), SOURCE, received=RECEIVED), type="PPR", trigger="PC2", raw=raw)
    assert feed.one("Patient") == before


def test_the_same_message_again_changes_nothing(send: Any, feed: Any) -> None:
    segments = (
        problem("AD"),
        "NTE|1||Watch",
        "ROL|1|AD|AT^Attending^HL70443|1^AAA^ANN^^^^^^HOSP",
        "PTH|AD|HF^Heart failure^99CARE|W1^HOSP",
        "OBX|1|NM|29463-7^Body weight^LN||90|kg^^UCUM|||||F|||20260301",
        "GOL|AD||WT^Weight^99CARE|G1^HOSP",
        "ORC|NW|O1^HOSP",
        "OBR|1|O1^HOSP||24326-1^Electrolytes^LN",
    )
    kinds = ("Condition", "Goal", "CarePlan", "CareTeam", "Observation", "ServiceRequest")
    send("PPR^PC1", *segments)
    before = [feed.one(kind) for kind in kinds]
    send("PPR^PC1", *segments)
    assert [feed.one(kind) for kind in kinds] == before
