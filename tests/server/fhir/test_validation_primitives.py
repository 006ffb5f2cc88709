"""Each primitive type accepts what R4 accepts, in time linear in its input.

Covers hl7.org/fhir/R4/datatypes.html#primitive.
"""

from __future__ import annotations

import calendar
import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.validation_narrative import fault_of_narrative
from server.fhir.validation_primitives import CODE_RULES, PRIMITIVE_RULES
from server.fhir.validation_tables import PRIMITIVES

SIZE = 100_000
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
# Repetitions that make a backtracking expression try every way of dividing them, and an end that fails.
HOSTILE = [
    unit * (SIZE // len(unit)) + end
    for unit in ("A", "AAAA", " ", "a ", "0", "2024-01-", "0.0", ".1", ":00", "-", "=", "\n")
    for end in ("", "*", "=", "\x0b")
]
STARTS = ("", "urn:oid:1", "urn:uuid:", "2024-01-01T00:00:00.", "text/plain", "text/plain; a=", DIV)


def accepts(primitive: str, value: object) -> bool:
    try:
        return bool(PRIMITIVE_RULES[primitive][0](value))
    except TypeError:
        return False


def test_every_primitive_type_has_a_rule() -> None:
    assert set(PRIMITIVE_RULES) == PRIMITIVES


@pytest.mark.parametrize("primitive", sorted(PRIMITIVES))
def test_hostile_texts_of_100_kb_are_judged_at_once(primitive: str) -> None:
    test = PRIMITIVE_RULES[primitive][0]
    slowest = 0.0
    for text in HOSTILE:
        for start in STARTS:
            began = time.process_time()
            test(start + text)
            slowest = max(slowest, time.process_time() - began)
    assert slowest < 0.1


@pytest.mark.parametrize("rule", sorted(CODE_RULES))
def test_hostile_codes_are_judged_at_once(rule: str) -> None:
    for text in HOSTILE:
        for start in STARTS:
            began = time.process_time()
            CODE_RULES[rule][0](start + text)
            assert time.process_time() - began < 0.1


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_dates_follow_the_calendar(year: int, month: int, day: int) -> None:
    exists = day <= calendar.monthrange(year, month)[1]
    assert accepts("date", f"{year:04}-{month:02}-{day:02}") is exists
    assert accepts("instant", f"{year:04}-{month:02}-{day:02}T00:00:00Z") is exists


@given(st.dates(date(1, 1, 1)))
def test_every_date_of_the_calendar_is_accepted(day: date) -> None:
    assert accepts("date", day.isoformat())
    assert accepts("dateTime", f"{day.isoformat()}T23:59:59.999-05:00")


@pytest.mark.parametrize(
    ("primitive", "value"),
    [
        ("integer", -(2**31)),
        ("unsignedInt", 0),
        ("positiveInt", 2**31 - 1),
        ("decimal", 10**60),
        ("string", "a\tb\r\nc"),
        ("markdown", " \n"),
        ("code", "two words"),
        ("id", "A-1.b"),
        ("oid", "urn:oid:2.16.840.1.113883"),
        ("uuid", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
        ("uri", "urn:isbn:1"),
        ("time", "23:59:60.5"),
        ("base64Binary", "QQ=="),
        ("base64Binary", "QUI="),
        ("string", "x" * 1024 * 1024),
    ],
)
def test_accepts(primitive: str, value: object) -> None:
    assert accepts(primitive, value)


@pytest.mark.parametrize(
    ("primitive", "value"),
    [
        ("string", "x" * (1024 * 1024 + 1)),
        ("code", ""),
        ("code", " a"),
        ("code", "a\tb"),
        ("oid", "urn:oid:3.1"),
        ("oid", "urn:oid:1.01"),
        ("uuid", "c757873d-ec9a-4326-a141-556f43239520"),
        ("uri", ""),
        ("time", "23:59"),
        ("base64Binary", ""),
        ("base64Binary", "Q==="),
        ("base64Binary", "=QQQ"),
        ("decimal", 1.5),
        ("decimal", True),
        ("dateTime", "2024-02"[:6]),
        ("dateTime", "2024-01-01T00:00:00+14:01"),
        ("dateTime", "2024-01-01T00:00:00+15:00"),
        ("id", ""),
    ],
)
def test_refuses(primitive: str, value: object) -> None:
    assert not accepts(primitive, value)


@pytest.mark.parametrize(
    "media_type", ["image/svg+xml", "text/plain;charset=utf-8", 'a/b; c="d e"', "xml", "json"]
)
def test_media_types_follow_bcp_13(media_type: str) -> None:
    assert CODE_RULES["mimetypes"][0](media_type)


@pytest.mark.parametrize(
    "media_type", ["", "text", "text/", "/plain", "text/plain;", "text/plain; charset", "a/b/c"]
)
def test_other_texts_are_no_media_types(media_type: str) -> None:
    assert not CODE_RULES["mimetypes"][0](media_type)


def test_deeply_nested_narratives_are_judged() -> None:
    depth = 50_000
    assert fault_of_narrative(DIV + "<b>" * depth + "x" + "</b>" * depth + "</div>") == ""
    assert "well-formed" in fault_of_narrative(DIV + "<b>" * depth)
