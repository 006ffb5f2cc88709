"""FHIR JSON in and out without loss: bytes <-> dict, within the published limits.

Decimals become `decimal.Decimal` and keep their precision (1.50 stays 1.50, 1.0E-22 stays 1.0E-22);
integers of any size stay integers; text is untouched. The exponent form of a number may be spelled
otherwise ("1e5" is written "1E+5"): same value, same precision. "-0" is written "0".

How the limits are kept without slowing the usual resource: what was read is written again, and if the
bytes equal those received (both minified) no key can have been lost, so no key came twice. Only when
they differ does a slower pass look at every object. Depth is read off the indentation that the C
formatter produces, which no text inside a string can imitate, because a raw newline is not allowed there.

Sources: hl7.org/fhir/R4/json.html, hl7.org/fhir/R4/datatypes.html#decimal, RFC 8259.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from server.errors import FhirError

MAX_NESTING = 32
MAX_DIGITS = 64
MAX_EXPONENT = 999

_BOM = b"\xef\xbb\xbf"
_BEFORE_ELEMENTS = (b",", b"{", b"[")
_DIGITS_AS_ZERO = bytes.maketrans(b"0123456789", b"0" * 10)
_TOO_MANY_DIGITS = f"A number has more than {MAX_DIGITS} digits."
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB-fF][0-9a-fA-F]{2}")


class _Refused(Exception):
    """A number or object of the received text breaks a limit; the text says which."""


def _decimal(text: str) -> Decimal:
    if len(text) > 32:
        digits = sum(map(str.isdigit, text.lower().partition("e")[0]))
        if digits > MAX_DIGITS:
            raise _Refused(_TOO_MANY_DIGITS)
    number = Decimal(text)
    if ("e" in text or "E" in text) and abs(number.as_tuple().exponent) > MAX_EXPONENT:  # type: ignore[arg-type]
        raise _Refused(f"A number has an exponent beyond {MAX_EXPONENT}.")
    return number


_decode = msgspec.json.Decoder(float_hook=_decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_format = msgspec.json.format


def encode(resource: Any) -> bytes:
    """The resource as minified UTF-8 JSON; the order of the keys is kept."""
    return _encode(resource)


def decode(
    data: bytes,
    *,
    max_nesting: int = MAX_NESTING,
    max_bytes: int | None = None,
    max_elements: int | None = None,
) -> dict[str, Any]:
    """The JSON object in `data` (UTF-8, a byte order mark is ignored).

    Numbers with a fraction or an exponent are Decimal, others int. Raises FhirError: `too-large` for
    more than `max_bytes` bytes; `too-costly` for more than `max_elements` elements, as `has_more_elements`
    counts them, before anything is decoded; `invalid-json` for text that is not UTF-8 or not JSON, a top
    level that is not an object, objects and arrays nested deeper than `max_nesting`, a number of more than 64
    digits, a property twice in one object, an unpaired surrogate, or a NUL character.
    """
    value: dict[str, Any] = _decoded(data, dict, max_nesting, max_bytes, max_elements)
    return value


def decode_array(
    data: bytes,
    *,
    max_nesting: int = MAX_NESTING,
    max_bytes: int | None = None,
    max_elements: int | None = None,
) -> list[Any]:
    """The JSON array in `data`; all else as `decode` has it."""
    value: list[Any] = _decoded(data, list, max_nesting, max_bytes, max_elements)
    return value


def _decoded(data: bytes, kind: type, max_nesting: int, max_bytes: int | None, max_elements: int | None) -> Any:
    if max_bytes is not None and len(data) > max_bytes:
        raise FhirError("too-large", f"The body is larger than {max_bytes} bytes.")
    data = data.removeprefix(_BOM)
    if max_elements is not None and _has_more_elements(data, max_elements):
        raise FhirError("too-costly", f"The body has more than {max_elements} elements (limit: elements).")
    value = _parse(data, max_nesting)
    if type(value) is not kind:
        raise FhirError("invalid-json", f"The body must be one JSON {'object' if kind is dict else 'array'}.")
    if data.count(b"{") + data.count(b"[") > max_nesting and _is_nested_deeper(data, max_nesting):
        raise _too_deep(max_nesting)
    if b"\\u0000" in data and _has_nul(value):
        raise FhirError("invalid-json", "The body contains a NUL character, which FHIR does not allow.")
    try:
        written = _encode(value)
    except UnicodeEncodeError:
        raise _unpaired_surrogate() from None
    if (written != data and written != _format(data, indent=-1)) or (
        b"0" * (MAX_DIGITS + 1) in data.translate(_DIGITS_AS_ZERO)
    ):
        _inspect(data)
    return value


def decode_stored(data: bytes) -> dict[str, Any]:
    """What `encode` wrote for the store, as `decode` has it: its limits were kept when it came."""
    value: dict[str, Any] = _decode(data)
    return value


def has_more_elements(value: Any, most: int) -> bool:
    """Whether a decoded object or list has more than `most` elements, at all its levels together.

    Counted are the members of every object and list; an empty one counts as one.
    """
    return _has_more_elements(_encode(value), most)  # writing it is cheaper than walking it


def _has_more_elements(data: bytes, most: int) -> bool:
    """The same of JSON text, where each element stands behind a comma or begins its object or list."""
    if sum(map(data.count, _BEFORE_ELEMENTS)) <= most:
        return False
    # Some of these may stand in strings, which are cut out.
    data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    if data.count(b'"') > 4 * most:  # an element has at most a name and a text
        return True
    outside = b"".join(data.split(b'"')[::2])
    return sum(map(outside.count, _BEFORE_ELEMENTS)) > most


def _parse(data: bytes, max_nesting: int) -> Any:
    try:
        return _decode(data)
    except UnicodeDecodeError:
        raise FhirError("invalid-json", "The body is not valid UTF-8.") from None
    except RecursionError:
        raise _too_deep(max_nesting) from None
    except _Refused as refusal:
        raise FhirError("invalid-json", str(refusal)) from None
    except msgspec.DecodeError as error:
        if _SURROGATE_ESCAPE.search(data) and _is_json_apart_from_surrogates(data):
            raise _unpaired_surrogate() from None
        if "out of range" in str(error):
            raise FhirError("invalid-json", _TOO_MANY_DIGITS) from None
        raise FhirError("invalid-json", f"The body is not valid JSON: {error}.") from None
    except (ValueError, InvalidOperation):  # an integer or exponent beyond what Python itself converts
        raise FhirError("invalid-json", _TOO_MANY_DIGITS) from None


def _too_deep(max_nesting: int) -> FhirError:
    return FhirError("invalid-json", f"Objects and arrays are nested more than {max_nesting} levels deep.")


def _unpaired_surrogate() -> FhirError:
    return FhirError("invalid-json", "The body contains an unpaired surrogate, which is not a character.")


def _is_json_apart_from_surrogates(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _is_nested_deeper(data: bytes, levels: int) -> bool:
    """Whether containers are nested deeper than `levels`; `data` is valid JSON."""
    return b"\n" + b" " * (levels + 1) in _format(data, indent=1)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return False


def _inspect(data: bytes) -> None:
    """Refuse repeated keys and overlong integers; slow, for texts that may contain them."""
    try:
        json.loads(data, object_pairs_hook=_refuse_repeated_keys, parse_int=_check_integer, parse_float=_same)
    except _Refused as refusal:
        raise FhirError("invalid-json", str(refusal)) from None


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Refused("A property occurs twice in one JSON object.")


def _check_integer(text: str) -> None:
    if len(text.removeprefix("-")) > MAX_DIGITS:
        raise _Refused(_TOO_MANY_DIGITS)


def _same(text: str) -> str:
    return text
