"""Sections 2.6 and 2.9, TQ1-3 (RPT), RXE-1 and ORC-7 (TQ) -> Timing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., Any]
GTS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"


def every(frequency: int, period: int, unit: str) -> dict[str, Any]:
    return {"frequency": frequency, "period": period, "periodUnit": unit}


@pytest.mark.parametrize(
    ("sent", "repeat"),
    [
        ("QD", every(1, 1, "d")),
        ("BID", every(2, 1, "d")),
        ("TID", every(3, 1, "d")),
        ("QID", every(4, 1, "d")),
        ("QOD", every(1, 2, "d")),
        ("Q6H", every(1, 6, "h")),
        ("q8h", every(1, 8, "h")),
        ("Q30M", every(1, 30, "min")),
        ("Q2D", every(1, 2, "d")),
        ("Q1W", every(1, 1, "wk")),
        ("Q3L", every(1, 3, "mo")),
        ("5ID", every(5, 1, "d")),
        ("Q4-6H", every(1, 4, "h") | {"periodMax": 6}),
        ("QHS", every(1, 1, "d") | {"when": ["HS"]}),
        ("QAM", every(1, 1, "d") | {"when": ["MORN"]}),
        ("PCM", {"when": ["PCM"]}),
        ("Once", {"count": 1}),
        ("Q1J135", every(1, 1, "wk") | {"dayOfWeek": ["mon", "wed", "fri"]}),
        ("PRN Q6H", every(1, 6, "h")),
    ],
)
def test_a_pattern_is_a_repeat(sent: str, repeat: dict[str, Any], ask: Ask) -> None:
    answer = ask("rpt", sent)
    assert answer.result["repeat"] == repeat
    assert answer.result["code"]["text"] == sent
    assert answer.findings == []


@pytest.mark.parametrize(("sent", "code"), [("BID", "BID"), ("QAM", "AM"), ("Q4H", "Q4H"), ("QD", "QD")])
def test_a_pattern_that_has_an_abbreviation_in_v3_is_coded(sent: str, code: str, ask: Ask) -> None:
    assert ask("rpt", sent).result["code"]["coding"] == [{"system": GTS, "code": code}]


def test_a_pattern_with_as_needed_is_not_coded_as_one_without(ask: Ask) -> None:
    assert "coding" not in ask("rpt", "BID PRN").result["code"]


def test_a_pattern_that_nobody_knows_is_text_with_a_finding(ask: Ask) -> None:
    answer = ask("rpt", "FULL-MOON")
    assert answer.result == {"code": {"text": "FULL-MOON"}}
    assert answer.findings == ["repetition-pattern-unknown"]


def test_as_needed_is_said_apart(ask: Ask) -> None:
    assert ask("rpt_as_needed", "PRN").result is True
    assert ask("rpt_as_needed", "Q6H PRN").result is True
    assert ask("rpt_as_needed", "Q6H").result is None
    assert ask("rpt", "PRN").result == {"code": {"text": "PRN"}}
    assert ask("rpt", "PRN").findings == []


def test_the_words_for_a_pattern_are_its_text(ask: Ask) -> None:
    answer = ask("rpt", "BID&twice a day&HL70335")
    assert answer.result["code"]["text"] == "twice a day"
    assert answer.unread == {"1.3"}


def test_rpt_period_event_and_offset(ask: Ask) -> None:
    answer = ask("rpt", "^^^^8^h^^AC^30^min")
    assert answer.result == {"repeat": every(1, 8, "h") | {"when": ["AC"], "offset": 30}}
    assert answer.tables == {"0528:AC"}


def test_rpt_length_without_a_unit_of_time_is_left_out(ask: Ask) -> None:
    answer = ask("rpt", "^^^^8^mg")
    assert (answer.result, answer.findings) == (None, ["unit-unknown"])


def test_rpt_general_specification_is_text(ask: Ask) -> None:
    assert ask("rpt", "^^^^^^^^^^every other Monday").result == {"code": {"text": "every other Monday"}}


def test_tq_interval_times_and_bounds(ask: Ask) -> None:
    answer = ask("tq", "1^BID&0800,2000^^20240101^20240110")
    assert answer.result == {
        "code": {"text": "BID", "coding": [{"system": GTS, "code": "BID"}]},
        "repeat": every(2, 1, "d")
        | {"timeOfDay": ["08:00:00", "20:00:00"], "boundsPeriod": {"start": "2024-01-01", "end": "2024-01-10"}},
    }


def test_tq_duration_from_a_start_ends_so_much_later(ask: Ask) -> None:
    repeat = ask("tq", "^Q6H^D5^20240101").result["repeat"]
    assert repeat["boundsPeriod"] == {"start": "2024-01-01", "end": "2024-01-05"}
    assert "boundsDuration" not in repeat


def test_tq_duration_bounds_what_has_neither_start_nor_end(ask: Ask) -> None:
    repeat = ask("tq", "^Q6H^D5").result["repeat"]
    assert (repeat["boundsDuration"]["value"], repeat["boundsDuration"]["code"]) == (5, "d")
    assert "boundsPeriod" not in repeat


def test_tq_duration_in_times_is_a_count(ask: Ask) -> None:
    assert ask("tq", "^Q6H^X3").result["repeat"]["count"] == 3
    assert ask("tq", f"^Q6H{'^' * 10}7").result["repeat"]["count"] == 7


def test_tq_text_is_the_text(ask: Ask) -> None:
    assert ask("tq", "^^^^^^^Take at dawn").result == {"code": {"text": "Take at dawn"}}


def test_tq_times_that_are_none_are_left_out(ask: Ask) -> None:
    answer = ask("tq", "^BID&0800,2560")
    assert answer.result["repeat"]["timeOfDay"] == ["08:00:00"]
    assert answer.findings == ["time-invalid"]


def test_tq_as_needed(ask: Ask) -> None:
    assert ask("tq_as_needed", "^PRN").result is True


@pytest.mark.parametrize("event", ["CM", "CD", "CV"])
def test_a_meal_itself_has_no_distance(event: str, ask: Ask) -> None:
    answer = ask("rpt", f"{event}^^^^^^^^30^min")
    assert answer.result["repeat"] == {"when": [event]}
    assert "9.1" in answer.unread


@pytest.mark.parametrize(("sent", "minutes"), [("2^h", 120), ("1^d", 1440), ("30", 30), ("0^min", 0)])
def test_a_distance_from_an_event_is_in_minutes(sent: str, minutes: int, ask: Ask) -> None:
    assert ask("rpt", f"^^^^^^^AC^{sent}").result["repeat"]["offset"] == minutes


@pytest.mark.parametrize("sent", ["0.1^min", "-5^min", "1^wk", "99999999999^d"])
def test_a_distance_that_is_none_is_left_out(sent: str, ask: Ask) -> None:
    answer = ask("rpt", f"^^^^^^^AC^{sent}")
    assert answer.result["repeat"] == {"when": ["AC"]}
    assert answer.findings == ["unit-unknown"]
