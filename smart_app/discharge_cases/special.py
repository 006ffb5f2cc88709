"""Medicines that are not counted tablets: insulins, patches, packs, tapers, weekly and alternating amounts.

Each edit draws its own product from `data/special_products.tsv`; drawn for the measurement only.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from smart_app.discharge_cases.edits import Answer, Edit
from smart_app.discharge_cases.lines import Line
from terminology.systems import RXNORM

_UNDER_THE_SKIN = {"coding": [{"system": "http://snomed.info/sct", "code": "34206005"}]}


@dataclass(frozen=True, slots=True)
class Special:
    """One product. `brands`: (RxCUI, name). `hours`: how long a patch is worn."""

    kind: str
    family: str
    rxcui: str
    name: str
    strength: str
    hours: int
    brands: tuple[tuple[str, str], ...]
    kin: str


@cache
def specials() -> tuple[Special, ...]:
    text = (files("smart_app.discharge_cases") / "data" / "special_products.tsv").read_text(encoding="utf-8")
    return tuple(
        Special(
            kind=row["kind"],
            family=row["family"],
            rxcui=row["rxcui"],
            name=row["name"],
            strength=row["strength"],
            hours=int(row["hours"] or 0),
            brands=tuple(zip(row["brands"].split("+"), row["brand_names"].split("+"), strict=True))
            if row["brands"]
            else (),
            kin=row["kin"],
        )
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
    )


@dataclass(frozen=True, slots=True)
class SpecialEdit:
    """An edit with the families of drugs it concerns."""

    edit: Edit
    kin: frozenset[str]


def _of(*kinds: str) -> list[Special]:
    return [special for special in specials() if special.kind in kinds]


def _concept(special: Special, branded: bool = False, random: Random | None = None) -> dict[str, Any]:
    code, name = special.rxcui, special.name
    if branded and special.brands and random:
        code, name = random.choice(special.brands)
    return {"coding": [{"system": RXNORM, "code": code, "display": name}], "text": name}


_Said = dict[str, Any] | list[dict[str, Any]]
"""One Dosage, or several."""


def _line(special: Special, said: _Said, branded: bool = False, random: Random | None = None) -> Line:
    return Line(None, None, given=_concept(special, branded, random), instruction=said)


def _edit(name: str, lines: Sequence[Line], kin: str, kind: str, *differences: str) -> SpecialEdit:
    answer = Answer(kind, (0,), (0,), frozenset(differences))
    return SpecialEdit(Edit(name, (lines[0],), (lines[1],), (answer,)), frozenset({kin}))


def _dose(value: float, unit: str) -> list[dict[str, Any]]:
    return [{"doseQuantity": {"value": value, "unit": unit}}]


def _repeat(frequency: int, period: int, unit: str, **more: Any) -> dict[str, Any]:
    return {"repeat": {"frequency": frequency, "period": period, "periodUnit": unit, **more}}


_MOMENTS = {"HS": "at bedtime", "MORN": "in the morning", "": ""}


def _insulin_sig(units: int, times: int, moment: str, random: Random) -> dict[str, Any]:
    if random.random() < 0.5:
        when = {"when": [moment]} if moment else {}
        timing = _repeat(times, 1, "d", **when)
        return {"doseAndRate": _dose(units, "units"), "timing": timing, "route": _UNDER_THE_SKIN}
    often = {1: "once daily", 2: "twice daily", 3: "three times daily"}[times]
    return {"text": " ".join(f"Inject {units} units under the skin {often} {_MOMENTS[moment]}".split())}


def insulin(random: Random) -> SpecialEdit | None:
    """Units, frequency, maker, concentration or device change; the last two leave the units as they are."""
    product = random.choice(_of("pen", "vial"))
    units, times = random.randrange(4, 40, 2), random.choice([1, 1, 2, 3])
    moment = random.choice(list(_MOMENTS)) if times == 1 else ""
    kin = [p for p in _of("pen", "vial") if p.family == product.family and p.rxcui != product.rxcui]
    stronger = [p for p in kin if p.kind == product.kind and p.strength != product.strength]
    other_device = [p for p in kin if p.kind != product.kind and p.strength == product.strength]
    what = random.choice(["same", "brand", "dose", "frequency", "strength", "form"])
    after, branded = product, what == "brand"
    other_units = units + random.choice([2, 4, 10]) if what == "dose" else units
    other_times = times % 3 + 1 if what == "frequency" else times
    if what in ("strength", "form"):
        options = stronger if what == "strength" else other_device
        if not options:
            return None
        after = random.choice(options)
    if what == "frequency":
        moment = ""
    lines = [
        _line(product, _insulin_sig(units, times, moment, random)),
        _line(after, _insulin_sig(other_units, other_times, moment, random), branded, random),
    ]
    kind = "identical" if what in ("same", "brand") else "changed"
    return _edit("insulin", lines, "insulin", kind, *([] if what == "same" else [what]))


def _patch_sig(hours: int, random: Random) -> dict[str, Any]:
    if random.random() < 0.5:
        return {"doseAndRate": _dose(1, "patch"), "timing": _repeat(1, hours, "h")}
    days = hours // 24
    often = {1: "once daily", 7: "once a week"}.get(days, f"every {days} days")
    return {"text": random.choice([f"Apply 1 patch {often}", f"Apply 1 patch to the skin every {hours} hours"])}


def patch(random: Random) -> SpecialEdit | None:
    product = random.choice(_of("patch"))
    what = random.choice(["same", "brand", "dose", "frequency"])
    after, hours = product, product.hours
    if what == "dose":
        others = [p for p in _of("patch") if p.family == product.family and p.rxcui != product.rxcui]
        after = random.choice(others)
    if what == "frequency":
        hours = {72: 48, 168: 72, 24: 48}[hours]
    if what == "brand" and not product.brands:
        return None
    lines = [
        _line(product, _patch_sig(product.hours, random)),
        _line(after, _patch_sig(hours, random), what == "brand", random),
    ]
    kind = "identical" if what in ("same", "brand") else "changed"
    return _edit("patch", lines, product.kin, kind, *([] if what == "same" else [what]))


def pack(random: Random) -> SpecialEdit:
    """A pack taken a tablet a day, generic or branded."""
    product = random.choice(_of("pack"))
    said: list[dict[str, Any]] = [
        {"text": "Take 1 tablet by mouth daily"},
        {"doseAndRate": _dose(1, "tablet"), "timing": _repeat(1, 1, "d")},
    ]
    branded = random.random() < 0.5
    lines = [
        _line(product, random.choice(said)),
        _line(product, random.choice(said), branded, random),
    ]
    return _edit("pack", lines, product.kin, "identical", *(["brand"] if branded else []))


def _taper_text(counts: Sequence[int], days: int, random: Random) -> str:
    steps = [f"{count} tablet{'s' if count > 1 else ''} daily for {days} days" for count in counts]
    joined = ", then ".join(steps)
    return f"Take {joined}" + random.choice(["", ", then stop"])


def _taper_steps(counts: Sequence[int], days: int) -> list[dict[str, Any]]:
    bounds = {"value": days, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}
    return [
        {
            "sequence": number,
            "doseAndRate": _dose(count, "tablet"),
            "timing": _repeat(1, 1, "d", boundsDuration=bounds),
        }
        for number, count in enumerate(counts, start=1)
    ]


def taper(random: Random) -> SpecialEdit:
    """The same taper twice, another taper, or a taper against a steady dose: never identical."""
    product = random.choice(_of("taper"))
    counts, days = random.choice([(4, 3, 2, 1), (3, 2, 1), (6, 4, 2)]), random.choice([2, 3, 5])
    what = random.choice(["same", "dose", "steady"])
    structured = random.random() < 0.4
    first: _Said = _taper_steps(counts, days) if structured else {"text": _taper_text(counts, days, random)}
    second: _Said = {"doseAndRate": _dose(1, "tablet"), "timing": _repeat(1, 1, "d")}
    if what != "steady":
        others = counts if what == "same" else tuple(count + 1 for count in counts)
        text = {"text": _taper_text(others, days, random)}
        second = _taper_steps(others, days) if structured else text
    lines = [_line(product, first), _line(product, second)]
    random.shuffle(lines)
    return _edit("taper", lines, product.kin, "changed", "incomplete", *(["dose"] if what == "dose" else []))


def weekly(random: Random) -> SpecialEdit:
    """Weekly methotrexate: the same, another amount, or daily by mistake."""
    product = random.choice(_of("weekly"))
    count, what = random.choice([3, 4, 6, 8]), random.choice(["same", "dose", "frequency"])
    day = random.choice(["", " on Monday", " on Fridays"]) if what != "frequency" else ""
    said: list[dict[str, Any]] = [{"text": f"Take {count} tablets by mouth once a week{day}"}]
    if not day:
        said += [
            {"doseAndRate": _dose(count, "tablet"), "timing": _repeat(1, 1, "wk")},
            {"text": f"{count} tabs PO weekly"},
        ]
    other: dict[str, Any] = random.choice(said)
    if what == "dose":
        other = {"text": f"Take {count + 1} tablets by mouth once a week{day}"}
    if what == "frequency":
        other = {"text": f"Take {count} tablets by mouth daily"}
    lines = [_line(product, random.choice(said)), _line(product, other)]
    random.shuffle(lines)
    kind = "identical" if what == "same" else "changed"
    return _edit("weekly", lines, product.kin, kind, *([] if what == "same" else [what]))


def by_day(random: Random) -> SpecialEdit:
    """An amount that changes with the day of the week is never identical, even to itself."""
    product = random.choice(_of("by-day"))
    texts = [
        "Take 1 tablet on Monday, Wednesday and Friday and half a tablet on all other days",
        "Take 2 tablets on Tuesday and Thursday and 1 tablet on all other days",
        "1 tablet Mon/Wed/Fri and 2 tablets Tue/Thu/Sat/Sun",
    ]
    one, other = random.choice(texts), random.choice(texts)
    lines = [_line(product, {"text": one}), _line(product, {"text": other})]
    return _edit("by-day", lines, product.kin, "changed", "incomplete", *([] if one == other else ["dose"]))


def _puffs_sig(count: int, times: int, place: str, random: Random) -> dict[str, Any]:
    unit = "puff" if not place else "spray"
    if random.random() < 0.5:
        return {"doseAndRate": _dose(count, unit), "timing": _repeat(times, 1, "d")}
    often = {1: "once daily", 2: "twice daily", 4: "four times a day"}[times]
    plural = unit if count == 1 else unit + "s"
    return {"text": " ".join(f"{'Inhale' if not place else 'Use'} {count} {plural} {place} {often}".split())}


def inhaler(random: Random) -> SpecialEdit:
    product = random.choice(_of("inhaler", "spray"))
    place = "in each nostril" if product.kind == "spray" else ""
    count, times = random.choice([1, 2]), random.choice([1, 2])
    what = random.choice(["same", "brand", "dose", "frequency"])
    branded = what == "brand"
    other_count = count + 1 if what == "dose" else count
    other_times = 4 if what == "frequency" else times
    lines = [
        _line(product, _puffs_sig(count, times, place, random)),
        _line(product, _puffs_sig(other_count, other_times, place, random), branded, random),
    ]
    kind = "identical" if what in ("same", "brand") else "changed"
    return _edit("inhaler", lines, product.kin, kind, *([] if what == "same" else [what]))


def sliding_scale(random: Random) -> SpecialEdit:
    """A scale after the measured sugar has no amount: never identical, even to itself."""
    product = random.choice([p for p in _of("pen", "vial") if p.family == "insulin lispro"])
    text = random.choice(
        [
            "Inject per sliding scale before meals",
            "Sliding scale: 2 units for 150-200, 4 units for 201-250, 6 units for 251-300",
        ]
    )
    lines = [_line(product, {"text": text}), _line(product, {"text": text})]
    return _edit("sliding-scale", lines, "insulin", "changed", "incomplete")


_HERBALS = ("Elderflower syrup", "Nettle leaf infusion", "Birch bark powder", "Mountain herb pastilles")


def herbal(random: Random) -> SpecialEdit:
    """Words that name no medicine known: possible where they are equal, else alone."""
    one = random.choice(_HERBALS)
    other = random.choice(_HERBALS)
    said = {"text": "1 cup daily"}
    before, after = Line(None, None, text=one, instruction=said), Line(None, None, text=other, instruction=said)
    if one == other:
        return _edit("herbal", [before, after], "herbal", "possible")
    answers = Answer("only-before", (0,), ()), Answer("only-after", (), (0,))
    return SpecialEdit(Edit("herbal", (before,), (after,), answers), frozenset({"herbal"}))


SPECIAL: Mapping[str, Callable[[Random], SpecialEdit | None]] = {
    "insulin": insulin,
    "patch": patch,
    "pack": pack,
    "taper": taper,
    "weekly": weekly,
    "by-day": by_day,
    "inhaler": inhaler,
    "sliding-scale": sliding_scale,
    "herbal": herbal,
}
