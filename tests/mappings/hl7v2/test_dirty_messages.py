"""What real senders do to messages, and what popular parsers stumble over: each is read as it is meant.

Covers mappings/hl7v2/message.py. All messages are synthetic.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mappings.hl7v2.acknowledgement import acknowledge
from mappings.hl7v2.message import Message, parse
from mappings.hl7v2.structure import group, structure_of

LINES = [
    b"MSH|^~\\&|SYNTHETIC|WEST|BATON|HOME|20260301120000||ADT^A01^ADT_A01|M0001|P|2.5.1",
    b"EVN||20260301115900",
    b"PID|1||T-100^^^WEST&1.2.3.4&ISO^MR~555^^^STATE||Probe^Ana\\X26\\B",
    b"PV1|1|I|W1^12^B||||||||||||||||V-77",
]
CLEAN = b"".join(line + b"\r" for line in LINES)


def as_clean(message: Message) -> None:
    """All that can be read of the message is what the clean one has."""
    expected = parse(CLEAN)
    assert [segment.name for segment in message.segments] == [segment.name for segment in expected.segments]
    assert [(v.text, v.is_null, str(v.position)) for v in message.filled()] == [
        (v.text, v.is_null, str(v.position)) for v in expected.filled()
    ]


def other_separators(data: bytes, to: bytes) -> bytes:
    return data.translate(bytes.maketrans(b"|^~\\&", to))


CASES: dict[str, Callable[[], bytes]] = {
    "line feeds end segments": lambda: CLEAN.replace(b"\r", b"\n"),
    "carriage return and line feed end segments": lambda: CLEAN.replace(b"\r", b"\r\n"),
    "a byte order mark comes first": lambda: b"\xef\xbb\xbf" + CLEAN,
    "blank lines stand between segments": lambda: CLEAN.replace(b"\r", b"\r\r \r\n"),
    "blanks stand before the header": lambda: b"  \r\n\t" + CLEAN,
    "the last segment has no end": lambda: CLEAN.removesuffix(b"\r"),
    "segments are indented": lambda: CLEAN.replace(b"\r", b"\r  ").rstrip(b" "),
}


@pytest.mark.parametrize("name", CASES)
def test_it_reads_as_the_clean_message_when(name: str) -> None:
    message = parse(CASES[name]())
    as_clean(message)
    assert message.warnings == ()


@pytest.mark.parametrize("to", [b"#*+?%", b"^|~\\&", b"!@$%:", b"|#~\\&"])
def test_it_reads_as_the_clean_message_with_other_separators(to: bytes) -> None:
    message = parse(other_separators(CLEAN, to))
    as_clean(message)
    assert message.separators.field + message.separators.encoding == to


@pytest.mark.parametrize("encoding", [b"^~\\&", b"^~\\&#"])
def test_four_and_five_encoding_characters_are_read(encoding: bytes) -> None:
    message = parse(CLEAN.replace(b"^~\\&", encoding, 1).replace(b"Ana\\X26\\B", b"Ana\\P\\B \\T\\ C#"))
    assert message.get("MSH-2").text == encoding.decode()
    assert message.get("PID-5.2").text == "Ana#B & C#"
    assert message.separators.truncation == encoding[4:]
    assert message.warnings == ()


def test_a_version_that_is_not_known_is_read() -> None:
    message = parse(CLEAN.replace(b"2.5.1", b"2.9"))
    assert message.get("MSH-12").text == "2.9"
    assert structure_of(message) == "ADT_A01"


def test_a_message_without_a_required_segment_is_read() -> None:
    message = parse(b"".join(line + b"\r" for line in LINES if not line.startswith(b"EVN")))
    assert message.first("EVN") is None
    assert message.get("EVN-2").is_empty
    assert [segment.name for segment in group(message).segments] == ["MSH", "PID", "PV1"]
    assert group(message).warnings == ()


def test_a_message_without_a_required_field_is_read() -> None:
    message = parse(CLEAN.replace(b"Probe^Ana\\X26\\B", b""))
    assert message.get("PID-5").is_empty
    assert message.get("PID-3").text == "T-100"


def test_a_message_without_its_structure_is_read() -> None:
    assert structure_of(parse(CLEAN.replace(b"ADT^A01^ADT_A01", b"ADT^A04"))) == "ADT_A01"


def test_a_trigger_that_is_not_known_is_read_as_one_group() -> None:
    message = parse(CLEAN.replace(b"ADT^A01^ADT_A01", b"ADT^Q99"))
    assert structure_of(message) == "ADT_Q99"
    assert group(message).segments == message.segments


def test_a_segment_that_is_only_its_name_is_read() -> None:
    message = parse(CLEAN.replace(b"PV1|", b"ZZZ\rPV1|"))
    assert [segment.name for segment in message.segments] == ["MSH", "EVN", "PID", "ZZZ", "PV1"]
    assert message.every("ZZZ")[0].last_field == 0
    assert message.get("PV1-2").text == "I"
    assert message.warnings == ()


def test_encoding_characters_that_are_missing_are_the_usual_ones() -> None:
    message = parse(CLEAN.replace(b"^~\\&", b"", 1))
    assert message.get("PID-3.4.2").text == "1.2.3.4"
    assert [warning.code for warning in message.warnings] == ["encoding-characters"]


def test_texts_are_not_escaped_again() -> None:
    message = parse(CLEAN)
    assert message.get("PID-5.2").text == "Ana&B"
    assert message.get("PID-5.2").raw == b"Ana\\X26\\B"


def test_each_can_be_acknowledged() -> None:
    from datetime import UTC, datetime

    for dirty in (*(make() for make in CASES.values()), other_separators(CLEAN, b"#*+?%")):
        answer = parse(acknowledge(parse(dirty), "AA", control_id="A1", at=datetime(2026, 3, 1, tzinfo=UTC)))
        assert answer.get("MSA-1").text == "AA"
        assert answer.get("MSA-2").text == "M0001"
        assert answer.get("MSH-5").text == "SYNTHETIC"
