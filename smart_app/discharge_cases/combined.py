"""Several edits of one medication at once, and the ways in which it is named: the answers add up.

Drawn for the measurement only; the stories of the demonstration keep to `edits`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

from smart_app.discharge_cases import formulary
from smart_app.discharge_cases.edits import Answer, Edit, EditFunction
from smart_app.discharge_cases.formulary import Product
from smart_app.discharge_cases.lines import Line, Naming
from smart_app.discharge_cases.regimen import RATES, Regimen, Style
from terminology.systems import RXNORM

_COUNTS = tuple(map(Decimal, ("0.5", "1", "1", "1.5", "2", "3")))
_SOLID = ("tablet", "capsule")
_SHORTEST_MISSPELT = 8


@dataclass(frozen=True, slots=True)
class _Taken:
    """A product and how it is taken."""

    product: Product
    regimen: Regimen


_Change = Callable[[_Taken, Random], _Taken | None]


def _other_count(taken: _Taken, random: Random) -> _Taken:
    more = replace(taken.regimen, count=taken.regimen.count * random.choice([2, 3]))
    return replace(taken, regimen=more)


def _other_strength(taken: _Taken, random: Random) -> _Taken | None:
    others = formulary.other_strengths(taken.product)
    return replace(taken, product=random.choice(others)) if others else None


def _other_rate(taken: _Taken, random: Random) -> _Taken:
    times, days = random.choice([rate for rate in RATES if rate != taken.regimen.rate])
    return replace(taken, regimen=replace(taken.regimen, times=times, days=days, when=None))


def _other_moment(taken: _Taken, random: Random) -> _Taken | None:
    if taken.regimen.when is None:
        return None
    other = random.choice([moment for moment in ("HS", "MORN", "EVE") if moment != taken.regimen.when])
    return replace(taken, regimen=replace(taken.regimen, when=other))


def _as_needed(taken: _Taken, random: Random) -> _Taken:
    return replace(taken, regimen=replace(taken.regimen, as_needed=not taken.regimen.as_needed))


def _course(taken: _Taken, random: Random) -> _Taken:
    days = random.choice([days for days in (5, 7, 10, 14) if days != taken.regimen.duration_days])
    return replace(taken, regimen=replace(taken.regimen, duration_days=days))


def _other_release(taken: _Taken, random: Random) -> _Taken | None:
    others = formulary.other_releases(taken.product)
    return replace(taken, product=random.choice(others)) if others else None


def _other_form(taken: _Taken, random: Random) -> _Taken | None:
    others = formulary.other_forms(taken.product)
    return replace(taken, product=random.choice(others)) if others else None


_CHANGES: dict[str, tuple[_Change, ...]] = {
    "dose": (_other_count, _other_strength),
    "frequency": (_other_rate,),
    "timing": (_other_moment,),
    "prn": (_as_needed,),
    "duration": (_course,),
    "release": (_other_release,),
    "form": (_other_form,),
}
_APART = ({"frequency", "timing"}, {"release", "form"})
"""Changes that would be two answers to one question."""


def combination(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """Two to four edits of one medication; a brand may come or go with them."""
    wanted = random.sample(sorted(_CHANGES), random.choice([2, 2, 3, 4]))
    if any(both <= set(wanted) for both in _APART):
        return None
    once = "timing" in wanted or random.random() < 0.2
    start = replace(regimen, count=random.choice(_COUNTS), as_needed=random.random() < 0.2)
    if once and "frequency" not in wanted:
        start = replace(start, times=1, days=1, when=random.choice(["HS", "MORN", "EVE"]))
    before = after = _Taken(product, start)
    # The product first: what follows counts its tablets.
    for name in sorted(wanted, key=lambda name: name not in ("release", "form")):
        changed = random.choice(_CHANGES[name])(after, random)
        if changed is None:
            return None
        after = changed
    lines = [_write(before, random), _write(after, random)]
    differences = set(wanted)
    if random.random() < 0.4:
        lines, differences = _brand_one(lines, differences, random)
    return _answered("combination", lines, differences, "changed")


def _brand_one(lines: list[Line], differences: set[str], random: Random) -> tuple[list[Line], set[str]]:
    index = random.randrange(2)
    product = lines[index].product
    if product is None or not product.brand_rxcui:
        return lines, differences
    lines = [*lines]
    lines[index] = replace(lines[index], naming=Naming.BRAND)
    return lines, differences | {"brand"}


def _answered(name: str, lines: list[Line], differences: set[str], kind: str) -> Edit:
    answer = Answer(kind, (0,), (0,), frozenset(differences))
    return Edit(name, (lines[0],), (lines[1],), (answer,))


def _write(taken: _Taken, random: Random, naming: Naming = Naming.CODE) -> Line:
    statement, style = random.random() < 0.3, random.choice(list(Style))
    return Line(taken.product, taken.regimen, naming, style, random.randrange(6), statement=statement)


def misspelt(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """One chart has the name alone, with a slip of the pen in it; the other may have another dose."""
    text = slip(product.name, random)
    if text is None:
        return None
    taken = _Taken(product, replace(regimen, count=random.choice(_COUNTS)))
    changes: set[str] = set()
    other = taken
    if random.random() < 0.5:
        other, changes = _other_count(taken, random), {"dose"}
    lines = [replace(_write(taken, random), given={"text": text}), _write(other, random)]
    random.shuffle(lines)
    return _answered("misspelt", lines, changes, "changed" if changes else "identical")


def slip(name: str, random: Random) -> str | None:
    """The name with one letter of a long word lost, doubled, changed or swapped; None if it has none."""
    words = name.split()
    long = [i for i, word in enumerate(words) if len(word) >= _SHORTEST_MISSPELT and word.isalpha()]
    long = [i for i in long if words[i].islower()]
    if not long:
        return None
    index = random.choice(long)
    word, at = words[index], random.randrange(1, len(words[index]) - 1)
    wrong = random.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + random.choice("aeiounrt") + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        ]
    )
    return " ".join([*words[:index], wrong, *words[index + 1 :]]) if wrong != word else None


def strength_only(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """One chart names ingredient and strength but no form, and the dose by weight."""
    if len(product.strengths) != 1 or product.unit_word not in _SOLID:
        return None
    taken = _Taken(product, replace(regimen, count=random.choice(_COUNTS)))
    text = f"{product.salts[0]} {product.strengths[0]} {product.unit}"
    given: dict[str, Any] = {"text": text}
    if product.strength_rxcui and random.random() < 0.7:
        given["coding"] = [{"system": RXNORM, "code": product.strength_rxcui}]
    loose = replace(_write(taken, random), given=given, style=Style.AMOUNT)
    other, changes = taken, {"incomplete"}
    if random.random() < 0.4:
        other, changes = _other_count(taken, random), {"dose", "incomplete"}
    lines = [loose, _write(other, random)]
    random.shuffle(lines)
    return _answered("strength-only", lines, changes, "changed")


def ingredient_only(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """One chart names the ingredient alone; the dose stands in the instruction."""
    if len(product.strengths) != 1 or product.unit_word not in _SOLID:
        return None
    taken = _Taken(product, regimen)
    given = {
        "coding": [{"system": RXNORM, "code": product.ingredient_rxcuis[0]}],
        "text": product.ingredients[0],
    }
    lines = [replace(_write(taken, random), given=given, style=Style.AMOUNT), _write(taken, random)]
    random.shuffle(lines)
    return _answered("ingredient-only", lines, {"incomplete"}, "changed")


def strengths_apart(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """Two strengths of one drug on both lists: each pairs with its own, and one is taken otherwise."""
    others = formulary.other_strengths(product)
    if not others:
        return None
    one, two = _Taken(product, regimen), _Taken(random.choice(others), regimen)
    changed = _other_rate(two, random)
    before = [_write(one, random), _write(two, random)]
    after = [_write(changed, random), _write(one, random)]
    answers = Answer("identical", (0,), (1,)), Answer("changed", (1,), (0,), frozenset({"frequency"}))
    return Edit("strengths-apart", tuple(before), tuple(after), answers)


def stopped_after(product: Product, regimen: Regimen, random: Random) -> Edit:
    """The order after was stopped, or entered in error: it is no line, what was taken before stands alone."""
    line = _write(_Taken(product, regimen), random)
    status = random.choice(["stopped", "entered-in-error", "cancelled"])
    gone = replace(line, status="stopped" if line.statement and status == "cancelled" else status)
    return Edit("stopped-after", (line,), (gone,), (Answer("only-before", (0,), ()),))


def written_ndc(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """Only an NDC, with hyphens, or in ten digits where the labeller has four."""
    if not product.ndc11:
        return None
    code = product.ndc11
    spellings = [f"{code[:5]}-{code[5:9]}-{code[9:]}"]
    if code.startswith("0"):
        spellings.append(f"{code[1:5]}-{code[5:9]}-{code[9:]}")
    taken = _Taken(product, replace(regimen, count=random.choice(_COUNTS)))
    spelt = replace(product, ndc11=random.choice(spellings))
    lines = [_write(replace(taken, product=spelt), random, Naming.NDC), _write(taken, random)]
    random.shuffle(lines)
    return _answered("ndc-spelling", lines, set(), "identical")


COMBINED: dict[str, EditFunction] = {
    "combination": combination,
    "misspelt": misspelt,
    "strength-only": strength_only,
    "ingredient-only": ingredient_only,
    "strengths-apart": strengths_apart,
    "stopped-after": stopped_after,
    "ndc-spelling": written_ndc,
}
