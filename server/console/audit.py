"""The audit trail in the console: what was asked, how many rows there are over time, and single rows.

Nothing here knows Flask or SQL. A page shows who touched whose record, never what stands in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.interactions.audit import is_id
from server.interactions.audit_event import audit_event
from server.storage.audit_values import AuditCount, AuditPage, AuditQuery, AuditRow
from server.storage.interface import Store

PAGE = 50
_TEXT_LIMIT = 200
_WIDTHS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7))
_BARS = 100  # a wider span is counted in wider bars
_PLOT_WIDTH, _PLOT_HEIGHT = 1_000, 90


@dataclass(frozen=True, slots=True)
class Filters:
    """The fields of the form. since, until: days (UTC), both included. resource: Type or Type/id.

    principal, user: who acted, by resource and by account. partner: Organization/id.
    """

    since: str = ""
    until: str = ""
    patient: str = ""
    principal: str = ""
    user: str = ""
    partner: str = ""
    client: str = ""
    interaction: str = ""
    outcome: str = ""
    resource: str = ""
    request: str = ""

    def used(self) -> dict[str, str]:
        """The fields that are filled in."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}


@dataclass(frozen=True, slots=True)
class Bar:
    """One span of the plot. label: when it begins. x, width, height: in the plot's units; refused as a part."""

    label: str
    rows: int
    refused: int
    x: float
    width: float
    height: float
    refused_height: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """every: what a bar stands for, in words. peak: of the highest bar."""

    bars: tuple[Bar, ...]
    every: str
    peak: int
    rows: int
    refused: int


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the list. key: for `row_at`."""

    key: str
    recorded: str
    row: AuditRow
    patients: tuple[str, ...]


def read_filters(given: Mapping[str, str], now: datetime) -> Filters:
    """The filters of a request; without a first day the day before today."""
    values = {field.name: given.get(field.name, "").strip()[:_TEXT_LIMIT] for field in fields(Filters)}
    values["patient"] = values["patient"].removeprefix("Patient/")
    return Filters(**{**values, "since": values["since"] or f"{now - timedelta(days=1):%Y-%m-%d}"})


def audit_query(filters: Filters, after: str = "", *, count: int = PAGE) -> AuditQuery:
    """The search that the filters ask for. after: Line.key of the last row of the page before.

    Raises: FhirError invalid-search in words for whoever filled in the form.
    """
    if filters.patient and not is_id(filters.patient):
        raise FhirError("invalid-search", "A patient is named by its id: letters, digits, '-' and '.'.")
    resource_type, _, id = filters.resource.partition("/")
    until = day_of(filters.until, "The last day") if filters.until else None
    return AuditQuery(
        since=day_of(filters.since, "The first day"),
        until=until and until + timedelta(days=1),
        patient=filters.patient,
        principal=filters.principal,
        username=filters.user,
        organization=filters.partner,
        client_id=filters.client,
        interaction=filters.interaction,
        outcome=filters.outcome,
        resource_type=resource_type,
        id=id,
        request_id=filters.request,
        count=count,
        after=_position(after) if after else None,
    )


def lines(page: AuditPage) -> tuple[Line, ...]:
    """The rows of a page for the list."""
    return tuple(_line(sequence, row) for sequence, row in page.rows)


def events(page: AuditPage, base_url: str) -> bytes:
    """The rows of a page as AuditEvents, one a line (NDJSON). base_url: the FHIR base."""
    return b"".join(encode(audit_event(sequence, row, base_url)) + b"\n" for sequence, row in page.rows)


def next_key(page: AuditPage) -> str:
    """What asks for the page after this one, "" at the end."""
    return "" if page.next_after is None else "-".join(map(str, page.next_after))


def row_at(store: Store, key: str) -> tuple[int, Line]:
    """The row of a key, with its number in the chain. Raises: FhirError not-found."""
    recorded, sequence = _position(key)
    page = store.search_audit(AuditQuery(after=(recorded, sequence + 1), count=1))
    if not page.rows or page.rows[0][0] != sequence:
        raise FhirError("not-found", "There is no such row in the audit trail.")
    return sequence, _line(*page.rows[0])


def timeline(store: Store, query: AuditQuery, now: datetime) -> Timeline | None:
    """How many rows there are over the span that is asked for; None where counting them would cost too much."""
    since = query.since or now - timedelta(days=1)
    end = max(min(query.until or now, now), since + _WIDTHS[0])
    width = next((step for step in _WIDTHS if (end - since) / step <= _BARS), None)
    if width is None:
        width = timedelta(days=7 * math.ceil((end - since) / _BARS / timedelta(days=7)))
    try:
        counts = store.count_audit(replace(query, after=None), width)
    except FhirError as error:
        if error.kind != "too-costly":
            raise
        return None
    peak = max((count.rows for count in counts), default=0)
    spans = math.ceil((end - _floor(since, width)) / width)
    return Timeline(
        bars=tuple(_bar(count, _floor(since, width), width, spans, peak) for count in counts),
        every=_words(width),
        peak=peak,
        rows=sum(count.rows for count in counts),
        refused=sum(count.refused for count in counts),
    )


def _bar(count: AuditCount, start: datetime, width: timedelta, spans: int, peak: int) -> Bar:
    step = _PLOT_WIDTH / max(spans, 1)
    return Bar(
        label=f"{count.start:%Y-%m-%d %H:%M}" if width < timedelta(days=1) else f"{count.start:%Y-%m-%d}",
        rows=count.rows,
        refused=count.refused,
        x=round((count.start - start) / width * step, 2),
        width=round(max(step - 1, 1), 2),
        height=round(count.rows / peak * _PLOT_HEIGHT, 2),
        refused_height=round(count.refused / peak * _PLOT_HEIGHT, 2),
    )


def _line(sequence: int, row: AuditRow) -> Line:
    milliseconds = round(row.recorded.timestamp() * 1000)
    shown = row.recorded.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    return Line(f"{milliseconds}-{sequence}", shown, row, tuple(row.patient.split()))


def _position(key: str) -> tuple[int, int]:
    recorded, _, sequence = key.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 18 for part in (recorded, sequence)):
        raise FhirError("not-found", "There is no such page of the audit trail.")
    return int(recorded), int(sequence)


def day_of(text: str, name: str) -> datetime:
    """The day (UTC) that a form's field names. Raises: FhirError invalid-search, with the field's name."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = None
    if day is None or not 1970 <= day.year < 9999:
        raise FhirError("invalid-search", f"{name} is not a date such as 2026-03-01.")
    return day


def _floor(moment: datetime, width: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // width * width


def _words(width: timedelta) -> str:
    hours = width // timedelta(hours=1)
    if hours < 24:
        return "hour" if hours == 1 else f"{hours} hours"
    return "day" if hours == 24 else f"{hours // 24} days"
