"""Section 2.1, XTN -> ContactPoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., Any]


def test_xtn_unformatted_number_comes_first(ask: Ask) -> None:
    answer = ask("xtn", "(217)555-0100^PRN^PH^^1^217^5550100^^^^^+12175550100")
    assert answer.result == {"system": "phone", "value": "+12175550100", "use": "home"}


def test_xtn_parts_are_composed(ask: Ask) -> None:
    answer = ask("xtn", "(217)555-0100^WPN^PH^^1^217^5550100^12")
    assert answer.result == {"system": "phone", "value": "+1 217 5550100 x12", "use": "work"}
    assert answer.unread == {"1.1"}


def test_xtn_number_as_written_comes_last(ask: Ask) -> None:
    assert ask("xtn", "(217)555-0100^PRN^PH").result["value"] == "(217)555-0100"


@pytest.mark.parametrize("equipment", ["Internet", "X.400", "INTERNET"])
def test_xtn_email_is_its_address(equipment: str, ask: Ask) -> None:
    answer = ask("xtn", f"^NET^{equipment}^a@site.example")
    assert answer.result == {"system": "email", "value": "a@site.example"}


def test_xtn_email_in_the_place_of_a_number_is_read(ask: Ask) -> None:
    assert ask("xtn", "a@site.example^NET^Internet").result == {"system": "email", "value": "a@site.example"}


def test_xtn_address_without_equipment_is_email(ask: Ask) -> None:
    answer = ask("xtn", "^^^a@site.example")
    assert (answer.result["system"], answer.findings) == ("email", [])


def test_xtn_number_that_nothing_is_said_of_is_a_phone_with_a_finding(ask: Ask) -> None:
    answer = ask("xtn", "555-0100")
    assert (answer.result, answer.findings) == ({"system": "phone", "value": "555-0100"}, ["telecom-unmarked"])


def test_xtn_cell_phone_is_a_phone_of_use_mobile(ask: Ask) -> None:
    assert ask("xtn", "555-0100^PRN^CP").result == {"system": "phone", "value": "555-0100", "use": "mobile"}


@pytest.mark.parametrize(("equipment", "system"), [("FX", "fax"), ("BP", "pager"), ("TTY", "other")])
def test_xtn_equipment_is_the_system(equipment: str, system: str, ask: Ask) -> None:
    assert ask("xtn", f"555-0100^^{equipment}").result["system"] == system


def test_xtn_equipment_that_is_not_known_is_other(ask: Ask) -> None:
    answer = ask("xtn", "555-0100^^ZZ")
    assert (answer.result["system"], answer.findings) == ("other", ["code-unknown"])


def test_xtn_rank_and_dates(ask: Ask) -> None:
    answer = ask("xtn", "555-0100^^PH^^^^^^^^^^20200101^20201231^^^^2")
    assert answer.result["rank"] == 2
    assert answer.result["period"] == {"start": "2020-01-01", "end": "2020-12-31"}


@pytest.mark.parametrize("rank", ["0", "-1", "first", "99999999999999999999"])
def test_xtn_rank_that_is_none_stays_unread(rank: str, ask: Ask) -> None:
    answer = ask("xtn", f"555-0100^^PH{'^' * 15}{rank}")
    assert "rank" not in answer.result
    assert "18.1" in answer.unread


def test_a_home_number_is_of_use_home_only_where_it_does_not_say_its_use(ask: Ask) -> None:
    assert ask("xtn_home", "1^^PH").result["use"] == "home"
    assert ask("xtn_home", "1^WPN^PH").result["use"] == "work"
    assert ask("xtn_work", "1^^PH").result["use"] == "work"
    assert "use" not in ask("xtn_work", "1^ORN^PH").result


@pytest.mark.parametrize("content", ["^PRN^PH", '""', "^^Internet", "^PRN^PH^^1^217"])
def test_xtn_without_a_number_is_none(content: str, ask: Ask) -> None:
    assert ask("xtn", content).result is None
