"""What a discharge does to a medication: one function an edit, with the answer a careful reader gives.

Each function returns None where the drug does not allow the edit. The table `EDITS` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

from smart_app.discharge_cases import formulary
from smart_app.discharge_cases.formulary import Product
from smart_app.discharge_cases.lines import Line, Naming
from smart_app.discharge_cases.regimen import RATES, Regimen, Style

_TEXTS = (
    "Herbal calm drops",
    "Grandmother's joint tonic",
    "Compounded pain cream no. 4",
    "Study drug XR-17",
    "Green tea concentrate",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One expected group; `before` and `after` are indexes into the edit's lines."""

    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    differences: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines of both lists and the right answer. Fills are of a before line, by index."""

    name: str
    before: tuple[Line, ...]
    after: tuple[Line, ...]
    answers: tuple[Answer, ...]
    fills: tuple[int, ...] = ()
    allergy: tuple[str, str] | None = None
    """(ingredient, RxCUI) the patient is allergic to; every line of the edit conflicts."""
    duplicates: tuple[int, ...] = ()
    """After lines that a duplicate alert has to name."""


def _line(product: Product, regimen: Regimen, random: Random) -> Line:
    return Line(product, regimen, style=random.choice(list(Style)), wording=random.randrange(6))


def _pair(
    name: str, before: Line, after: Line, *differences: str, kind: str = "changed", fills: tuple[int, ...] = ()
) -> Edit:
    return Edit(name, (before,), (after,), (Answer(kind, (0,), (0,), frozenset(differences)),), fills)


def same(product: Product, regimen: Regimen, random: Random) -> Edit:
    """Nothing changes, though the two charts may write it differently."""
    before, after = _line(product, regimen, random), _line(product, regimen, random)
    return _pair("same", before, replace(after, statement=random.random() < 0.3), kind="identical")


def brand(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    if not product.brand_rxcui:
        return None
    before, after = _line(product, regimen, random), _line(product, regimen, random)
    lines = [replace(before, naming=Naming.BRAND), after]
    random.shuffle(lines)
    return _pair("brand", lines[0], lines[1], "brand", kind="identical")


def ndc_only(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    if not product.ndc11:
        return None
    before, after = _line(product, regimen, random), _line(product, regimen, random)
    return _pair("ndc-only", before, replace(after, naming=Naming.NDC), kind="identical")


def name_only(product: Product, regimen: Regimen, random: Random) -> Edit:
    """One chart has no code, but the product's full name."""
    before, after = _line(product, regimen, random), _line(product, regimen, random)
    return _pair("name-only", replace(before, naming=Naming.NAME), after, kind="identical")


def dose(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """Another amount each time: more of the same product, or another strength."""
    before = _line(product, regimen, random)
    others = formulary.other_strengths(product)
    if others and random.random() < 0.6:
        other = random.choice(others)
        return _pair("dose", before, _line(other, regimen, random), "dose")
    more = replace(regimen, count=regimen.count * 2)
    return _pair("dose", before, _line(product, more, random), "dose")


def strength(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """The same amount from tablets of another strength: 2 x 20 mg for 40 mg, half of 40 mg for 20 mg."""
    double = formulary.double_strength(product)
    if double is None:
        return None
    twice, once = replace(regimen, count=Decimal(2)), replace(regimen, count=Decimal(1))
    if random.random() < 0.4:
        twice, once = replace(regimen, count=Decimal(1)), replace(regimen, count=Decimal("0.5"))
    lines = [_line(product, twice, random), _line(double, once, random)]
    random.shuffle(lines)
    return _pair("strength", lines[0], lines[1], "strength")


def frequency(product: Product, regimen: Regimen, random: Random) -> Edit:
    times, days = random.choice([rate for rate in RATES[:5] if rate != regimen.rate])
    other = replace(regimen, times=times, days=days)
    return _pair("frequency", _line(product, regimen, random), _line(product, other, random), "frequency")


def dose_and_frequency(product: Product, regimen: Regimen, random: Random) -> Edit:
    times, days = random.choice([rate for rate in RATES[:5] if rate != regimen.rate])
    other = replace(regimen, times=times, days=days, count=regimen.count * 2)
    lines = _line(product, regimen, random), _line(product, other, random)
    return _pair("dose-and-frequency", *lines, "dose", "frequency")


def release(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    others = formulary.other_releases(product)
    if not others:
        return None
    other = random.choice(others)
    return _pair("release", _line(product, regimen, random), _line(other, regimen, random), "release")


def form(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    others = formulary.other_forms(product)
    if not others:
        return None
    other = random.choice(others)
    return _pair("form", _line(product, regimen, random), _line(other, regimen, random), "form")


def timing(product: Product, regimen: Regimen, random: Random) -> Edit:
    once = replace(regimen, times=1, days=1)
    moments = random.sample(["HS", "MORN", "EVE"], 2)
    lines = [_line(product, replace(once, when=moment), random) for moment in moments]
    return _pair("timing", lines[0], lines[1], "timing")


def as_needed(product: Product, regimen: Regimen, random: Random) -> Edit:
    lines = [_line(product, regimen, random), _line(product, replace(regimen, as_needed=True), random)]
    random.shuffle(lines)
    return _pair("as-needed", lines[0], lines[1], "prn")


def duration(product: Product, regimen: Regimen, random: Random) -> Edit:
    limited = replace(regimen, duration_days=random.choice([5, 7, 10]))
    other = random.choice([regimen, replace(regimen, duration_days=14)])
    return _pair("duration", _line(product, limited, random), _line(product, other, random), "duration")


def incomplete(product: Product, regimen: Regimen, random: Random) -> Edit:
    """One side leaves something out: dose, frequency, everything, or "as directed"."""
    full = _line(product, regimen, random)
    unsaid: dict[str, Any] = random.choice(
        [
            {},
            {"text": "Use as directed"},
            {"timing": {"repeat": {"frequency": regimen.times, "period": regimen.days, "periodUnit": "d"}}},
            {"doseAndRate": [{"doseQuantity": _count(product, regimen)}]},
        ]
    )
    lines = [full, Line(product, None, instruction=unsaid)]
    random.shuffle(lines)
    return _pair("incomplete", lines[0], lines[1], "incomplete")


def _count(product: Product, regimen: Regimen) -> dict[str, Any]:
    return {"value": float(regimen.count), "unit": product.unit_word}


def omission(product: Product, regimen: Regimen, random: Random) -> Edit:
    line = _line(product, regimen, random)
    return Edit("omission", (line,), (), (Answer("only-before", (0,), ()),))


def stopped_but_filled(product: Product, regimen: Regimen, random: Random) -> Edit:
    """Left out at discharge, and yet the pharmacy filled it again."""
    line = _line(product, regimen, random)
    return Edit("stopped-but-filled", (line,), (), (Answer("only-before", (0,), ()),), fills=(0,))


def addition(product: Product, regimen: Regimen, random: Random) -> Edit:
    line = _line(product, regimen, random)
    return Edit("addition", (), (line,), (Answer("only-after", (), (0,)),))


def substitution(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    mates = formulary.classmates(product)
    if not mates:
        return None
    lines = _line(product, regimen, random), _line(random.choice(mates), regimen, random)
    return _pair("substitution", *lines, "substitution", kind="possible")


def split(product: Product, regimen: Regimen, random: Random) -> Edit | None:
    """A combination becomes its parts, or the parts a combination."""
    singles = formulary.parts(product)
    if not singles:
        return None
    whole = (_line(product, regimen, random),)
    pieces = tuple(_line(single, regimen, random) for single in singles)
    indexes = tuple(range(len(pieces)))
    if random.random() < 0.5:
        answer = Answer("possible", (0,), indexes, frozenset({"substitution"}))
        return Edit("split", whole, pieces, (answer,))
    answer = Answer("possible", indexes, (0,), frozenset({"substitution"}))
    return Edit("split", pieces, whole, (answer,))


def duplicate(product: Product, regimen: Regimen, random: Random) -> Edit:
    """Ordered twice at discharge: once as before, once otherwise."""
    line = _line(product, regimen, random)
    twice = _line(product, replace(regimen, count=regimen.count * 2), random)
    answers = Answer("identical", (0,), (0,)), Answer("only-after", (), (1,))
    again = replace(line, wording=random.randrange(6))
    return Edit("duplicate", (line,), (again, twice), answers, duplicates=(0, 1))


def unmapped(product: Product, regimen: Regimen, random: Random) -> Edit:
    """Neither chart has anything but words, and the words are equal."""
    instruction = {"text": "1 daily"}
    line = Line(None, None, text=random.choice(_TEXTS), instruction=instruction)
    return _pair("unmapped", line, replace(line, text=line.text.upper()), kind="possible")


def allergy(product: Product, regimen: Regimen, random: Random) -> Edit:
    """Newly ordered although the patient is allergic to it."""
    line = _line(product, regimen, random)
    conflict = product.ingredients[0], product.ingredient_rxcuis[0]
    return Edit("allergy", (), (line,), (Answer("only-after", (), (0,)),), allergy=conflict)


def not_current(product: Product, regimen: Regimen, random: Random) -> Edit:
    """The line before was stopped or entered in error: it is no line, what comes after is new."""
    old = _line(product, regimen, random)
    status = random.choice(["stopped", "entered-in-error", "completed"])
    after = _line(product, regimen, random)
    return Edit("not-current", (replace(old, status=status),), (after,), (Answer("only-after", (), (0,)),))


EditFunction = Callable[[Product, Regimen, Random], Edit | None]

EDITS: dict[str, EditFunction] = {
    "same": same,
    "brand": brand,
    "ndc-only": ndc_only,
    "name-only": name_only,
    "dose": dose,
    "strength": strength,
    "frequency": frequency,
    "dose-and-frequency": dose_and_frequency,
    "release": release,
    "form": form,
    "timing": timing,
    "as-needed": as_needed,
    "duration": duration,
    "incomplete": incomplete,
    "omission": omission,
    "stopped-but-filled": stopped_but_filled,
    "addition": addition,
    "substitution": substitution,
    "split": split,
    "duplicate": duplicate,
    "unmapped": unmapped,
    "allergy": allergy,
    "not-current": not_current,
}
