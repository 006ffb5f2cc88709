"""Sections 2.1 and 2.7: OBX-5 by OBX-2, units of OBX-6, the range of OBX-7; NA -> SampledData."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

Ask = Callable[..., Any]
MG_DL = {"unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}


def obx(kind: str, value: str, units: str = "", reference: str = "") -> str:
    return f"OBX|1|{kind}|X^Y^L||{value}|{units}|{reference}"


@pytest.mark.parametrize(
    ("kind", "sent", "value"),
    [
        ("NM", "5.40", {"valueQuantity": {"value": Decimal("5.40")}}),
        ("SN", ">^5", {"valueQuantity": {"value": 5, "comparator": ">"}}),
        ("SN", "^1^:^8", {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 8}}}),
        ("NR", "3^5", {"valueRange": {"low": {"value": 3}, "high": {"value": 5}}}),
        ("DR", "20240101^20240102", {"valuePeriod": {"start": "2024-01-01", "end": "2024-01-02"}}),
        ("DT", "20240101", {"valueDateTime": "2024-01-01"}),
        ("TS", "20240101101500-0500", {"valueDateTime": "2024-01-01T10:15:00-05:00"}),
        ("DTM", "202401011015-0500", {"valueDateTime": "2024-01-01T10:15:00-05:00"}),
        ("TM", "1015", {"valueTime": "10:15:00"}),
        ("ST", "Negative", {"valueString": "Negative"}),
        ("TX", "Line one\\.br\\Line two", {"valueString": "Line one\nLine two"}),
        ("XPN", "Muster^Ana", {"valueString": "Ana Muster"}),
        ("CX", "123^^^A", {"valueString": "123^^^A"}),
        ("", "Negative", {"valueString": "Negative"}),
    ],
)
def test_the_type_of_a_value_is_what_obx_2_says(kind: str, sent: str, value: dict[str, Any], ask: Ask) -> None:
    assert ask("obx_value", segment=obx(kind, sent), field=5).result == value


@pytest.mark.parametrize("kind", ["CE", "CWE", "CNE", "CF"])
def test_a_coded_value_is_a_codeable_concept(kind: str, ask: Ask) -> None:
    answer = ask("obx_value", segment=obx(kind, "260385009^Negative^SCT"), field=5)
    assert answer.result["valueCodeableConcept"]["coding"][0]["code"] == "260385009"
    assert answer.used["1.1"] == ["valueCodeableConcept.coding[0].code", "valueCodeableConcept"]


def test_a_number_has_the_units_of_its_segment(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("NM", "5.4", "mg/dL"), field=5)
    assert answer.result == {"valueQuantity": {"value": Decimal("5.4"), **MG_DL}}


def test_the_ends_of_a_range_have_the_units(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("SN", "^3^-^5", "mg/dL"), field=5)
    assert answer.result["valueRange"]["high"] == {"value": 5, **MG_DL}


def test_a_comparator_within_a_number_is_read_with_a_finding(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("NM", "<0.5", "mg/dL"), field=5)
    assert answer.result == {"valueQuantity": {"value": Decimal("0.5"), "comparator": "<", **MG_DL}}
    assert answer.findings == ["number-invalid"]


def test_a_number_that_is_none_is_kept_as_text(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("NM", "TNP", "mg/dL"), field=5)
    assert (answer.result, answer.findings) == ({"valueString": "TNP"}, ["number-invalid"])


def test_a_date_that_is_none_is_kept_as_text(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("DT", "last week"), field=5)
    assert (answer.result, answer.findings) == ({"valueString": "last week"}, ["time-invalid"])


def test_a_text_with_a_separator_in_it_is_kept_whole(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("TX", "pH 7^normal & clear"), field=5)
    assert answer.result == {"valueString": "pH 7^normal & clear"}
    assert answer.unread == set()


@pytest.mark.parametrize("kind", ["NM", "SN", "CE", "TX", "DT", "ED", ""])
@pytest.mark.parametrize("sent", ["", '""', "^^"])
def test_an_empty_value_is_none(kind: str, sent: str, ask: Ask) -> None:
    if sent:
        answer = ask("obx_value", segment=obx(kind, sent), field=5)
        assert (answer.result, answer.findings) == (None, [])


def test_a_document_is_left_to_a_resource_of_its_own(ask: Ask) -> None:
    assert ask("obx_value", segment=obx("ED", "^Application^PDF^Base64^AAAA"), field=5).result is None


def test_an_array_is_sampled_data_with_e_for_what_is_empty(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("NA", "1.0^^3~4^5", "mV"), field=5)
    sampled = answer.result["valueSampledData"]
    assert (sampled["dimensions"], sampled["data"]) == (3, "1.0 E 3 4 5 E")
    assert set(answer.used["1.1"]) >= {"valueSampledData.data"}
    assert answer.unread == set()
    assert sampled["origin"]["value"] == 0
    assert sampled["origin"]["code"] == "mV"
    assert "period" not in sampled


def test_an_array_is_one_for_all_repetitions(ask: Ask) -> None:
    assert ask("obx_value", segment=obx("NA", "1^2~3^4"), field=5, repetition=2).result is None


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        ("3.5-5.0", {"low": Decimal("3.5"), "high": Decimal("5.0")}),
        ("3.5 - 5.0", {"low": Decimal("3.5"), "high": Decimal("5.0")}),
        ("-2-+2", {"low": -2, "high": 2}),
        ("<5", {"high": 5}),
        (">= 60", {"low": 60}),
        ("negative", {}),
        ("5-3", {}),
    ],
)
def test_a_reference_range_is_its_text_and_what_can_be_read(sent: str, ends: dict[str, Any], ask: Ask) -> None:
    answer = ask("obx_range", segment=obx("NM", "4", "mg/dL", sent), field=7)
    assert answer.result["text"] == sent
    assert {end: answer.result[end]["value"] for end in ("low", "high") if end in answer.result} == ends
    assert all(answer.result[end]["code"] == "mg/dL" for end in ends)


def test_points_that_are_no_numbers_are_one_finding(ask: Ask) -> None:
    answer = ask("obx_value", segment=obx("NA", "1^x^3~y^5^6"), field=5)
    assert answer.result["valueSampledData"]["data"] == "1 E 3 E 5 6"
    assert answer.findings == ["number-invalid"]
    assert answer.unread == {"2.1"}
