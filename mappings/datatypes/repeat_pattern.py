"""Patterns of repetition (HL7 v2.9 4.5.4, table 0335) as the `repeat` of a Timing.

Patterns that stand for one thing only are in repeat_patterns.csv, those with numbers in them are read here.
"""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

PRN = re.compile(r"PRN[ -]*|[ -]+PRN", re.ASCII | re.IGNORECASE)
_EVERY = re.compile(r"Q ?([1-9][0-9]{0,3})?(?:-([1-9][0-9]{0,3}))? ?([SMHDWL])", re.ASCII)
_TIMES = re.compile(r"([1-9][0-9]?)ID", re.ASCII)
_DAY = re.compile(r"Q([1-9][0-9]?)J([1-7]+)", re.ASCII)
LETTERS = {"S": "s", "M": "min", "H": "h", "D": "d", "W": "wk", "L": "mo"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Abbreviations that R4's value set timing-abbreviation has besides those of repeat_patterns.csv.
_ABBREVIATED = frozenset({"Q4H", "Q6H"})
Repeat = dict[str, Any]


@cache
def _patterns() -> dict[str, tuple[Repeat, str]]:
    found = {}
    with (Path(__file__).parent / "repeat_patterns.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            repeat: Repeat = {}
            if row["frequency"]:
                repeat |= _every(int(row["frequency"]), int(row["period"]), row["unit"])
            if row["when"]:
                repeat["when"] = [row["when"]]
            if row["count"]:
                repeat["count"] = int(row["count"])
            found[row["code"]] = (repeat, row["abbreviation"])
    return found


def _every(frequency: int, length: int, unit_of_time: str) -> Repeat:
    return {"frequency": frequency, "period": Decimal(length), "periodUnit": unit_of_time}


def pattern(sent: str) -> tuple[Repeat, str]:
    """A pattern (table 0335) as `repeat`, {} for one that is not known; and its abbreviation in v3, or ""."""
    bare = PRN.sub("", sent).strip().upper()
    known = _patterns().get(bare)
    if known:
        return dict(known[0]), known[1]
    abbreviation = bare if bare in _ABBREVIATED else ""
    if found := _EVERY.fullmatch(bare):
        repeat = _every(1, int(found[1] or 1), LETTERS[found[3]])
        if found[2] and int(found[2]) > int(found[1] or 1):
            repeat["periodMax"] = Decimal(found[2])
        return repeat, abbreviation
    if found := _TIMES.fullmatch(bare):
        return _every(int(found[1]), 1, "d"), ""
    if found := _DAY.fullmatch(bare):
        days = [_DAYS[int(day) - 1] for day in dict.fromkeys(found[2])]
        return _every(1, int(found[1]), "wk") | {"dayOfWeek": days}, ""
    return {}, ""
