"""One FHIR resource -> one Item: medication, sig, and the amount of each ingredient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from smart_app.reconciliation.normalise import normalise
from smart_app.reconciliation.records import (
    Amount,
    DrugLookup,
    IngredientAmount,
    Item,
    Medication,
    Sig,
    Source,
)
from smart_app.reconciliation.schedule import mean_rate
from smart_app.reconciliation.sig import NO_UNIT, ordered, read_sig
from smart_app.reconciliation.sig_text import NOT_UNDERSTOOD, parse_sig
from smart_app.reconciliation.words import amount_words, dosage_words
from terminology.units import EACH, canonical_amount

_DOSAGES = {
    "MedicationRequest": "dosageInstruction",
    "MedicationStatement": "dosage",
    "MedicationDispense": "dosageInstruction",
}
_LINKS = {
    "MedicationRequest": ("basedOn", "priorPrescription", "supportingInformation"),
    "MedicationStatement": ("basedOn", "derivedFrom", "partOf"),
    "MedicationDispense": ("authorizingPrescription", "partOf"),
}
_ASSERTERS = {
    "MedicationRequest": ("requester", "reportedReference", "recorder"),
    "MedicationStatement": ("informationSource",),
    "MedicationDispense": ("performer",),
}
_DATES = {
    "MedicationRequest": ("authoredOn",),
    "MedicationStatement": ("dateAsserted", "effectiveDateTime"),
    "MedicationDispense": ("whenHandedOver", "whenPrepared"),
}
_TOLERANCE = Fraction(1, 1000)
"""Two amounts within a thousandth are the same: strengths are rounded on labels."""

MEDICATION_TYPES = frozenset(_DOSAGES)


def same_amount(one: Fraction | Decimal, other: Fraction | Decimal) -> bool:
    """Equal within the rounding of strengths on labels."""
    if type(one) is type(other) and one == other:
        return True
    a, b = Fraction(one), Fraction(other)
    return abs(a - b) <= _TOLERANCE * max(abs(a), abs(b))


def item(
    resource: Mapping[str, Any],
    *,
    source: Source,
    reference: str,
    medications: Mapping[str, Mapping[str, Any]],
    terminology: DrugLookup,
) -> Item:
    """Read one MedicationRequest, MedicationStatement or MedicationDispense.

    medications: Medication resources by `Medication/id` and by full URL.
    """
    kind = str(resource.get("resourceType"))
    medication = normalise(_concept(resource, medications), terminology)
    spoken = spoken_dosages(resource, medication)
    if medication.inferred and _counts(spoken, medication.form or ""):
        medication = replace(medication, inferred=False)
    sig = _settle(read_sig([dosage for dosage, _ in spoken]), medication)
    sig = replace(sig, text="; ".join(dict.fromkeys(words for _, words in spoken if words)))
    if resource.get("modifierExtension"):
        sig = replace(sig, complex=(*sig.complex, "an extension that changes its meaning"))
    per_dose = _per_dose(sig.dose, medication)
    if sig.dose_again and _disagree(sig, medication, per_dose):
        sig = replace(sig, complex=(*sig.complex, "the dose is stated in two ways that disagree"))
    per_day: tuple[IngredientAmount, ...] = ()
    if sig.per_day is not None and not sig.complex:
        per_day = _times(per_dose, sig.per_day)
    elif sig.steps and (rates := mean_rate(sig.steps)):
        each = [_times(_per_dose(s.dose, medication), r) for s, r in zip(sig.steps, rates, strict=True)]
        per_day = _sum(each)
    period = _period(resource, kind)
    return Item(
        reference=reference,
        version=_text(_mapping(resource.get("meta")).get("versionId")),
        source=replace(
            source, asserter=_asserter(resource, kind) or source.asserter, date=_date(resource, kind)
        ),
        medication=medication,
        sig=sig,
        status=str(resource.get("status") or "unknown"),
        per_dose=per_dose,
        per_day=per_day,
        identifiers=_identifiers(resource),
        based_on=tuple(sorted(set(_links(resource, kind)))),
        start=period[0],
        end=period[1],
        indication=_indication(resource),
        days_supply=_days_supply(resource),
        resource=dict(resource),
    )


def spoken_dosages(resource: Mapping[str, Any], medication: Medication) -> list[tuple[Mapping[str, Any], str]]:
    """The dosages of a resource in their sequence, each in words: its text, its codes, or both."""
    raw = resource.get(_DOSAGES[str(resource.get("resourceType"))])
    dosages = ordered([d for d in raw if isinstance(d, Mapping)] if isinstance(raw, list) else [])
    sigs = [_settle(read_sig([dosage]), medication) for dosage in dosages]
    return [(d, _said(sig, medication)) for d, sig in zip(dosages, sigs, strict=True)]


_COUNTED = re.compile(r"\b(tab|tbl|cap|patch|supp|lozenge)", re.IGNORECASE)


def _counts(spoken: Sequence[tuple[Mapping[str, Any], str]], form: str) -> bool:
    """Whether the instruction counts what the form is: "1 tablet" says that it comes in tablets."""
    said = " ".join(f"{_units(dosage)} {dosage.get('text') or ''}" for dosage, _ in spoken)
    counted = {word.lower().replace("tbl", "tab") for word in _COUNTED.findall(said)}
    return bool(counted) and all(word in form.lower() for word in counted)


def _units(dosage: Mapping[str, Any]) -> str:
    doses = (_mapping(each.get("doseQuantity")) for each in _many(dosage.get("doseAndRate")))
    return " ".join(str(dose.get(key) or "") for dose in doses for key in ("unit", "code"))


def _said(sig: Sig, medication: Medication) -> str:
    """The text, with the codes in words where it was understood and says less than they do."""
    coded = dosage_words(sig, medication)
    if not sig.text:
        return coded
    read = parse_sig(sig.text)
    less = (
        (read.dose is None and sig.dose is not None)
        or (read.per_day is None and sig.per_day is not None)
        or (not read.as_needed and sig.as_needed)
        or (read.duration_days is None and sig.duration_days is not None)
        or (not read.when and sig.when)
    )
    return f"{sig.text} ({coded})" if less and NOT_UNDERSTOOD not in read.complex else sig.text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _many(value: object) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, Mapping)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _concept(
    resource: Mapping[str, Any], medications: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    if concept := _mapping(resource.get("medicationCodeableConcept")):
        return concept
    reference = _mapping(resource.get("medicationReference"))
    target = str(reference.get("reference") or "")
    if target.startswith("#"):
        contained = _many(resource.get("contained"))
        found = next((each for each in contained if each.get("id") == target[1:]), None)
    else:
        found = medications.get(target)
    concept = dict(_mapping((found or {}).get("code")))
    if "text" not in concept and (display := _text(reference.get("display"))):
        concept["text"] = display
    return concept or None


def _settle(sig: Sig, medication: Medication) -> Sig:
    """What only the product tells: what a dose without a unit counts, that a patch acts through the skin."""
    if medication.route == "transdermal" and sig.route == "topical":
        sig = replace(sig, route=medication.route)
    if sig.dose is None or sig.dose.unit != "1":
        return sig
    if medication.strengths and all(strength.per is None for strength in medication.strengths):
        return replace(sig, dose=Amount(sig.dose.value, EACH))
    return replace(sig, complex=(*sig.complex, NO_UNIT))


def _per_dose(dose: Amount | None, medication: Medication) -> tuple[IngredientAmount, ...]:
    """The amount of each ingredient in one dose; empty unless it follows from what is known."""
    if dose is None or not medication.ingredients:
        return ()
    strengths = medication.strengths
    if dose.unit == EACH and strengths and all(strength.per == "h" for strength in strengths):
        # A patch: what it gives an hour is its dose.
        return tuple(_scaled(s.ingredient, s.value, f"{s.unit}/h", dose.value) for s in strengths)
    if strengths and all((strength.per or EACH) == dose.unit for strength in strengths):
        return tuple(_scaled(s.ingredient, s.value, s.unit, dose.value) for s in strengths)
    stated = canonical_amount(dose.value, dose.unit)
    if len(medication.ingredients) == 1 and stated and stated[1] in ("mg", "[iU]", "meq", "mmol"):
        units = {unit[1] for s in strengths if (unit := canonical_amount(s.value, s.unit))}
        if not units or units == {stated[1]}:
            return (IngredientAmount(medication.ingredients[0].rxcui, stated[0], stated[1]),)
    return ()


def _scaled(ingredient: str, value: Decimal, unit: str, times: Decimal) -> IngredientAmount:
    canonical = canonical_amount(value, unit) or (Fraction(value), unit)
    return IngredientAmount(ingredient, canonical[0] * Fraction(times), canonical[1])


def _times(amounts: tuple[IngredientAmount, ...], rate: Fraction) -> tuple[IngredientAmount, ...]:
    return tuple(replace(amount, value=amount.value * rate) for amount in amounts)


def _sum(each: list[tuple[IngredientAmount, ...]]) -> tuple[IngredientAmount, ...]:
    """The amounts of several steps together; empty if one is unknown or another unit."""
    kinds = {tuple((amount.ingredient, amount.unit) for amount in amounts) for amounts in each}
    if len(kinds) != 1:
        return ()
    return tuple(replace(same[0], value=sum(a.value for a in same)) for same in zip(*each, strict=True))


def _disagree(sig: Sig, medication: Medication, per_dose: tuple[IngredientAmount, ...]) -> bool:
    again = sig.dose_again
    if again is None or sig.dose is None:
        return False
    if again.unit == sig.dose.unit:
        return again.value != sig.dose.value
    other = _per_dose(again, medication)
    if not other or not per_dose:
        return len(medication.ingredients) < 2
    pairs = zip(other, per_dose, strict=False)
    return any(a.unit != b.unit or not same_amount(a.value, b.value) for a, b in pairs)


def _identifiers(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Business identifiers with a system; one without says nothing about another list."""
    found = _many(resource.get("identifier"))
    return tuple(sorted({f"{i['system']}|{i['value']}" for i in found if i.get("system") and i.get("value")}))


def _links(resource: Mapping[str, Any], kind: str) -> Sequence[str]:
    return [
        str(target["reference"])
        for name in _LINKS[kind]
        for target in _many(resource.get(name))
        if target.get("reference")
    ]


THE_PATIENT = "the patient"


def _asserter(resource: Mapping[str, Any], kind: str) -> str | None:
    for name in _ASSERTERS[kind]:
        for entry in _many(resource.get(name)):
            target = _mapping(entry.get("actor")) or entry
            if words := target.get("display"):
                return str(words)
            reference = str(target.get("reference") or "")
            if reference.startswith("Patient/"):
                return THE_PATIENT
            if reference:
                return reference
    return None


def _date(resource: Mapping[str, Any], kind: str) -> str | None:
    return next((text for name in _DATES[kind] if (text := _text(resource.get(name)))), None)


def _period(resource: Mapping[str, Any], kind: str) -> tuple[str | None, str | None]:
    if kind == "MedicationStatement":
        period = _mapping(resource.get("effectivePeriod"))
        return _text(period.get("start")) or _text(resource.get("effectiveDateTime")), _text(period.get("end"))
    if kind == "MedicationRequest":
        period = _mapping(_mapping(resource.get("dispenseRequest")).get("validityPeriod"))
        return _text(period.get("start")) or _text(resource.get("authoredOn")), _text(period.get("end"))
    return _date(resource, kind), None


def _indication(resource: Mapping[str, Any]) -> str | None:
    for concept in _many(resource.get("reasonCode")):
        codings = _many(concept.get("coding"))
        if words := concept.get("text") or next((c["display"] for c in codings if c.get("display")), None):
            return str(words)
    references = _many(resource.get("reasonReference"))
    return next((str(target["display"]) for target in references if target.get("display")), None)


def _days_supply(resource: Mapping[str, Any]) -> Decimal | None:
    value = _mapping(resource.get("daysSupply")).get("value")
    return Decimal(str(value)) if isinstance(value, int | float | Decimal) else None


def understood_dose(line: Item) -> str:
    """The dose in words: the amount of the ingredients where it is known, else as it was stated."""
    if not line.per_dose:
        return amount_words(line.sig.dose, line.medication)
    return " / ".join(
        amount_words(Amount(Decimal(a.value.numerator) / Decimal(a.value.denominator), a.unit))
        for a in line.per_dose
    )
