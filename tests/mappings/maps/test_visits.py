"""What messages of appointments, documents and referrals are known by, and how they join what is stored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.hl7v2.message import parse
from mappings.result import Intent, Source
from server.hl7v2.joining import joined

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
PID = "PID|1||77^^^M^MR"
TIMES = "|||||||||^^^20260301090000Z^20260301093000Z"


@pytest.fixture
def intents(maps):
    """The intents of a message by key, given its type and trigger and its segments after MSH."""

    def run(kind: str, *segments: str) -> dict[str, Intent]:
        header = f"MSH|^~\\&|A|F|B|C|20260215093000Z||{kind}|1|P|2.5.1"
        mapped = maps.run(parse("\r".join((header, *segments)).encode()), Source("ward"), received=RECEIVED)
        assert mapped.refused is None
        return {intent.key: intent for intent in mapped.intents}

    return run


def values(intent: Intent) -> list[str]:
    return [identity.value for identity in intent.identities]


@pytest.mark.requirement("2.8")
def test_an_appointment_is_known_by_the_filler_then_by_the_placer(intents) -> None:
    appointment = intents("SIU^S12", "SCH|P1^A|F1^B", PID)["appointment"]
    assert values(appointment) == ["F1", "P1"]
    assert all(identity.is_identifier for identity in appointment.identities)


def test_placer_and_filler_without_authority_are_never_the_same_number(intents) -> None:
    placer = intents("SIU^S12", "SCH|5", PID)["appointment"].identities
    filler = intents("SIU^S12", "SCH||5", PID)["appointment"].identities
    assert set(placer).isdisjoint(filler)


def test_occurrences_of_a_series_are_different_appointments(intents) -> None:
    first, second = (intents("SIU^S12", f"SCH|P1^A|F1^B|{n}", PID)["appointment"] for n in (1, 2))
    assert set(first.identities).isdisjoint(second.identities)


@pytest.mark.requirement("2.8")
@pytest.mark.parametrize("trigger", ["S15", "S16", "S17", "S22", "S26"])
def test_who_takes_part_stays_as_stored_where_a_message_only_ends_an_appointment(intents, trigger) -> None:
    assert "participant" in intents(f"SIU^{trigger}", "SCH||F1^B", PID)["appointment"].keep


@pytest.mark.parametrize("trigger", ["S12", "S13", "S14"])
def test_who_takes_part_is_replaced_where_a_message_books_or_changes(intents, trigger) -> None:
    assert "participant" not in intents(f"SIU^{trigger}", "SCH||F1^B", PID)["appointment"].keep


@pytest.mark.requirement("2.8")
def test_the_mark_of_an_unknown_time_never_replaces_a_stored_time(intents) -> None:
    stored = intents("SIU^S12", "SCH||F1^B" + TIMES, PID)["appointment"]
    later = intents("SIU^S14", "SCH||F1^B", PID)["appointment"]
    result = joined(stored.resource, later.resource, later, 0)
    assert result["start"] == "2026-03-01T09:00:00Z"
    assert {"_start", "_end"}.isdisjoint(result)


def test_a_time_takes_the_place_of_the_mark_that_it_was_unknown(intents) -> None:
    stored = intents("SIU^S12", "SCH||F1^B", PID)["appointment"]
    later = intents("SIU^S13", "SCH||F1^B" + TIMES, PID)["appointment"]
    result = joined(stored.resource, later.resource, later, 0)
    assert result["end"] == "2026-03-01T09:30:00Z"
    assert {"_start", "_end"}.isdisjoint(result)


def test_what_is_booked_again_has_no_reason_of_cancelation_left(intents, faults_of) -> None:
    stored = intents("SIU^S15", "SCH||F1^B||||AWAY^Away^L", PID)["appointment"]
    assert "cancelationReason" in stored.resource
    later = intents("SIU^S13", "SCH||F1^B" + TIMES, PID)["appointment"]
    result = joined(stored.resource, later.resource, later, 0)
    assert "cancelationReason" not in result


def test_an_order_that_an_appointment_names_never_changes_one_that_is_stored(intents) -> None:
    found = intents("SIU^S12", "SCH||F1^B" + "|" * 24 + "O1^A|O2^B", PID)
    assert found["scheduled_order"].write == "create"
    assert values(found["scheduled_order"]) == ["O1", "O2"]


TXA = "TXA|1|DS|TEXT|||||||||D1^A"


@pytest.mark.requirement("2.8")
def test_the_content_of_a_document_stays_where_a_message_brings_none(intents) -> None:
    text = "OBX|1|TX|A^A^L||Words"
    stored = intents("MDM^T02", PID, TXA, text)["document"]
    assert "content" not in stored.keep
    later = intents("MDM^T03", PID, TXA + "|||||AU")["document"]
    result = joined(stored.resource, later.resource, later, 0)
    assert result["content"] == stored.resource["content"]
    assert result["docStatus"] == "final"


def test_an_empty_first_line_does_not_hide_the_content(intents) -> None:
    document = intents("MDM^T02", PID, TXA, "OBX|1|TX|A^A^L||", "OBX|2|TX|A^A^L||Words")["document"]
    assert document.resource["content"][0]["attachment"]["data"] == "V29yZHM="
    assert "content" not in document.keep


@pytest.mark.requirement("2.8")
def test_a_replaced_document_keeps_all_but_its_status(intents) -> None:
    stored = intents("MDM^T02", PID, TXA + "|||||AU", "OBX|1|TX|A^A^L||Words")["document"]
    replacing = intents("MDM^T09", PID, "TXA|1|DS|TEXT|||||||||D2^A|D1^A")["parent"]
    assert stored.identities == replacing.identities
    result = joined(stored.resource, replacing.resource, replacing, 0)
    assert result == {**stored.resource, "status": "superseded"}


REFERRAL = "RF1|P|||||R1^A"


@pytest.mark.requirement("2.8")
@pytest.mark.parametrize("key", ["referral", "referral_task"])
def test_a_referral_that_is_further_on_is_not_set_back(intents, key) -> None:
    intent = intents("REF^I12", REFERRAL, PID)[key]
    assert intent.status == "status"
    assert intent.resource["status"] in intent.ranks
    assert intent.ranks["completed"] > intent.ranks[intent.resource["status"]]


def test_a_referral_and_an_appointment_of_it_name_the_same_request(intents) -> None:
    referral = intents("REF^I12", REFERRAL, PID)["referral"]
    ordered = intents("SIU^S12", "SCH||F1^B" + "|" * 24 + "R1^A", PID)["scheduled_order"]
    assert set(ordered.identities) <= set(referral.identities)


@pytest.mark.requirement("2.8")
@pytest.mark.parametrize(
    ("insured", "patient"), [("PAR", "child"), ("MTH", "child"), ("CHD", "parent"), ("SPO", "spouse")]
)
def test_what_the_insured_is_to_the_patient_is_inverted(intents, insured, patient) -> None:
    insurance = f"IN1|1|P|9^^^I|Mutual||||||||||||A^B|{insured}"
    found = intents("REF^I12", REFERRAL, PID, insurance)
    codings = found["coverage"].resource["relationship"]["coding"]
    assert codings[0]["code"] == patient
    assert found["subscriber"].resource["relationship"][0]["coding"][-1]["code"] == insured


def test_two_policies_of_one_insurer_are_two(intents) -> None:
    policy = "IN1|{}|P|9^^^I|Mutual" + "|" * 32 + "POL{}"
    found = intents("REF^I12", REFERRAL, PID, policy.format(1, 1), policy.format(2, 2))
    assert set(found["coverage"].identities).isdisjoint(found["coverage-2"].identities)
    assert [key for key in found if key.startswith("payor")] == ["payor"]


def test_an_admission_tells_of_the_insurance_too(intents) -> None:
    found = intents("ADT^A01", "EVN|A01|20260215093000Z", PID, "IN1|1|P|9^^^I|Mutual")
    assert found["coverage"].resource["beneficiary"] == {"reference": "#intent:patient"}
