"""When the event that a message tells of happened: what is older never overwrites what is newer."""

from __future__ import annotations

from datetime import UTC, datetime

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import Message
from mappings.result import Source
from mappings.scope import Scope

# EVN-6 (when it happened), EVN-2 (when it was recorded), MSH-7 (when the message was made).
_PLACES = ("EVN-6", "EVN-2", "MSH-7")


def event_time(message: Message, source: Source, received: datetime) -> int:
    """UTC microseconds: the first of EVN-6, EVN-2 and MSH-7 that is a time of day, else `received`.

    A time whose offset nobody knows is read as UTC: not when it was, but in the right order among the messages
    of
    its sender. Nothing happens later than it is told: a time after `received` counts as `received`, so that a
    clock gone wrong does not stop every later message.
    """
    latest = _microseconds(received)
    scope = Scope(source, message)
    for place in _PLACES:
        segment = message.first(place[:3])
        number = int(place[4:])
        for repetition in segment.repetitions(number)[:1] if segment else ():
            made = None if repetition.is_null else FUNCTIONS["dtm"](repetition, scope)
            found = _parsed(made, repetition.value().text)
            if found is not None:
                return min(_microseconds(found), latest)
    return latest


def _parsed(made: object, sent: str) -> datetime | None:
    if not isinstance(made, str):
        return None
    if "T" in made:
        return datetime.fromisoformat(made)
    digits = sent.strip().partition("+")[0].partition("-")[0].partition(".")[0]
    for form, length in (("%Y%m%d%H%M%S", 14), ("%Y%m%d%H%M", 12)):
        if len(digits) == length and digits.isdecimal():
            try:
                return datetime.strptime(digits, form).replace(tzinfo=UTC)
            except ValueError:
                return None
    return None


def _microseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000 + at.microsecond
