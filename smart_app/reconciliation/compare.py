"""Two lines of the same drug -> what differs between them, in words (domain 3.3, 3.4).

What one side does not say is `incomplete`, never equal. A comparison that finds nothing says the
two lines are the same product, or its brand, with the same regimen.
"""

from __future__ import annotations

from smart_app.reconciliation.amounts import same_amount, understood_dose
from smart_app.reconciliation.records import (
    Amount,
    Difference,
    DifferenceKind,
    Group,
    GroupKind,
    Item,
    MappingMethod,
)
from smart_app.reconciliation.words import (
    UNKNOWN,
    amount_words,
    duration_words,
    rate_words,
    steps_words,
    when_words,
)
from terminology.names import fold

_NAMES = {
    DifferenceKind.DOSE: "Dose",
    DifferenceKind.FREQUENCY: "Frequency",
    DifferenceKind.ROUTE: "Route",
    DifferenceKind.FORM: "Form",
    DifferenceKind.RELEASE: "Release",
    DifferenceKind.BRAND: "Brand",
    DifferenceKind.STRENGTH: "Strength",
    DifferenceKind.PRN: "As needed",
    DifferenceKind.DURATION: "Duration",
    DifferenceKind.TIMING: "Time of day",
    DifferenceKind.SUBSTITUTION: "Medicine",
    DifferenceKind.INCOMPLETE: "Not stated",
}
ORDER = tuple(_NAMES)
"""The order in which differences are listed."""


def difference(kind: DifferenceKind, before: str, after: str) -> Difference:
    """A difference with its sentence: "Dose: 40 mg before, 80 mg after."."""
    return Difference(kind, before, after, f"{_NAMES[kind]}: {before} before, {after} after.")


def same_product(before: Item, after: Item) -> bool:
    """Tier 1 or 2: the same generic product, known on both sides."""
    product = before.medication.product
    return product is not None and product == after.medication.product


def different_drugs(group: Group) -> bool:
    """Whether the two sides of a group are not one medicine: a decision then has to speak for both.

    Another drug, a combination and its parts, or linked records of which one was not recognised;
    but not two lines that nobody recognised and that have equal words.
    """
    if any(found.kind is DifferenceKind.SUBSTITUTION for found in group.differences):
        return True
    names = [{fold(item.medication.original) for item in side} for side in (group.before, group.after)]
    return group.kind is GroupKind.POSSIBLE and all(names) and names[0] != names[1]


def compare(before: Item, after: Item) -> tuple[Difference, ...]:
    """Differences of two lines with the same ingredients, in the order of `ORDER`.

    Only a `brand` difference leaves them identical (see `match`).
    """
    found = [*_regimen(before, after), *_product(before, after)]
    missing = _incomplete(before, after)
    if missing:
        found.append(missing)
    elif not found and not same_product(before, after):
        found.append(difference(DifferenceKind.FORM, before.medication.name, after.medication.name))
    return tuple(sorted(found, key=lambda each: ORDER.index(each.kind)))


def dose_differs(before: Item, after: Item) -> bool | None:
    """Whether one administration, or a schedule, differs in amount; None if that cannot be said."""
    if before.sig.steps and after.sig.steps:
        return None if before.sig.steps == after.sig.steps else True
    if before.sig.dose is None or after.sig.dose is None:
        return None
    if before.per_dose and after.per_dose:
        one, other = before.per_dose, after.per_dose
        if [(a.ingredient, a.unit) for a in one] == [(a.ingredient, a.unit) for a in other]:
            return any(not same_amount(a.value, b.value) for a, b in zip(one, other, strict=True))
    if before.sig.dose.unit == after.sig.dose.unit and same_product(before, after):
        return not same_amount(before.sig.dose.value, after.sig.dose.value)
    return None


def _regimen(before: Item, after: Item) -> list[Difference]:
    found = []
    if dose_differs(before, after):
        found.append(difference(DifferenceKind.DOSE, *_doses(before, after)))
    rates = before.sig.per_day, after.sig.per_day
    if None not in rates and rates[0] != rates[1]:
        found.append(difference(DifferenceKind.FREQUENCY, rate_words(rates[0]), rate_words(rates[1])))
    one, other = route(before), route(after)
    if one and other and one != other:
        found.append(difference(DifferenceKind.ROUTE, one, other))
    if before.sig.when != after.sig.when and _timing_matters(before, after):
        found.append(difference(DifferenceKind.TIMING, when_words(before.sig.when), when_words(after.sig.when)))
    needed = before.sig.as_needed, after.sig.as_needed
    if None not in needed and (needed[0] != needed[1] or _reasons_differ(before, after)):
        found.append(difference(DifferenceKind.PRN, _needed(before), _needed(after)))
    durations = before.sig.duration_days, after.sig.duration_days
    if durations[0] != durations[1]:
        found.append(
            difference(DifferenceKind.DURATION, duration_words(durations[0]), duration_words(durations[1]))
        )
    return found


def _doses(before: Item, after: Item) -> tuple[str, str]:
    if before.sig.steps and after.sig.steps:
        return steps_words(before.sig, before.medication), steps_words(after.sig, after.medication)
    if before.per_dose and after.per_dose:
        return understood_dose(before), understood_dose(after)
    return (
        amount_words(before.sig.dose, before.medication),
        amount_words(after.sig.dose, after.medication),
    )


def route(line: Item) -> str | None:
    """The route of a line: as its sig says, else as its form implies."""
    return line.sig.route or line.medication.route


def _timing_matters(before: Item, after: Item) -> bool:
    """A missing sig is incomplete, not a change of the time of day."""
    return before.sig.per_day is not None and after.sig.per_day is not None


def _needed(line: Item) -> str:
    if not line.sig.as_needed:
        return "regularly"
    return f"as needed for {line.sig.as_needed_for}" if line.sig.as_needed_for else "as needed"


def _reasons_differ(before: Item, after: Item) -> bool:
    """The reasons for taking it as needed are not the same, or only one side gives one."""
    return fold(before.sig.as_needed_for or "") != fold(after.sig.as_needed_for or "")


def _product(before: Item, after: Item) -> list[Difference]:
    """Differences of the products themselves."""
    one, other = before.medication, after.medication
    found = []
    if one.form and other.form and one.form != other.form:
        found.append(difference(DifferenceKind.FORM, one.form, other.form))
    if one.release and other.release and one.release != other.release:
        found.append(difference(DifferenceKind.RELEASE, one.release, other.release))
    if one.product and other.product and one.brand != other.brand:
        found.append(difference(DifferenceKind.BRAND, one.brand or "generic", other.brand or "generic"))
    if same_product(before, after):
        return found
    if not one.strengths or not other.strengths:
        return found
    if one.strengths != other.strengths:
        # A dose that differs says it all; else the same amount comes in other tablets. What one tablet
        # and one millilitre contain is not two strengths but two forms.
        if not dose_differs(before, after) and _measures(before) == _measures(after):
            found.append(difference(DifferenceKind.STRENGTH, strength_words(before), strength_words(after)))
    elif not {each.kind for each in found} - {DifferenceKind.BRAND} and one.product and other.product:
        salts = _salts(before), _salts(after)
        packages = one.package, other.package
        if salts[0] != salts[1]:
            found.append(difference(DifferenceKind.FORM, *salts))
        elif packages[0] != packages[1]:
            found.append(difference(DifferenceKind.FORM, *(package or "no package" for package in packages)))
        else:
            found.append(difference(DifferenceKind.FORM, one.name, other.name))
    return found


def _measures(line: Item) -> set[str | None]:
    return {strength.per for strength in line.medication.strengths}


def _salts(line: Item) -> str:
    return " / ".join(ingredient.salt or ingredient.name for ingredient in line.medication.ingredients)


def strength_words(line: Item) -> str:
    """`20 mg`, `10 mg / 12.5 mg`, `100 units per mL`."""
    parts = []
    for strength in line.medication.strengths:
        words = amount_words(Amount(strength.value, strength.unit))
        parts.append(f"{words} per {strength.per.strip('{}')}" if strength.per else words)
    return " / ".join(parts) or UNKNOWN


def _incomplete(before: Item, after: Item) -> Difference | None:
    """What keeps the two from being called the same although nothing is known to differ."""
    gaps = [_gaps(before), _gaps(after)]
    if dose_differs(before, after) is None and before.sig.dose and after.sig.dose:
        for side, line in zip(gaps, (before, after), strict=True):
            side.append(f"a dose that can be compared ({amount_words(line.sig.dose, line.medication)})")
    for side, line, facing in zip(gaps, (before, after), (after, before), strict=True):
        if route(line) is None and route(facing) is not None and _route_matters(line, facing):
            side.append("the route")
    if fold(before.sig.text) != fold(after.sig.text):
        for side, line in zip(gaps, (before, after), strict=True):
            side.extend(["a written instruction that is understood"] if line.sig.unread else [])
    for side, line, facing in zip(gaps, (before, after), (after, before), strict=True):
        side.extend(f"“{words}”" for words in facing.sig.beside if words not in line.sig.beside)
    if not any(gaps):
        return None
    one_words, other_words = (", ".join(dict.fromkeys(side)) for side in gaps)
    sides = (("Before", one_words), ("After", other_words))
    lacking = [f"{name} lacks {what}." for name, what in sides if what]
    return Difference(
        DifferenceKind.INCOMPLETE,
        one_words or "complete",
        other_words or "complete",
        " ".join(["Not enough is stated to call them the same.", *lacking]),
    )


def _route_matters(line: Item, facing: Item) -> bool:
    """A route that only the other form implies (a pen's, beside a vial) is part of the difference in form."""
    return facing.sig.route is not None or line.medication.form == facing.medication.form


def _gaps(line: Item) -> list[str]:
    gaps = []
    if line.medication.product is None:
        gaps.append("the exact product")
    elif line.medication.mapping.method in (MappingMethod.AMBIGUOUS, MappingMethod.CONTRADICTION):
        gaps.append("a product without doubt")
    elif line.medication.inferred:
        gaps.append("the dose form")
    if line.sig.dose is None and not line.sig.steps:
        gaps.append("the dose")
    if line.sig.per_day is None and not line.sig.steps:
        gaps.append("the frequency")
    if line.sig.as_needed is None:
        gaps.append("whether it is taken as needed")
    gaps += [f"a comparable instruction ({reason})" for reason in line.sig.complex]
    return gaps
