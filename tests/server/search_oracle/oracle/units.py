"""The UCUM units of the random charts in base units, by exact numbers (ucum.org/ucum)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

UCUM = "http://unitsofmeasure.org"
# Code -> (dimension, how many of the base unit it is, where its zero lies, in its own degrees).
UNITS: Mapping[str, tuple[str, Fraction, Fraction]] = {
    code: (dimension, Fraction(size), Fraction(zero))
    for code, dimension, size, zero in (
        ("ug", "mass", "1/1000000", "0"),
        ("mg", "mass", "1/1000", "0"),
        ("g", "mass", "1", "0"),
        ("kg", "mass", "1000", "0"),
        ("[lb_av]", "mass", "453.59237", "0"),
        ("mL", "volume", "1/1000", "0"),
        ("L", "volume", "1", "0"),
        ("min", "time", "60", "0"),
        ("h", "time", "3600", "0"),
        ("d", "time", "86400", "0"),
        ("a", "time", "31557600", "0"),  # the mean Julian year
        ("/min", "frequency", "1", "0"),
        ("K", "temperature", "1", "0"),
        ("Cel", "temperature", "1", "273.15"),
        ("[degF]", "temperature", "5/9", "459.67"),
    )
}
Number = Fraction | float  # a float is infinite


def exact(value: Decimal) -> Number:
    """The same number, to be calculated with without rounding."""
    return Fraction(value) if value.is_finite() else float(value)


def converted(value: Number, held: str, asked: str) -> Number | None:
    """A number of one unit in another; None: they do not compare."""
    if asked not in UNITS or held not in UNITS or UNITS[asked][0] != UNITS[held][0]:
        return None
    if isinstance(value, float):
        return value
    _, size, zero = UNITS[held]
    _, asked_size, asked_zero = UNITS[asked]
    return (value + zero) * size / asked_size - asked_zero
