"""UCUM's grammar of units: a code such as `mg/dL` or `10*3.{cells}/uL` to a product of known units.

Case-sensitive codes. What the grammar does not allow, or what is too large to mean anything, is no unit.
Source: ucum.org/ucum, chapters 2 and 3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

LENGTH_MAXIMUM = 100
_EXPONENT_MAXIMUM = 100
_BITS_MAXIMUM = 4_000  # of a ratio; 1e-300 has 1,000
_NESTING_MAXIMUM = 10

# What may follow each other inside a term: a unit, whose brackets may hold anything, with its exponent; a
# number; an annotation; and what joins them.
_TOKEN = re.compile(
    r"(?P<unit>(?:10[*^]|\[[^\[\]{}]+\]|[A-Za-z%'_])(?:\[[^\[\]{}]+\]|[A-Za-z%'_])*)(?P<exponent>[+-]?[0-9]{1,3})?"
    r"|(?P<number>[0-9]{1,30})|(?P<annotation>\{[!-z|~]*\})|(?P<sign>[./()])"
)


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit, or a product of units: factor times base units to their exponents.

    metric: takes prefixes. zero: where its scale begins, in base units, None for zero; other ones stand alone.
    """

    factor: Fraction
    exponents: Mapping[str, int] = field(default_factory=dict)
    metric: bool = False
    zero: Fraction | None = None


class _Invalid(Exception):
    """The code is no unit."""


def product(code: str, atoms: Mapping[str, Atom], prefixes: Mapping[str, Fraction]) -> Atom | None:
    """The unit that a code stands for, None for none.

    atoms, prefixes: the known ones. A code of annotations alone is the number one.
    """
    if not code or len(code) > LENGTH_MAXIMUM:
        return None
    tokens, at = [], 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            return None
        tokens.append(match)
        at = match.end()
    try:
        return _Reader(tokens, atoms, prefixes).whole()
    except _Invalid:
        return None


class _Reader:
    """Reads the tokens of one code from left to right; `.` and `/` bind equally."""

    def __init__(
        self, tokens: list[re.Match[str]], atoms: Mapping[str, Atom], prefixes: Mapping[str, Fraction]
    ) -> None:
        self._tokens = tokens
        self._atoms = atoms
        self._prefixes = prefixes
        self._at = 0

    def whole(self) -> Atom:
        if len(self._tokens) <= 2 and self._tokens[0]["unit"] and not self._tokens[0]["exponent"]:
            # Alone, a unit may begin elsewhere than at zero.
            found = self._unit(self._tokens[0]["unit"])
            if len(self._tokens) == 1 or self._tokens[1]["annotation"]:
                return found
        found = self._term(0)
        if self._at < len(self._tokens):
            raise _Invalid
        return found

    def _sign(self) -> str:
        """The sign that comes next, "" for none."""
        return (self._tokens[self._at]["sign"] or "") if self._at < len(self._tokens) else ""

    def _term(self, depth: int) -> Atom:
        if depth > _NESTING_MAXIMUM:
            raise _Invalid
        factor, exponents = Fraction(1), dict[str, int]()
        power = 1
        if self._sign() == "/":
            power, self._at = -1, self._at + 1
        while True:
            part = self._component(depth)
            factor = _bounded(factor * part.factor**power)
            for base, exponent in part.exponents.items():
                exponents[base] = exponents.get(base, 0) + power * exponent
            if self._sign() not in (".", "/"):
                return Atom(factor, {base: exponent for base, exponent in exponents.items() if exponent})
            power = 1 if self._sign() == "." else -1
            self._at += 1

    def _component(self, depth: int) -> Atom:
        if self._at >= len(self._tokens):
            raise _Invalid
        token = self._tokens[self._at]
        self._at += 1
        if token["annotation"]:
            return Atom(Fraction(1))
        if token["sign"] == "(":
            found = self._term(depth + 1)
            if self._sign() != ")":
                raise _Invalid
            self._at += 1
        elif token["number"]:
            if not int(token["number"]):
                raise _Invalid
            found = Atom(Fraction(int(token["number"])))
        elif token["unit"]:
            found = self._power(token)
        else:
            raise _Invalid
        if self._at < len(self._tokens) and self._tokens[self._at]["annotation"]:
            self._at += 1
        return found

    def _power(self, token: re.Match[str]) -> Atom:
        found, exponent = self._unit(token["unit"]), int(token["exponent"] or 1)
        if found.zero is not None or abs(exponent) > _EXPONENT_MAXIMUM:
            raise _Invalid
        powers = {base: power * exponent for base, power in found.exponents.items() if exponent}
        return Atom(_bounded(found.factor**exponent), powers)

    def _unit(self, symbol: str) -> Atom:
        found = self._atoms.get(symbol)
        if found is not None:
            return found
        for length in (2, 1):
            factor, metric = self._prefixes.get(symbol[:length]), self._atoms.get(symbol[length:])
            if factor is not None and metric is not None and metric.metric:
                return Atom(factor * metric.factor, metric.exponents, zero=metric.zero)
        raise _Invalid


def _bounded(factor: Fraction) -> Fraction:
    if factor.numerator.bit_length() + factor.denominator.bit_length() > _BITS_MAXIMUM:
        raise _Invalid
    return factor
