"""What HTTP headers and the general parameters mean for a FHIR exchange (pure).

Sources: hl7.org/fhir/R4/http.html#mime-type, #general, #return; RFC 7240 (Prefer), RFC 9110
"""

from __future__ import annotations

from collections.abc import Iterable
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

# What a client may ask for -> what it gets. R4 names application/fhir+json and the short "json"; the others are
# what clients of earlier versions and plain HTTP clients send.
_ANSWERED_WITH = {
    FHIR_JSON: FHIR_JSON,
    "application/*": FHIR_JSON,
    "*/*": FHIR_JSON,
    "json": FHIR_JSON,
    "application/json+fhir": FHIR_JSON,
    JSON: JSON,
    "text/json": JSON,
}
_READ_AS_JSON = frozenset({FHIR_JSON, JSON, "text/json", "application/json+fhir"})
_ONLY_JSON = "this server speaks FHIR JSON only (application/fhir+json); XML and other formats are not offered"


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

    accept: the header, "" for none; media ranges by their quality. format: `_format`, which overrides it.
    Raises: FhirError not-acceptable.
    """
    if format:
        asked = format.partition(";")[0].strip().replace(" ", "+")  # a "+" that was not escaped
        if asked not in _ANSWERED_WITH:
            raise FhirError("not-acceptable", f"_format: {_ONLY_JSON}")
        return _ANSWERED_WITH[asked]
    if not accept or accept in ("*/*", FHIR_JSON):
        return FHIR_JSON
    best, quality = "", 0.0
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _quality(parameters)
        answered = _ANSWERED_WITH.get(media.lower())
        if answered and weight > quality:
            best, quality = answered, weight
    if not best:
        raise FhirError("not-acceptable", f"Accept: {_ONLY_JSON}")
    return best


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


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
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8", "us-ascii"):
            raise FhirError("unsupported-media-type", "FHIR JSON is written in UTF-8")


def read_prefer(
    prefer: str,
) -> tuple[
    Literal["", "minimal", "representation", "OperationOutcome"],
    Literal["", "strict", "lenient"],
]:
    """`return` and `handling` of a Prefer header; preferences that are not known are no error (RFC 7240)."""
    wanted: dict[str, str] = {}
    for part in prefer.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    returned, handling = wanted.get("return", ""), wanted.get("handling", "")
    if returned not in ("minimal", "representation", "OperationOutcome"):
        returned = ""
    if handling not in ("strict", "lenient"):
        handling = ""
    return (
        cast(Literal["", "minimal", "representation", "OperationOutcome"], returned),
        cast(Literal["", "strict", "lenient"], handling),
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
