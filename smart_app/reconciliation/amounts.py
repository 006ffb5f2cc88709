"""A dose and a product -> how much of each ingredient that is, in canonical UCUM units."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from smart_app.reconciliation.records import Amount, IngredientAmount, Item, Medication, Sig
from smart_app.reconciliation.words import amount_words
from terminology.units import EACH, canonical_amount

_TOLERANCE = Fraction(1, 1000)
"""Two amounts within a thousandth are the same: strengths are rounded on labels."""


def same_amount(one: Fraction | Decimal, other: Fraction | Decimal) -> bool:
    """Equal within the rounding of strengths on labels."""
    if type(one) is type(other) and one == other:
        return True
    a, b = Fraction(one), Fraction(other)
    return abs(a - b) <= _TOLERANCE * max(abs(a), abs(b))


def per_dose_amounts(dose: Amount | None, medication: Medication) -> tuple[IngredientAmount, ...]:
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


def times(amounts: tuple[IngredientAmount, ...], rate: Fraction) -> tuple[IngredientAmount, ...]:
    """The amounts of `rate` administrations."""
    return tuple(replace(amount, value=amount.value * rate) for amount in amounts)


def total(each: list[tuple[IngredientAmount, ...]]) -> tuple[IngredientAmount, ...]:
    """The amounts of several steps together; empty if one is unknown or another unit."""
    kinds = {tuple((amount.ingredient, amount.unit) for amount in amounts) for amounts in each}
    if len(kinds) != 1:
        return ()
    return tuple(replace(same[0], value=sum(a.value for a in same)) for same in zip(*each, strict=True))


def stated_twice_differently(sig: Sig, medication: Medication, per_dose: tuple[IngredientAmount, ...]) -> bool:
    """Whether the dose is said a second way that does not come to the same amount."""
    again = sig.dose_again
    if again is None or sig.dose is None:
        return False
    if again.unit == sig.dose.unit:
        return again.value != sig.dose.value
    other = per_dose_amounts(again, medication)
    if not other or not per_dose:
        return len(medication.ingredients) < 2
    pairs = zip(other, per_dose, strict=False)
    return any(a.unit != b.unit or not same_amount(a.value, b.value) for a, b in pairs)


def understood_dose(line: Item) -> str:
    """The dose in words: the amount of the ingredients where it is known, else as it was stated."""
    if not line.per_dose:
        return amount_words(line.sig.dose, line.medication)
    return " / ".join(
        amount_words(Amount(Decimal(a.value.numerator) / Decimal(a.value.denominator), a.unit))
        for a in line.per_dose
    )
