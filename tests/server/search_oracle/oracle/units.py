"""The UCUM units of the random charts in base units, by exact factors (ucum.org/ucum)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

UCUM = "http://unitsofmeasure.org"
# Code -> (dimension, how many of its base unit it is).
UNITS: Mapping[str, tuple[str, Decimal]] = {
    "mg": ("mass", Decimal("0.001")),
    "g": ("mass", Decimal(1)),
    "kg": ("mass", Decimal(1000)),
    "mL": ("volume", Decimal("0.001")),
    "L": ("volume", Decimal(1)),
    "min": ("time", Decimal(60)),
    "h": ("time", Decimal(3600)),
    "d": ("time", Decimal(86_400)),
    "a": ("time", Decimal(31_557_600)),  # the mean Julian year
    "/min": ("frequency", Decimal(1)),
}


def factor(asked: str, held: str) -> Decimal | None:
    """By what a number of the held unit is multiplied to be one of the asked; None: they do not compare."""
    if asked not in UNITS or held not in UNITS or UNITS[asked][0] != UNITS[held][0]:
        return None
    return UNITS[held][1] / UNITS[asked][1]
