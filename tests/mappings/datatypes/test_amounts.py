"""Sections 2.8 and 2.9: numbers whose unit, maximum or time stands in another field."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from mappings.datatypes.amounts import amounts
from mappings.hl7v2.fields import field_name

Ask = Callable[..., Any]
MG = {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}


def test_a_dose_has_the_unit_of_its_field(ask: Ask) -> None:
    answer = ask("dose", segment="RXE|||2.50||mg", field=3)
    assert answer.result == {"doseQuantity": {"value": Decimal("2.50"), **MG}}
    assert answer.used == {"1.1": ["doseQuantity.value", "doseQuantity.code"]}


def test_a_dose_with_a_higher_maximum_is_a_range(ask: Ask) -> None:
    answer = ask("dose", segment="RXE|||1|2|mg", field=3)
    assert answer.result == {"doseRange": {"low": {"value": 1, **MG}, "high": {"value": 2, **MG}}}


def test_a_dose_with_the_same_maximum_is_one_quantity(ask: Ask) -> None:
    assert ask("dose", segment="RXE|||1|1.0|mg", field=3).result == {"doseQuantity": {"value": 1, **MG}}


def test_a_maximum_below_the_minimum_is_left_out(ask: Ask) -> None:
    answer = ask("dose", segment="RXO||2|1|mg", field=2)
    assert answer.result == {"doseQuantity": {"value": 2, **MG}}
    assert answer.findings == ["range-reversed"]


def test_a_rate_per_a_time_is_a_ratio(ask: Ask) -> None:
    segment = f"RXE{'|' * 22}H1|125|mL"
    result = ask("rate", segment=segment, field=23).result
    assert result["rateRatio"]["numerator"]["value"] == 125
    assert (result["rateRatio"]["denominator"]["value"], result["rateRatio"]["denominator"]["code"]) == (1, "h")


def test_a_rate_without_a_time_is_a_quantity(ask: Ask) -> None:
    result = ask("rate", segment=f"RXE{'|' * 23}125|mL/h", field=23).result
    assert result["rateQuantity"]["code"] == "mL/h"


def test_the_amount_999_of_a_vaccination_is_not_known(ask: Ask) -> None:
    assert ask("amount", segment="RXA||||||999|mL", field=6).result is None
    assert ask("amount", segment="RXA||||||0.5|mL", field=6).result["value"] == Decimal("0.5")


def test_an_amount_where_no_unit_belongs_to_it_is_a_number(ask: Ask) -> None:
    assert ask("amount", "5").result == {"value": 5}


def test_a_total_daily_dose_is_per_day(ask: Ask) -> None:
    result = ask("cq_per_day", "40^mg").result
    assert result["numerator"] == {"value": 40, **MG}
    assert result["denominator"]["code"] == "d"


@pytest.mark.parametrize(
    ("segment", "minutes"),
    [("SCH|||||||||30|min", 30), ("SCH|||||||||1|h", 60), ("SCH|||||||||45", 45), ("SCH|||||||||90|s", 2)],
)
def test_a_length_of_an_appointment_is_in_minutes(segment: str, minutes: int, ask: Ask) -> None:
    assert ask("minutes", segment=segment, field=9).result == minutes


@pytest.mark.parametrize("segment", ["SCH|||||||||30|mg", "SCH|||||||||0|min", "SCH|||||||||-5|min"])
def test_a_length_that_is_none_is_left_out_with_a_finding(segment: str, ask: Ask) -> None:
    answer = ask("minutes", segment=segment, field=9)
    assert answer.result is None
    assert answer.findings


def test_a_duration_needs_a_unit_of_time(ask: Ask) -> None:
    assert ask("duration", "5^d").result["code"] == "d"
    odd = ask("duration", "5^mg")
    assert (odd.result, odd.findings) == (None, ["unit-unknown"])


def test_every_amount_names_fields_of_its_own_segment() -> None:
    for (segment, field), belongings in amounts().items():
        assert "Unit" in field_name(segment, belongings.units)
        assert not belongings.maximum or field_name(segment, field).endswith("Minimum")
        assert not belongings.maximum or field_name(segment, belongings.maximum).endswith("Maximum")
        assert not belongings.per or "Per" in field_name(segment, belongings.per)
