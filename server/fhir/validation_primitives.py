"""FHIR's primitive types: does a JSON value belong to one, by R4's regular expressions and the calendar.

R4's expressions are rewritten so that each takes time linear in its input (base64Binary as published
takes exponential time). Dates carry the calendar in the expression itself: 2024-02-29 yes, 2023-02-29 no.
Each entry of ACCEPTS takes a JSON value and answers true when it is of the type; it may raise a TypeError
for a value of another JSON type. Sources: hl7.org/fhir/R4/datatypes.html#primitive, BCP 13 (RFC 6838).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from server.fhir.validation_narrative import accepts_narrative

_DEFINITIONS = Path(__file__).parent / "definitions"
MAX_STRING = 1024 * 1024

# A year other than 0000; month and day as the calendar has them.
_YEAR = r"(?!0000)[0-9]{4}"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = (  # days that every month has come first, because they are the usual case
    rf"(?:{_YEAR}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rf"|(?:0[13578]|1[02])-31)|(?!0000){_LEAP_YEAR}-02-29)"
)
_MONTH = rf"{_YEAR}-(?:0[1-9]|1[0-2])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_INSTANT = rf"{_DAY}T{_TIME}{_ZONE}"
_TOKEN = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # noqa: S105  restricted-name of RFC 6838
_PARAMETER = r"; ?[A-Za-z0-9!#$&^_.+-]+=(?:[^\s\";]+|\"[^\"\n]*\")"

Accepts = Callable[[Any], object]


def _matches(expression: str) -> Accepts:
    return re.compile(expression).fullmatch


_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}")


def _string(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_STRING and "\x0b" not in value and "\x0c" not in value


def _markdown(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_STRING


def _code(value: Any) -> bool:
    return type(value) is str and value != "" and " ".join(value.split()) == value


def _uri(value: Any) -> bool:
    # A text without white space splits into itself; this is several times faster than an expression.
    return type(value) is str and value.split(None, 1) == [value] and len(value) <= MAX_STRING


def _boolean(value: Any) -> bool:
    return value is True or value is False


def _integer(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _unsigned_int(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _positive_int(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _decimal(value: Any) -> bool:
    return type(value) is Decimal or type(value) is int


def _base64_binary(value: Any) -> bool:
    packed = value.translate(_NO_SPACE) if type(value) is str else ""
    return len(packed) % 4 == 0 and packed != "" and _BASE64.fullmatch(packed) is not None


_NO_SPACE = dict.fromkeys(map(ord, " \t\n\r"))

# name -> (test, what the diagnostics say of it)
PRIMITIVE_RULES: dict[str, tuple[Accepts, str]] = {
    "base64Binary": (_base64_binary, "a base64 text"),
    "boolean": (_boolean, "true or false"),
    "canonical": (_uri, "a URI without spaces"),
    "code": (_code, "a code: text without leading, trailing or repeated spaces"),
    "date": (_matches(rf"{_DAY}|{_MONTH}|{_YEAR}"), "a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": (
        _matches(rf"{_DAY}(?:T{_TIME}{_ZONE})?|{_MONTH}|{_YEAR}"),
        "a date of the calendar, or a date with a time to the second and a time zone",
    ),
    "decimal": (_decimal, "a number"),
    "id": (_matches(r"[A-Za-z0-9\-.]{1,64}"), "an id: 1 to 64 letters, digits, hyphens and dots"),
    "instant": (_matches(_INSTANT), "a date of the calendar with a time to the second and a time zone"),
    "integer": (_integer, "a whole number of 32 bits"),
    "markdown": (_markdown, "a text of 1 to 1,048,576 characters"),
    "oid": (_matches(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"), "an OID as a URI, urn:oid:1.2.3"),
    "positiveInt": (_positive_int, "a whole number greater than zero, of 32 bits"),
    "string": (_string, "a text of 1 to 1,048,576 characters"),
    "time": (_matches(_TIME), "a time of day, hh:mm:ss"),
    "unsignedInt": (_unsigned_int, "a whole number not less than zero, of 32 bits"),
    "uri": (_uri, "a URI without spaces"),
    "url": (_uri, "a URL without spaces"),
    "uuid": (
        _matches(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        "a UUID as a URI in lower case, urn:uuid:...",
    ),
    "xhtml": (accepts_narrative, "a narrative in XHTML"),
}

_MIME_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*|json|xml|ttl")


@cache
def _currencies() -> frozenset[str]:
    return frozenset(msgspec.json.decode((_DEFINITIONS / "currencies.json").read_bytes())["codes"])


# Value sets that are rules: name -> (test, words). json, xml and ttl are the short forms R4 allows for formats.
CODE_RULES: dict[str, tuple[Accepts, str]] = {
    "mimetypes": (_MIME_TYPE.fullmatch, "a media type (BCP 13)"),
    "currencies": (lambda code: code in _currencies(), "a current currency code (ISO 4217)"),
}
