"""Drug names as people write them: folded for comparison, and taken apart word by word.

Nothing is guessed: a word that is neither a name, a strength, a form nor a known abbreviation makes
the whole text unreadable. Abbreviations are data (`data/drug_words.tsv`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files

from terminology.units import canonical_amount, canonical_unit

_TOKEN = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+|[^\W\d_]+|[%/]")
_LONGEST_NAME = 7


@lru_cache(maxsize=16384)
def fold(name: str) -> str:
    """One spelling for names that differ in case, punctuation and spacing only.

    "Metoprolol-Succinate, 24 HR" and "metoprolol succinate 24hr" fold alike.
    """
    return " ".join(word.replace(",", "") for word in _TOKEN.findall(name.casefold()))


@cache
def _words() -> dict[str, tuple[str, str]]:
    lines = (files("terminology") / "data" / "drug_words.tsv").read_text(encoding="utf-8").splitlines()
    return {row["word"]: (row["kind"], row["value"]) for row in csv.DictReader(lines, delimiter="\t")}


def known_words() -> frozenset[str]:
    """Words that say something about a drug and are no name: forms, releases, routes, abbreviations."""
    return frozenset(_words())


@dataclass(frozen=True, slots=True)
class WrittenStrength:
    """An amount in canonical units; `per` is the canonical denominator. `%` keeps its unit."""

    value: Fraction
    unit: str
    per: str | None


@dataclass(frozen=True, slots=True)
class DrugText:
    """What a text says about a drug. `names` are the codes of each name found, in order."""

    names: tuple[tuple[str, ...], ...]
    strengths: tuple[WrittenStrength, ...]
    forms: frozenset[str]
    """Words a dose form must contain, any of each entry separated by |."""
    releases: frozenset[str]
    routes: frozenset[str]
    hours: int | None
    unread: tuple[str, ...]
    """Words that were not understood."""


def read_drug_text(text: str, lookup: Callable[[str], tuple[str, ...]]) -> DrugText:
    """Take a written drug apart.

    lookup: folded name -> codes of ingredients and brands so named (empty: none); the longest run
    of words that is a name wins.
    """
    tokens: list[str] = []
    for word in fold(text).split():
        kind, value = _words().get(word, ("", ""))
        tokens += value.split() if kind == "alias" else [word]
    names: list[tuple[str, ...]] = []
    strengths: list[WrittenStrength] = []
    facts: dict[str, set[str]] = {"form": set(), "release": set(), "route": set()}
    unread: list[str] = []
    hours: int | None = None
    numbers: list[Fraction] = []
    index = 0
    while index < len(tokens):
        word = tokens[index]
        if _is_number(word):
            numbers.append(Fraction(word))
            index += 1
            continue
        if numbers:
            if word in ("hr", "hour", "hours") and len(numbers) == 1:
                hours, numbers = int(numbers[0]), []
                index += 1
                continue
            strength, index_after = _strength_at(tokens, index, numbers)
            if strength:
                strengths += strength
                numbers, index = [], index_after
                continue
            if word == "/" and index + 1 < len(tokens) and _is_number(tokens[index + 1]):
                index += 1
                continue
            unread += [str(number) for number in numbers]
            numbers = []
        codes, length = _name_at(tokens, index, lookup)
        if codes:
            names.append(codes)
            index += length
            continue
        kind, value = _words().get(word, ("", ""))
        if kind in facts:
            facts[kind].add(value)
        elif kind != "noise" and word != "/":
            unread.append(word)
        index += 1
    unread += [str(number) for number in numbers]
    return DrugText(
        names=tuple(names),
        strengths=tuple(strengths),
        forms=frozenset(facts["form"]),
        releases=frozenset(facts["release"]),
        routes=frozenset(facts["route"]),
        hours=hours,
        unread=tuple(unread),
    )


def _is_number(word: str) -> bool:
    return word[0].isdigit() or (word[0] == "." and len(word) > 1)


def _name_at(
    tokens: list[str], index: int, lookup: Callable[[str], tuple[str, ...]]
) -> tuple[tuple[str, ...], int]:
    for length in range(min(_LONGEST_NAME, len(tokens) - index), 0, -1):
        if codes := lookup(" ".join(tokens[index : index + length])):
            return codes, length
    return (), 0


def _strength_at(tokens: list[str], index: int, numbers: list[Fraction]) -> tuple[list[WrittenStrength], int]:
    """The strengths of `numbers` if a unit stands at `index`: `10 mg`, `100 mg / 5 ml`, `20 / 25 mg`."""
    if (unit := canonical_unit(tokens[index])) is None or unit.unit.startswith("{each"):
        return [], index
    per, divisor, after = None, Fraction(1), index + 1
    if after + 1 < len(tokens) and tokens[after] == "/":
        following = after + 1
        if _is_number(tokens[following]) and following + 1 < len(tokens):
            bottom = canonical_amount(Fraction(tokens[following]), tokens[following + 1])
            if bottom and bottom[1] in ("mL", "h", "{actuat}"):
                divisor, per, after = bottom[0], bottom[1], following + 2
        elif (below := canonical_unit(tokens[following])) and below.unit in ("mL", "h", "{actuat}"):
            divisor, per, after = below.factor, below.unit, following + 1
    return [WrittenStrength(n * unit.factor / divisor, unit.unit, per) for n in numbers], after
