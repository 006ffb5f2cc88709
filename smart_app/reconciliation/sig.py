"""dosageInstruction of a resource -> Sig: structured parts first, the text for what they leave open.

Source: hl7.org/fhir/R4/dosage.html, hl7.org/fhir/R4/datatypes.html#Timing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from smart_app.reconciliation.dosage_json import concept_words, decimal, mapping
from smart_app.reconciliation.records import Amount, Sig, SigBasis
from smart_app.reconciliation.schedule import schedule_of
from smart_app.reconciliation.sig_text import NOT_UNDERSTOOD, parse_sig
from smart_app.reconciliation.timing import coded_timing, read_timing
from smart_app.reconciliation.vocabulary import routes
from terminology.names import fold
from terminology.systems import UCUM
from terminology.units import canonical_amount

NO_UNIT = "the dose has no unit"


def read_sig(dosages: Sequence[Mapping[str, Any]]) -> Sig:
    """Understand all dosages of one resource; more than one is a schedule of its own and so `complex`.

    Even the same one twice: dosages of one sequence are taken side by side, so it may be the double.

    `text` is what the resource says in words, empty if it says nothing.
    """
    if not dosages:
        return Sig(text="")
    sigs = [_one(dosage) for dosage in ordered(dosages)]
    if len(sigs) == 1:
        return sigs[0]
    text = "; ".join(dict.fromkeys(sig.text for sig in sigs if sig.text))
    reasons = [reason for sig in sigs for reason in sig.complex]
    same_route = {sig.route for sig in sigs}
    return Sig(
        text=text,
        steps=schedule_of(sigs),
        basis=max((sig.basis for sig in sigs), key=list(SigBasis).index),
        as_needed=sigs[0].as_needed if len({sig.as_needed for sig in sigs}) == 1 else None,
        route=sigs[0].route if len(same_route) == 1 else None,
        complex=tuple(dict.fromkeys(["several dosage instructions", *reasons])),
    )


def ordered(dosages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Dosages by their sequence; those without one first, as they stand."""

    def sequence(dosage: Mapping[str, Any]) -> int:
        found = dosage.get("sequence")
        return found if isinstance(found, int) else 0

    return sorted(dosages, key=sequence)


def _one(dosage: Mapping[str, Any]) -> Sig:
    written = str(dosage.get("text") or dosage.get("patientInstruction") or "").strip()
    read = parse_sig(written)
    dose, high, dose_reasons = _dose(dosage.get("doseAndRate"))
    per_day, when, duration, timing_reasons = read_timing(mapping(dosage.get("timing")))
    for_what = concept_words(mapping(dosage.get("asNeededCodeableConcept")))
    as_needed = True if for_what else dosage.get("asNeededBoolean")
    coded = Sig(
        text=written,
        dose=dose,
        per_day=per_day,
        when=when,
        as_needed=bool(as_needed) if as_needed is not None else None,
        duration_days=duration,
        route=_route(mapping(dosage.get("route")), mapping(dosage.get("site"))),
    )
    structured = dose is not None and per_day is not None
    reasons = [*dose_reasons, *timing_reasons]
    # A structured dosage need not be written in words we know, but what the words say must not differ.
    reasons += [why for why in read.complex if not (structured and why == NOT_UNDERSTOOD)]
    reasons += _more(dosage)
    if _contradict(coded, read):
        reasons.append("the text and the structured instruction disagree")
    return replace(
        coded,
        dose=dose or read.dose,
        dose_again=read.dose_again if dose is None else (read.dose or read.dose_again),
        dose_high=high or read.dose_high,
        per_day=per_day if per_day is not None else read.per_day,
        when=tuple(sorted({*when, *read.when})),
        as_needed=coded.as_needed if coded.as_needed is not None else read.as_needed,
        as_needed_for=for_what or read.as_needed_for,
        duration_days=duration if duration is not None else read.duration_days,
        route=_more_precise(coded.route, read.route),
        steps=() if structured else read.steps,
        beside=_beside(dosage, written),
        unread=structured and NOT_UNDERSTOOD in read.complex,
        basis=_basis(coded, read),
        complex=tuple(dict.fromkeys(reasons)),
    )


def _basis(coded: Sig, read: Sig) -> SigBasis:
    """What dose and frequency were taken from: the codes, the text, or one from each."""
    if coded.dose is not None and coded.per_day is not None:
        return SigBasis.CODES
    from_text = read.dose is not None or read.per_day is not None or bool(read.steps)
    if coded.dose is not None or coded.per_day is not None:
        return SigBasis.CODES_AND_TEXT if from_text else SigBasis.CODES
    return SigBasis.TEXT if from_text else SigBasis.NOTHING


def _more(dosage: Mapping[str, Any]) -> list[str]:
    """Reasons that stand beside dose and timing: additional instructions, maxima, modifier extensions."""
    found = ["an extension that changes its meaning"] if dosage.get("modifierExtension") else []
    if any(dosage.get(key) for key in _MAXIMA):
        found.append("a maximum is stated")
    for words in _additional(dosage):
        found += [why for why in parse_sig(words).complex if why != NOT_UNDERSTOOD]
    return found


_MAXIMA = ("maxDosePerPeriod", "maxDosePerAdministration", "maxDosePerLifetime")


def _additional(dosage: Mapping[str, Any]) -> list[str]:
    more = dosage.get("additionalInstruction")
    return [concept_words(mapping(concept)) for concept in more] if isinstance(more, list) else []


def _beside(dosage: Mapping[str, Any], written: str) -> tuple[str, ...]:
    """What is said besides the text and the codes that were read, unless it only repeats the text."""
    told = [*_additional(dosage), str(dosage.get("patientInstruction") or "")]
    timing = mapping(mapping(dosage.get("timing")).get("code"))
    if coded_timing(timing)[0] is None and NOT_UNDERSTOOD in parse_sig(concept_words(timing)).complex:
        told.append(concept_words(timing))
    return tuple(sorted({fold(words) for words in told if words.strip()} - {fold(written)}))


def _contradict(coded: Sig, read: Sig) -> bool:
    """Whether the text, as far as it was understood whole, says something else than the codes."""
    if read.complex:
        return False
    if read.dose and coded.dose and read.dose.unit == coded.dose.unit and read.dose.value != coded.dose.value:
        return True
    if coded.as_needed is False and read.as_needed:
        return True
    moments = set(coded.when), set(read.when)
    if all(moments) and not (moments[0] <= moments[1] or moments[1] <= moments[0]):
        return True
    if coded.route and read.route and _more_precise(coded.route, read.route) is None:
        return True
    return any(
        read_value is not None and coded_value is not None and read_value != coded_value
        for read_value, coded_value in (
            (read.per_day, coded.per_day),
            (read.duration_days, coded.duration_days),
        )
    )


def _more_precise(one: str | None, other: str | None) -> str | None:
    """`ophthalmic left` of `ophthalmic` and `ophthalmic left`; None if neither contains the other."""
    if one is None or other is None:
        return one or other
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return longer if longer == shorter or longer.startswith(shorter + " ") else None


def _amount(quantity: Mapping[str, Any]) -> Amount | None:
    """A Quantity in its canonical unit; unity where it has none (the product says what is counted)."""
    value = decimal(quantity.get("value"))
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
    entries = [mapping(entry) for entry in rates] if isinstance(rates, list) else []
    if not entries:
        return None, None, []
    found: list[Amount] = []
    high: Amount | None = None
    reasons: list[str] = []
    for entry in entries:
        if any(key.startswith("rate") for key in entry):
            reasons.append("given at a rate")
        if amount := _amount(mapping(entry.get("doseQuantity"))):
            found.append(amount)
        bounds = mapping(entry.get("doseRange"))
        low, top = _amount(mapping(bounds.get("low"))), _amount(mapping(bounds.get("high")))
        if low and low == top:
            found.append(low)
        elif low or top:
            reasons.append("a range of doses")
            high = top
            found += [low] if low else []
    if len(set(found)) > 1:
        reasons.append("several doses")
    return found[0] if found else None, high, reasons


def _route(concept: Mapping[str, Any], site: Mapping[str, Any]) -> str | None:
    """The route in our vocabulary, else in the words of the source; a site makes it another one."""
    route = _known_route(concept) or concept_words(concept).lower() or None
    place = _known_route(site) or concept_words(site).lower()
    if not place or place == route:
        return route
    return place if route is None or place.startswith(route) else f"{route} {place}"


def _known_route(concept: Mapping[str, Any]) -> str | None:
    codings = [mapping(coding) for coding in concept.get("coding") or ()]
    spellings = [str(coding.get(key) or "") for coding in codings for key in ("code", "display")]
    for spelling in [*spellings, str(concept.get("text") or "")]:
        if known := routes().get(spelling.strip().lower()):
            return known
    return None
