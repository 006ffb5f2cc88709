"""Spellings of units -> one canonical UCUM unit and an exact factor (`data/units.tsv`).

Masses become mg, volumes mL, biological units [iU]; things that are counted become `{each}`.
Source: ucum.org/ucum, and RxNorm's units of measure (technical documentation, section 3)
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files

EACH = "{each}"
"""Canonical unit of dosage units that are counted: tablets, capsules, patches."""


@dataclass(frozen=True, slots=True)
class CanonicalUnit:
    """`value x factor` of the spelling is the amount in `unit`."""

    unit: str
    factor: Fraction


@cache
def _spellings() -> dict[str, CanonicalUnit]:
    lines = (files("terminology") / "data" / "units.tsv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["spelling"]: CanonicalUnit(row["unit"], Fraction(row["factor"])) for row in rows}


def canonical_unit(spelling: str) -> CanonicalUnit | None:
    """The canonical unit of a UCUM code or a written unit; None if it is not known."""
    return _spellings().get(spelling.strip().lower().rstrip("."))


def canonical_amount(value: Decimal | Fraction, spelling: str) -> tuple[Fraction, str] | None:
    """An amount in its canonical unit; None if the unit is not known."""
    unit = canonical_unit(spelling)
    return None if unit is None else (Fraction(value) * unit.factor, unit.unit)


def unit_spellings() -> frozenset[str]:
    """Every spelling that is understood, in lower case."""
    return frozenset(_spellings())
