"""One FHIR resource -> one Item: medication, sig, and the amount of each ingredient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from smart_app.reconciliation.amounts import per_dose_amounts, stated_twice_differently, times, total
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
from smart_app.reconciliation.words import dosage_words
from terminology.units import EACH

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
MEDICATION_TYPES = frozenset(_DOSAGES)


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
    dosages = _dosages(resource)
    each = [_settle(read_sig([dosage]), medication) for dosage in dosages]
    if medication.inferred and _counts(dosages, medication.form or ""):
        medication = replace(medication, inferred=False)
    sig = each[0] if len(each) == 1 else _settle(read_sig(dosages), medication)
    spoken = [_said(one, medication) for one in each]
    sig = replace(sig, text="; ".join(dict.fromkeys(words for words in spoken if words)))
    if resource.get("modifierExtension"):
        sig = replace(sig, complex=(*sig.complex, "an extension that changes its meaning"))
    per_dose = per_dose_amounts(sig.dose, medication)
    if sig.dose_again and stated_twice_differently(sig, medication, per_dose):
        sig = replace(sig, complex=(*sig.complex, "the dose is stated in two ways that disagree"))
    per_day: tuple[IngredientAmount, ...] = ()
    if sig.per_day is not None and not sig.complex:
        per_day = times(per_dose, sig.per_day)
    elif sig.steps and (rates := mean_rate(sig.steps)):
        taken = [times(per_dose_amounts(s.dose, medication), r) for s, r in zip(sig.steps, rates, strict=True)]
        per_day = total(taken)
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
    dosages = _dosages(resource)
    sigs = [_settle(read_sig([dosage]), medication) for dosage in dosages]
    return [(d, _said(sig, medication)) for d, sig in zip(dosages, sigs, strict=True)]


def _dosages(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    raw = resource.get(_DOSAGES[str(resource.get("resourceType"))])
    return ordered([d for d in raw if isinstance(d, Mapping)] if isinstance(raw, list) else [])


_COUNTED = re.compile(r"\b(tab|tbl|cap|patch|supp|lozenge)", re.IGNORECASE)


def _counts(dosages: Sequence[Mapping[str, Any]], form: str) -> bool:
    """Whether the instruction counts what the form is: "1 tablet" says that it comes in tablets."""
    said = " ".join(f"{_units(dosage)} {dosage.get('text') or ''}" for dosage in dosages)
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
