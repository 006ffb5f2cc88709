"""How much a list asks of the patient: number of medicines, complexity of the regimen, prescribers, pharmacies.

Weights and bounds: `burden.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from smart_app.reconciliation.items import THE_PATIENT
from smart_app.reconciliation.records import Burden, Item
from smart_app.reconciliation.safety.data_files import table
from terminology.units import EACH

_HALF = re.compile(r"\b(?:half|1/2|0\.5) (?:a )?tab|\bcrush|\bbreak|\bsplit")
_MIX = re.compile(r"\bdissolve|\bmix\b|\bdilute")
_MEAL = re.compile(r"\bmeal|\bfood|\bbreakfast|\blunch|\bdinner|\bsupper|empty stomach")
_FLUID = re.compile(r"\bfull glass|\bwith water|\bfluids?\b")
_CHANGING = re.compile(r"\btaper|\bincrease|\bdecrease|\balternat|every other day")
_AS_DIRECTED = re.compile(r"\bas directed|\bas instructed|\bas needed by scale|\bsliding scale")


def burden(items: Sequence[Item], fills: Sequence[Item]) -> Burden:
    """Of one list. Lines whose form or frequency is not known add nothing and are counted as unknown."""
    rules = table("burden.toml")
    prescribers = _people(item for item in items if item.reference.startswith("MedicationRequest/"))
    pharmacies = _people(fill for fill in fills if fill.reference.startswith("MedicationDispense/"))
    count = len(items)
    return Burden(
        medicines=count,
        polypharmacy="hyper" if count >= rules["hyper"] else "poly" if count >= rules["poly"] else "",
        forms=_forms(items),
        frequencies=sum((_frequency(item) or Decimal(0) for item in items), Decimal(0)),
        directions=sum(_directions(item) for item in items),
        unknown=sum(1 for item in items if _form_weight(item) is None or _frequency(item) is None),
        prescribers=len(prescribers),
        many_prescribers=len(prescribers) >= rules["prescribers"],
        pharmacies=len(pharmacies),
        many_pharmacies=len(pharmacies) >= rules["pharmacies"],
        source=f"{rules['source']} ({rules['year']})",
    )


def _people(items: Iterable[Item]) -> frozenset[str]:
    return frozenset(
        item.source.asserter for item in items if item.source.asserter and item.source.asserter != THE_PATIENT
    )


def _form_weight(item: Item) -> int | None:
    form = item.medication.form or ""
    for row in table("burden.toml")["form"]:
        if form and form.startswith(tuple(row["forms"])):
            return int(row["weight"])
    return None


def _forms(items: Sequence[Item]) -> int:
    """Section A: each form once; tablets and capsules are one form."""
    weights: dict[str, int] = {}
    for item in items:
        weight = _form_weight(item)
        if weight is not None:
            weights["tablet or capsule" if weight == 1 else item.medication.form or ""] = weight
    return sum(weights.values())


def _frequency(item: Item) -> Decimal | None:
    """Section B. What is taken as needed without a frequency weighs as once."""
    often = item.sig.per_day
    if often is None and item.sig.as_needed:
        often = Fraction(1)
    if often is None:
        return None
    for row in table("burden.toml")["frequency"]:
        if often <= Fraction(row["most"]):
            return Decimal(str(row["as_needed" if item.sig.as_needed else "regular"]))
    return Decimal(str(row["as_needed" if item.sig.as_needed else "regular"]))


def _directions(item: Item) -> int:
    """Section C, estimated: 1 for each direction, 2 where the dose changes or is left open."""
    sig = item.sig
    text = f"{sig.text} {' '.join(sig.beside)}".casefold()
    several = sig.dose is not None and sig.dose.unit == EACH and sig.dose.value > 1
    ones = (
        bool(_HALF.search(text)) or (sig.dose is not None and sig.dose.unit == EACH and sig.dose.value < 1),
        bool(_MIX.search(text)),
        several,
        sig.dose_high is not None,
        bool(sig.when),
        bool(_MEAL.search(text)),
        bool(_FLUID.search(text)),
    )
    twos = (bool(_AS_DIRECTED.search(text)), bool(_CHANGING.search(text)))
    return sum(ones) + 2 * sum(twos)
