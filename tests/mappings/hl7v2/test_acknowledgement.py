"""The answer to a message goes back to its sender, in its separators, and cannot be broken by what it echoes.

Covers mappings/hl7v2/acknowledgement.py. HL7 v2.5.1, 2.9, 2.15.5, 2.15.8. All messages are synthetic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mappings.hl7v2.acknowledgement import (
    CODES,
    CONDITIONS,
    acknowledge,
    control_id_of,
    is_acknowledgement,
)
from mappings.hl7v2.message import Hl7Error, parse

AT = datetime(2026, 3, 1, 7, 8, 9, tzinfo=timezone(timedelta(hours=-5)))


def test_sender_and_receiver_change_places(adt: bytes) -> None:
    answer = parse(acknowledge(parse(adt), "AA", control_id="B1", at=AT))
    header = answer.first("MSH")
    assert header
    assert [header.raw_field(number).decode() for number in range(3, 13)] == [
        "BATON", "HOME", "SYNTHETIC", "WEST^1.2.3.4^ISO", "20260301070809-0500", "",
        "ACK^A01^ACK", "B1", "P", "2.5.1",
    ]  # fmt: skip
    assert [answer.get(f"MSA-{number}").text for number in (1, 2, 3)] == ["AA", "M0001", ""]
    assert [segment.name for segment in answer.segments] == ["MSH", "MSA"]


def test_every_segment_ends_with_a_carriage_return(adt: bytes) -> None:
    errors = [Hl7Error("101", "PID[1]-3[1].1.1", "There is no identifier")]
    assert acknowledge(parse(adt), "AE", control_id="B1", at=AT, errors=errors) == (
        b"MSH|^~\\&|BATON|HOME|SYNTHETIC|WEST^1.2.3.4^ISO|20260301070809-0500||ACK^A01^ACK|B1|P|2.5.1\r"
        b"MSA|AE|M0001\r"
        b"ERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||There is no identifier\r"
    )


@pytest.mark.parametrize(
    ("location", "written"),
    [
        ("PID[1]-3[1].1.1", "PID^1^3^1^1"),
        ("OBX[12]-5[2].4.3", "OBX^12^5^2^4^3"),
        ("PID-3", "PID^1^3"),
        ("MSH-9.2", "MSH^1^9^1^2"),
        ("PID[2]", "PID^2"),
        ("PV1", "PV1"),
        ("", ""),
        ("nowhere", ""),
    ],
)
def test_the_place_of_an_error_is_told_in_components(adt: bytes, location: str, written: str) -> None:
    answer = parse(
        acknowledge(parse(adt), "AE", control_id="1", at=AT, errors=[Hl7Error("102", location, "x")])
    )
    error = answer.first("ERR")
    assert error
    assert error.raw_field(2).decode() == written


def test_each_error_has_its_segment(adt: bytes) -> None:
    errors = [Hl7Error("103", "PV1-2", "one"), Hl7Error("207", "", "two"), Hl7Error("0", "", "three")]
    answer = parse(acknowledge(parse(adt), "AR", control_id="1", at=AT, errors=errors))
    found = [
        (one.value(3).text, one.value(3, 2).text, one.value(4).text, one.value(8).text)
        for one in answer.every("ERR")
    ]
    assert found == [
        ("103", "Table value not found", "E", "one"),
        ("207", "Application error", "E", "two"),
        ("0", "Message accepted", "I", "three"),
    ]


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.4^USA"])
def test_before_version_2_5_errors_are_text(adt: bytes, version: str) -> None:
    old = parse(adt.replace(b"|2.5.1|", f"|{version}|".encode()))
    answer = parse(
        acknowledge(old, "AE", control_id="1", at=AT, errors=[Hl7Error("101", "PID-3", "No identifier")])
    )
    assert answer.every("ERR") == ()
    assert answer.get("MSA-3").text == "No identifier"
    assert answer.get("MSH-12").text == version.partition("^")[0]


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.8.2", "2.10", "x"])
def test_from_version_2_5_on_a_text_alone_is_an_error_segment(adt: bytes, version: str) -> None:
    new = parse(adt.replace(b"|2.5.1|", f"|{version}|".encode()))
    answer = parse(acknowledge(new, "AR", control_id="1", at=AT, text="Come again"))
    assert answer.get("MSA-3").is_empty
    assert [answer.get(path).text for path in ("ERR-3", "ERR-4", "ERR-8")] == ["207", "E", "Come again"]
    answer = parse(acknowledge(new, "CA", control_id="1", at=AT, text="Seen before"))
    assert [answer.get(path).text for path in ("ERR-3", "ERR-4", "ERR-8")] == ["0", "I", "Seen before"]


def test_the_answer_is_in_the_separators_and_the_character_set_of_the_sender() -> None:
    message = parse("MSH#*+?%#Süd#A#####ADT*A08#7#T#2.5######8859/1\rPID#1".encode("latin-1"))
    answer = acknowledge(message, "AE", control_id="1", at=AT, errors=[Hl7Error("101", "PID-3", "a#b")])
    assert answer.startswith(
        "MSH#*+?%###Süd#A#20260301070809-0500##ACK*A08*ACK#1#T#2.5######8859/1\r".encode("latin-1")
    )
    assert parse(answer).get("ERR-8").text == "a#b"
    assert parse(answer).get("MSH-5").text == "Süd"
    assert parse(answer).warnings == ()


def test_control_characters_of_the_sender_are_not_echoed() -> None:
    message = parse(b"MSH|^~\\&|A\x1cB\x0bC|D\x00|||||ADT^A01|i\x1c\x7fd|P|2.5\rPID|1")
    answer = acknowledge(message, "AA", control_id="1", at=AT)
    assert b"|ABC|D|" in answer
    assert b"MSA|AA|id\r" in answer
    assert not set(answer) & set(b"\x0b\x1c\x00\x7f")


def test_text_that_escapes_switch_to_is_not_echoed_as_separators() -> None:
    kanji = "万万".encode("iso2022_jp")
    assert b"|" in kanji
    data = b"MSH|^~\\&|A" + kanji + b"B|WEST|||||ADT^A01|7|P|2.5||||||~ISO IR87\rPID|1"
    answer = parse(acknowledge(parse(data), "AA", control_id="1", at=AT))
    assert [answer.get(path).text for path in ("MSH-5", "MSH-6", "MSA-2")] == ["AB", "WEST", "7"]


def test_what_is_echoed_has_an_end() -> None:
    message = parse(b"MSH|^~\\&|" + b"A" * 100_000 + b"||||||ADT^A01|" + b"9" * 100_000 + b"|P|2.5\r")
    assert len(acknowledge(message, "AA", control_id="1", at=AT)) < 3000


def test_what_is_no_message_is_answered_with_what_is_known() -> None:
    broken = b"xMSH|^~\\&|\rMSH|^~\\&|A|B|C|D|2026||ADT^A01|M7|P|2.5"
    answer = acknowledge(
        None,
        "AR",
        control_id="1",
        at=AT,
        errors=[Hl7Error("100", "MSH", "No MSH")],
        original=control_id_of(broken),
    )
    assert answer == (
        b"MSH|^~\\&|||||20260301070809-0500||ACK|1|P|2.5.1\rMSA|AR|M7\r"
        b"ERR||MSH|100^Segment sequence error^HL70357|E||||No MSH\r"
    )


@pytest.mark.parametrize(
    ("data", "control_id"),
    [
        (b"", b""),
        (b"MSH|^~\\&|A", b""),
        (b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M7", b"M7"),
        (b"MSH#ABC#A#B#C#D#2026##ADT#M\x1c7#P", b"M7"),
        (b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|\rPID|1", b""),
        (b"\xff\xfe\x00", b""),
    ],
)
def test_a_control_id_is_recovered_where_it_can_be(data: bytes, control_id: bytes) -> None:
    assert control_id_of(data) == control_id


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"MSH|^~\\&|||||||ACK^A01^ACK|1\rMSA|AA|1", True),
        (b"MSH|^~\\&|||||||ACK|1", True),
        (b"MSH|^~\\&|||||||MCF|1", True),
        (b"MSH|^~\\&|||||||ORR^O02|1\rMSA|AA|1", True),
        (b"MSH|^~\\&|||||||ADT^A01|1\rPID|1", False),
        (b"MSH|^~\\&", False),
    ],
)
def test_answers_are_known_as_such(data: bytes, expected: bool) -> None:
    assert is_acknowledgement(parse(data)) is expected


def test_our_answers_are_answers(adt: bytes) -> None:
    for code in CODES:
        assert is_acknowledgement(parse(acknowledge(parse(adt), code, control_id="1", at=datetime.now(UTC))))


def test_another_code_is_an_error_of_the_programmer(adt: bytes) -> None:
    with pytest.raises(ValueError):
        acknowledge(parse(adt), "OK", control_id="1", at=AT)


def test_every_condition_is_one_of_the_table() -> None:
    assert set(CONDITIONS) == {
        "0",
        "198",
        "199",
        *(str(n) for n in range(100, 105)),
        *(str(n) for n in range(200, 208)),
    }
