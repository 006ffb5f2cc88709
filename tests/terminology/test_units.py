"""Units and dose forms. Covers: UCUM spellings in charts, RxNorm dose forms."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminology.dose_form import dose_forms, package_of, release_of, trailing_form
from terminology.names import fold
from terminology.units import canonical_amount, canonical_unit, unit_spellings


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("50", "mcg", (Fraction(1, 20), "mg")),
        ("0.05", "mg", (Fraction(1, 20), "mg")),
        ("1", "g", (Fraction(1000), "mg")),
        ("10", "Units", (Fraction(10), "[iU]")),
        ("10", "[IU]", (Fraction(10), "[iU]")),
        ("2", "tsp", (Fraction(10), "mL")),
        ("1", "{tbl}", (Fraction(1), "{each}")),
        ("2", "Puffs", (Fraction(2), "{actuat}")),
    ],
)
def test_spellings_of_a_unit_agree(value: str, unit: str, expected: tuple[Fraction, str]) -> None:
    assert canonical_amount(Decimal(value), unit) == expected


def test_an_unknown_unit_is_unknown() -> None:
    assert canonical_unit("cup") is None
    assert canonical_amount(Decimal(1), "") is None


def test_micrograms_are_never_milligrams() -> None:
    assert canonical_amount(Decimal(1), "mcg") != canonical_amount(Decimal(1), "mg")


@settings(deadline=None)
@given(st.sampled_from(sorted(unit_spellings())))
def test_a_canonical_unit_does_not_depend_on_capitals(spelling: str) -> None:
    assert canonical_unit(spelling.upper()) == canonical_unit(spelling)


@pytest.mark.parametrize(
    ("form", "quantity", "release", "package"),
    [
        ("Oral Tablet", "", "immediate", None),
        ("Extended Release Oral Tablet", "24 HR", "extended 24 h", None),
        ("Extended Release Oral Tablet", "Osmotic 24 HR", "extended 24 h osmotic", None),
        ("Delayed Release Oral Capsule", "", "delayed", None),
        ("Injection", "10 ML", None, "10 mL"),
        ("Transdermal System", "24 HR", "24 h", None),
    ],
)
def test_a_dose_form_is_taken_apart(form: str, quantity: str, release: str | None, package: str | None) -> None:
    assert release_of(dose_forms()[form], quantity) == release
    assert package_of(quantity) == package


def test_the_longest_form_a_name_ends_with_counts() -> None:
    assert trailing_form("x Extended Release Oral Tablet") == "Extended Release Oral Tablet"
    assert trailing_form("x of nothing") is None


@settings(deadline=None)
@given(st.text())
def test_folding_a_name_twice_is_folding_it_once(name: str) -> None:
    assert fold(fold(name)) == fold(name)
