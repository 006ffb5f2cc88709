"""Why lines stand together, in words a reader can check (domain 3.3). Nothing here decides."""

from __future__ import annotations

from smart_app.reconciliation.amounts import same_amount
from smart_app.reconciliation.compare import same_product, strength_words
from smart_app.reconciliation.pairing import LINKED, Pair, shared_classes
from smart_app.reconciliation.records import Difference, DifferenceKind, DrugLookup, Item


def ingredient_names(item: Item) -> str:
    """`lisinopril / hydrochlorothiazide`."""
    return " / ".join(ingredient.name for ingredient in item.medication.ingredients)


def link_words(pair: Pair) -> str:
    """How the records themselves say that they belong together."""
    one, other = pair.before.reference, pair.after.reference
    if one == other:
        return f"both lists point at {one}."
    if one in pair.after.based_on:
        return f"{other} rests on {one}."
    if other in pair.before.based_on:
        return f"{one} rests on {other}."
    return f"{one} and {other} carry the same identifier."


def regimen_reason(pair: Pair, differences: tuple[Difference, ...], same: bool) -> str:
    """Of two lines with the same ingredients: what makes them the same, or what differs."""
    before, after = pair.before, pair.after
    kinds = {found.kind for found in differences}
    words = f"Linked records: {link_words(pair)} " if pair.tier == LINKED else ""
    if same:
        product = (
            "Brand and generic of the same product" if DifferenceKind.BRAND in kinds else "The same product"
        )
        return f"{words}{product}, taken the same way."
    if same_product(before, after):
        words += "The same product."
    else:
        words += f"The same ingredient: {ingredient_names(before)}."
    if kinds == {DifferenceKind.STRENGTH}:
        one, other = strength_words(before), strength_words(after)
        return f"{words} Same regimen, different strength of the product: {one} before, {other} after."
    if {DifferenceKind.DOSE, DifferenceKind.FREQUENCY} <= kinds and _same_daily_amount(before, after):
        words += " The amount a day is the same."
    return " ".join([words, *(found.words for found in differences)])


def _same_daily_amount(before: Item, after: Item) -> bool:
    one, other = before.per_day, after.per_day
    if not one or [(a.ingredient, a.unit) for a in one] != [(a.ingredient, a.unit) for a in other]:
        return False
    return all(same_amount(a.value, b.value) for a, b in zip(one, other, strict=True))


def unmapped_reason(pair: Pair) -> str:
    """Of two lines of which one at least was not recognised."""
    if pair.tier == LINKED:
        return f"Linked records, but not both medicines were recognised: {link_words(pair)}"
    return "The words are the same, but the medicine was not recognised with certainty: compare them yourself."


def likeness_reason(pair: Pair, terminology: DrugLookup) -> str:
    """Of two lines that share some ingredients, a class, or their words."""
    before, after = pair.before.medication, pair.after.medication
    both = before.ingredient_key & after.ingredient_key
    if both:
        names = " and ".join(i.name for i in before.ingredients if i.rxcui in both)
        return f"Both contain {names}, but not the same ingredients altogether."
    classes = shared_classes(pair.before, pair.after, terminology)
    if classes:
        return f"Both belong to the class {', '.join(classes)}: one may replace the other."
    return "The words are the same, but the codes name different medicines: compare them yourself."
