"""Misspelt drug names. Covers: look-alike names are never taken for each other, whatever slip is made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from terminology.rxnorm import RxNorm
from terminology.spelling import Spelling

# Pairs of the FDA Name Differentiation Project (fda.gov, "FDA Name Differentiation Project") and others
# that are told apart by a few letters.
LOOK_ALIKE = [
    ("bupropion", "buspirone"),
    ("chlorpromazine", "chlorpropamide"),
    ("clomiphene", "clomipramine"),
    ("clonidine", "clonazepam"),
    ("cyclosporine", "cycloserine"),
    ("dimenhydrinate", "diphenhydramine"),
    ("dobutamine", "dopamine"),
    ("glipizide", "glyburide"),
    ("hydralazine", "hydroxyzine"),
    ("hydromorphone", "morphine"),
    ("lamotrigine", "lamivudine"),
    ("metformin", "metronidazole"),
    ("methylprednisolone", "methyltestosterone"),
    ("nicardipine", "nifedipine"),
    ("prednisone", "prednisolone"),
    ("quinidine", "quinine"),
    ("sulfadiazine", "sulfasalazine"),
    ("tolazamide", "tolbutamide"),
    ("tramadol", "trazodone"),
    ("vinblastine", "vincristine"),
]


def slips(name: str) -> Iterator[str]:
    """Every name that one letter less, one letter twice, or two letters swapped makes of this one."""
    for at in range(1, len(name)):
        yield name[:at] + name[at + 1 :]
        yield name[:at] + name[at] + name[at:]
        if at + 1 < len(name):
            yield name[:at] + name[at + 1] + name[at] + name[at + 2 :]


@pytest.mark.parametrize(("one", "other"), LOOK_ALIKE)
def test_no_slip_makes_one_drug_of_a_look_alike_pair_the_other(rxnorm: RxNorm, one: str, other: str) -> None:
    meant = {name: rxnorm.by_name(name) for name in (one, other)}
    keys = {name: match.ingredients if match else () for name, match in meant.items()}
    assert keys[one] != keys[other]
    for name, facing in ((one, other), (other, one)):
        for written in dict.fromkeys(slips(name)):
            match = rxnorm.by_name(written)
            assert match is None or not match.ingredients or match.ingredients != keys[facing], written


def test_near_words_come_nearest_first_and_no_further_than_one_slip_more() -> None:
    spelling = Spelling(["metformin", "metformins", "metoprolol", "betformin"])
    assert spelling.near("metfromin") == ((1, "metformin"), (2, "metformins"))
    assert spelling.near("metfromixx") == ()


@pytest.mark.parametrize("written", ["", "short", "metf0rmin", "xmetformin", "z" * 5000])
def test_short_or_strange_words_have_no_near_ones(written: str) -> None:
    assert Spelling(["metformin", "shorts"]).near(written) == ()
