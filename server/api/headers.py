"""What HTTP headers and the general parameters mean for a FHIR exchange (pure).

Sources: hl7.org/fhir/R4/http.html#mime-type, #general, #return; RFC 7240 (Prefer), RFC 9110
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, cast
from urllib.parse import parse_qsl

from server.errors import FhirError

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NDJSON = "application/fhir+ndjson"

Pairs = tuple[tuple[str, str], ...]

# Every spelling of a format that this server answers with -> what it then says. R4 names application/fhir+json
# and the short "json"; the others are what clients of earlier versions and plain HTTP clients send.
_SPELLINGS = {
    FHIR_JSON: FHIR_JSON,
    "json": FHIR_JSON,
    "application/json+fhir": FHIR_JSON,
    JSON: JSON,
    "text/json": JSON,
}
_RANGES = ("application/*", "*/*")  # the more specific one first
_READ_AS_JSON = frozenset({FHIR_JSON, JSON, "text/json", "application/json+fhir"})
_ONLY_JSON = f"this server speaks FHIR JSON only: {FHIR_JSON} or {JSON}; XML and other formats are not offered"
_FHIR_VERSIONS = frozenset({"", "4.0", "4.0.1"})
_ONLY_R4 = "this server speaks FHIR R4 only: fhirVersion=4.0"


def split_general(pairs: Iterable[tuple[str, str]]) -> tuple[Pairs, str, bool]:
    """The parameters of the interaction itself, the value of `_format`, and whether `_pretty` was asked."""
    own, format, pretty = [], "", False
    for name, value in pairs:
        if name == "_format":
            format = value
        elif name == "_pretty":
            pretty = value == "true"
        else:
            own.append((name, value))
    return tuple(own), format, pretty


def read_query(query: str, most: int = 500) -> Pairs:
    """Decoded name-value pairs in order.

    Raises: FhirError invalid-request for what is not UTF-8, too-costly for more than `most` parameters.
    """
    if not query:
        return ()
    if query.count("&") >= most:
        raise FhirError("too-costly", f"a query may have {most} parameters")
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise FhirError("invalid-request", "the query string is not percent-encoded UTF-8") from None


def answer_type(accept: str, format: str) -> str:
    """The media type to answer with.

    accept: the header, "" for none; of its media ranges the most specific one counts for each type, then the
    quality, then the order (RFC 9110 section 12.5.1). format: `_format`, which overrides it.
    Raises: FhirError not-acceptable.
    """
    if format:
        media, version, _ = _media(format.replace(" ", "+"))  # a "+" that was not escaped
        if version not in _FHIR_VERSIONS:
            raise FhirError("not-acceptable", f"_format: {_ONLY_R4}")
        if media not in _SPELLINGS:
            raise FhirError("not-acceptable", f"_format: {_ONLY_JSON}")
        return _SPELLINGS[media]
    if not accept or accept in ("*/*", FHIR_JSON):
        return FHIR_JSON
    ranges = [_media(part) for part in accept.split(",")]
    asked: dict[str, tuple[float, int]] = {}  # range or type -> quality, place
    for place, (media, version, quality) in enumerate(ranges):
        if version in _FHIR_VERSIONS and (media in _SPELLINGS or media in _RANGES):
            asked.setdefault(_SPELLINGS.get(media, media), (quality, -place))
    best = max((FHIR_JSON, JSON), key=lambda type: _most_specific(type, asked))
    if not _most_specific(best, asked)[0]:
        other = any(media in _SPELLINGS and version not in _FHIR_VERSIONS for media, version, _ in ranges)
        raise FhirError("not-acceptable", f"Accept: {_ONLY_R4 if other else _ONLY_JSON}")
    return best


def _most_specific(type: str, asked: dict[str, tuple[float, int]]) -> tuple[float, int]:
    return next((asked[media] for media in (type, *_RANGES) if media in asked), (0.0, 0))


def _media(text: str) -> tuple[str, str, float]:
    """The media type or range, its fhirVersion and its quality."""
    media, *parameters = (piece.strip().lower() for piece in text.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    given = {name.strip(): value.strip(' "') for name, _, value in pairs}
    return media, given.get("fhirversion", ""), _quality(given.get("q", "1"))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0  # nor is it NaN


def check_content_type(content_type: str, allowed: Iterable[str] = _READ_AS_JSON) -> None:
    """A body comes as JSON in UTF-8 (a missing header is taken for that).

    Raises: FhirError unsupported-media-type.
    """
    if not content_type:
        return
    media, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    if media not in allowed:
        if FORM in allowed:
            raise FhirError("unsupported-media-type", f"_search takes its parameters as {FORM}")
        raise FhirError("unsupported-media-type", f"Content-Type: {_ONLY_JSON}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "fhirversion" and value.strip(' "') not in _FHIR_VERSIONS:
            raise FhirError("unsupported-media-type", f"Content-Type: {_ONLY_R4}")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8", "us-ascii"):
            raise FhirError("unsupported-media-type", "FHIR JSON is written in UTF-8")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a Prefer header asks for. returned, handling: "" where not asked. asynchronous: respond-async."""

    returned: Literal["", "minimal", "representation", "OperationOutcome"] = ""
    handling: Literal["", "strict", "lenient"] = ""
    asynchronous: bool = False


NO_PREFERENCES = Preferences()


def read_prefer(prefer: str) -> Preferences:
    """The preferences of a Prefer header; those that are not known are no error (RFC 7240)."""
    if not prefer:
        return NO_PREFERENCES
    wanted: dict[str, str] = {}
    for part in prefer.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    returned, handling = wanted.get("return", ""), wanted.get("handling", "")
    if returned not in ("minimal", "representation", "OperationOutcome"):
        returned = ""
    if handling not in ("strict", "lenient"):
        handling = ""
    return Preferences(
        cast(Literal["", "minimal", "representation", "OperationOutcome"], returned),
        cast(Literal["", "strict", "lenient"], handling),
        "respond-async" in wanted,
    )


def read_http_date(value: str) -> datetime | None:
    """An HTTP date; None for none or for one that cannot be read, which a recipient ignores (RFC 9110)."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
