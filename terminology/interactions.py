"""The shipped interaction tables, asked by a pair of ingredients (RxCUIs of INs).

Two tables: OSDI (September 2016; single medicines and classes of them) and the VA's NDF-RT (July 2014;
pairs). Both are old and neither is complete: no row never means that a pair is safe. `coverage` says
which ingredients a table knows at all.
Sources: `data/interactions/SOURCES.toml`
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

_DATA = files("terminology") / "data" / "interactions"
_OTHER = "OTHER "
"""A class on the second side that begins so means: another member of the class on the first side."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One row of a table. `severity` is the table's own word (see the rules that grade it)."""

    table: str
    """`osdi` or `ndfrt`."""
    row: str
    """The row's id in the table; NDF-RT has none, there it is its label."""
    severity: str
    one: str
    other: str
    """What interacts, as the table names it: a medicine or a class."""
    words: str
    """What may happen; empty where the table does not say."""
    management: str


def _rows(name: str) -> Iterator[dict[str, str]]:
    raw = (_DATA / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode("utf-8")
    return csv.DictReader(text.splitlines(), delimiter="\t")


@cache
def _ingredients() -> dict[tuple[str, str], tuple[str, ...]]:
    """(code, name) as a table has it -> INs, for those that do not stand for themselves."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in _rows("ingredient_codes.tsv"):
        found[row["code"], row["name"]].append(row["rxcui"])
    return {key: tuple(codes) for key, codes in found.items()}


def ingredients_of(code: str, name: str) -> tuple[str, ...]:
    """INs that a code and name of a table stand for; the code itself unless the table of codes knows better."""
    return _ingredients().get((code, name), (code,) if code else ())


class Interactions:
    """The tables in memory. Build once (some 50 ms); lookups are cached and safe to share."""

    def __init__(self) -> None:
        self._terms: dict[str, set[str]] = defaultdict(set)
        self._rows: dict[frozenset[str], list[Interaction]] = defaultdict(list)
        known: dict[str, set[str]] = {"osdi": set(), "ndfrt": set()}
        for row in _rows("osdi_class_members.tsv"):
            for code in ingredients_of(row["rxcui"], row["drug_name"]):
                self._terms[code].add("osdi:" + row["class_code"])
                known["osdi"].add(code)
        for row in _rows("osdi_interactions.tsv.gz"):
            sides: list[tuple[str, ...]] = []
            for side in ("1", "2"):
                code, name = row["rxcui_or_class" + side], row["name" + side]
                if row["kind" + side] == "class":
                    sides.append(("osdi:" + code,))
                else:
                    sides.append(tuple(ingredients_of(code, name)))
                    known["osdi"].update(sides[-1])
            found = Interaction(
                "osdi",
                row["id"],
                row["severity"],
                row["name1"],
                row["name2"].removeprefix(_OTHER),
                row["description"],
                row["management"],
            )
            self._add(sides[0], sides[1], found)
        for row in _rows("ndfrt_va_interactions_2014.tsv.gz"):
            one = ingredients_of(row["rxcui1"], row["name1"])
            other = ingredients_of(row["rxcui2"], row["name2"])
            known["ndfrt"].update(one, other)
            found = Interaction("ndfrt", row["label"], row["severity"], row["name1"], row["name2"], "", "")
            self._add(one, other, found)
        self.coverage = {table: frozenset(codes) for table, codes in known.items()}
        """Table -> ingredients (RxCUIs) that it says anything about."""
        self.between = lru_cache(maxsize=65536)(self._between)

    def _add(self, one: tuple[str, ...], other: tuple[str, ...], found: Interaction) -> None:
        for a in one:
            for b in other:
                self._rows[frozenset((a, b))].append(found)

    def terms(self, ingredient: str) -> frozenset[str]:
        """The ingredient and the classes of OSDI (`osdi:CODE`) that it belongs to."""
        return frozenset(self._terms.get(ingredient, ())) | {ingredient}

    def _between(self, one: str, other: str) -> tuple[Interaction, ...]:
        """Every row about two different ingredients, OSDI first, each once; () for one with itself.

        The order of the two does not matter.
        """
        if one == other:
            return ()
        found: dict[tuple[str, str], Interaction] = {}
        for a in self.terms(one):
            for b in self.terms(other):
                for row in self._rows.get(frozenset((a, b)), ()):
                    found[row.table, row.row] = row
        return tuple(found[key] for key in sorted(found, key=lambda key: (key[0] != "osdi", key)))

    def pairs(self) -> Iterator[tuple[frozenset[str], Interaction]]:
        """(two different INs, row) for everything that the tables say, classes resolved to members."""
        members: dict[str, set[str]] = defaultdict(set)
        for code, classes in self._terms.items():
            for name in classes:
                members[name].add(code)
        for terms, rows in self._rows.items():
            sides = sorted(terms) if len(terms) == 2 else [*terms, *terms]
            one, other = (members.get(term, set()) if term.startswith("osdi:") else {term} for term in sides)
            for a in one:
                for b in other:
                    if a != b:
                        for row in rows:
                            yield frozenset((a, b)), row


@cache
def shipped_interactions() -> Interactions:
    """The shipped tables, read once in a process."""
    return Interactions()
