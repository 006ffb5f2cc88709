"""The tables of sigs: timing codes, routes, phrases. Data in `data/*.tsv`, read once."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files


def _rows(table: str) -> Iterator[dict[str, str]]:
    text = (files("smart_app.reconciliation") / "data" / table).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines(), delimiter="\t")


@dataclass(frozen=True, slots=True)
class TimingCode:
    """What a code such as BID stands for."""

    per_day: Fraction
    when: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a phrase of a written sig means; `kind` says how `value` is read (see `sig_text`)."""

    words: tuple[str, ...]
    kind: str
    value: str


WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""FHIR days of week, in their order."""


@cache
def timing_codes() -> dict[str, TimingCode]:
    """By code, in capitals."""
    return {
        row["code"]: TimingCode(
            Fraction(int(row["times"]), int(row["days"])), (row["when"],) if row["when"] else ()
        )
        for row in _rows("timing_codes.tsv")
    }


@cache
def routes() -> dict[str, str]:
    """SNOMED CT code or spelling in lower case -> route."""
    return {row["spelling"]: row["route"] for row in _rows("routes.tsv")}


@cache
def phrases() -> dict[str, tuple[Phrase, ...]]:
    """Phrases by their first word, the longest first; routes are among them."""
    found: dict[str, list[Phrase]] = {}
    written = [(row["phrase"], row["kind"], row["value"]) for row in _rows("sig_phrases.tsv")]
    written += [(name, "route", route) for name, route in routes().items() if not name.isdigit()]
    for text, kind, value in written:
        words = tuple(text.replace(".", "").split())
        found.setdefault(words[0], []).append(Phrase(words, kind, value))
    return {
        first: tuple(sorted(several, key=lambda phrase: (-len(phrase.words), phrase.words)))
        for first, several in found.items()
    }
