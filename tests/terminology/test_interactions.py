"""The shipped interaction tables: every row of them can be reached by a pair of ingredients.

Covers spec 5.4 (interactions), what the tables cannot say included.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

from terminology.interactions import Interactions, ingredients_of, shipped_interactions

DATA = files("terminology") / "data" / "interactions"


def rows(name: str) -> list[dict[str, str]]:
    raw = (DATA / name).read_bytes()
    text = gzip.decompress(raw).decode() if name.endswith(".gz") else raw.decode()
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


@pytest.fixture(scope="module")
def tables() -> Interactions:
    return shipped_interactions()


def test_every_pair_of_the_tables_is_found_in_both_orders(tables: Interactions) -> None:
    said: dict[frozenset[str], set[tuple[str, str]]] = {}
    for pair, row in tables.pairs():
        said.setdefault(pair, set()).add((row.table, row.row))
    for number, (pair, rows) in enumerate(said.items()):
        one, other = sorted(pair)
        assert {(row.table, row.row) for row in tables.between(one, other)} == rows
        if number % 20 == 0:
            assert tables.between(other, one) == tables.between(one, other)
    assert len(said) > 37_000


def test_every_pair_of_ndfrt_whose_two_codes_resolve_is_found(tables: Interactions, rxnorm: Any) -> None:
    missed = Counter()
    for row in rows("ndfrt_va_interactions_2014.tsv.gz"):
        one = ingredients_of(row["rxcui1"], row["name1"])
        other = ingredients_of(row["rxcui2"], row["name2"])
        sides = [[code for code in side if rxnorm.concept(code)] for side in (one, other)]
        if not all(sides):
            missed["unresolved"] += 1
            continue
        for a in sides[0]:
            for b in sides[1]:
                assert a == b or any(found.row == row["label"] for found in tables.between(a, b)), row
    assert missed["unresolved"] <= 380


def test_every_row_of_osdi_with_two_known_sides_is_found(tables: Interactions) -> None:
    members = {row["class_code"] for row in rows("osdi_class_members.tsv") if row["rxcui"]}
    found = {row.row for _, row in tables.pairs() if row.table == "osdi"}
    for row in rows("osdi_interactions.tsv.gz"):
        sides = []
        for side in ("1", "2"):
            code, name = row["rxcui_or_class" + side], row["name" + side]
            known = code in members if row["kind" + side] == "class" else bool(ingredients_of(code, name))
            sides.append(known)
        one_alone = row["rxcui_or_class1"] == row["rxcui_or_class2"]
        if all(sides) and not one_alone:
            assert row["id"] in found, row


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("11289", "1191"),  # warfarin, aspirin
        ("36567", "21212"),  # simvastatin, clarithromycin
        ("29046", "9997"),  # lisinopril, spironolactone
        ("36437", "10689"),  # sertraline, tramadol
        ("6851", "10829"),  # methotrexate, trimethoprim
        ("3407", "11170"),  # digoxin, verapamil
        ("136411", "4917"),  # sildenafil, nitroglycerin
        ("11289", "4450"),  # warfarin, fluconazole
        ("1364430", "6135"),  # apixaban, ketoconazole
        ("6448", "29046"),  # lithium, lisinopril
    ],
)
def test_pairs_that_were_checked_by_hand_are_found(tables: Interactions, one: str, other: str) -> None:
    assert tables.between(one, other)


def test_metformin_and_lisinopril_are_no_pair_and_nothing_pairs_with_itself(tables: Interactions) -> None:
    assert tables.between("6809", "29046") == ()
    for code in tables.coverage["osdi"] | tables.coverage["ndfrt"]:
        assert tables.between(code, code) == ()


def test_every_code_of_the_aliases_is_an_ingredient_of_that_name(rxnorm: Any) -> None:
    for row in rows("ingredient_codes.tsv"):
        concept = rxnorm.concept(row["rxcui"])
        assert (concept.tty, concept.name) == ("IN", row["ingredient"])


def test_what_each_table_knows_is_stated(tables: Interactions) -> None:
    assert {table: len(codes) for table, codes in tables.coverage.items()} == {"osdi": 984, "ndfrt": 859}
