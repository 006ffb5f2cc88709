"""Amounts, rates and sigs as people read them. Only words: nothing here decides."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from smart_app.reconciliation.records import Amount, Item, Medication, Sig
from smart_app.reconciliation.vocabulary import WEEK

_UNITS = {
    "{each}": "",
    "1": "",
    "[iU]": "units",
    "{actuat}": "puffs",
    "[drp]": "drops",
    "{dose}": "doses",
    "{application}": "applications",
    "meq": "mEq",
}
_WHEN = {
    "HS": "at bedtime",
    "NIGHT": "at night",
    "MORN": "in the morning",
    "MORN.early": "early in the morning",
    "MORN.late": "late in the morning",
    "NOON": "at noon",
    "AFT": "in the afternoon",
    "EVE": "in the evening",
    "ACM": "before breakfast",
    "CM": "with breakfast",
    "PCM": "after breakfast",
    "ACD": "before lunch",
    "CD": "with lunch",
    "PCD": "after lunch",
    "ACV": "before dinner",
    "CV": "with dinner",
    "PCV": "after dinner",
    "AC": "before meals",
    "C": "with food",
    "PC": "after meals",
    "WAKE": "on waking",
    "mon": "on Mondays",
    "tue": "on Tuesdays",
    "wed": "on Wednesdays",
    "thu": "on Thursdays",
    "fri": "on Fridays",
    "sat": "on Saturdays",
    "sun": "on Sundays",
}
_RATES = {
    Fraction(1): "once daily",
    Fraction(2): "twice daily",
    Fraction(1, 2): "every other day",
    Fraction(1, 7): "once weekly",
    Fraction(1, 14): "every 2 weeks",
    Fraction(1, 30): "once monthly",
}
UNKNOWN = "not stated"


def number_words(value: Decimal | Fraction) -> str:
    """A number without trailing zeros, rounded to six places only where it does not end."""
    fraction = Fraction(value)
    exact = Decimal(fraction.numerator) / Decimal(fraction.denominator)
    return format(round(exact, 6).normalize(), "f")


def amount_words(amount: Amount | None, medication: Medication | None = None) -> str:
    """`40 mg`, `2 tablets`; what is counted is named by the dose form."""
    if amount is None:
        return UNKNOWN
    number = number_words(amount.value)
    unit = _UNITS.get(amount.unit, amount.unit)
    if amount.unit in ("{each}", "1"):
        form = (medication.form or "").split(" ")[-1].lower() if medication else ""
        unit = form if form in ("tablet", "capsule", "suppository", "lozenge", "patch", "film") else "unit"
        if amount.value != 1:
            unit = {"suppository": "suppositories", "patch": "patches"}.get(unit, unit + "s")
    if amount.unit == "mg" and amount.value < Decimal("0.5") and amount.value > 0:
        return f"{number_words(amount.value * 1000)} mcg"
    if amount.value == 1 and unit in ("units", "puffs", "drops", "doses", "applications"):
        unit = unit[:-1]
    return f"{number} {unit}".strip()


def rate_words(per_day: Fraction | None) -> str:
    """`twice daily`, `every 3 days`, `3 times a week`."""
    if per_day is None:
        return UNKNOWN
    if known := _RATES.get(per_day):
        return known
    if per_day.denominator == 1:
        return f"{per_day} times daily"
    if per_day.numerator == 1:
        return f"every {per_day.denominator} days"
    weekly = per_day * 7
    if weekly.denominator == 1:
        return f"{weekly} times a week"
    return f"{number_words(per_day)} times a day"


def when_words(when: tuple[str, ...]) -> str:
    """`at bedtime and with food`; no moment: `no time stated`."""
    if not when:
        return "no time stated"
    return " and ".join(_WHEN.get(code, f"at {code[:5]}" if ":" in code else code) for code in when)


def duration_words(days: Fraction | None) -> str:
    if days is None:
        return "no end stated"
    return f"for {number_words(days)} day{'' if days == 1 else 's'}"


def dosage_words(sig: Sig, medication: Medication | None = None) -> str:
    """A sig in one line; what is not known is left out, and nothing known gives an empty line.

    What these words cannot say (a range of frequencies, a maximum) is named in brackets.
    """
    if sig.steps:
        return steps_words(sig, medication)
    parts = [_dose_words(sig, medication)] if sig.dose else []
    parts += [sig.route] if sig.route else []
    parts += [rate_words(sig.per_day)] if sig.per_day is not None else []
    parts += [when_words(sig.when)] if sig.when else []
    needed = f"as needed for {sig.as_needed_for}" if sig.as_needed_for else "as needed"
    parts += [needed] if sig.as_needed else []
    parts += [duration_words(sig.duration_days)] if sig.duration_days is not None else []
    words = "; ".join([" ".join(parts), *sig.beside]) if parts else "; ".join(sig.beside)
    unsaid = [why for why in sig.complex if why != _RANGE or sig.dose_high is None]
    return f"{words} ({'; '.join(unsaid)})".strip() if unsaid else words


def steps_words(sig: Sig, medication: Medication | None = None) -> str:
    """`40 mg once daily for 3 days, then 20 mg once daily`; side by side: `1 tablet on Mondays; ...`."""
    taper = any(step.duration_days is not None for step in sig.steps)
    said = []
    for step in sig.steps:
        rate = [] if step.per_day is None or set(step.when) & set(WEEK) else [rate_words(step.per_day)]
        when = [when_words(step.when)] if step.when else []
        length = [duration_words(step.duration_days)] if step.duration_days is not None else []
        said.append(" ".join([amount_words(step.dose, medication), *rate, *when, *length]))
    return (", then " if taper else "; ").join(said)


_RANGE = "a range of doses"


def _dose_words(sig: Sig, medication: Medication | None) -> str:
    """`2 tablets`, `1 tablet to 2 tablets`."""
    high = f" to {amount_words(sig.dose_high, medication)}" if sig.dose_high else ""
    return amount_words(sig.dose, medication) + high


def item_words(item: Item) -> str:
    """A whole line: name and instruction."""
    instruction = item.sig.text or dosage_words(item.sig, item.medication)
    return f"{item.medication.name}, {instruction}" if instruction else item.medication.name
