"""Amounts in the units of UCUM, brought to base units: what makes 5.4 mg and 0.0054 g the same.

Exact until the last step: ratios of whole numbers, rounded once to the nearest float. Equal amounts in whatever
units give equal floats, and a greater amount never gives a smaller one.
Source: ucum.org/ucum; hl7.org/fhir/R4/search.html#quantity
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache

from server.fhir.units_grammar import LENGTH_MAXIMUM, Atom, product

UCUM = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as its ratio to base units and where its zero lies there.

    dimension: the base units with their exponents, `g.m-3`; amounts of one dimension can be compared. ratio and
    zero: (numerator, denominator).
    """

    dimension: str
    ratio: tuple[int, int]
    zero: tuple[int, int] | None = None

    def canonical(self, value: Decimal | int | float | Fraction) -> float:
        """A finite amount in base units. Beyond what a float holds: an infinity."""
        numerator, denominator = value.as_integer_ratio()
        numerator, denominator = numerator * self.ratio[0], denominator * self.ratio[1]
        if self.zero is not None:
            numerator = numerator * self.zero[1] + self.zero[0] * denominator
            denominator *= self.zero[1]
        try:
            return numerator / denominator
        except OverflowError:
            return float("inf") if numerator > 0 else float("-inf")


def unit(code: str) -> Unit | None:
    """The unit that a case-sensitive code of UCUM stands for, None for what is none."""
    return _once(code) if len(code) <= LENGTH_MAXIMUM else None


def _read(code: str) -> Unit | None:
    found = product(code, *_table())
    if found is None:
        return None
    exponents = sorted(found.exponents.items())
    dimension = ".".join(base if power == 1 else f"{base}{power}" for base, power in exponents)
    zero = None if found.zero is None else found.zero.as_integer_ratio()
    return Unit(dimension or "1", found.factor.as_integer_ratio(), zero)


_once = lru_cache(maxsize=4096)(_read)


@cache
def _table() -> tuple[dict[str, Atom], dict[str, Fraction]]:
    """The known units and prefixes; built when the first unit is asked for."""
    from server.fhir.generated.units import PREFIXES, UNITS

    atoms = {
        code: Atom(Fraction(*ratio), exponents, metric, None if zero is None else Fraction(*zero))
        for code, (*ratio, exponents, metric, zero) in UNITS.items()
    }
    return atoms, {prefix: Fraction(*factor) for prefix, factor in PREFIXES.items()}
