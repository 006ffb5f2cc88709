"""What the console shows of received HL7 v2 messages: lists, and one message with its fields named (no Flask).

Whoever may not read patients sees the shape of what stands in a message, and not what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from mappings.hl7v2.fields import component_name, field_name, field_type, segment_name
from mappings.hl7v2.message import Hl7Error, parse
from mappings.hl7v2.repetition import Repetition
from mappings.hl7v2.segment import Segment
from server.errors import FhirError
from server.hl7v2.preview_text import text_of
from server.hl7v2.trace import read_trace
from server.policy.roles import Role
from server.row_numbers import row_number
from server.storage.hl7v2_messages import STATES, LoggedMessage, MessageQuery
from server.storage.interface import Store

PAGE = 50
STEPS_SHOWN = 500
SEGMENTS_SHOWN = 500
FIELD_LENGTH = 2_000  # characters of a field that are shown: a message may carry a whole document
_TEXT_LIMIT = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What an answer to a sender means, by MSA-1 (table 0008).
ANSWERS: Mapping[str, str] = {
    "": "none was asked for",
    "AA": "accepted",
    "AE": "not accepted: the message is wrong",
    "AR": "not taken: to be sent again",
    "CA": "stored",
    "CE": "not stored: the message is wrong",
    "CR": "not stored: to be sent again",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """The fields of the form; those that name a patient come by POST alone, so that no address has them."""

    type: str = ""
    state: str = ""
    source: str = ""
    control_id: str = ""
    mrn: str = ""
    visit: str = ""

    def used(self) -> dict[str, str]:
        """The fields that are filled in."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the list. Texts as they are shown."""

    message: LoggedMessage
    received: str
    mrn: str
    visit: str


@dataclass(frozen=True, slots=True)
class FieldShown:
    """A filled field. label: PID-3. title: its name, type and the names of its components."""

    label: str
    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class SegmentShown:
    """name: three characters. title: what it is called."""

    name: str
    title: str
    fields: tuple[FieldShown, ...]


@dataclass(frozen=True, slots=True)
class MessageShown:
    """Everything on the page of a message. masked: only shapes are shown. problem: why no segments are.

    trace: `hl7v2.trace`, {} for none. steps: those of it that are shown, each with texts.
    """

    row: Row
    masked: bool
    segments: tuple[SegmentShown, ...]
    problem: str
    event: str
    ended: str
    answer: str
    trace: Mapping[str, Any]
    steps: tuple[Mapping[str, str], ...]


def sees_patients(role: Role) -> bool:
    """Whether somebody of the role sees what messages say of patients."""
    return "r" in role.permissions("Patient")


def read_filters(given: Mapping[str, str], *, named: bool) -> Filters:
    """The filters of a request. named: those that tell of one patient are taken as well."""
    values = {field.name: given.get(field.name, "").strip()[:_TEXT_LIMIT] for field in fields(Filters)}
    if not named:
        values |= {"control_id": "", "mrn": "", "visit": ""}
    return Filters(**values)


def query_of(filters: Filters, before: str) -> MessageQuery:
    """The search that the filters ask for. before: number of the last message of the page before.

    Raises: FhirError invalid-search in words for whoever filled in the form.
    """
    if filters.state and filters.state not in STATES:
        raise FhirError("invalid-search", f"a state is one of {', '.join(STATES)}")
    kind, _, trigger = filters.type.replace("_", "^").partition("^")
    return MessageQuery(
        control_id=filters.control_id,
        mrn=filters.mrn,
        visit=filters.visit,
        type=kind,
        trigger=trigger,
        state=filters.state,
        source=filters.source,
        before=row_number(before, "message") if before else None,
        count=PAGE,
    )


def row_of(message: LoggedMessage, *, masked: bool) -> Row:
    """A message for the list."""
    mrn, visit = (shape(text) if masked else text for text in (message.mrn, message.visit))
    return Row(message, _moment(message.received), mrn, visit)


def message_shown(store: Store, id: int, *, masked: bool) -> MessageShown:
    """A message for its page. Raises: FhirError not-found."""
    message = store.hl7v2_messages.get(id)
    if message is None:
        raise FhirError("not-found", "There is no such message.")
    text = store.hl7v2_traces.get(id, message.mapping_version)
    trace = read_trace(text) if text is not None else {}
    segments, problem = _segments(store.hl7v2_messages.raw(id), masked=masked)
    return MessageShown(
        row=row_of(message, masked=masked),
        masked=masked,
        segments=segments,
        problem=problem,
        event=_moment(message.event_at),
        ended=_moment(message.ended),
        answer=ANSWERS.get(message.ack_code, ""),
        trace=trace,
        steps=tuple(_step(step, masked=masked) for step in trace.get("steps", ())[:STEPS_SHOWN]),
    )


def _segments(raw: bytes, *, masked: bool) -> tuple[tuple[SegmentShown, ...], str]:
    if not raw:
        return (), "Its bytes are not in the log any more."
    try:
        message = parse(raw)
    except Hl7Error:
        return (), "It cannot be read as a message; `baton hl7v2 show --raw` prints its bytes."
    shown = [
        SegmentShown(
            segment.name,
            segment_name(segment.name) or "a segment of the site",
            tuple(_fields(segment, masked=masked and segment.name != "MSH")),
        )
        for segment in message.segments[:SEGMENTS_SHOWN]
    ]
    more = len(message.segments) - len(shown)
    return tuple(shown), f"{more} more segments are not shown." if more else ""


def _fields(segment: Segment, *, masked: bool) -> list[FieldShown]:
    shown = []
    for number in range(1, segment.last_field + 1):
        repetitions = segment.repetitions(number)
        if not repetitions:
            continue
        raw = segment.raw_field(number).decode("utf-8", "replace")
        text = raw if len(raw) <= FIELD_LENGTH else f"{raw[:FIELD_LENGTH]}…"
        name, kind = field_name(segment.name, number), field_type(segment.name, number)
        title = _title(name, kind, repetitions[0])
        shown.append(FieldShown(f"{segment.name}-{number}", name, title, shape(text) if masked else text))
    return shown


def _title(name: str, kind: str, first: Repetition) -> str:
    parts = [
        f"{index} {component_name(kind, index)}"
        for index, component in enumerate(first.components, start=1)
        if component and component_name(kind, index) and any(not value.is_empty for value in component)
    ]
    told = " ".join(part for part in (name or "not named by the standard", f"({kind})" if kind else "") if part)
    return f"{told}: {', '.join(parts)}" if parts else told


def _step(step: Mapping[str, Any], *, masked: bool) -> dict[str, str]:
    raw, value = str(step.get("raw", "")), step.get("value")
    became = value if isinstance(value, str) else text_of(value)
    intent = str(step["intent"])
    return {
        # What a further resource is called begins with its type and ends with what identifies it.
        "intent": intent.partition(":")[0] if masked else intent,
        "path": str(step["path"]),
        "from": " ".join(step.get("positions", ())),
        "rule": str(step.get("rule", "")),
        "using": " ".join(filter(None, (str(step.get("using", "")), str(step.get("table", ""))))),
        "raw": (shape(raw) if masked else raw)[:_TEXT_LIMIT],
        "value": (shape(became) if masked else became)[:_TEXT_LIMIT],
    }


def shape(text: str) -> str:
    """Letters as x, digits as 9, everything else as it is."""
    return "".join("x" if char.isalpha() else "9" if char.isdigit() else char for char in text)


def _moment(microseconds: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M:%S}"
