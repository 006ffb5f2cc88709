"""The console's pages of HL7 v2 messages: lists, one message with its fields named, decisions, who sees what.

Covers server/console/messages.py, message_preview.py and messages_views.py.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from mappings.result import Finding, Mapped, Step
from server.fhir.dates import microseconds
from server.hl7v2.draft import Outcome
from server.hl7v2.trace import trace
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_messages import MessageQuery
from server.storage.hl7v2_traces import packed

RAW = (
    b"MSH|^~\\&|ADT|HOSP|BATON|SITE|20260301080000||ADT^A08^ADT_A01|C1|P|2.5.1\r"
    b"PID|1||MRN77^^^HOSP^MR||Doe^Jane||19700102\r"
    b"ZZ1|of the site\r"
)


@pytest.fixture
def message(store: Any, clock: Any) -> int:
    """A message that failed, with what its map said."""
    at = microseconds(clock())
    (kept,) = store.hl7v2_log.keep(
        [
            NewMessage(
                source="adt", listener="mllp", control_id="C1", sha256=b"1" * 32, received=at, raw=RAW,
                type="ADT", trigger="A08", event_at=at, order_key=1, mrn="MRN77", visit="V1", state="failed",
                error="ambiguous several stored resources have the identifiers of one", ack_code="AA",
            )
        ],
        since=0,
    )  # fmt: skip
    step = Step(
        "patient", "Patient.birthDate", ("PID[1]-7[1].1.1",), "PID.yaml:7", "dtm", "", "19700102", "1970-01-02"
    )
    finding = Finding("code-unknown", "PID[1]-8[1].1.1", "a code that no table has")
    mapped = Mapped("", 0, steps=(step,), findings=(finding,), unread=("ZZ1[1]-1[1].1.1",))
    store.hl7v2_traces.put(kept.id, "", packed(trace(mapped, [Outcome("patient", "created", "Patient/p1")])))
    return int(kept.id)


def test_the_list_shows_what_is_not_done_and_the_latest_messages(engineer: Any, message: int) -> None:
    text = engineer.get("messages").text
    assert "Not done, by source" in text
    assert engineer.rows("messages") == ["adt", str(message)]
    assert "MRN77" in text


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"mrn": "MRN77"}, True),
        ({"mrn": "other"}, False),
        ({"visit": "V1"}, True),
        ({"control_id": "C1", "state": "failed", "type": "ADT^A08"}, True),
        ({"type": "ADT_A01"}, False),
        ({"source": "lab"}, False),
    ],
)
def test_messages_are_searched_by_a_form(
    engineer: Any, message: int, form: dict[str, str], found: bool
) -> None:
    answer = engineer.post("messages", **form)
    assert answer.status_code == 200
    assert (f'/console/messages/{message}"' in answer.text) is found


@pytest.mark.requirement("no patient data in addresses")
def test_an_address_never_tells_of_a_patient(engineer: Any, message: int) -> None:
    assert f"/console/messages/{message}" in engineer.get("messages?mrn=nobody").text
    links = re.findall(r'(?:href|action)="([^"]*)"', engineer.post("messages", mrn="MRN77").text)
    assert links
    assert not any("MRN77" in link for link in links)


def test_a_state_that_is_none_is_refused_in_words(engineer: Any) -> None:
    answer = engineer.get("messages?state=nonsense")
    assert answer.status_code == 400
    assert "A state is one of" in answer.text


def test_a_page_goes_on_where_the_one_before_ended(
    engineer: Any, store: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.console.messages.PAGE", 2)
    at = microseconds(clock())
    for number in range(3):
        new = NewMessage(
            "adt", "mllp", f"N{number}", bytes([number]) * 32, at, RAW, order_key=number, ack_code="AA"
        )
        store.hl7v2_log.keep([new], since=0)
    first = engineer.post("messages", source="adt")
    before = re.search(r'name="before" value="(\d+)"', first.text)
    assert before is not None
    assert "N0" not in first.text
    assert "N0" in engineer.post("messages", source="adt", before=before[1]).text


def test_a_message_shows_its_fields_by_name_its_result_and_its_trace(engineer: Any, message: int) -> None:
    text = engineer.get(f"messages/{message}").text
    assert 'title="PID-5 Patient Name (XPN): 1 ' in text
    assert "Doe^Jane" in text
    assert "a segment of the site" in text
    assert "accepted" in text
    assert "several stored resources" in text
    assert '/console/resources/Patient/p1"' in text
    assert "code-unknown" in text
    assert "PID.yaml:7" in text
    assert "ZZ1[1]-1[1].1.1" in text


@pytest.mark.requirement("hl7v2-console-masking")
def test_whoever_may_not_read_patients_sees_shapes_only(administrator: Any, message: int) -> None:
    listed, shown = administrator.get("messages").text, administrator.get(f"messages/{message}").text
    for text in (listed, shown):
        for told in ("MRN77", "Doe", "Jane", "19700102", "1970-01-02"):
            assert told not in text
    assert "xxx^xxxx" in shown
    assert "xxx99" in shown
    assert "ADT^A08^ADT_A01" in shown
    assert 'name="mrn"' not in listed
    assert f"/console/messages/{message}" in administrator.post("messages", mrn="nobody").text


def test_roles_without_a_console_are_refused(sign_in: Any, message: int) -> None:
    browser = sign_in("rn")
    for path in ("messages", f"messages/{message}"):
        assert browser.get(f"/console/{path}", base_url="http://127.0.0.1:8000").status_code == 403


def test_decisions_are_done_and_kept_in_the_trail(engineer: Any, store: Any, message: int) -> None:
    answer = engineer.post(f"messages/{message}/replay")
    assert answer.status_code == 303
    assert "mapped and applied again" in engineer.follow(answer).text
    assert store.hl7v2_messages.get(message).state == "received"
    for action, state in (("park", "parked"), ("release", "received"), ("discard", "failed")):
        engineer.post(f"messages/{message}/{action}")
        assert store.hl7v2_messages.get(message).state == state
    refused = engineer.post(f"messages/{message}/release")
    assert "not in a state for that" in engineer.follow(refused).text
    told = [(row.interaction, row.detail, row.username) for row in store.audit_rows(limit=50)]
    for action in ("replay", "park", "release", "discard"):
        assert (f"hl7v2-{action}", f"message={message}", "engineer") in told


def test_every_look_is_kept_in_the_trail_without_what_was_looked_for(
    engineer: Any, store: Any, message: int
) -> None:
    engineer.post("messages", mrn="MRN77", state="failed")
    engineer.get(f"messages/{message}")
    told = {(row.interaction, row.detail) for row in store.audit_rows(limit=20)}
    assert ("hl7v2-search", "mrn state") in told
    assert ("hl7v2-read", f"message={message}") in told
    assert not any("MRN77" in str(row) for row in store.audit_rows(limit=20))


@pytest.mark.parametrize("path", ["messages/999999", "messages/x", "messages/" + "9" * 30])
def test_what_is_not_there_is_not_there(engineer: Any, path: str) -> None:
    assert engineer.get(path).status_code == 404


def test_an_action_that_is_none_is_not_there(engineer: Any, message: int) -> None:
    assert engineer.post(f"messages/{message}/explode").status_code == 404


@pytest.mark.parametrize("raw", [b"", b"no message", b"MSH|", b"MSH|^~\\&\rPID\r\r\xff\xfe|\x00"])
def test_whatever_was_stored_its_page_opens(engineer: Any, store: Any, clock: Any, raw: bytes) -> None:
    at = microseconds(clock())
    new = NewMessage("adt", "mllp", "", raw.ljust(32, b"x")[:32], at, raw, order_key=1, ack_code="")
    (kept,) = store.hl7v2_log.keep([new], since=0)
    assert engineer.get(f"messages/{kept.id}").status_code == 200


ADMISSION = (
    b"MSH|^~\\&|ADT|H|BATON|SITE|20240301080000+0000||ADT^A08^ADT_A01|C9|P|2.5.1\rEVN|A08\r"
    b"PID|||77^^^HOSP^MR||SYNTHETIC^ALPHA||19480311|F\r"
)


@pytest.fixture
def admitted(store: Any, clock: Any) -> int:
    """A message that failed and that the shipped maps can read."""
    at = microseconds(clock())
    new = NewMessage(
        "adt", "mllp", "C9", b"9" * 32, at, ADMISSION, "ADT", "A08", event_at=at, order_key=9, mrn="77",
        state="failed", error="internal ValueError", ack_code="AA",
    )  # fmt: skip
    (kept,) = store.hl7v2_log.keep([new], since=0)
    return int(kept.id)


def test_what_would_change_is_shown_and_nothing_is_done(engineer: Any, store: Any, admitted: int) -> None:
    assert f"/console/messages/{admitted}/preview" in engineer.get(f"messages/{admitted}").text
    answer = engineer.get(f"messages/{admitted}/preview")
    assert answer.status_code == 200
    assert "SYNTHETIC" in answer.text
    assert "How it was mapped before is not kept" in answer.text
    assert store.hl7v2_messages.get(admitted).state == "failed"
    assert any(
        (row.interaction, row.detail) == ("hl7v2-read", f"message={admitted}")
        for row in store.audit_rows(limit=20)
    )


def test_a_message_is_applied_again_only_by_the_maps_whose_preview_was_seen(
    engineer: Any, store: Any, admitted: int
) -> None:
    shown = engineer.get(f"messages/{admitted}/preview").text
    version = re.search(r'name="maps" value="([0-9a-f]{16})"', shown)
    assert version is not None
    other = engineer.post(f"messages/{admitted}/replay", maps="0123456789abcdef")
    assert "The maps have changed since you looked" in engineer.follow(other).text
    assert store.hl7v2_messages.get(admitted).state == "failed"
    assert engineer.post(f"messages/{admitted}/replay", maps=version[1]).status_code == 303
    assert store.hl7v2_messages.get(admitted).state == "received"


@pytest.mark.requirement("hl7v2-console-masking")
def test_whoever_may_not_read_patients_sees_shapes_of_what_would_change(
    administrator: Any, admitted: int
) -> None:
    text = administrator.get(f"messages/{admitted}/preview").text
    for told in ("SYNTHETIC", "ALPHA", "1948-03-11"):
        assert told not in text
    assert "9999-99-99" in text
    assert "Patient.birthDate" in text


def test_a_message_that_would_be_refused_says_why(engineer: Any, store: Any, clock: Any) -> None:
    at = microseconds(clock())
    new = NewMessage("adt", "mllp", "X", b"8" * 32, at, b"nothing", order_key=8, ack_code="AR")
    (kept,) = store.hl7v2_log.keep([new], since=0)
    assert "It would not be applied" in engineer.get(f"messages/{kept.id}/preview").text


def test_a_repeated_message_and_one_that_is_not_there_have_no_preview(
    engineer: Any, store: Any, clock: Any, admitted: int
) -> None:
    at = microseconds(clock())
    again = NewMessage("adt", "mllp", "C9", b"9" * 32, at, ADMISSION, "ADT", "A08", order_key=9, ack_code="AA")
    store.hl7v2_log.keep([again], since=0)
    assert engineer.get("messages/99999/preview").status_code == 404
    duplicate = next(row.id for row in store.hl7v2_messages.search(MessageQuery(state="duplicate")).messages)
    assert engineer.get(f"messages/{duplicate}/preview").status_code == 404
    assert "/preview" not in engineer.get(f"messages/{duplicate}").text


def test_mistakes_in_the_overlays_are_told_while_the_last_good_maps_stay(
    engineer: Any, settings: Any, admitted: int
) -> None:
    assert "have mistakes" not in engineer.get(f"messages/{admitted}/preview").text
    ward = settings.home / "maps" / "ward"
    ward.mkdir(parents=True)
    (ward / "x.yaml").write_text("nonsense")
    deadline = time.monotonic() + 20
    while "ward/x.yaml:1:1" not in engineer.get(f"messages/{admitted}/preview").text:
        assert time.monotonic() < deadline
        time.sleep(0.5)
