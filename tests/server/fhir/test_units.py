"""Units of UCUM: what their codes mean, how amounts come to base units, and that rounding never misleads.

The second opinion is the PyPI package ucumvert: it reads UCUM with a grammar of its own and computes with pint.
Covers ucum.org/ucum chapters 2 and 3; server/fhir/units.py, units_grammar.py, generate_units.py.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.fhir import generate_units
from server.fhir.generated.units import PREFIXES, UNITS
from server.fhir.units import unit

METRIC = sorted(code for code, row in UNITS.items() if row[3] and row[4] is None)
PLAIN = sorted(code for code, row in UNITS.items() if row[4] is None)


def canonical(code: str, amount: str) -> tuple[str, float]:
    found = unit(code)
    assert found is not None, code
    return found.dimension, found.canonical(Decimal(amount))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("5.4", "mg"), ("0.0054", "g")),
        (("1", "mg/dL"), ("10", "mg/L")),
        (("120", "mm[Hg]"), ("15.99864", "kPa")),
        (("37", "Cel"), ("98.6", "[degF]")),
        (("37", "Cel"), ("310.15", "K")),
        (("37000", "mCel"), ("37", "Cel")),
        (("72", "/min"), ("1.2", "Hz")),
        (("72", "{beats}/min"), ("72", "/min")),
        (("1", "[lb_av]"), ("453.59237", "g")),
        (("180", "cm"), ("1.8", "m")),
        (("4", "10*3/uL"), ("4", "10*9/L")),
        (("1", "mmol/L"), ("1000", "umol/L")),
        (("4", "meq/L"), ("4", "mmol/L")),
        (("1", "[iU]/L"), ("1", "m[iU]/mL")),
        (("1", "[IU]"), ("1", "[iU]")),
        (("60", "mL/min/{1.73_m2}"), ("1", "mL/s")),
        (("10", "dB"), ("1", "B")),
        (("5", "%"), ("0.05", "1")),
        (("2", "g.m/(s2.kg)"), ("0.002", "m.s-2")),
        (("1", "a"), ("365.25", "d")),
        (("2", "((mg))"), ("2", "mg{dry}")),
    ],
)
def test_the_same_amount_in_two_units_is_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert canonical(one[1], one[0]) == canonical(other[1], other[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mmol/L", "10*3/uL"),  # amounts of substance are no counts
        ("[iU]", "[arb'U]"),
        ("[iU]", "1"),
        ("[CFU]/mL", "/mL"),
        ("[pH]", "1"),
        ("mg/dL", "mmol/L"),
        ("Cel", "m"),
        ("rad", "1"),
        ("B", "Np"),
    ],
)
def test_what_measures_something_else_is_never_compared(one: str, other: str) -> None:
    assert canonical(one, "1")[0] != canonical(other, "1")[0]


@pytest.mark.parametrize(
    "code",
    [
        "", "foo", "MMg", "mg/", "/", "m(", "m)", "()", "mg dL", "mg/dL ", "kin_i", "k[in_i]", "mg-",
        "10*-300000", "Cel/min", "Cel2", "/Cel", "{open", "m{a}{b", "1.73m2", "0.m", "µg", "m" * 200,
        "(" * 50 + "m" + ")" * 50, ".".join(["10*99"] * 20), "m\n", "m{\x00}",
    ],
)  # fmt: skip
def test_what_is_no_unit_has_no_meaning(code: str) -> None:
    assert unit(code) is None


def test_an_amount_beyond_all_floats_stays_the_largest() -> None:
    found = unit("Ym")
    assert found is not None
    assert found.canonical(Decimal("1e300")) == float("inf")
    assert found.canonical(Decimal("-1e300")) == float("-inf")


def test_the_generated_table_is_what_the_generator_writes_from_ucums_own_file() -> None:
    for file, text in generate_units.generate().items():
        assert file.read_text("utf-8") == text, "run `make generate`"
    vendored = files("ucumvert").joinpath("vendor", "ucum-essence.xml").read_bytes()
    assert gzip.decompress(generate_units.ESSENCE.read_bytes()) == vendored


amounts = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=4)
comparable = st.sampled_from(
    [
        ["mg", "g", "kg", "[lb_av]"],
        ["Cel", "[degF]", "K"],
        ["mm[Hg]", "kPa"],
        ["mL/min", "L/h"],
        ["%"],
    ]
).flatmap(lambda units: st.tuples(st.sampled_from(units), st.sampled_from(units)))


def exact(code: str, amount: Decimal) -> Fraction:
    found = unit(code)
    assert found is not None
    return Fraction(amount) * Fraction(*found.ratio) + Fraction(*(found.zero or (0, 1)))


@given(comparable, amounts, amounts)
def test_amounts_keep_their_order_whatever_units_they_are_in(
    units: tuple[str, str], first: Decimal, second: Decimal
) -> None:
    one, other = units
    assert canonical(one, "1")[0] == canonical(other, "1")[0]
    a, b = canonical(one, str(first))[1], canonical(other, str(second))[1]
    if exact(one, first) == exact(other, second):
        assert a == b
    elif exact(one, first) < exact(other, second):
        assert a <= b
    else:
        assert a >= b


@given(st.sampled_from(sorted(PREFIXES)), st.sampled_from(METRIC), amounts)
def test_a_prefix_multiplies(prefix: str, code: str, amount: Decimal) -> None:
    assume(prefix + code not in UNITS)
    longer = [
        p
        for p in PREFIXES
        if p != prefix and (prefix + code).startswith(p) and (prefix + code)[len(p) :] in UNITS
    ]
    assume(not longer)  # such as da + r and d + ar
    whole, plain = unit(prefix + code), unit(code)
    assert whole is not None
    assert plain is not None
    assert whole.dimension == plain.dimension
    assert Fraction(*whole.ratio) == Fraction(*plain.ratio) * Fraction(*PREFIXES[prefix])


@given(st.sampled_from(PLAIN), st.integers(-3, 3).filter(bool), st.sampled_from(PLAIN), st.integers(1, 3))
def test_a_product_multiplies_and_a_quotient_divides(one: str, power: int, other: str, below: int) -> None:
    whole, a, b = unit(f"{one}{power}/{other}{below}"), unit(one), unit(other)
    assert whole is not None
    assert a is not None
    assert b is not None
    assert Fraction(*whole.ratio) == Fraction(*a.ratio) ** power / Fraction(*b.ratio) ** below


@given(st.text(st.sampled_from("mgLsK0123456789*^[]{}()./%'+-_iUu"), max_size=30))
def test_no_code_is_too_strange_to_be_judged(code: str) -> None:
    found = unit(code)
    assert found is None or Fraction(*found.ratio) > 0


# The second opinion ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pint() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def examples() -> Iterator[str]:
    text = files("ucumvert").joinpath("vendor", "ucum_examples.tsv").read_text("utf-8")
    for row in csv.reader(text.splitlines()[1:], delimiter="\t"):
        yield row[1]


# Where pint means another unit than UCUM: fields of view, angles, units of CGS, calories, British thermal units
# and lengths, inches of mercury and water, grams per 100 mL, and levels, which are logarithms to it.
PINT_MEANS_ANOTHER = {
    "[LPF]", "{#}/[LPF]", "/[LPF]", "'", "''", "G", "Mx", "Oe", "[Cal]", "[Btu]", "[cft_i]",
    "[cyd_i]", "[ch_br]", "[lk_br]", "[rd_br]", "[in_i'Hg]", "[in_i'H2O]", "g%", "B", "dB", "[pH]",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ucums_own_examples_and_all_units_mean_what_pint_computes(pint: Any) -> None:
    first: dict[str, tuple[str, Any, Fraction]] = {}
    compared = 0
    for code in dict.fromkeys((*examples(), *PLAIN)):
        if code in PINT_MEANS_ANOTHER or code == "Torr":  # an example that UCUM does not define
            continue
        found = unit(code)
        assert found is not None, code
        other = pint.from_ucum(code)
        if found.zero is not None or not hasattr(other, "to_base_units"):
            continue  # pint has annotations as bare units
        if found.dimension not in first:
            first[found.dimension] = code, other, Fraction(*found.ratio)
            continue
        known, reference, ratio = first[found.dimension]
        ours = float(Fraction(*found.ratio) / ratio)
        theirs = (other.to_base_units() / reference.to_base_units()).to("dimensionless").magnitude
        assert theirs == pytest.approx(ours, rel=1e-4), f"{code} in {known}"
        compared += 1
    assert compared > 800


@pytest.mark.filterwarnings("ignore")
def test_temperatures_are_what_pint_computes(pint: Any) -> None:
    for code in ("Cel", "[degF]", "[degRe]", "[degR]"):
        for amount in ("-40", "0", "36.6", "98.6"):
            there = pint.Quantity(float(amount), pint.from_ucum(code).units).to("kelvin").magnitude
            assert canonical(code, amount) == ("K", pytest.approx(there, rel=1e-9))


@pytest.mark.filterwarnings("ignore")
@given(
    st.lists(st.sampled_from(["mg", "dL", "mmol", "min", "kg", "m2", "uL", "kPa"]), min_size=1, max_size=4),
    st.data(),
)
def test_random_products_are_what_pint_computes(pint: Any, parts: list[str], data: st.DataObject) -> None:
    code = parts[0] + "".join(data.draw(st.sampled_from("./")) + part for part in parts[1:])
    found, other = unit(code), pint.from_ucum(code)
    assert found is not None
    base = other.to_base_units()
    grams = 1000 ** float(base.dimensionality.get("[mass]", 0))  # pint's base unit is the kilogram
    assert base.magnitude * grams == pytest.approx(float(Fraction(*found.ratio)), rel=1e-4)
