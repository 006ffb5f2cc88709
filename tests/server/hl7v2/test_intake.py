"""The one way in: what is stored, what is answered, and that nothing it is given makes it fail.

The checklist of MLLP (tests/server/mllp) asks the same over sockets; here is what needs none.
Covers server/hl7v2/intake.py, server/hl7v2/reading.py, server/hl7v2/arrival.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.hl7v2.received import Origin, Received


def test_several_messages_are_stored_by_one_commit_and_answered_in_order(desk: Any, hl7v2_wire: Any) -> None:
    receipts = desk.take(*(hl7v2_wire.admit(f"m{n}", str(n)) for n in range(5)))
    assert [hl7v2_wire.fields(one.answers[0], "MSA")[2] for one in receipts] == [f"m{n}" for n in range(5)]
    assert [one.ids for one in receipts] == [(row[0],) for row in desk.rows("id")]


def test_a_message_that_comes_again_after_the_window_is_new(desk: Any, hl7v2_wire: Any) -> None:
    outcomes = []
    for days in (0, 6, 2):
        desk.now += timedelta(days=days)
        outcomes += [receipt.outcome for receipt in desk.take(hl7v2_wire.admit("m1"))]
    assert outcomes == ["stored", "duplicate", "stored"]


def test_times_without_offset_are_those_of_the_source(desk: Any, hl7v2_wire: Any) -> None:
    desk.take(hl7v2_wire.admit("m1", application="LAB"))
    desk.put(time_zone="Asia/Tokyo")
    desk.take(hl7v2_wire.admit("m2"))
    new_york, tokyo = (row[0] for row in desk.rows("event_at"))
    assert new_york - tokyo == 14 * 3600 * 1_000_000


def test_the_authority_that_counts_names_the_patient(desk: Any, hl7v2_wire: Any) -> None:
    message = hl7v2_wire.admit("m1").replace(b"4711^^^NORTH^MR", b"1^^^SOUTH^PI~2^^^NORTH^MR~3^^^&1.2.3&ISO")
    desk.take(message)
    for number, authority in enumerate(("NORTH", "1.2.3", "ELSEWHERE")):
        desk.put(authorities=[authority])
        desk.take(message.replace(b"|m1|", b"|n%d|" % number))
    assert [row[0] for row in desk.rows("mrn")] == ["1", "2", "3", "1"]


def test_without_an_authority_a_patient_is_the_sources_own(desk: Any, hl7v2_wire: Any) -> None:
    def bare(application: str, mrn: str) -> bytes:
        return hl7v2_wire.admit(f"{application}{mrn}", mrn, application=application).replace(
            b"^^^NORTH^MR", b""
        )

    desk.take(bare("A", "1"), bare("B", "1"), bare("A", ""), bare("A", "1").replace(b"|A1|", b"|A2|"))
    one, other, nobody, again = (row[0] for row in desk.rows("order_key"))
    assert len({one, other, nobody}) == 3
    assert again == one


def test_texts_that_are_looked_up_are_cut_and_clean(desk: Any, hl7v2_wire: Any) -> None:
    desk.take(hl7v2_wire.admit("c" * 5_000, "9\x00\x07" + "x" * 70_000))
    ((control_id, mrn),) = desk.rows("control_id, mrn")
    assert (len(control_id), mrn[:3], len(mrn)) == (200, "9xx", 200)


def test_the_same_bytes_that_cannot_be_read_are_one_dead_letter(desk: Any) -> None:
    assert [one.outcome for one in desk.take(b"nothing", b"nothing")] == ["unreadable", "duplicate"]
    assert desk.rows("state, error, ack_code")[0] == (
        "failed",
        "100 The message does not begin with MSH",
        "AR",
    )


def test_what_broke_off_is_never_answered_nor_taken_for_its_repetition(desk: Any, hl7v2_wire: Any) -> None:
    message = hl7v2_wire.admit("m1")
    (cut,) = desk.take(message, flaw="truncated")
    (whole,) = desk.take(message)
    assert (cut.answers, cut.outcome, whole.outcome) == ((), "truncated", "stored")


def test_senders_beyond_a_number_are_of_one_source_until_somebody_looks(
    desk: Any, hl7v2_wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.hl7v2.sources.NEW_MAXIMUM", 3)
    desk.take(*(hl7v2_wire.admit("m", application=f"S{n}") for n in range(6)))
    assert [row[0] for row in desk.rows("source")] == [
        *("s0-north", "s1-north", "s2-north"),
        *("unknown", "unknown", "unknown"),
    ]


def test_an_enhanced_sender_that_wants_no_answer_gets_none_even_for_what_is_wrong(
    desk: Any, hl7v2_wire: Any
) -> None:
    desk.put(state="disabled")
    (receipt,) = desk.take(hl7v2_wire.admit("m1", accept="NE", applies="NE"))
    assert (receipt.answers, receipt.outcome) == ((), "refused")
    assert desk.rows("id") == []


def test_a_source_whose_settings_cannot_be_read_is_refused(
    desk: Any, hl7v2_wire: Any, msa: Callable[[Any], str]
) -> None:
    desk.put(mode="never heard of")
    (receipt,) = desk.take(hl7v2_wire.admit("m1"))
    assert msa(receipt) == "AR"


def test_one_message_that_the_database_refuses_takes_no_other_with_it(
    desk: Any, hl7v2_wire: Any, msa: Callable[[Any], str]
) -> None:
    with desk.store.database.writing() as connection:
        connection.execute("CREATE UNIQUE INDEX only_one ON hl7v2_message (visit) WHERE mrn = '2'")
    desk.take(hl7v2_wire.admit("m0", "2"))
    receipts = desk.take(*(hl7v2_wire.admit(f"m{n}", str(n)) for n in range(1, 4)))
    assert [msa(one) for one in receipts] == ["AA", "AR", "AA"]
    assert [row[0] for row in desk.rows("control_id")] == ["m0", "m1", "m3"]
    assert "m2" not in desk.log.read_text()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda data: b"MSH|^~\\&|" + data),
        st.text("MSHPIDFBT|^~\\&\r\n\x00\x0b\x1c\"'äA1", max_size=200).map(lambda text: text.encode()),
    ),
    st.sampled_from(["", "truncated", "too-large", "busy"]),
)
def test_whatever_it_is_given_it_answers_or_keeps_silent(desk: Any, data: bytes, flaw: str) -> None:
    (receipt,) = desk.intake.take([Received(data, Origin("mllp", waits=True), flaw)])
    assert receipt.outcome in (
        *("stored", "duplicate", "refused", "unreadable", "truncated", "too-large", "busy", "ignored"),
    )
    for answer in receipt.answers:
        assert b"\x1c" not in answer
        assert b"\x0b" not in answer
        assert b"MSA|" in answer or b"MSA" in answer
    assert "hl7v2-defect" not in desk.log.read_text()
    assert "hl7v2-not-stored" not in desk.log.read_text()
