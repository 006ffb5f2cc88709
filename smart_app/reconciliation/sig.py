"""dosageInstruction of a resource -> Sig: structured parts first, the text for what they leave open.

Source: hl7.org/fhir/R4/dosage.html, hl7.org/fhir/R4/datatypes.html#Timing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from smart_app.reconciliation.records import Amount, Sig
from smart_app.reconciliation.sig_text import NOT_UNDERSTOOD, parse_sig
from smart_app.reconciliation.vocabulary import routes, timing_codes
from terminology.systems import UCUM
from terminology.units import canonical_amount

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
NO_UNIT = "the dose has no unit"


def read_sig(dosages: Sequence[Mapping[str, Any]]) -> Sig:
    """Understand all dosages of one resource; more than one is a schedule of its own and so `complex`.

    `text` is what the resource says in words, empty if it says nothing.
    """
    if not dosages:
        return Sig(text="")
    ordered = sorted(dosages, key=lambda dosage: _sequence(dosage))
    sigs = [_one(dosage) for dosage in ordered]
    if len(sigs) == 1:
        return sigs[0]
    text = "; ".join(dict.fromkeys(sig.text for sig in sigs if sig.text))
    reasons = [reason for sig in sigs for reason in sig.complex]
    if len({replace(sig, text="") for sig in sigs}) == 1:
        return replace(sigs[0], text=text)
    same_route = {sig.route for sig in sigs}
    return Sig(
        text=text,
        as_needed=sigs[0].as_needed if len({sig.as_needed for sig in sigs}) == 1 else None,
        route=sigs[0].route if len(same_route) == 1 else None,
        complex=tuple(dict.fromkeys(["several dosage instructions", *reasons])),
    )


def _sequence(dosage: Mapping[str, Any]) -> int:
    sequence = dosage.get("sequence")
    return sequence if isinstance(sequence, int) else 0


def _one(dosage: Mapping[str, Any]) -> Sig:
    written = str(dosage.get("text") or dosage.get("patientInstruction") or "").strip()
    read = parse_sig(written)
    dose, high, dose_reasons = _dose(dosage.get("doseAndRate"))
    timing = _mapping(dosage.get("timing"))
    per_day, when, duration, timing_reasons = _timing(timing)
    route = _route(_mapping(dosage.get("route")))
    for_what = _words(_mapping(dosage.get("asNeededCodeableConcept")))
    as_needed = True if for_what else dosage.get("asNeededBoolean")
    structured = dose is not None and per_day is not None
    reasons = [*dose_reasons, *timing_reasons]
    # A structured dosage need not be written in words we know, but what the words say must not differ.
    reasons += [why for why in read.complex if not (structured and why == NOT_UNDERSTOOD)]
    reasons += _more(dosage)
    if structured and written and _contradict(dose, per_day, as_needed, read):
        reasons.append("the text and the structured instruction disagree")
    return Sig(
        text=written,
        dose=dose or read.dose,
        dose_again=read.dose_again if dose is None else (read.dose or read.dose_again),
        dose_high=high or read.dose_high,
        per_day=per_day if per_day is not None else read.per_day,
        when=when or read.when,
        as_needed=bool(as_needed) if as_needed is not None else read.as_needed,
        as_needed_for=for_what or read.as_needed_for,
        duration_days=duration if duration is not None else read.duration_days,
        route=route or read.route,
        unread=structured and NOT_UNDERSTOOD in read.complex,
        complex=tuple(dict.fromkeys(reasons)),
    )


def _more(dosage: Mapping[str, Any]) -> list[str]:
    """Reasons that stand beside dose and timing: additional instructions, modifier extensions."""
    found = ["an extension that changes its meaning"] if dosage.get("modifierExtension") else []
    more = dosage.get("additionalInstruction")
    for concept in more if isinstance(more, list) else []:
        said = parse_sig(_words(_mapping(concept)))
        found += [why for why in said.complex if why != NOT_UNDERSTOOD]
    return found


def _contradict(dose: Amount | None, per_day: Fraction | None, as_needed: object, read: Sig) -> bool:
    if read.complex:
        return False
    if read.dose and dose and read.dose.unit == dose.unit and read.dose.value != dose.value:
        return True
    if as_needed is False and read.as_needed:
        return True
    return read.per_day is not None and read.per_day != per_day


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _amount(quantity: Mapping[str, Any]) -> Amount | None:
    """A Quantity in its canonical unit; unity where it has none (the product says what is counted)."""
    value = _decimal(quantity.get("value"))
    if value is None or value < 0 or quantity.get("comparator"):
        return None
    code = str(quantity.get("code") or "") if quantity.get("system") == UCUM else ""
    written = str(quantity.get("unit") or quantity.get("code") or "")
    for spelling in (code, written):
        if spelling and (found := canonical_amount(value, spelling)):
            number = Decimal(found[0].numerator) / Decimal(found[0].denominator)
            return Amount(number, "1" if spelling == "1" else found[1])
    return Amount(value, code or written or "1")


def _dose(rates: object) -> tuple[Amount | None, Amount | None, list[str]]:
    """(dose, upper end of a range, reasons why it is not one comparable dose)"""
    entries = [_mapping(entry) for entry in rates] if isinstance(rates, list) else []
    if not entries:
        return None, None, []
    found: list[Amount] = []
    high: Amount | None = None
    reasons: list[str] = []
    for entry in entries:
        if any(key.startswith("rate") for key in entry):
            reasons.append("given at a rate")
        if amount := _amount(_mapping(entry.get("doseQuantity"))):
            found.append(amount)
        bounds = _mapping(entry.get("doseRange"))
        low, top = _amount(_mapping(bounds.get("low"))), _amount(_mapping(bounds.get("high")))
        if low and low == top:
            found.append(low)
        elif low or top:
            reasons.append("a range of doses")
            high = top
            found += [low] if low else []
    if len(set(found)) > 1:
        reasons.append("several doses")
    return found[0] if found else None, high, reasons


def _timing(
    timing: Mapping[str, Any],
) -> tuple[Fraction | None, tuple[str, ...], Fraction | None, list[str]]:
    """(administrations a day, moments, duration in days, reasons)"""
    reasons: list[str] = ["single events are listed"] if timing.get("event") else []
    repeat = _mapping(timing.get("repeat"))
    per_day = _rate(repeat, reasons)
    when = {str(code) for key in ("when", "dayOfWeek", "timeOfDay") for code in repeat.get(key) or ()}
    code = _mapping(timing.get("code"))
    coded_rate, coded_when = _coded_timing(code)
    if code and coded_rate is None and per_day is None:
        spoken = parse_sig(_words(code))
        coded_rate, coded_when = spoken.per_day, set(spoken.when)
        reasons += spoken.complex
    if per_day is None:
        per_day = coded_rate
    elif coded_rate is not None and coded_rate != per_day:
        reasons.append("timing and its code disagree")
    if repeat.get("offset"):
        reasons.append("an offset from an event")
    return per_day, tuple(sorted(when | coded_when)), _duration(repeat, per_day, reasons), reasons


def _coded_timing(code: Mapping[str, Any]) -> tuple[Fraction | None, set[str]]:
    spellings = [str(coding.get("code") or "") for coding in map(_mapping, code.get("coding") or ())]
    for spelling in [*spellings, str(code.get("text") or "")]:
        if known := timing_codes().get(spelling.strip().upper()):
            return known.per_day, set(known.when)
    return None, set()


def _rate(repeat: Mapping[str, Any], reasons: list[str]) -> Fraction | None:
    if any(repeat.get(key) is not None for key in ("frequencyMax", "periodMax", "countMax")):
        reasons.append("a range of frequencies")
    period, unit = _decimal(repeat.get("period")), _DAYS.get(str(repeat.get("periodUnit") or ""))
    frequency = _decimal(repeat.get("frequency"))
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
    bounds = _mapping(repeat.get("boundsDuration"))
    value = _decimal(bounds.get("value"))
    if value is not None:
        unit = _DAYS.get(str(bounds.get("code") or bounds.get("unit") or ""))
        if unit:
            return Fraction(value) * unit
        reasons.append("a duration in unknown units")
    if repeat.get("boundsRange"):
        reasons.append("a range of durations")
    period = _mapping(repeat.get("boundsPeriod"))
    start, end = _day(period.get("start")), _day(period.get("end"))
    if start and end and end >= start:
        return Fraction((end - start).days + 1)
    count = _decimal(repeat.get("count"))
    if count and per_day:
        return Fraction(count) / per_day
    return None


def _day(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None


def _route(concept: Mapping[str, Any]) -> str | None:
    codings = [_mapping(coding) for coding in concept.get("coding") or ()]
    spellings = [str(coding.get(key) or "") for coding in codings for key in ("code", "display")]
    for spelling in [*spellings, str(concept.get("text") or "")]:
        if known := routes().get(spelling.strip().lower()):
            return known
    return _words(concept).lower() or None


def _words(concept: Mapping[str, Any]) -> str:
    codings = [_mapping(coding) for coding in concept.get("coding") or ()]
    displays = [str(coding.get("display") or "") for coding in codings]
    codes = [str(coding.get("code") or "") for coding in codings]
    return next((words for words in [str(concept.get("text") or ""), *displays, *codes] if words), "")
