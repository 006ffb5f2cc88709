"""The text of a search parameter's value to a typed value, one function a parameter type.

Errors say what is expected and never repeat the value, which may be about a patient.
Source: hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ulp
from zoneinfo import ZoneInfo

from server.fhir.bindings import bound_codes
from server.fhir.custom_parameters import Known, none_known
from server.fhir.dates import EARLIEST, LATEST, date_range
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.hashing import code_entries
from server.fhir.search_query import (
    CompositeValue,
    DateValue,
    EntriesValue,
    MissingValue,
    NumberValue,
    Prefix,
    QuantityValue,
    ReferenceValue,
    SearchParameter,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)

_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_NUMBER = re.compile(r"([+-]?[0-9]{1,64}(?:\.[0-9]{1,64})?)(?:[eE]([+-]?[0-9]{1,3}))?")
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LOCAL = re.compile(r"([A-Za-z]{1,64})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
# A zone's plus sign that a client forgot to encode arrives as a space.
_SPACE_ZONE = re.compile(r"(T[0-9:.]+) ([0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reading of values depends on. base: the FHIR base with a trailing slash, or "".

    known: the site's own search parameters.
    """

    base: str
    local: ZoneInfo
    now: datetime | None = None
    known: Known = none_known


class BadValue(ValueError):
    """A value that its parameter cannot have; the text says what it can."""


def read_value(parameter: SearchParameter, modifier: str, text: str, reading: Reading) -> Value:
    """One value of a parameter; text: one of the values between commas, still escaped.

    Raises: BadValue.
    """
    if not text or "\0" in text:
        raise BadValue("a value is missing")
    if modifier == "missing":
        return MissingValue(_choice(text, {"true": True, "false": False}))
    if modifier == "identifier":
        return _token(parameter, text, reading)
    if parameter.code == "_id":
        return TokenValue(None, _id(text))
    value = _READERS[parameter.type](parameter, text, reading)
    if isinstance(value, ReferenceValue) and modifier:  # :[type]
        return _typed(value, modifier)
    return value


def split(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash escapes; the parts stay escaped."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def unescape(text: str) -> str:
    r"""Resolve `\,` `\|` `\$` and `\\`; other backslashes stand for themselves."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def _choice(text: str, choices: Mapping[str, bool]) -> bool:
    if text not in choices:
        raise BadValue("true or false is expected")
    return choices[text]


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise BadValue("an id is expected: letters, digits, '-' and '.', at most 64")
    return text


def read_string(parameter: SearchParameter, text: str, reading: Reading) -> StringValue:
    plain = unescape(text)
    if not plain.strip():
        raise BadValue("a value is missing")
    return StringValue(plain)


def _token(parameter: SearchParameter, text: str, reading: Reading) -> Value:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) > 2:
        raise BadValue(r"code, system|code, |code or system| is expected; write a | in a code as \|")
    system, code = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1] or None)
    if not system and not code:
        raise BadValue("a code or a system is missing")
    if code is not None and parameter.datatypes == ("boolean",):
        _choice(code, {"true": True, "false": False})
    if system and parameter.datatypes == ("code",):
        return _bound_code(parameter, system, code)
    return TokenValue(system, code)


def _bound_code(parameter: SearchParameter, system: str, code: str | None) -> Value:
    """An element of type code has no system but that of the value set it is bound to."""
    known = bound_codes(parameter, system)
    if code is None:
        return EntriesValue.of(code_entries("", known))
    return TokenValue("" if code in known else system, code)


def read_reference(parameter: SearchParameter, text: str, reading: Reading) -> ReferenceValue:
    plain = unescape(text)
    local = plain[len(reading.base) :] if reading.base and plain.startswith(reading.base) else plain
    if match := _LOCAL.fullmatch(local):
        if match[1] not in RESOURCE_TYPES:
            raise BadValue("the reference names an unknown resource type")
        return ReferenceValue(match[1], match[2])
    if ":" in plain:
        return ReferenceValue(None, None, plain)
    if ID.fullmatch(plain):
        return ReferenceValue(parameter.targets[0] if len(parameter.targets) == 1 else None, plain)
    raise BadValue("an id, Type/id or absolute URL is expected")


def _typed(value: ReferenceValue, resource_type: str) -> ReferenceValue:
    if value.url is not None:
        return value
    if value.resource_type not in (None, resource_type):
        raise BadValue("the reference names another resource type than the modifier")
    return ReferenceValue(resource_type, value.id)


def _date(parameter: SearchParameter, text: str, reading: Reading) -> DateValue:
    prefix, rest = _prefixed(unescape(text))
    try:
        low, high = date_range(_SPACE_ZONE.sub(r"\1+\2", rest), reading.local)
    except ValueError as error:
        raise BadValue(
            "a date is expected: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]][Z or zone], "
            "after one of eq ne gt lt ge le sa eb ap or nothing"
        ) from error
    if prefix == "ap" and reading.now is not None:
        now = int(reading.now.timestamp() * 1_000_000)
        low = max(EARLIEST, low - abs(now - low) // 10)
        high = min(LATEST, high + abs(now - high) // 10)
    return DateValue(prefix, low, high)


def _prefixed(text: str) -> tuple[Prefix, str]:
    match = _PREFIX.fullmatch(text)
    assert match is not None  # the pattern takes any text
    prefix: Prefix = match[1] or "eq"  # type: ignore[assignment]
    return prefix, match[2]


def _number(parameter: SearchParameter, text: str, reading: Reading) -> NumberValue:
    prefix, rest = _prefixed(unescape(text))
    match = _NUMBER.fullmatch(rest)
    if match is None:
        raise BadValue(
            "a number is expected, such as 5.4 or 1e-3, after one of eq ne gt lt ge le sa eb ap or nothing"
        )
    digits, power = match[1], int(match[2] or 0)
    if abs(power) > 200:
        raise BadValue("the number's exponent is out of range")
    value = Decimal(digits).scaleb(power)
    if prefix == "ap":
        margin = abs(value) / 10
    else:
        decimals = len(digits.partition(".")[2])
        # R4's own example: 1e2 is [95, 105), so one digit before an exponent counts as two.
        if match[2] is not None and not decimals and len(digits.lstrip("+-")) == 1:
            decimals = 1
        margin = Decimal(5).scaleb(power - decimals - 1)
        # Values are compared as floats: more digits than those have must still leave a range.
        margin = max(margin, Decimal(ulp(float(value))))
    return NumberValue(prefix, value, value - margin, value + margin)


def _quantity(parameter: SearchParameter, text: str, reading: Reading) -> QuantityValue:
    parts = split(text, "|")
    if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1] and not parts[2]):
        raise BadValue("number, number|system|code or number||code is expected")
    number = _number(parameter, parts[0], reading)
    system, code = (unescape(part) or None for part in (*parts[1:], "", "")[:2])
    return QuantityValue(number, system, code)


def _uri(parameter: SearchParameter, text: str, reading: Reading) -> UriValue:
    return UriValue(unescape(text))


def _composite(parameter: SearchParameter, text: str, reading: Reading) -> CompositeValue:
    parts = split(text, "$")
    if len(parts) != len(parameter.components) or not all(parts):
        codes = "$".join(component.code for component in parameter.components)
        raise BadValue(rf"{codes} is expected; write a $ in a value as \$")
    values = tuple(
        _READERS[component.type](component, part, reading)
        for component, part in zip(parameter.components, parts, strict=True)
    )
    if any(isinstance(value, TokenValue) and value.code is None for value in values):
        raise BadValue("a code of it is expected beside another value: code, system|code or |code")
    return CompositeValue(values)


_READERS: Mapping[str, Callable[[SearchParameter, str, Reading], Value]] = {
    "string": read_string,
    "token": _token,
    "reference": read_reference,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "uri": _uri,
    "composite": _composite,
}
