"""The inputs of an operation, from a URL or a body, as typed values.

A body is a Parameters resource, or the one resource that an operation takes, as it is. Primitive parameters may
stand in the URL beside it. A parameter that the operation does not have is refused: left out, it could turn a
narrow question into a wide one.
Source: hl7.org/fhir/R4/operations.html#executing, hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from server.errors import FhirError
from server.fhir.dates import date_range, zone
from server.interactions.operations.definition import COMPLEX, Arguments, Operation, Parameter
from server.interactions.request import Context, InteractionRequest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,127}")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,8})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 4_000  # characters of a primitive value
_CODINGS = 100  # of a CodeableConcept


@dataclass(frozen=True, slots=True)
class _Type:
    """said: what a value must be. elements: where a Parameters resource may have it; clients choose the general
    type (valueString) or a narrower one. read: its text, or its JSON value -> a value; raises ValueError."""

    said: str
    elements: tuple[str, ...]
    read: Callable[[Any, ZoneInfo], Any]


def _text(value: Any, local: ZoneInfo) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise ValueError
    return value


def _boolean(value: Any, local: ZoneInfo) -> bool:
    found = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError
    return found


def _integer(value: Any, local: ZoneInfo) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not _WHOLE.fullmatch(str(value)):
        raise ValueError
    return int(value)


def _positive(value: Any, local: ZoneInfo) -> int:
    number = _integer(value, local)
    if number < 1:
        raise ValueError
    return number


def _date(value: Any, local: ZoneInfo) -> tuple[int, int]:
    """[low, high) in UTC microseconds, at the precision written."""
    if not isinstance(value, str) or "T" in value:
        raise ValueError
    return date_range(value, local)


def _instant(value: Any, local: ZoneInfo) -> datetime:
    """UTC, whole milliseconds as versions have them; of a date, which clients send as well, its first."""
    if not isinstance(value, str):
        raise ValueError
    microseconds = date_range(value.replace(" ", "+"), local)[0]  # an unescaped "+" arrives as a space
    return _EPOCH + timedelta(milliseconds=microseconds // 1_000)


def _object(value: Any, local: ZoneInfo) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _coding(value: Any, local: ZoneInfo) -> dict[str, Any]:
    """A Coding of which what counts is texts."""
    found = _object(value, local)
    for name in ("system", "version", "code", "display"):
        if name in found:
            _text(found[name], local)
    return found


def _concept(value: Any, local: ZoneInfo) -> dict[str, Any]:
    found = _object(value, local)
    codings = found.get("coding", [])
    if not isinstance(codings, list) or len(codings) > _CODINGS:
        raise ValueError
    for coding in codings:
        _coding(coding, local)
    return found


def _natural(value: Any, local: ZoneInfo) -> int:
    number = _integer(value, local)
    if number < 0:
        raise ValueError
    return number


_WORDS = ("valueString", "valueCode", "valueId", "valueUri", "valueUrl", "valueCanonical", "valueMarkdown")
_NUMBERS = ("valueInteger", "valuePositiveInt", "valueUnsignedInt")

TYPES: Mapping[str, _Type] = {
    "string": _Type("a text", _WORDS, _text),
    "code": _Type("a code", _WORDS, _text),
    "id": _Type("an id", _WORDS, _text),
    "uri": _Type("a URI", _WORDS, _text),
    "canonical": _Type("a canonical URL", _WORDS, _text),
    "boolean": _Type("true or false", ("valueBoolean",), _boolean),
    "integer": _Type("a whole number", _NUMBERS, _integer),
    "unsignedInt": _Type("a whole number from 0", _NUMBERS, _natural),
    "positiveInt": _Type("a whole number from 1", _NUMBERS, _positive),
    "date": _Type("a date (YYYY, YYYY-MM or YYYY-MM-DD)", ("valueDate", "valueDateTime", "valueString"), _date),
    "instant": _Type(
        "an instant or a date", ("valueInstant", "valueDateTime", "valueDate", "valueString"), _instant
    ),
    "Meta": _Type("a Meta element", ("valueMeta",), _object),
    "Coding": _Type("a Coding", ("valueCoding",), _coding),
    "CodeableConcept": _Type("a CodeableConcept of at most 100 codings", ("valueCodeableConcept",), _concept),
    "Resource": _Type("a resource", ("resource",), _object),
}


def read_arguments(context: Context, operation: Operation, request: InteractionRequest) -> Arguments:
    """The inputs of a call of the operation.

    Raises: FhirError invalid-request, required, unsupported-search (a parameter it does not have),
    invalid-search (a value that cannot be); each names the parameter in its expression.
    """
    known = {parameter.name: parameter for parameter in operation.parameters}
    local = zone(context.time_zone)
    values: dict[str, list[Any]] = {}
    written: list[tuple[str, str]] = []
    search: list[tuple[str, str]] = []
    for name, value, element, where in _given(operation, request):
        parameter = known.get(name)
        if parameter is None:
            if not operation.search or not isinstance(value, (str, int, Decimal)):
                raise _unknown(operation, name, where)
            search.append((name, _as_text(value)))
            continue
        if name in values and not parameter.repeats:
            raise FhirError("invalid-search", f"the parameter {name} is given more than once", where)
        values.setdefault(name, []).append(_read(parameter, value, element, where, local))
        if parameter.type not in COMPLEX:
            written.append((name, _as_text(value)))
    for parameter in operation.parameters:
        if parameter.required and parameter.name not in values:
            raise FhirError(
                "required",
                f"${operation.name} needs the parameter {parameter.name}",
                place_of(request, parameter.name),
            )
    return Arguments({name: tuple(found) for name, found in values.items()}, tuple(written), tuple(search))


def place_of(request: InteractionRequest, name: str) -> str:
    """The expression of a parameter of a request: where it stands, or would stand beside the others."""
    in_url = any(given == name for given, _ in request.query)
    return _where(name, request.body is not None and not in_url)


def _where(name: str, in_body: bool) -> str:
    if not _NAME.fullmatch(name):
        return "Parameters.parameter" if in_body else ""
    return f"Parameters.parameter.where(name = '{name}')" if in_body else f"http.{name}"


def _given(operation: Operation, request: InteractionRequest) -> Iterator[tuple[str, Any, str, str]]:
    """(name, value, element it stands in or "" for the URL, where) of every input, those of the URL first."""
    for name, text in request.query:
        yield name, text, "", _where(name, False)
    body = request.body
    if body is None:
        return
    if body.get("resourceType") != "Parameters":
        taken = [p.name for p in operation.parameters if p.type == "Resource"]
        if len(taken) != 1:
            raise FhirError(
                "invalid-request", f"${operation.name} takes a Parameters resource as its body", "resourceType"
            )
        yield taken[0], body, "resource", _where(taken[0], True)
        return
    rows = body.get("parameter", [])
    if not isinstance(rows, list):
        raise FhirError("invalid-request", "Parameters.parameter is not a list", "Parameters.parameter")
    for position, row in enumerate(rows):
        yield _row(row, f"Parameters.parameter[{position}]")


def _row(row: Any, place: str) -> tuple[str, Any, str, str]:
    name = row.get("name") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise FhirError("invalid-request", "a parameter is an object with a name", place)
    elements = [key for key in row if key in ("resource", "part") or key.startswith("value")]
    if len(elements) != 1:
        raise FhirError("invalid-request", "a parameter has exactly one value or resource", place)
    where = _where(name, True) if _NAME.fullmatch(name) else place
    return name, row[elements[0]], elements[0], where


def _read(parameter: Parameter, value: Any, element: str, where: str, local: ZoneInfo) -> Any:
    kind = TYPES[parameter.type]
    if element == "" and parameter.type in COMPLEX:
        raise FhirError(
            "invalid-request", f"the parameter {parameter.name} stands in a body, not in the URL", where
        )
    if element and element not in kind.elements:
        raise FhirError(
            "invalid-request", f"the parameter {parameter.name} is given as {kind.elements[0]}", where
        )
    try:
        return kind.read(value, local)
    except (ValueError, OverflowError):
        raise FhirError("invalid-search", f"the parameter {parameter.name} is not {kind.said}", where) from None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _unknown(operation: Operation, name: str, where: str) -> FhirError:
    shown = f"the parameter {name}" if _NAME.fullmatch(name) else "a parameter"
    valid = ", ".join(parameter.name for parameter in operation.parameters) or "none"
    more = " and search parameters" if operation.search else ""
    return FhirError(
        "unsupported-search", f"{shown} is not one of ${operation.name}, which has: {valid}{more}", where
    )
