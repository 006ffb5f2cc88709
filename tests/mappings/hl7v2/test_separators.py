"""Escapes stand for separators, bytes and breaks; those that nothing is known of stay as they are.

Covers mappings/hl7v2/separators.py. HL7 v2.5.1, 2.5.4 and 2.7. All messages are synthetic.
"""

from __future__ import annotations

import pytest

from mappings.hl7v2.message import parse
from mappings.hl7v2.separators import Separators, escape, read_separators, unescape


def text_of(content: bytes, header: bytes = b"MSH|^~\\&#|A|||||||||||||||UTF-8\r") -> str:
    return parse(header + b"OBX|1|FT|||" + content + b"\r").get("OBX-5").text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"a\F\b", "a|b"),
        (rb"a\S\b", "a^b"),
        (rb"a\T\b", "a&b"),
        (rb"a\R\b", "a~b"),
        (rb"a\E\b", "a\\b"),
        (rb"a\P\b", "a#b"),
        (rb"a\H\bold\N\b", "aboldb"),
        (rb"a\X0D0A\b", "a\r\nb"),
        (rb"\XC3A9\t\xC3\xA9"[:6] + rb"\t", "ét"),
        (rb"a\.br\b", "a\nb"),
        (rb"a\.ce\b", "a\nb"),
        (rb"a\.sp\b", "a\nb"),
        (rb"a\.sp3\b", "a\n\n\nb"),
        (rb"a\.sp+2\b", "a\n\nb"),
        (rb"a\.sk4\b", "a    b"),
        (rb"a\.in+4\b\.ti-2\c\.fi\d\.nf\e", "abcde"),
    ],
)
def test_escapes_of_the_standard_are_replaced(written: bytes, text: str) -> None:
    assert text_of(written) == text


@pytest.mark.parametrize(
    "written",
    [
        rb"C:\Users\Public",
        rb"a\Zlocal\b",
        rb"a\C2842\b",
        rb"a\M2442\b",
        rb"a\X123\b",
        rb"a\X\b",
        rb"a\Xzz\b",
        rb"a\\b",
        rb"half\F",
        rb"a\.sp999\b",
        rb"a\.xx\b",
        rb"\\",
        rb"a\f\b",
    ],
)
def test_other_escapes_stay_as_they_are(written: bytes) -> None:
    assert text_of(written) == written.decode()


def test_an_unknown_escape_does_not_hide_a_known_one() -> None:
    assert text_of(rb"\q\F\b") == "\\q|b"


def test_truncation_is_the_usual_one_where_none_is_declared() -> None:
    assert text_of(rb"a\P\b", b"MSH|^~\\&|A\r") == "a#b"


def test_escapes_mean_the_separators_of_the_message() -> None:
    message = parse(b"MSH#*+?%#A\rOBX#1#TX###?F??S??T??R??E??X41?")
    assert message.get("OBX-5").text == "#*%+?A"


def test_without_an_escape_character_nothing_is_an_escape() -> None:
    message = parse(b"MSH|^~|A\rOBX|1|TX|||a\\F\\b&c~d")
    assert message.separators == Separators(b"|", b"^", b"~", b"", b"")
    assert message.get("OBX-5").text == "a\\F\\b&c"
    assert message.get("OBX-5[2]").text == "d"


def test_only_a_component_separator_may_be_declared() -> None:
    message = parse(b"MSH|^|A\rPID|a^b~c&d")
    assert [value.text for value in message.filled()] == ["A", "a", "b~c&d"]


@pytest.mark.parametrize(
    ("header", "separators", "odd"),
    [
        (b"MSH|^~\\&|A", Separators(), False),
        (b"MSH|^~\\&", Separators(), False),
        (b"MSH|^~\\&\r", Separators(), False),
        (b"MSH|^~\\& |A", Separators(), False),
        (b"MSH|^~\\&#|A", Separators(truncation=b"#"), False),
        (b"MSH|^~\\&#%|A", Separators(truncation=b"#"), True),
        (b"MSH|^~\\&X|A", Separators(), True),
        (b"MSH||A", Separators(), True),
        (b"MSH|^^^^|A", Separators(b"|", b"^", b"^", b"^", b"^"), True),
        (b"FHS|^~\\&|A", Separators(), False),
    ],
)
def test_separators_are_what_the_header_declares(header: bytes, separators: Separators, odd: bool) -> None:
    found, findings = read_separators(header)
    assert found == separators
    assert [finding.code for finding in findings] == ["encoding-characters"] * odd


def test_written_text_reads_as_it_was() -> None:
    marks = Separators(truncation=b"#")
    text = "a|b^c&d~e\\f#g\nh\r\ni\rj\x0b\x1ck\x7f é"
    written = escape(text.encode(), marks)
    assert not set(b"|^&~#\r\n\x0b\x1c\x7f") & set(written)
    assert unescape(written, written, marks).decode() == "a|b^c&d~e\\f#g\nh\ni\njk é"
