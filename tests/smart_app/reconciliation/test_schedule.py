"""Instructions of several steps. Covers: tapers, amounts by day and by time, what is not understood."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from smart_app.reconciliation.sig_text import parse_sig


def steps(text: str) -> list[tuple[str, Fraction | None, tuple[str, ...], Fraction | None]]:
    return [
        (
            f"{step.dose.value} {step.dose.unit}" if step.dose else "",
            step.per_day,
            step.when,
            step.duration_days,
        )
        for step in parse_sig(text).steps
    ]


@pytest.mark.parametrize(
    "text",
    [
        "40 mg daily for 3 days, then 20 mg daily for 3 days",
        "40 mg daily x 3 days, 20 mg daily x 3 days",
        "Take 40 mg daily for 3 days; then 20 mg daily for 3 days, then stop",
        "Take 40 mg daily for 3 days. Then 20 mg for 3 days.",
    ],
)
def test_a_taper_is_read_step_by_step(text: str) -> None:
    sig = parse_sig(text)
    assert steps(text) == [("40 mg", 1, (), 3), ("20 mg", 1, (), 3)]
    assert sig.complex == ("several steps",)
    assert (sig.dose, sig.per_day) == (None, None)


def test_the_last_step_of_a_taper_may_go_on() -> None:
    assert steps("Take 1 tablet twice daily for 7 days then 1 tablet daily") == [
        ("1 {each}", 2, (), 7),
        ("1 {each}", 1, (), None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "5 mg on Monday, Wednesday and Friday and 2.5 mg on all other days",
        "Take 5 mg Mon/Wed/Fri and 2.5 mg Tue/Thu/Sat/Sun",
        "Take 5 mg on Mon, Wed, Fri; 2.5 mg the rest of the week",
    ],
)
def test_amounts_by_day_of_the_week_are_read(text: str) -> None:
    assert steps(text) == [
        ("5 mg", Fraction(3, 7), ("mon", "wed", "fri"), None),
        ("2.5 mg", Fraction(4, 7), ("tue", "thu", "sat", "sun"), None),
    ]


def test_every_day_but_one_is_an_amount_by_day() -> None:
    assert steps("5 mg daily except 7.5 mg on Sunday") == [
        ("7.5 mg", Fraction(1, 7), ("sun",), None),
        ("5 mg", Fraction(6, 7), ("mon", "tue", "wed", "thu", "fri", "sat"), None),
    ]


def test_alternating_amounts_are_each_taken_every_other_day() -> None:
    assert steps("Alternate 1 tablet with 1/2 tablet every other day") == [
        ("1 {each}", Fraction(1, 2), (), None),
        ("0.5 {each}", Fraction(1, 2), (), None),
    ]


def test_two_amounts_at_two_times_of_day_stand_side_by_side() -> None:
    assert steps("2 tablets in the morning and 1 tablet at bedtime") == [
        ("2 {each}", 1, ("MORN",), None),
        ("1 {each}", 1, ("HS",), None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Decrease by 10 mg every 3 days",
        "40 mg daily, then taper as tolerated",
        "5 mg on Monday and 2.5 mg on Monday",
        "2 units for 150-200, 4 units for 201-250",
        "40 mg daily then 20 mg daily",
    ],
)
def test_what_is_left_over_makes_it_no_schedule(text: str) -> None:
    sig = parse_sig(text)
    assert sig.steps == ()
    assert sig.complex


@pytest.mark.parametrize(
    ("sig", "daily"),
    [
        ("5 mg on Monday, Wednesday and Friday and 2.5 mg on all other days", Fraction(25, 7)),
        ("1 tablet in the morning and half a tablet at bedtime", Fraction(15, 2)),
        ("Alternate 1 tablet with 1/2 tablet every other day", Fraction(15, 4)),
        ("2 tablets daily for 3 days, then 1 tablet daily", None),
    ],
)
def test_the_mean_amount_a_day_is_known_unless_it_tapers(lists: Any, sig: str, daily: Fraction | None) -> None:
    (line,) = lists.collect([lists.line("b", "855332", sig=sig)], []).before
    assert [amount.value for amount in line.per_day] == ([] if daily is None else [daily])
    assert {amount.unit for amount in line.per_day} <= {"mg"}


def test_two_schedules_that_differ_are_shown_in_words(lists: Any) -> None:
    one = lists.line("b", "198145", sig="4 tablets daily for 3 days, then 2 tablets daily for 3 days")
    other = lists.line("a", "198145", sig="3 tablets daily for 3 days, then 1 tablet daily for 3 days")
    (group,) = lists.explain([one], [other])["groups"]
    assert (group["kind"], group["differences"]) == ("changed", ["dose", "incomplete"])
    assert "4 tablets once daily for 3 days, then 2 tablets once daily for 3 days before" in group["reason"]
