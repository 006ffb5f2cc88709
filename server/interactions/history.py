"""history of an instance, of a type and of the system.

Source: hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from server.errors import FhirError
from server.fhir.bundle import bundle, url_with
from server.interactions.answer import absent
from server.interactions.call import Call
from server.interactions.cursor import PARAMETER, open_cursor, seal_cursor
from server.interactions.etag import etag
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.interactions.version import instant
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    since: datetime | None
    at: tuple[datetime, datetime] | None
    count: int
    cursor: str


def history(call: Call[Reader]) -> InteractionResponse:
    """A page of a history Bundle, newest first.

    Raises: FhirError not-found (the instance never existed or is hidden), invalid-search, unsupported-search.
    """
    context, request = call.context, call.request
    asked = _read_query(call)
    pairs = tuple(pair for pair in request.query if pair[0] != PARAMETER)
    question = (call.caller, request.interaction, request.resource_type, request.id, pairs)
    after = open_cursor(context.cursor_key, question, asked.cursor) if asked.cursor else None
    page = call.unit.history(
        request.resource_type or None,
        request.id or None,
        call.decision.visible,
        since=asked.since,
        at=asked.at,
        count=asked.count,
        after=after,
    )
    if request.id and not page.versions and _is_absent(call):
        raise absent(request.resource_type)
    path = "/".join(part for part in (context.base_url, request.resource_type, request.id, "_history") if part)
    links = [("self", url_with(path, request.query))]
    if page.next_after is not None:
        sealed = seal_cursor(context.cursor_key, question, page.next_after)
        links.append(("next", url_with(path, (*pairs, (PARAMETER, sealed)))))
    entries = [_entry(context.base_url, version) for version in page.versions]
    return InteractionResponse(
        200,
        bundle("history", entries, total=page.total, links=links),
        id=request.id,
        patients=patients_of(page.versions, context.base_url),
        results=len(entries),
    )


def _is_absent(call: Call[Reader]) -> bool:
    request = call.request
    return call.unit.read(request.resource_type, request.id, call.decision.visible) is None


def _entry(base_url: str, version: StoredVersion) -> dict[str, Any]:
    path = f"{version.resource_type}/{version.id}"
    entry: dict[str, Any] = {"fullUrl": f"{base_url}/{path}"}
    if version.deleted:
        status = "204"
    else:
        entry["resource"] = msgspec.Raw(version.body)
        status = "201" if version.version_id == 1 else "200"
    entry["request"] = {
        "method": version.method,
        "url": version.resource_type if version.method == "POST" else path,
    }
    entry["response"] = {
        "status": status,
        "etag": etag(version.version_id),
        "lastModified": instant(version.last_updated),
    }
    return entry


def _read_query(call: Call[Reader]) -> _Asked:
    given: dict[str, str] = {}
    for name, value in call.request.query:
        if name not in ("_since", "_at", "_count", PARAMETER):
            raise FhirError(
                "unsupported-search",
                "a history takes the parameters _since, _at, _count, _format and _pretty only",
            )
        if name in given:
            raise FhirError("invalid-search", f"{name} is given more than once")
        given[name] = value
    limits = call.context.limits
    count = limits.count_default
    if "_count" in given:
        text = given["_count"]
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise FhirError("invalid-search", "_count is not a whole number")
        count = max(1, min(int(text), limits.count_maximum))
    zone = call.context.time_zone
    since = _bounds(given["_since"], zone, "_since")[0] if "_since" in given else None
    at = _bounds(given["_at"], zone, "_at") if "_at" in given else None
    return _Asked(since, at, count, given.get(PARAMETER, ""))


def _bounds(text: str, time_zone: str, name: str) -> tuple[datetime, datetime]:
    """First and last moment (UTC, microseconds) of a FHIR date or instant at the precision it was written.

    `_at=2026` asks for the versions that were current at some time of that year.
    """
    found = _MOMENT.fullmatch(text.replace(" ", "+"))  # a "+" that was not escaped arrives as a space
    if found is None:
        raise FhirError("invalid-search", f"{name} is not a date or instant")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    zone = ZoneInfo(time_zone)
    try:
        if hour is None:
            low = datetime(int(year), int(month or 1), int(day or 1), tzinfo=zone)
            if day:
                high = low + timedelta(days=1)
            elif month:
                high = low.replace(year=low.year + low.month // 12, month=low.month % 12 + 1)
            else:
                high = low.replace(year=low.year + 1)
        else:
            low = datetime(
                int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=zone
            )
            low = low.replace(microsecond=int((fraction or ".0")[1:7].ljust(6, "0")))
            if offset:
                shift = timedelta(0)
                if offset != "Z":
                    shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
                low = low.replace(tzinfo=UTC) - (shift if offset[0] != "-" else -shift)
            width = timedelta(milliseconds=1) if fraction else timedelta(seconds=1 if second else 60)
            high = low + width
        return low.astimezone(UTC), high.astimezone(UTC) - timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise FhirError("invalid-search", f"{name} is not a date or instant") from None
