# ruff: noqa: E501 - the rows of the tables are read across
"""Sigs, structured and written. Covers: hl7.org/fhir/R4/dosage.html, datatypes.html#Timing, domain 3.2."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_app.reconciliation.records import Amount
from smart_app.reconciliation.sig import read_sig
from smart_app.reconciliation.sig_text import parse_sig

DAILY, TWICE = Fraction(1), Fraction(2)

RATES: list[tuple[dict[str, Any], Fraction | None, tuple[str, ...]]] = [
    ({"frequency": 1, "period": 1, "periodUnit": "d"}, DAILY, ()),
    ({"frequency": 2, "period": 1, "periodUnit": "d"}, TWICE, ()),
    ({"frequency": 1, "period": 6, "periodUnit": "h"}, Fraction(4), ()),
    ({"frequency": 1, "period": 2, "periodUnit": "d"}, Fraction(1, 2), ()),
    ({"frequency": 1, "period": 1, "periodUnit": "wk"}, Fraction(1, 7), ()),
    ({"frequency": 1, "period": 1, "periodUnit": "mo"}, Fraction(1, 30), ()),
    ({"period": 1, "periodUnit": "d"}, DAILY, ()),
    ({"timeOfDay": ["08:00:00", "20:00:00"]}, TWICE, ("08:00:00", "20:00:00")),
    ({"when": ["MORN", "HS"]}, TWICE, ("HS", "MORN")),
    ({"dayOfWeek": ["mon", "thu"]}, Fraction(2, 7), ("mon", "thu")),
    ({"dayOfWeek": ["mon"], "frequency": 1, "period": 1, "periodUnit": "wk"}, Fraction(1, 7), ("mon",)),
    (
        {"dayOfWeek": ["mon", "wed"], "frequency": 1, "period": 1, "periodUnit": "d"},
        Fraction(2, 7),
        ("mon", "wed"),
    ),
    ({"frequency": 1}, None, ()),
    ({"when": ["AC"]}, None, ("AC",)),
    ({"period": 0, "periodUnit": "d", "frequency": 1}, None, ()),
]


@pytest.mark.parametrize(("repeat", "rate", "when"), RATES)
def test_a_structured_timing_gives_a_rate(
    repeat: dict[str, Any], rate: Fraction | None, when: tuple[str, ...]
) -> None:
    sig = read_sig([{"timing": {"repeat": repeat}}])
    assert (sig.per_day, sig.when) == (rate, when)


@pytest.mark.parametrize(
    ("code", "rate"),
    [
        ("QD", 1), ("BID", 2), ("tid", 3), ("QID", 4), ("Q4H", 6), ("Q6H", 4), ("BED", 1),
        ("QOD", Fraction(1, 2)), ("WK", Fraction(1, 7)), ("MO", Fraction(1, 30)),
    ],
)  # fmt: skip
def test_a_timing_code_gives_a_rate(code: str, rate: Fraction) -> None:
    assert read_sig([{"timing": {"code": {"coding": [{"code": code}]}}}]).per_day == rate
    assert read_sig([{"timing": {"code": {"text": code}}}]).per_day == rate


COMPLEX: list[tuple[list[dict[str, Any]], str]] = [
    ([{"timing": {"repeat": {"frequency": 1, "frequencyMax": 2, "period": 1, "periodUnit": "d"}}}], "range"),
    ([{"doseAndRate": [{"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}]}], "range"),
    ([{"doseAndRate": [{"rateQuantity": {"value": 1, "unit": "mL/h"}}]}], "rate"),
    ([{"timing": {"event": ["2026-01-01"]}}], "events"),
    ([{"sequence": 1, "text": "1 tab daily"}, {"sequence": 2, "text": "2 tabs daily"}], "several"),
    ([{"text": "Take as directed"}], "as directed"),
    ([{"text": "Insulin per sliding scale"}], "sliding scale"),
    (
        [{"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}, "code": {"text": "BID"}}}],
        "disagree",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dosages", "reason"), COMPLEX)
def test_what_cannot_be_compared_says_why(dosages: list[dict[str, Any]], reason: str) -> None:
    sig = read_sig(dosages)
    assert not sig.is_complete
    assert any(reason in why for why in sig.complex)


def test_the_same_instruction_twice_may_be_the_double_and_is_not_complete() -> None:
    dosage = {"text": "1 tab daily"}
    sig = read_sig([dosage, dosage])
    assert (sig.text, sig.complex) == ("1 tab daily", ("several dosage instructions",))


def test_an_order_of_dosages_does_not_depend_on_their_place() -> None:
    one, two = {"sequence": 1, "text": "1 tab daily"}, {"sequence": 2, "text": "2 tabs daily"}
    assert read_sig([one, two]) == read_sig([two, one])


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ({"value": 500, "unit": "mcg"}, Amount(Decimal("0.5"), "mg")),
        ({"value": 1, "system": "http://unitsofmeasure.org", "code": "g"}, Amount(Decimal(1000), "mg")),
        ({"value": 2, "unit": "tablets"}, Amount(Decimal(2), "{each}")),
        ({"value": 2}, Amount(Decimal(2), "1")),
        ({"value": 2, "unit": "cups"}, Amount(Decimal(2), "cups")),
        ({"value": 2, "unit": "mg", "comparator": "<"}, None),
        ({"value": -1, "unit": "mg"}, None),
        ({"value": True, "unit": "mg"}, None),
        ({"unit": "mg"}, None),
    ],
)
def test_a_dose_is_read_in_its_canonical_unit(quantity: dict[str, Any], amount: Amount | None) -> None:
    assert read_sig([{"doseAndRate": [{"doseQuantity": quantity}]}]).dose == amount


TEXTS = [
    ("Take 1 tablet by mouth twice daily", "1", 2, "oral"),
    ("1 tab PO BID", "1", 2, "oral"),
    ("take half a tablet daily", "0.5", 1, None),
    ("Take 1 and 1/2 tablets once a day", "1.5", 1, None),
    ("take two (2) tablets t.i.d.", "2", 3, None),
    ("1 tablet every other day.", "1", Fraction(1, 2), None),
    ("One tablet weekly", "1", Fraction(1, 7), None),
    ("3 tablets on Monday, Wednesday and Friday", "3", Fraction(3, 7), None),
    ("1 tablet in the morning and at bedtime", "1", 2, None),
    ("take 1 tablet at 8 am and at 8 pm", "1", 2, None),
    ("1 tablet every 72 hours", "1", Fraction(1, 3), None),
    ("3 times a week 1 tablet", "1", Fraction(3, 7), None),
]


@pytest.mark.parametrize(("text", "dose", "rate", "route"), TEXTS)
def test_a_written_sig_is_read(text: str, dose: str, rate: Fraction, route: str | None) -> None:
    sig = parse_sig(text)
    assert sig.dose == Amount(Decimal(dose), "{each}")
    assert (sig.per_day, sig.route, sig.complex) == (rate, route, ())


@pytest.mark.parametrize(
    "text",
    [
        "Take 1-2 tablets daily",
        "1 tab every 4 to 6 hours",
        "Take 10 mg for 5 days then 5 mg daily",
        "1 tab daily, max 3 per day",
        "1 tab daily unless dizzy",
        "one daily or two",
        "tomar una tableta cada dia",
        "2 daily 3 daily",
    ],
)
def test_what_is_not_understood_is_never_complete(text: str) -> None:
    assert not parse_sig(text).is_complete


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_reader_and_its_words_are_kept(text: str) -> None:
    assert parse_sig(text).text == text


@settings(deadline=None)
@given(
    st.sampled_from(["Take", "Give", ""]),
    st.sampled_from([("1 tablet", 1), ("2 tablets", 2), ("0.5 tab", Decimal("0.5"))]),
    st.sampled_from(["by mouth", "PO", "orally"]),
    st.sampled_from([("daily", 1), ("BID", 2), ("every 8 hours", 3), ("q6h", 4), ("weekly", Fraction(1, 7))]),
    st.booleans(),
)
def test_parts_of_a_sig_are_read_in_any_wording(
    verb: str, dose: tuple[str, Any], route: str, rate: tuple[str, Any], needed: bool
) -> None:
    sig = parse_sig(f"{verb} {dose[0]} {route} {rate[0]}{' as needed' if needed else ''}")
    assert sig.dose == Amount(Decimal(dose[1]), "{each}")
    assert (sig.per_day, sig.route, sig.as_needed, sig.complex) == (rate[1], "oral", needed, ())


@pytest.mark.parametrize(
    ("text", "dose", "per_day"),
    [
        ("Take 1 tablet (20 mg total) by mouth daily.", "1 {each}", 1),
        ("Take 1 tablet (500 mg total) by mouth 2 (two) times daily with meals.", "1 {each}", 2),
        ("Take 0.5 tablets (12.5 mg total) by mouth 2 (two) times a day", "0.5 {each}", 2),
        ("Take one-half tablet by mouth daily", "0.5 {each}", 1),
        ("take 1 tablet by oral route 2 times every day", "1 {each}", 2),
        ("1 tablet(s) by mouth twice daily", "1 {each}", 2),
        ("Inject 0.4 mL (40 mg total) into the skin every 12 (twelve) hours", "0.4 mL", 2),
        ("Inhale 2 puffs into the lungs every 6 (six) hours", "2 {actuat}", 4),
        ("Place 1 patch onto the skin every third day", "1 {each}", Fraction(1, 3)),
        ("Take 6 tablets by mouth every Monday", "6 {each}", Fraction(1, 7)),
        ("1 tab Mon-Fri", "1 {each}", Fraction(5, 7)),
        ("1 tab po qd for blood pressure", "1 {each}", 1),
        ("Take 1 tablet by mouth daily. Do not crush or chew.", "1 {each}", 1),
        ("1 po bid", "1 1", 2),
    ],
)
def test_what_charts_commonly_say_is_understood_whole(text: str, dose: str, per_day: Fraction | int) -> None:
    sig = parse_sig(text)
    assert sig.dose is not None
    assert (f"{sig.dose.value} {sig.dose.unit}", sig.per_day, sig.complex) == (dose, per_day, ())


@pytest.mark.parametrize("text", ["2 daily", "1 tablet " + "daily " * 400, "1 drop OD daily"])
def test_what_may_mean_two_things_is_not_understood(text: str) -> None:
    assert "not understood" in parse_sig(text).complex


@pytest.mark.parametrize(
    ("dosage", "basis", "confidence"),
    [
        (
            {
                "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
                "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
            },
            "codes",
            "1",
        ),
        (
            {"doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}], "text": "daily"},
            "codes-and-text",
            "0.95",
        ),
        ({"text": "1 tablet daily"}, "text", "0.9"),
        ({"text": "1 to 2 tablets daily"}, "text", "0.45"),
        ({"text": "as directed"}, "nothing", "0"),
    ],
)
def test_a_sig_says_what_it_was_understood_from(dosage: dict[str, Any], basis: str, confidence: str) -> None:
    sig = read_sig([dosage])
    assert (sig.basis, sig.confidence) == (basis, Decimal(confidence))
