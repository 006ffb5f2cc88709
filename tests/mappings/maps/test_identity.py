"""What ADT messages are known by, and in which way they join what is stored (identities, cleared, keep,
lists).
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.hl7v2.message import parse
from mappings.result import Identity, Intent, Source

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISIT = "PV1|1|I|W^1^A|||||||||||||||||||||||||||||||||||||||||20260215"


@pytest.fixture
def intents(maps):
    """The intents of an ADT message by key, given its trigger and its segments after EVN."""

    def run(trigger: str, *segments: str, **source) -> dict[str, Intent]:
        header = f"MSH|^~\\&|A|F|B|C|20260215093000Z||ADT^{trigger}|1|P|2.5.1"
        raw = "\r".join((header, f"EVN|{trigger}|20260215093000Z", *segments)).encode()
        mapped = maps.run(parse(raw), Source("ward", **source), received=RECEIVED)
        assert mapped.refused is None
        return {intent.key: intent for intent in mapped.intents}

    return run


def test_a_patient_is_known_by_the_authorities_of_the_source_then_by_type(intents) -> None:
    pid = "PID|1||1^^^A^SS~2^^^B^PI~3^^^C^MR~4^^^D^XX"
    by_type = intents("A08", pid)["patient"].identities
    assert [identity.value for identity in by_type] == ["3", "2"]
    by_authority = intents("A08", pid, authorities=("D", "B"))["patient"].identities
    assert [identity.value for identity in by_authority] == ["4", "2", "3"]


def test_a_number_without_authority_holds_for_its_source_alone(intents) -> None:
    patient = intents("A08", "PID|1||77")["patient"]
    assert patient.identities == (Identity("urn:baton:hl7v2:ward:Patient", "77", is_identifier=False),)


@pytest.mark.requirement("2.4")
def test_a_visit_without_number_is_known_by_patient_and_admission(intents) -> None:
    visit = intents("A01", "PID|1||77^^^M^MR", VISIT)["encounter"]
    assert [identity.value for identity in visit.identities] == ["urn:id:M|77|20260215"]


@pytest.mark.requirement("2.2")
@pytest.mark.parametrize("trigger", ["A08"])
def test_an_update_says_a_status_only_for_what_is_not_stored(intents, trigger) -> None:
    visit = intents(trigger, "PID|1||77^^^M^MR", VISIT)["encounter"]
    assert visit.resource["status"] == "in-progress"
    assert "status" in visit.keep


@pytest.mark.parametrize("trigger", ["A01", "A02", "A03", "A11", "A12", "A13"])
def test_an_event_says_the_status(intents, trigger) -> None:
    assert "status" not in intents(trigger, "PID|1||77^^^M^MR", VISIT)["encounter"].keep


@pytest.mark.requirement("2")
def test_two_quotes_clear_what_nothing_else_fills(intents) -> None:
    patient = intents("A08", 'PID|1||77^^^M^MR||""|||""|||||""|^WPN^PH^^^555^1')["patient"]
    assert patient.cleared == ("name", "gender")
    assert [telecom["use"] for telecom in patient.resource["telecom"]] == ["work"]


@pytest.mark.requirement("2.2")
def test_a_cancelled_discharge_clears_the_end(intents) -> None:
    visit = intents("A13", "PID|1||77^^^M^MR", VISIT)["encounter"]
    assert "period.end" in visit.cleared


def test_places_of_a_visit_join_as_a_transfer(intents) -> None:
    assert intents("A02", "PID|1||77^^^M^MR", VISIT)["encounter"].lists["location"] == "transfer"


@pytest.mark.requirement("2.5")
def test_the_same_diagnosis_twice_is_one(intents) -> None:
    rows = ("DG1|1||I10^Hypertension^I10C", "DG1|2||I10^Hypertension^I10C||20260101")
    found = intents("A01", "PID|1||77^^^M^MR", VISIT, *rows)
    assert [key for key in found if key.startswith("diagnosis")] == ["diagnosis"]
    assert found["diagnosis"].resource["onsetDateTime"] == "2026-01-01"
    assert len(found["encounter"].resource["diagnosis"]) == 1


@pytest.mark.requirement("2.1")
def test_one_person_in_several_roles_is_one_practitioner(intents) -> None:
    visit = "PV1|1|I|||||5^AAA^ANN^^^^^^X||||||||||5^AAA^ANN^^^^^^X||V1^^^F"
    found = intents("A01", "PID|1||77^^^M^MR", visit)
    assert len([i for i in found.values() if i.resource["resourceType"] == "Practitioner"]) == 1
