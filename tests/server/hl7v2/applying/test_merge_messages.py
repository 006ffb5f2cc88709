"""Merge messages as senders write them, by the maps that ship: what A18, A34 and A40 leave in the record.

Covers the maps of MRG with server/hl7v2/merging.py, drafts.py and apply.py. What merges do to what is stored
is asked in more detail in test_merging.py. All patients are synthetic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mappings.engine import MapSet, load
from mappings.hl7v2.message import parse
from mappings.result import Source
from server.fhir.dates import microseconds
from server.hl7v2.arrival import keys_of
from server.storage.hl7v2_log import NewMessage

pytestmark = pytest.mark.requirement("hl7v2-2.3-merge")
SOURCE = Source("adt", time_zone="America/Chicago", systems={"HOSP": "urn:id:HOSP", "VISITS": "urn:id:VISITS"})
RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def shipped() -> MapSet:
    """The maps that ship, loaded once."""
    return load()


class Sender:
    """Sends messages to a feed; each is of a minute later than the one before."""

    def __init__(self, feed: Any, maps: MapSet) -> None:
        self.feed, self.maps, self.sent = feed, maps, 0

    def __call__(self, event: str, *segments: str, minute: int | None = None) -> dict[str, Any]:
        """The row of a message after it was worked on. event: `ADT^A08`."""
        self.sent += 1
        at = f"2026030108{self.sent if minute is None else minute:02}00-0600"
        kind, trigger = event.split("^")
        head = f"MSH|^~\\&|ADT|HOSP|BATON|SITE|{at}||{event}|C{self.sent}|P|2.5.1"
        raw = "\r".join((head, f"EVN|{trigger}|{at}", *segments, "")).encode()
        mapped = self.maps.run(parse(raw), SOURCE, received=RECEIVED)
        row: dict[str, Any] = self.feed.row(self.feed.apply(mapped, type=kind, trigger=trigger, raw=raw))
        return row

    def known(self, *numbers: str) -> None:
        """Patients who are there, each with a visit of their number."""
        for number in numbers:
            row = self("ADT^A01", pid(number), visit(f"V{number}"))
            assert (row["state"], row["error"]) == ("applied", "")

    def merge(self, *pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
        """An A40 of pairs: who goes on, who ends."""
        return self("ADT^A40", *(line for pair in pairs for line in (pid(pair[0]), mrg(pair[1]))), **more)

    def patient(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = self.feed.of("Patient", number)
        return found

    def chart(self, number: str) -> set[str]:
        """The numbers of the visits that refer to a patient."""
        subject = {"reference": f"Patient/{self.patient(number)['id']}"}
        visits = self.feed.stored("Encounter")
        return {visit["identifier"][0]["value"] for visit in visits if visit.get("subject") == subject}


def pid(number: str, name: str = "Ana", sex: str = "F") -> str:
    return f"PID|1||{number}^^^HOSP^MR||Synthetic^{name}||19700102|{sex}"


def mrg(number: str) -> str:
    return f"MRG|{number}^^^HOSP^MR"


def visit(number: str) -> str:
    return "PV1|1|I|||||||||||||||||" + f"{number}^^^VISITS^VN" + "|" * 25 + "20260301080000-0600"


def links(patient: dict[str, Any]) -> set[tuple[str, str]]:
    return {(link["type"], link["other"]["reference"].partition("/")[2]) for link in patient.get("link", ())}


def old(patient: dict[str, Any]) -> set[str]:
    return {one["value"] for one in patient["identifier"] if one.get("use") == "old"}


@pytest.fixture
def send(feed: Any, shipped: MapSet) -> Sender:
    return Sender(feed, shipped)


@pytest.mark.parametrize("trigger", ["A18", "A34", "A40"])
def test_a_merge_ends_one_record_in_the_other(send: Sender, trigger: str) -> None:
    send.known("1", "2")
    assert send(f"ADT^{trigger}", pid("1", "Ann"), mrg("2"))["state"] == "applied"
    survivor, victim = send.patient("1"), send.patient("2")
    assert victim["active"] is False
    assert links(victim) == {("replaced-by", survivor["id"])}
    assert links(survivor) == {("replaces", victim["id"])}
    assert old(survivor) == {"2"}
    assert survivor["name"][0]["given"] == ["Ann"]
    assert victim["name"][0]["given"] == ["Ana"]
    assert send.chart("1") == {"V1", "V2"}


def test_the_same_merge_again_changes_nothing(send: Sender) -> None:
    send.known("1", "2")
    send.merge(("1", "2"))
    before = [send.feed.stored(kind) for kind in ("Patient", "Encounter")]
    assert send.merge(("1", "2"))["state"] == "applied"
    assert [send.feed.stored(kind) for kind in ("Patient", "Encounter")] == before


def test_the_inverse_merge_is_refused(send: Sender) -> None:
    send.known("1", "2")
    send.merge(("1", "2"))
    assert send.merge(("2", "1"))["error"].startswith("inverse-merge ")
    assert send.patient("1")["active"] is True


def test_an_update_for_the_number_that_ended_goes_to_the_survivor(send: Sender) -> None:
    send.known("1", "2")
    send.merge(("1", "2"))
    assert send("ADT^A08", pid("2", "Amy"), visit("V9"))["state"] == "applied"
    assert send.patient("1")["name"][0]["given"] == ["Amy"]
    assert old(send.patient("1")) == {"2"}
    assert send.patient("2")["active"] is False
    assert send.chart("1") == {"V1", "V2", "V9"}


def test_a_person_added_again_under_the_number_that_ended_is_the_survivor(send: Sender) -> None:
    send.known("1", "2")
    send.merge(("1", "2"))
    send("ADT^A28", pid("2", "Amy"), "PV1|1|N")
    assert send.patient("2")["active"] is False
    assert send.patient("1")["name"][0]["given"] == ["Amy"]


def test_a_chain_of_messages_leads_to_its_end(send: Sender) -> None:
    send.known("1", "2", "3")
    send.merge(("2", "1"))
    send.merge(("3", "2"))
    send("ADT^A08", pid("1", "Amy"), visit("V9"))
    assert send.patient("3")["name"][0]["given"] == ["Amy"]
    assert send.chart("3") == {"V1", "V2", "V3", "V9"}
    assert old(send.patient("3")) == {"1", "2"}
    assert send.merge(("1", "3"))["error"].startswith("inverse-merge ")


@pytest.mark.parametrize("pairs", [(("2", "1"), ("3", "2")), (("3", "2"), ("2", "1"))])
def test_a_chain_in_one_message_leads_to_its_end(send: Sender, pairs: tuple[tuple[str, str], ...]) -> None:
    send.known("1", "2", "3")
    assert send.merge(*pairs)["state"] == "applied"
    assert [send.patient(number)["active"] for number in "123"] == [False, False, True]
    assert send.chart("3") == {"V1", "V2", "V3"}
    before = send.feed.stored("Patient")
    assert send.merge(*pairs)["state"] == "applied"
    assert send.feed.stored("Patient") == before


def test_a_circle_in_one_message_is_refused_whole(send: Sender) -> None:
    send.known("1", "2", "3")
    circle = send.merge(("2", "1"), ("3", "2"), ("1", "3"))
    assert circle["error"].startswith("inverse-merge ")
    assert [send.patient(number)["active"] for number in "123"] == [True, True, True]


def test_all_pairs_of_a_message_are_merged(send: Sender) -> None:
    send.known("1", "2", "3", "4", "5")
    assert send.merge(("1", "2"), ("3", "4"), ("1", "5"))["state"] == "applied"
    assert [send.patient(number)["active"] for number in "12345"] == [True, False, True, False, False]
    assert send.chart("1") == {"V1", "V2", "V5"}
    assert send.chart("3") == {"V3", "V4"}
    assert old(send.patient("1")) == {"2", "5"}


def test_what_refers_to_two_that_end_is_pointed_at_both_survivors(send: Sender, fhir: Any) -> None:
    send.known("1", "2", "3", "4")
    members = [{"entity": {"reference": f"Patient/{send.patient(number)['id']}"}} for number in "24"]
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": members}
    assert fhir.post("Group", group).status == 201
    assert send.merge(("1", "2"), ("3", "4"))["state"] == "applied"
    expected = [{"entity": {"reference": f"Patient/{send.patient(number)['id']}"}} for number in "13"]
    assert send.feed.one("Group")["member"] == expected


def test_one_that_nobody_has_heard_of_is_made_inactive_and_leads_to_the_survivor(send: Sender) -> None:
    send("ADT^A40", pid("1"), mrg("2") + "||||||Synthetic^Old")
    assert send.patient("2")["active"] is False
    assert send.patient("2")["name"][0]["given"] == ["Old"]
    send("ADT^A08", pid("2", "Amy"))
    assert send.patient("1")["name"][0]["given"] == ["Amy"]


def test_a_number_without_authority_is_the_stored_patient_of_the_survivors(send: Sender) -> None:
    send.known("1", "2")
    send("ADT^A40", pid("1"), "MRG|2")
    assert len(send.feed.stored("Patient")) == 2
    assert send.patient("2")["active"] is False


def test_an_account_of_the_one_that_ends_goes_on_with_the_survivor(send: Sender) -> None:
    send.known("1", "2")
    for _ in range(2):
        assert send("ADT^A40", pid("1"), mrg("2") + "||A9^^^HOSP^AN")["state"] == "applied"
    account = send.feed.one("Account")
    assert account["subject"] == [{"reference": f"Patient/{send.patient('1')['id']}"}]
    assert account["status"] == "unknown"


def test_two_numbers_of_a_visit_are_one_where_a_merge_says_so(send: Sender) -> None:
    send.known("1", "2")
    for _ in range(2):
        row = send("ADT^A18", pid("1"), mrg("2") + "||||V2^^^VISITS^VN", visit("V1"))
        assert row["state"] == "applied"
    assert send.feed.of("Encounter", "V2")["status"] == "entered-in-error"
    send("ADT^A03", pid("1"), visit("V2"))
    assert send.feed.of("Encounter", "V1")["status"] == "finished"


def test_a_visit_of_the_one_that_ends_may_be_named_by_its_merge(send: Sender) -> None:
    send.known("1", "2")
    assert send("ADT^A18", pid("1"), mrg("2"), visit("V2"))["state"] == "applied"
    assert send.chart("1") == {"V1", "V2"}


def test_an_older_update_of_the_number_that_ended_changes_nothing(send: Sender) -> None:
    send.known("1", "2")
    send.merge(("1", "2"), minute=30)
    send("ADT^A08", pid("2", "Amy"), minute=20)
    assert send.patient("1")["name"][0]["given"] == ["Ana"]


@pytest.mark.parametrize("trigger", ["A18", "A34", "A40"])
def test_a_merge_that_names_one_patient_only_is_refused(send: Sender, trigger: str) -> None:
    send.known("1", "2")
    for segments in ((mrg("2"),), (pid("1"),), (pid("1"), "MRG|"), ("PID|1", mrg("2"))):
        assert send(f"ADT^{trigger}", *segments)["error"].startswith("patient-unidentified ")
    assert [send.patient(number)["active"] for number in "12"] == [True, True]


@pytest.mark.requirement("hl7v2-5.9")
def test_a_merge_of_several_pairs_is_left_until_all_its_patients_are_free(feed: Any, shipped: MapSet) -> None:
    def keep(event: str, *segments: str) -> int:
        """A message as it is stored when it comes in; its number."""
        raw = "\r".join((f"MSH|^~\\&|ADT|HOSP|BATON|SITE|20260301080000-0600||{event}|C|P|2.5.1", *segments))
        message = parse(raw.encode())
        keys = keys_of(message, "adt", (), ZoneInfo("America/Chicago"))
        new = NewMessage(
            source="adt",
            listener="mllp",
            control_id="C",
            sha256=sha256(raw.encode()).digest(),
            received=microseconds(feed.clock()),
            raw=raw.encode(),
            type=keys.type,
            trigger=keys.trigger,
            event_at=keys.event_at or 0,
            order_key=keys.order_key,
            second_key=keys.second_key,
            mrn=keys.mrn,
            ack_code="AA",
        )
        (kept,) = feed.log.keep([new], since=0)
        feed.maps[kept.id] = shipped.run(message, SOURCE, received=RECEIVED)
        return int(kept.id)

    keep("ADT^A08", pid("4"))
    held = feed.messages.claim(feed.clock(), lease=timedelta(minutes=1), limit=1)
    assert len(held) == 1
    merge = keep("ADT^A40", pid("1"), mrg("2"), pid("3"), mrg("4"))
    assert feed.run() == 0
    feed.messages.give_back(held)
    assert feed.run() == 2
    assert (feed.row(merge)["state"], feed.of("Patient", "4")["active"]) == ("applied", False)


@pytest.mark.requirement("hl7v2-2.3")
def test_a_person_who_is_deleted_is_out_of_use_until_added_again(send: Sender) -> None:
    send("ADT^A29", pid("8"))
    assert send.feed.stored("Patient") == []
    send.known("1")
    send("ADT^A29", pid("1"))
    assert send.patient("1")["active"] is False
    assert send.patient("1")["name"][0]["given"] == ["Ana"]
    assert send.chart("1") == {"V1"}
    send("ADT^A31", pid("1", "Amy"))
    assert send.patient("1")["active"] is False
    send("ADT^A28", pid("1", "Amy"))
    assert send.patient("1")["active"] is True


@pytest.mark.requirement("hl7v2-2.2")
def test_a_change_of_a_person_leaves_the_status_of_their_visit(send: Sender) -> None:
    send.known("1")
    send("ADT^A03", pid("1"), visit("V1"))
    send("ADT^A31", pid("1"), visit("V1"))
    assert send.feed.one("Encounter")["status"] == "finished"
