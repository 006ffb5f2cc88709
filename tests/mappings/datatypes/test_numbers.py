"""Section 2.1, NM, SN, NR, CQ, MO, units: digits stay as sent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.datatypes.numbers import number

Ask = Callable[..., Any]
UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("sent", "written"),
    [("1.50", "1.50"), ("0.0", "0.0"), ("+3", "3"), ("-.5", "-0.5"), ("5.", "5"), ("007", "7"), ("100", "100")],
)
def test_nm_keeps_its_digits(sent: str, written: str, ask: Ask) -> None:
    answer = ask("nm", sent)
    assert isinstance(answer.result, Decimal)
    assert str(answer.result) == written


@pytest.mark.parametrize("sent", ["1,5", "1e5", "NaN", "Infinity", "five", "1 2", "٣", "-", ".", "1" * 61])
def test_nm_that_is_no_number_is_left_out_with_a_finding(sent: str, ask: Ask) -> None:
    answer = ask("nm", sent)
    assert (answer.result, answer.findings, answer.unread) == (None, ["number-invalid"], {"1.1"})


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=9))
def test_every_number_written_out_is_read_with_every_digit(value: Decimal) -> None:
    written = format(value, "f")
    found = number(written)
    assert found is not None
    assert format(found, "f") == written


def test_whole_numbers_have_to_fit(ask: Ask) -> None:
    assert ask("nm_integer", "-3").result == -3
    assert ask("nm_positive", "2.0").result == 2
    for name, sent in (
        ("nm_positive", "0"),
        ("nm_unsigned", "-1"),
        ("nm_integer", "2147483648"),
        ("nm_integer", "1.5"),
    ):
        assert ask(name, sent).findings == ["number-invalid"]


@pytest.mark.parametrize("comparator", ["<", "<=", ">", ">="])
def test_sn_comparator(comparator: str, ask: Ask) -> None:
    answer = ask("sn", f"{comparator}^5.0")
    assert answer.result == {"valueQuantity": {"value": Decimal("5.0"), "comparator": comparator}}
    assert answer.unread == set()


def test_sn_number_alone_is_a_quantity(ask: Ask) -> None:
    assert ask("sn", "^5").result == {"valueQuantity": {"value": 5}}
    assert ask("sn", "=^5").result == {"valueQuantity": {"value": 5}}


def test_sn_dash_is_a_range(ask: Ask) -> None:
    assert ask("sn", "^3^-^5").result == {"valueRange": {"low": {"value": 3}, "high": {"value": 5}}}


@pytest.mark.parametrize("separator", [":", "/"])
def test_sn_colon_and_slash_are_a_ratio(separator: str, ask: Ask) -> None:
    assert ask("sn", f"^1^{separator}^128").result == {
        "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}
    }


@pytest.mark.parametrize(
    ("sent", "text"), [("^1^+", "1+"), ("<>^5", "<>5"), (">^1^:^128", ">1:128"), ("^5^-^3", "5-3")]
)
def test_sn_that_is_none_of_them_is_text(sent: str, text: str, ask: Ask) -> None:
    answer = ask("sn", sent)
    assert (answer.result, answer.findings) == ({"valueString": text}, [])


def test_sn_operator_that_hl7_does_not_have_is_text_with_a_finding(ask: Ask) -> None:
    answer = ask("sn", "~5".replace("~", "about^"))
    assert (answer.result, answer.findings) == ({"valueString": "about5"}, ["operator-unknown"])


def test_nr_is_a_range(ask: Ask) -> None:
    assert ask("nr", "3.0^5").result == {"low": {"value": Decimal("3.0")}, "high": {"value": 5}}
    assert ask("nr", "^5").result == {"high": {"value": 5}}


def test_nr_high_below_low_is_left_out(ask: Ask) -> None:
    answer = ask("nr", "5^3")
    assert (answer.result, answer.findings) == ({"low": {"value": 5}}, ["range-reversed"])


@pytest.mark.parametrize(
    ("units", "unit"),
    [
        (
            "mg/dL^milligram per deciliter^UCUM",
            {"unit": "milligram per deciliter", "system": UCUM, "code": "mg/dL"},
        ),
        ("mg/dL", {"unit": "mg/dL", "system": UCUM, "code": "mg/dL"}),
        ("MG/DL", {"unit": "MG/DL", "system": UCUM, "code": "mg/dL"}),
        ("mmHg^^L", {"unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}),
        ("{score}^^UCUM", {"unit": "{score}", "system": UCUM, "code": "{score}"}),
        ("local^^L^mg^^UCUM", {"unit": "mg", "system": UCUM, "code": "mg"}),
    ],
)
def test_units_are_ucum_where_they_are_named_so_or_known(units: str, unit: dict[str, str], ask: Ask) -> None:
    answer = ask("unit", units)
    assert (answer.result, answer.findings) == (unit, [])


def test_units_of_a_system_of_the_sender_keep_code_and_system(ask: Ask) -> None:
    answer = ask("unit", "dose^doses^99LOC")
    assert answer.result == {"unit": "doses", "system": "urn:id:test:99LOC", "code": "dose"}
    assert answer.findings == ["unit-unknown"]


def test_units_that_nobody_knows_are_words_without_a_code(ask: Ask) -> None:
    answer = ask("unit", "scoops")
    assert (answer.result, answer.findings) == ({"unit": "scoops"}, ["unit-unknown"])


@pytest.mark.parametrize("sent", ["S", "C", "F", "K", "G", "H"])
def test_a_capital_alone_that_senders_mean_otherwise_is_not_taken_for_ucum(sent: str, ask: Ask) -> None:
    assert "code" not in ask("unit", sent).result


def test_cq_is_a_quantity(ask: Ask) -> None:
    answer = ask("cq", "2.50^mL&milliliter&UCUM")
    assert answer.result == {"value": Decimal("2.50"), "unit": "milliliter", "system": UCUM, "code": "mL"}
    assert str(answer.result["value"]) == "2.50"
    assert answer.unread == set()
    assert ask("cq", "^mL").result is None


def test_mo_is_money(ask: Ask) -> None:
    assert ask("mo", "12.50^USD").result == {"value": Decimal("12.50"), "currency": "USD"}
    assert ask("cp", "12.50&USD^UP").result == {"value": Decimal("12.50"), "currency": "USD"}
    odd = ask("mo", "1^DOUBLOON")
    assert (odd.result, odd.findings) == ({"value": 1}, ["code-unknown"])
