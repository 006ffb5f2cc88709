"""A start and how long it takes -> when it ends (HL7 v2.5.1 chapters 4.5.4 and 10.6).

Schedules say when something starts and how long it takes, FHIR wants to know when it ends. Which field tells
the length of what starts in another one stands in lengths.csv, the nearest one first.
"""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.content import said
from mappings.datatypes.amounts import minutes, span
from mappings.datatypes.times import moment
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

# Segment, field, and the component that holds a length in the letters of TQ.3 (0: the field is a number or CQ).
Length = tuple[str, int, int]


@cache
def _lengths() -> dict[tuple[str, int], tuple[Length, ...]]:
    found: dict[tuple[str, int], tuple[Length, ...]] = {}
    with (Path(__file__).parent / "lengths.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["segment"], int(row["field"]))
            length = (row["of"], int(row["length"]), int(row["component"] or 0))
            found[key] = (*found.get(key, ()), length)
    return found


def dtm_end(value: Repetition, scope: Scope) -> str | None:
    """DTM, TS -> instant: when that ends which starts then; None where it is not known how long it takes."""
    leaf = value.value(1)
    apart = scope.apart()
    start = moment(leaf, apart)  # what is wrong with the start is said where the start is read
    if start is None or not start.is_exact:
        return None
    position = leaf.position
    for length in _lengths().get((position.segment, position.field), ()):
        lasts = _minutes(value, length, scope)
        if lasts is None:
            continue
        try:
            end = datetime.fromisoformat(start.written) + timedelta(minutes=lasts)
        except (ValueError, OverflowError):
            return None
        scope.used(leaf)
        return end.isoformat().replace("+00:00", "Z")
    return None


def _minutes(value: Repetition, length: Length, scope: Scope) -> int | None:
    segment, field, component = length
    if segment == value.value(1).position.segment:
        holder = scope.sibling(value, field)
    else:
        other = scope.message.first(segment)
        repetitions = other.repetitions(field) if other is not None else ()
        holder = repetitions[0] if repetitions and not repetitions[0].is_empty else None
    if holder is None:
        return None
    if not component:
        return minutes(holder, scope)
    leaf = holder.value(component)
    found = span(said(leaf))
    lasts = int(found["value"] * _MINUTES.get(found["code"], 0)) if found else 0
    if not lasts:
        return None
    scope.used(leaf)
    return lasts


_MINUTES = {"min": 1, "h": 60, "d": 1440, "wk": 10080}
