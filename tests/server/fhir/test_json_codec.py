"""FHIR JSON is read and written without loss, within its limits.

Covers hl7.org/fhir/R4/json.html, datatypes.html#decimal, RFC 8259.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.json_codec import decode, encode

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
decimals = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.sampled_from([0, 1]),
    st.lists(st.integers(0, 9), min_size=1, max_size=60).map(tuple),
    st.integers(-200, -1),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**63), 10**63) | decimals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


def refusal(data: bytes, **limits: Any) -> FhirError:
    with pytest.raises(FhirError) as caught:
        decode(data, **limits)
    return caught.value


def nested(levels: int, core: bytes = b"1") -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + core + b"]" * (levels - 1) + b"}"


@settings(max_examples=60)
@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_written_reads_back_equal(value: dict[str, Any]) -> None:
    assert decode(encode(value)) == value


@given(decimals)
def test_every_digit_of_a_decimal_is_kept(number: Decimal) -> None:
    back = decode(encode({"value": number}))["value"]
    assert back.as_tuple() == number.as_tuple()


@settings(max_examples=40)
@given(st.dictionaries(texts, values, max_size=4), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_white_space_and_escapes_of_the_sender_do_not_matter(
    value: dict[str, Any], indent: int | str | None, escaped: bool
) -> None:
    plain = json.loads(encode(value), parse_float=str)
    data = json.dumps(plain, indent=indent, ensure_ascii=escaped).encode()
    assert decode(data) == plain


@pytest.mark.parametrize(
    "number", ["1.50", "0.0", "-0.0", "100.00", "0.10", "1.0E-22", "123456789012345678.90"]
)
def test_the_text_of_a_usual_decimal_is_kept(number: str) -> None:
    data = b'{"value":' + number.encode() + b"}"
    assert encode(decode(data)) == data


@pytest.mark.parametrize(("sent", "written"), [("1e5", "1E+5"), ("0.0000001", "1E-7"), ("1.0e-22", "1.0E-22")])
def test_another_spelling_keeps_value_and_precision(sent: str, written: str) -> None:
    back = encode(decode(b'{"value":' + sent.encode() + b"}"))
    assert back == b'{"value":' + written.encode() + b"}"
    assert Decimal(sent).as_tuple() == Decimal(written).as_tuple()


def test_large_integers_stay_integers() -> None:
    data = b'{"a":9007199254740993,"b":' + b"9" * 64 + b"}"
    assert decode(data) == {"a": 9007199254740993, "b": int("9" * 64)}
    assert encode(decode(data)) == data


def test_unicode_is_untouched() -> None:
    data = '{"a":"é e\u0301 \u2028 \U0001f600 田"}'.encode()
    assert encode(decode(data)) == data
    assert decode(b'{"a":"\\ud83d\\ude00\\/"}') == {"a": "\U0001f600/"}


def test_the_order_of_properties_is_kept() -> None:
    data = b'{"b":1,"a":2,"resourceType":"Patient"}'
    assert encode(decode(data)) == data


def test_a_byte_order_mark_is_ignored() -> None:
    assert decode(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":1}x', "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b'{"a":"\x01"}', "not valid JSON"),
        (b'{"a":"\xff"}', "not valid UTF-8"),
        (b'{"a":"\xc0\x80"}', "not valid UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not valid UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not valid"),
        (b"[]", "one JSON object"),
        (b'"a"', "one JSON object"),
        (b"null", "one JSON object"),
        (b'{"a":1,"a":1}', "occurs twice"),
        (b'{"a":1,"\\u0061":2}', "occurs twice"),
        (b'{"a":[{"b":{"c":1,"d":2,"c":3}}]}', "occurs twice"),
        (b'{ "a" : { "b" : 1 , "b" : 1 } }', "occurs twice"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\udc00x"}', "surrogate"),
        (b'{"a":"\\ud800\\ud800"}', "surrogate"),
        (b'{"\\uD800":1}', "surrogate"),
        (b'{"a":"x\\u0000"}', "NUL"),
        (b'{"\\u0000":1}', "NUL"),
        (b'{"a":[["\\u0000"]]}', "NUL"),
        (b'{"a":' + b"1" * 65 + b"}", "64 digits"),
        (b'{"a":-' + b"1" * 65 + b"}", "64 digits"),
        (b'{"a":' + b"1" * 5000 + b"}", "64 digits"),
        (b'{"a":0.' + b"1" * 64 + b"}", "64 digits"),
        (b'{"a":' + b"1" * 32 + b"." + b"1" * 33 + b"e5}", "64 digits"),
        (b'{"a":1e1000}', "exponent"),
        (b'{"a":1e-999999999}', "exponent"),
        (b'{"a":1e99999999999999999999}', "number"),
        (nested(33), "32 levels"),
        (nested(100_000), "32 levels"),
        (b'{"a":' + b"[" * 100_000, "32 levels"),
    ],
)
def test_the_limits_are_kept_with_a_clear_message(data: bytes, words: str) -> None:
    error = refusal(data)
    assert (error.kind, error.status) == ("invalid-json", 400)
    assert words in error.issues[0].diagnostics


@pytest.mark.parametrize(
    "data",
    [
        nested(32),
        b'{"a":"' + b"[" * 100 + b'"}',
        b'{"a":"' + b"1" * 500 + b'"}',
        b'{"a":' + b"1" * 64 + b"}",
        b'{"a":0.' + b"1" * 63 + b"}",
        b'{"a":1e999}',
        b'{"a":"\\\\u0000"}',
        b'{"a":"\\\\ud800"}',
        b'{"a":{"b":1},"b":1}',
        b'{"a":[{"b":1},{"b":1}]}',
    ],
)
def test_what_only_looks_like_a_breach_passes(data: bytes) -> None:
    assert decode(data) == json.loads(data, parse_float=Decimal)


def test_brackets_in_texts_cannot_hide_nesting() -> None:
    hidden = b'{"a":' + b'["]",' * 40 + b"1" + b',"["]' * 40 + b"}"
    assert refusal(hidden).kind == "invalid-json"


def test_nesting_and_size_can_be_set() -> None:
    assert decode(nested(40), max_nesting=40)
    assert refusal(nested(3), max_nesting=2).kind == "invalid-json"
    error = refusal(b'{"a":1}', max_bytes=6)
    assert (error.kind, error.status) == ("too-large", 413)


def test_no_message_quotes_the_body() -> None:
    for data in (b'{"Qzxv":1,"Qzxv":2}', b'{"a":Qzxv}', b'{"Qzxv":"\\ud800"}', b'"Qzxv"'):
        assert "Qzxv" not in refusal(data).issues[0].diagnostics
