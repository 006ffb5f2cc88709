"""A message is read lazily, each value with its place; null is not empty; nothing of it is lost.

Covers mappings/hl7v2/message.py, segment.py, repetition.py, value.py. All messages are synthetic.
"""

from __future__ import annotations

import pytest

from mappings.hl7v2.message import Hl7Error, Message, parse

HEAD = b"MSH|^~\\&|A|B|C|D|20260301||ADT^A01|1|P|2.5\r"


def codes(message: Message) -> list[str]:
    return [warning.code for warning in message.warnings]


def test_fields_of_the_header_are_counted_from_its_separator(adt: bytes) -> None:
    message = parse(adt)
    assert message.get("MSH-1").text == "|"
    assert message.get("MSH-2").text == "^~\\&"
    assert message.get("MSH-3").text == "SYNTHETIC"
    assert message.get("MSH-9.2").text == "A01"
    assert adt[slice(*_span(message, "MSH-1"))] == b"|"
    assert adt[slice(*_span(message, "MSH-2"))] == b"^~\\&"


def _span(message: Message, path: str) -> tuple[int, int]:
    position = message.get(path).position
    return position.start, position.end


def test_encoding_characters_are_no_field_with_parts(adt: bytes) -> None:
    header = parse(adt).first("MSH")
    assert header
    (only,) = header.repetitions(2)
    assert only.text == "^~\\&"
    assert [[value.text for value in component] for component in only.components] == [["^~\\&"]]


def test_a_value_is_named_by_segment_field_repetition_component_and_subcomponent(adt: bytes) -> None:
    value = parse(adt).get("PID-3.4.2")
    assert value.text == "1.2.3.4"
    assert str(value.position) == "PID[1]-3[1].4.2"
    position = value.position
    assert (position.segment, position.ordinal, position.occurrence) == ("PID", 3, 1)
    assert adt[position.start : position.end] == b"1.2.3.4"


def test_the_text_of_a_position_is_a_path(adt: bytes) -> None:
    message = parse(adt)
    for value in message.filled():
        assert message.get(str(value.position)).position == value.position


def test_repetitions_are_asked_for_by_number(adt: bytes) -> None:
    message = parse(adt)
    assert message.get("PID-3[2].1").text == "555"
    assert message.get("PID-3[2].5").text == "SS"
    assert message.get("PID-3[3].1").is_empty
    segment = message.first("PID")
    assert segment
    assert [one.value().text for one in segment.repetitions(5)] == ["Probe", "Muster"]
    assert segment.value(5, 7, repetition=2).text == "M"


def test_the_second_of_segments_is_named_in_brackets(oru: bytes) -> None:
    message = parse(oru)
    assert message.get("OBX-3.1").text == "2345-7"
    assert message.get("OBX[3]-3.1").text == "718-7"
    assert [segment.occurrence for segment in message.every("OBX")] == [1, 2, 3]
    assert [segment.ordinal for segment in message.every("OBX")] == [7, 9, 11]


@pytest.mark.parametrize("path", ["ZZZ-1", "OBX[9]-3", "PID-99", "PID-3[9].9.9", "MSH-40", "PV1-2.3.4"])
def test_what_is_not_there_is_empty_and_has_a_place(oru: bytes, path: str) -> None:
    value = parse(oru).get(path)
    assert value.is_empty
    assert not value.is_null
    assert value.text == ""
    assert value.raw == b""
    assert 0 <= value.position.start == value.position.end <= len(oru)


@pytest.mark.parametrize(
    "path", ["", "PID", "PID-0", "PID-3[0]", "PID-3.0", "PID[0]-3", "PID-3.1.1.1", "pid-3", "PID-x"]
)
def test_what_is_no_path_is_an_error_of_the_programmer(adt: bytes, path: str) -> None:
    with pytest.raises(ValueError):
        parse(adt).get(path)


def test_null_is_not_empty(adt: bytes) -> None:
    message = parse(adt)
    null, empty = message.get("PV1-6"), message.get("PV1-5")
    assert (null.is_null, null.is_empty, null.text, null.raw) == (True, False, "", b'""')
    assert (empty.is_null, empty.is_empty, empty.text, empty.raw) == (False, True, "", b"")
    segment = message.first("PV1")
    assert segment
    (repetition,) = segment.repetitions(6)
    assert repetition.is_null
    assert not repetition.is_empty
    assert segment.repetitions(5) == ()
    assert '""' in [value.raw.decode() for value in message.filled()]


def test_a_component_can_be_null() -> None:
    message = parse(HEAD + b'PID|1||1^""^^A&""\r')
    assert message.get("PID-3.2").is_null
    assert message.get("PID-3.4.2").is_null
    assert not message.get("PID-3.1").is_null
    assert not message.first("PID").repetitions(3)[0].is_null  # type: ignore[union-attr]


def test_quotes_around_text_are_no_null() -> None:
    message = parse(HEAD + b'PID|1||"1"|"""|"\r')
    assert not any(message.get(path).is_null for path in ("PID-3", "PID-4", "PID-5"))


def test_blanks_are_empty_and_kept() -> None:
    message = parse(HEAD + b"PID|1|  |^ ^\r")
    assert message.get("PID-2").is_empty
    assert message.get("PID-2").text == "  "
    assert message.first("PID").repetitions(3)[0].is_empty  # type: ignore[union-attr]
    assert [str(value.position) for value in message.filled() if value.position.segment == "PID"] == [
        "PID[1]-1[1].1.1"
    ]


def test_a_component_can_be_asked_as_a_composite_of_its_own(adt: bytes) -> None:
    segment = parse(adt).first("PID")
    assert segment
    authority = segment.repetitions(3)[0].part(4)
    assert [authority.value(number).text for number in (1, 2, 3, 4)] == ["WEST", "1.2.3.4", "ISO", ""]
    assert str(authority.value(2).position) == "PID[1]-3[1].4.2"
    assert authority.text == "WEST&1.2.3.4&ISO"
    assert segment.repetitions(3)[1].part(9).is_empty
    namespace = authority.part(2)
    assert namespace.value().text == "1.2.3.4"
    assert str(namespace.value().position) == "PID[1]-3[1].4.2"
    assert [str(value.position) for value in authority.filled()] == [f"PID[1]-3[1].4.{n}" for n in (1, 2, 3)]


def test_components_are_given_with_the_empty_ones() -> None:
    segment = parse(HEAD + b"PID|1||a^^b&c\r").first("PID")
    assert segment
    (repetition,) = segment.repetitions(3)
    assert [[value.text for value in parts] for parts in repetition.components] == [["a"], [""], ["b", "c"]]


def test_text_of_a_repetition_is_all_of_it() -> None:
    message = parse(HEAD + b"OBX|1|TX|||one ^ two \\T\\ three\r")
    assert message.first("OBX").repetitions(5)[0].text == "one ^ two & three"  # type: ignore[union-attr]
    assert message.get("OBX-5").text == "one "


def test_the_last_field_is_counted() -> None:
    message = parse(HEAD + b"PID|1||3\rZZZ\r")
    assert [segment.last_field for segment in message.segments] == [12, 3, 0]


def test_numbers_below_one_are_errors_of_the_programmer(adt: bytes) -> None:
    segment = parse(adt).first("PID")
    assert segment
    for wrong in ((0, 1, 1, 1), (3, 0, 1, 1), (3, 1, 0, 1), (3, 1, 1, 0), (99, 0, 1, 1)):
        with pytest.raises(ValueError):
            segment.value(*wrong)
    with pytest.raises(ValueError):
        segment.repetitions(0)


@pytest.mark.parametrize(
    ("data", "code", "location"),
    [
        (b"", "100", "MSH"),
        (b"PID|1\r", "100", "MSH"),
        (b"\x00\x01\x02", "100", "MSH"),
        (b"FHS|^~\\&|A\r", "100", "MSH"),
        ("MSH|^~\\&|A".encode("utf-16"), "100", "MSH"),
        ("MSH|^~\\&|A".encode("utf-16-le"), "100", "MSH"),
        (b"MSH", "101", "MSH-1"),
        (b"MSH\r", "101", "MSH-1"),
        (b"MSHA", "101", "MSH-1"),
        (b"MSH ^~\\&", "101", "MSH-1"),
        (b"MSH|ABC|D", "102", "MSH-2"),
        (b"MSH^^D", "102", "MSH-2"),
        (b"MSH|\xa7~\\&|D", "102", "MSH-2"),
    ],
)
def test_only_what_has_no_readable_header_is_refused(data: bytes, code: str, location: str) -> None:
    with pytest.raises(Hl7Error) as caught:
        parse(data)
    assert (caught.value.code, caught.value.location) == (code, location)


def test_errors_say_nothing_of_the_message() -> None:
    with pytest.raises(Hl7Error) as caught:
        parse(b"Probe^Ana, born 1950")
    assert "Probe" not in str(caught.value)


def test_a_batch_is_said_to_be_one() -> None:
    with pytest.raises(Hl7Error, match="batch"):
        parse(b"BHS|^~\\&|A\rMSH|^~\\&|A\r")


def test_line_breaks_within_a_text_stay_part_of_it() -> None:
    data = HEAD + b"OBX|1|TX|X||First line\nsecond line\r\n\r\nthird||||||F\rNTE|1\r"
    message = parse(data)
    assert [segment.name for segment in message.segments] == ["MSH", "OBX", "NTE"]
    assert message.get("OBX-5").text == "First line\nsecond line\r\n\r\nthird"
    assert message.get("OBX-11").text == "F"
    assert codes(message) == ["broken-line"]
    assert message.warnings[0].position == "OBX[1]"


def test_what_transports_leave_is_not_content() -> None:
    message = parse(b"\x0b" + HEAD + b"PID|1||9\x1c\r\x00\x1a")
    assert message.get("PID-3").text == "9"
    assert codes(message) == []


def test_a_second_header_is_a_segment_with_a_warning() -> None:
    message = parse(HEAD + b"PID|1\r" + HEAD)
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "MSH"]
    assert message.get("MSH[2]-3").text == "A"
    assert codes(message) == ["second-header"]


def test_segments_are_only_split_when_asked_for(adt: bytes) -> None:
    message = parse(adt)
    assert all(segment._fields is None for segment in message.segments)
    assert message.get("PID-3").text == "T-100"
    assert [segment.name for segment in message.segments if segment._fields is not None] == ["PID"]


def test_hostile_shapes_are_read_in_linear_time() -> None:
    assert len(parse(HEAD + b"\r" * 1_000_000).segments) == 1
    assert len(parse(HEAD + b"x\r" * 200_000).segments) == 1
    assert parse(HEAD + b"OBX|1|TX|||" + b"\\" * 1_000_000).get("OBX-5").text == "\\" * 1_000_000
    assert parse(b" \r" * 300_000 + HEAD).get("MSH-3").text == "A"
    assert len(parse(HEAD + b"OBX|" + b"~" * 200_000).first("OBX").repetitions(1)) == 200_001  # type: ignore[union-attr]
