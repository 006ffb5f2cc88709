"""A coded Timing -> administrations a day, moments and duration; what cannot be compared says why.

Source: hl7.org/fhir/R4/datatypes.html#Timing
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from smart_app.reconciliation.dosage_json import concept_words, decimal, mapping
from smart_app.reconciliation.sig_text import NOT_UNDERSTOOD, parse_sig
from smart_app.reconciliation.vocabulary import timing_codes

_DAYS = {
    "s": Fraction(1, 86400),
    "min": Fraction(1, 1440),
    "h": Fraction(1, 24),
    "d": Fraction(1),
    "wk": Fraction(7),
    "mo": Fraction(30),
    "a": Fraction(365),
}
"""Days in a FHIR periodUnit; a month counts 30 days, as domain 3.2 has it."""
_MEALS = frozenset({"C", "AC", "PC"})


def read_timing(
    timing: Mapping[str, Any],
) -> tuple[Fraction | None, tuple[str, ...], Fraction | None, list[str]]:
    """(administrations a day, moments, duration in days, reasons why it is not comparable)"""
    reasons: list[str] = ["single events are listed"] if timing.get("event") else []
    repeat = mapping(timing.get("repeat"))
    per_day = _rate(repeat, reasons)
    when = {str(code) for key in ("when", "dayOfWeek", "timeOfDay") for code in repeat.get(key) or ()}
    code = mapping(timing.get("code"))
    coded_rate, coded_when = coded_timing(code)
    if code and coded_rate is None:
        spoken = parse_sig(concept_words(code))
        coded_rate, coded_when = spoken.per_day, set(spoken.when)
        # Beside a complete repeat, words that say nothing known are compared as words (see `sig`).
        reasons += [why for why in spoken.complex if per_day is None or why != NOT_UNDERSTOOD]
    if per_day is None:
        per_day = coded_rate
    elif coded_rate is not None and coded_rate != per_day:
        reasons.append("timing and its code disagree")
    if repeat.get("offset"):
        reasons.append("an offset from an event")
    if repeat.get("duration") is not None:
        reasons.append("each administration lasts a stated time")
    return per_day, tuple(sorted(when | coded_when)), _duration(repeat, per_day, reasons), reasons


def coded_timing(code: Mapping[str, Any]) -> tuple[Fraction | None, set[str]]:
    """What a known timing code stands for: (administrations a day, moments); (None, empty) of another."""
    spellings = [str(coding.get("code") or "") for coding in map(mapping, code.get("coding") or ())]
    for spelling in [*spellings, str(code.get("text") or "")]:
        if known := timing_codes().get(spelling.strip().upper()):
            return known.per_day, set(known.when)
    return None, set()


def _rate(repeat: Mapping[str, Any], reasons: list[str]) -> Fraction | None:
    if any(repeat.get(key) is not None for key in ("frequencyMax", "periodMax", "countMax")):
        reasons.append("a range of frequencies")
    period, unit = decimal(repeat.get("period")), _DAYS.get(str(repeat.get("periodUnit") or ""))
    frequency = decimal(repeat.get("frequency"))
    days = len(set(repeat.get("dayOfWeek") or ()))
    moments = len(set(repeat.get("timeOfDay") or ())) or len(set(repeat.get("when") or ()) - _MEALS)
    rate: Fraction | None = None
    if period and unit and period > 0:
        # "when" or times of day without a frequency: once at each of them, in each period.
        rate = Fraction(frequency if frequency is not None else (moments or 1)) / (Fraction(period) * unit)
    elif moments and not period and frequency is None:
        rate = Fraction(moments)
    if days:
        weekly = Fraction(days, 7)
        if rate is None and not period and frequency is None:
            return weekly * max(moments, 1)
        if rate is not None and period == 1 and unit == 1:
            return rate * weekly
        if rate is not None and unit == _DAYS["wk"] and period == 1 and rate == Fraction(1, 7):
            return weekly * max(moments, 1)
    return rate


def _duration(repeat: Mapping[str, Any], per_day: Fraction | None, reasons: list[str]) -> Fraction | None:
    bounds = mapping(repeat.get("boundsDuration"))
    value = decimal(bounds.get("value"))
    if value is not None:
        unit = _DAYS.get(str(bounds.get("code") or bounds.get("unit") or ""))
        if unit:
            return Fraction(value) * unit
        reasons.append("a duration in unknown units")
    if repeat.get("boundsRange"):
        reasons.append("a range of durations")
    period = mapping(repeat.get("boundsPeriod"))
    start, end = _day(period.get("start")), _day(period.get("end"))
    if start and end and end >= start:
        return Fraction((end - start).days + 1)
    if end:
        reasons.append("an end without a beginning")
    count = decimal(repeat.get("count"))
    if count and per_day:
        return Fraction(count) / per_day
    return None


def _day(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None
