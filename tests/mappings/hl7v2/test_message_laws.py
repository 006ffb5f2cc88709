"""Laws that hold for any bytes and for any message: nothing raises, nothing is lost, every place is exact.

Covers mappings/hl7v2. All messages are synthetic.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from mappings.content import clean
from mappings.hl7v2.acknowledgement import acknowledge, control_id_of, is_acknowledgement
from mappings.hl7v2.batch import acknowledge_batch, split
from mappings.hl7v2.message import Hl7Error, Message, Value, parse
from mappings.hl7v2.separators import USUAL, Separators, escape
from mappings.hl7v2.structure import group, structure_of

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
HEADS = st.sampled_from(
    [
        b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5",
        b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5||||||8859/1",
        b"MSH|^~\\&#|A|B|C|D|2026||SIU^S12|1|P|2.7||||||GB 18030-2000",
        b"MSH|^~\\&|A|B|C|D|2026||OML^O21|1|P|2.5||||||~ISO IR87",
        b"MSH|^~\\&|A|B|C|D|2026||RDE^O11|1|P|2.5||||||SHIFT_JIS",
        b"MSH|^~\\&|A|B|C|D|2026||PPR^PC1|1|P|2.5||||||UNICODE UTF-8",
        b"MSH|^~\\&|A\x1b$B|^~&\x1b(BB|\x1b$BC|C|D|2026||ADT^A01|\x951|P|2.5||||||~ISO IR87",
        b"MSH|^|A",
        b"MSH||A",
        b"MSH&%@^&|A",
    ]
)
NAMES = (
    b"PID PD1 EVN PV1 NTE ORC OBR OBX SPM TQ1 RXO RXR RXE RXD IN1 ROL AIS AIG RGS PRB GOL PTH MRG ZZZ MSH"
).split()
PIECES = [
    *(b"|", b"|", b"^", b"~", b"&", b"\\", b"\\F\\", b"\\X4\\", b"\\XC3A9\\", b"\\.br\\", b"\\.sp99\\"),
    *(b'""', b" ", b"a", b"\r", b"\n", b"\r\n", b"\x0b", b"\x1c", b"\x1b$B", b"\x1b(B", b"\xc3\xa9", b"\xe9"),
    *(b"\x81", b"\x95\x5c", b"\x00", *(b"\r" + name + b"|" for name in NAMES)),
]
BODIES = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
DIRTY = st.builds(
    lambda before, head, body, end: before + head + end + body.replace(b"\r", end),
    st.sampled_from([b"", b"\xef\xbb\xbf", b" \r\n"]),
    HEADS,
    BODIES,
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\x1c"]),
)
ANY = st.one_of(st.binary(max_size=200), DIRTY, st.builds(lambda body: b"MSH" + body, st.binary(max_size=60)))


def read(data: bytes) -> Message | None:
    try:
        return parse(data)
    except Hl7Error:
        return None


@given(ANY, st.sampled_from(["", "UNICODE UTF-8", "8859/1", "BIG-5", "no such", "rot13"]))
def test_nothing_but_its_error_is_raised_for_any_bytes(data: bytes, charset: str) -> None:
    try:
        message = parse(data, charset)
    except Hl7Error as error:
        answer = acknowledge(None, "AR", control_id="1", at=AT, errors=[error], original=control_id_of(data))
        assert parse(answer).get("MSA-1").text == "AR"
        return
    for value in message.filled():
        assert isinstance(value.text, str)
    for segment in message.segments:
        for field in range(1, segment.last_field + 1):
            for repetition in segment.repetitions(field):
                assert isinstance(repetition.text, str)
                assert not (repetition.is_null and repetition.is_empty)
                assert len(repetition.components) >= 1
                repetition.part(2).value(2)
    assert isinstance(structure_of(message), str)
    assert is_acknowledgement(message) in (True, False)


@given(ANY)
def test_every_value_is_the_slice_of_bytes_that_its_place_says(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    last = 0
    for value in message.filled():
        position = value.position
        assert data[position.start : position.end] == value.raw
        assert last <= position.start < position.end
        last = position.end
        segment = message.segments[position.ordinal - 1]
        assert (segment.name, segment.occurrence) == (position.segment, position.occurrence)
        assert segment.start <= position.start
        assert position.end <= segment.end
        again = message.get(str(position))
        assert again.position == position
        assert again.key == value.key
        assert value.place == str(position)
        assert again.text == value.text


@given(ANY)
def test_what_a_repetition_says_is_what_its_values_say_and_what_the_segment_has_there(data: bytes) -> None:
    try:
        message = parse(data)
    except Hl7Error:
        return
    for segment in message.segments:
        for field in range(1, segment.last_field + 1):
            for repetition in segment.repetitions(field):
                for component, subcomponent in ((1, 1), (1, 2), (2, 1), (3, 2), (40, 1)):
                    value = repetition.value(component, subcomponent)
                    there = segment.value(field, component, subcomponent, repetition.repetition)
                    assert value.position == there.position
                    assert repetition.said(component, subcomponent) == value.said == clean(value.text)
                assert repetition.is_empty == (not [*repetition.filled()])
        filled = dict.fromkeys(value.field for value in segment.filled())
        assert [*filled] == [
            number
            for number in segment.filled_fields()
            if not all(one.is_empty for one in segment.repetitions(number))
        ]


@given(ANY)
def test_segments_cover_all_but_line_ends_and_what_transports_leave(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    at = 0
    for number, segment in enumerate(message.segments):
        between = data[at : segment.start]
        assert not between.strip(b"\r\n \t\f\v\x00\x0b\x1a\x1c" + (b"\xef\xbb\xbf" if not number else b""))
        assert segment.raw.startswith(segment.name.encode())
        assert [one.ordinal for one in (segment,)] == [number + 1]
        at = segment.end
    assert not data[at:].strip(b"\r\n \t\f\v\x00\x0b\x1a\x1c")


@given(ANY)
def test_values_cover_all_of_a_segment_but_separators_and_blanks(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    rest = bytearray(data)
    for value in message.filled():
        rest[value.start : value.end] = b" " * (value.end - value.start)
    s = message.separators
    allowed = b" \t\r\n\f\v" + s.field + s.component + s.repetition + s.subcomponent
    for segment in message.segments:
        left = bytes(rest[segment.start + 3 : segment.end])
        if segment.name == "MSH":
            left = left[1:].partition(s.field)[2] if segment.last_field > 1 else b""
        assert left.strip(allowed) == b""


@given(ANY)
def test_every_segment_is_in_exactly_one_group(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    assert group(message).all() == message.segments


@given(ANY)
def test_an_answer_can_always_be_read_and_ends_no_frame(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    errors = [Hl7Error("101", str(value.position), "a|b\r^\\~&") for value in list(message.filled())[:2]]
    answer = acknowledge(message, "AE", control_id="N|1\r", at=AT, errors=errors, text="x\ry")
    assert not re.search(rb"[\x00-\x0c\x0e-\x1f\x7f]", answer)
    assert answer.endswith(b"\r")
    back = parse(answer)
    assert [segment.name for segment in back.segments][:2] == ["MSH", "MSA"]
    assert set(back.segments[2:]) == set(back.every("ERR"))
    assert back.get("MSA-1").text == "AE"
    assert back.separators == message.separators


@given(
    st.lists(
        st.one_of(ANY, st.sampled_from([b"FHS|^~\\&", b"BHS|^~\\&|A|||||||||7", b"BTS|2", b"FTS|x", b"BHS"])),
        max_size=6,
    )
)
@example([b"\xef\xbb\xbfBHS", b"MSH|"])
def test_a_batch_is_split_whatever_it_is_and_loses_nothing(parts: list[bytes]) -> None:
    data = b"\r".join(parts)
    batch = split(data)
    for message in batch.messages:
        assert message in data
    if not batch.is_batch and not batch.warnings:
        assert batch.messages == (data,)
    if batch.is_batch:
        answer = acknowledge_batch(batch, [b"MSH|^~\\&|\rMSA|AA\r"], control_id="1", at=AT)
        assert len(split(answer).messages) == 1


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029"),
    min_size=1,
    max_size=8,
).filter(lambda text: text.strip() and text != '""')
LEAVES = st.one_of(st.just(""), TEXTS)
FIELDS = st.lists(
    st.lists(st.lists(LEAVES, min_size=1, max_size=3), min_size=1, max_size=4), min_size=1, max_size=3
)


@st.composite
def separators(draw: st.DrawFn) -> Separators:
    """Five different separators, as a sender may choose them."""
    return Separators(*(mark.encode() for mark in draw(st.permutations(PUNCTUATION))[:5]))


@given(
    separators(),
    st.lists(st.lists(FIELDS, min_size=1, max_size=3), min_size=1, max_size=2),
    st.sampled_from([b"\r", b"\n", b"\r\n"]),
)
def test_what_is_written_is_read(
    marks: Separators, segments: list[list[list[list[list[str]]]]], end: bytes
) -> None:
    def written(field: list[list[list[str]]]) -> bytes:
        return marks.repetition.join(
            marks.component.join(
                marks.subcomponent.join(escape(leaf.encode(), marks) for leaf in component) for component in one
            )
            for one in field
        )

    header = b"MSH" + marks.field + marks.encoding + marks.field * 16 + b"UNICODE UTF-8"
    lines = [b"ZZZ" + marks.field + marks.field.join(written(field) for field in fields) for fields in segments]
    message = parse(end.join([header, *lines]) + end)
    assert message.separators == marks
    found = {str(value.position): value.text for value in message.filled() if value.position.segment == "ZZZ"}
    assert found == {
        f"ZZZ[{s}]-{f}[{r}].{c}.{b}": leaf
        for s, fields in enumerate(segments, 1)
        for f, field in enumerate(fields, 1)
        for r, repetition in enumerate(field, 1)
        for c, component in enumerate(repetition, 1)
        for b, leaf in enumerate(component, 1)
        if leaf
    }


@given(st.text(max_size=30))
def test_escaped_text_holds_no_separator(text: str) -> None:
    written = escape(text.encode("utf-8", "replace"), USUAL)
    assert not set(b"|^~&\r\n") & set(written)


@given(st.binary(max_size=40))
def test_no_byte_is_lost_when_text_does_not_decode(body: bytes) -> None:
    content = re.sub(rb"[\r\n|^~\\&\x00\x0b\x1a\x1c]", b"", body)
    message = parse(b"MSH|^~\\&||||||||||||||||UNICODE UTF-8\rOBX|1|TX|||x" + content + b"x")
    value: Value = message.get("OBX-5")
    try:
        expected = (b"x" + content + b"x").decode("utf-8")
    except UnicodeDecodeError:
        assert [warning.code for warning in message.warnings] == ["character-set"]
        assert value.text.encode("iso8859-1") == value.raw
    else:
        assert value.text == expected
