"""Batches are taken apart into their messages, counted, and answered together.

Covers mappings/hl7v2/batch.py. HL7 v2.5.1, 2.10.3. All messages are synthetic.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.hl7v2.batch import Batch, acknowledge_batch, split
from mappings.hl7v2.message import parse

AT = datetime(2026, 3, 1, 7, 8, 9, tzinfo=UTC)
ONE = b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5\rPID|1\r"
TWO = b"MSH|^~\\&|A|B|C|D|2026||ADT^A08|2|P|2.5\rPID|2\r"
BHS = b"BHS|^~\\&|APP|FAC|BATON|HOME|2026||||B77\r"
FHS = b"FHS|^~\\&|APP|FAC|BATON|HOME|2026||||F88\r"


def codes(batch: Batch) -> list[str]:
    return [warning.code for warning in batch.warnings]


@pytest.mark.parametrize(
    "data", [ONE, b"", b"\x00garbage", b"\xef\xbb\xbf \r" + ONE, b"PID|1\r", b"xMSH|^~\\&|"]
)
def test_what_is_no_batch_is_one_message_as_it_came(data: bytes) -> None:
    assert split(data) == Batch((data,))


def test_a_file_of_a_batch_gives_its_messages() -> None:
    batch = split(FHS + BHS + ONE + TWO + b"BTS|2\rFTS|1\r")
    assert batch.messages == (ONE, TWO)
    assert batch.is_batch
    assert batch.control_id == "F88"
    assert batch.warnings == ()
    assert split(BHS + ONE + b"BTS|1\r").control_id == "B77"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r"])
def test_line_ends_do_not_matter(end: bytes) -> None:
    data = (b"\xef\xbb\xbf" + BHS + ONE + TWO + b"BTS|2\r").replace(b"\r", end)
    batch = split(data)
    assert [parse(message).get("MSH-10").text for message in batch.messages] == ["1", "2"]
    assert [parse(message).get("PID-1").text for message in batch.messages] == ["1", "2"]
    assert batch.warnings == ()


def test_frames_that_were_written_into_a_file_are_several_messages() -> None:
    batch = split(b"".join(b"\x0b" + message + b"\x1c\r" for message in (ONE, TWO)))
    assert [parse(message).get("PID-1").text for message in batch.messages] == ["1", "2"]
    assert codes(batch) == ["several-messages"]


def test_several_batches_of_a_file_are_counted_each() -> None:
    batch = split(FHS + BHS + ONE + b"BTS|1\r" + BHS + ONE + TWO + b"BTS|2\rFTS|2\r")
    assert batch.messages == (ONE, ONE, TWO)
    assert batch.warnings == ()


@pytest.mark.parametrize(
    ("data", "warnings"),
    [
        (BHS + ONE + b"BTS|2\r", ["batch-count"]),
        (BHS + ONE + b"BTS|0\r", ["batch-count"]),
        (FHS + BHS + ONE + b"BTS|1\rFTS|9\r", ["batch-count"]),
        (BHS + ONE + b"BTS\r", []),
        (BHS + ONE + b"BTS||a comment\r", []),
        (BHS + ONE + b"BTS|many\r", []),
        (BHS + ONE, ["batch-trailer"]),
        (FHS + BHS + ONE + b"BTS|1\r", ["batch-trailer"]),
        (ONE + TWO, ["several-messages"]),
        (b"junk\r" + BHS + ONE + b"BTS|1\r", ["batch-leftover"]),
        (BHS + b"PID|9\r" + ONE + b"BTS|1\r", ["batch-leftover"]),
        (BHS + ONE + b"BTS|1\rPID|9\r", ["batch-leftover"]),
    ],
)
def test_what_is_odd_is_a_warning_and_the_messages_are_there(data: bytes, warnings: list[str]) -> None:
    batch = split(data)
    assert ONE in batch.messages
    assert codes(batch) == warnings


def test_a_batch_without_messages_is_one() -> None:
    batch = split(BHS + b"BTS|0\r")
    assert batch.is_batch
    assert batch.messages == ()
    assert batch.warnings == ()


def test_a_batch_whose_header_cannot_be_read_still_gives_its_messages() -> None:
    batch = split(b"BHS\r" + ONE + b"BTS|1\r")
    assert (batch.messages, batch.is_batch, batch.header, batch.control_id) == ((ONE,), True, None, "")
    assert acknowledge_batch(batch, [], control_id="1", at=AT).startswith(b"BHS|^~\\&|||||")


def test_a_batch_is_answered_by_a_batch() -> None:
    answers = [b"MSH|^~\\&|\rMSA|AA|1\r", b"MSH|^~\\&|\rMSA|AE|2\r"]
    answer = acknowledge_batch(split(BHS + ONE + TWO + b"BTS|2\r"), answers, control_id="R1", at=AT)
    assert answer == (
        b"BHS|^~\\&|BATON|HOME|APP|FAC|20260301070809+0000||||R1|B77\r" + b"".join(answers) + b"BTS|2\r"
    )
    assert list(split(answer).messages) == answers


def test_a_file_is_answered_by_a_file() -> None:
    answer = acknowledge_batch(split(FHS + BHS + ONE + b"BTS|1\rFTS|1\r"), [b"MSH|x\r"], control_id="R1", at=AT)
    assert [line[:3] for line in answer.splitlines()] == [b"FHS", b"BHS", b"MSH", b"BTS", b"FTS"]
    assert answer.splitlines()[0].endswith(b"|R1|F88")


def test_a_text_that_begins_a_line_like_a_header_is_not_one() -> None:
    data = ONE + b"OBX|1|TX|||see\nMSHA and BTSX\n"
    assert split(data).messages == (data,)


def test_splitting_takes_linear_time() -> None:
    assert len(split(BHS + ONE * 20_000).messages) == 20_000
    assert split(b" \r" * 300_000).messages == (b" \r" * 300_000,)
    assert split(b"\r" + b" " * 1_000_000).is_batch is False
