"""Section 2.1, XAD -> Address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., Any]


def test_xad_parts_in_their_places(ask: Ask) -> None:
    answer = ask("xad", "1 Elm St^Apt 2^Springfield^IL^62701^USA^H^^Sangamon")
    assert answer.result == {
        "line": ["1 Elm St", "Apt 2"],
        "city": "Springfield",
        "state": "IL",
        "postalCode": "62701",
        "country": "USA",
        "district": "Sangamon",
        "use": "home",
    }
    assert answer.unread == set()


def test_sad_name_and_number_make_the_line_where_the_street_is_not_told(ask: Ask) -> None:
    answer = ask("xad", "&Elm St&12")
    assert answer.result == {"line": ["12 Elm St"]}
    assert answer.used == {"1.2": ["line[0]"], "1.3": ["line[0]"]}


def test_sad_name_and_number_do_not_repeat_the_street(ask: Ask) -> None:
    answer = ask("xad", "12 Elm St&Elm St&12")
    assert answer.result == {"line": ["12 Elm St"]}
    assert answer.unread == set()


def test_sad_name_and_number_that_say_more_are_a_line(ask: Ask) -> None:
    assert ask("xad", "The Mill&Elm St&12^Apt 2").result["line"] == ["The Mill", "12 Elm St", "Apt 2"]


def test_xad_addressee_is_the_last_line(ask: Ask) -> None:
    assert ask("xad", f"1 Elm St{'^' * 18}c/o Probe").result["line"] == ["1 Elm St", "c/o Probe"]


def test_xad_district_is_the_text_of_a_coded_county(ask: Ask) -> None:
    assert ask("xad", "^^X^^^^^^167&Sangamon").result["district"] == "Sangamon"


def test_xad_census_tract_is_an_extension(ask: Ask) -> None:
    assert ask("xad", "^^X^^^^^^^0012.01").result["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract", "valueString": "0012.01"}
    ]


@pytest.mark.parametrize(
    ("code", "part"),
    [("M", {"type": "postal"}), ("C", {"use": "temp"}), ("B", {"use": "work"}), ("BI", {"use": "billing"})],
)
def test_xad_type_is_use_or_type(code: str, part: dict[str, str], ask: Ask) -> None:
    assert ask("xad", f"^^X^^^^{code}").result == {"city": "X", **part}


def test_xad_effective_dates_are_the_period(ask: Ask) -> None:
    assert ask("xad", "^^X^^^^^^^^^^20200101^20201231").result["period"] == {
        "start": "2020-01-01",
        "end": "2020-12-31",
    }


@pytest.mark.parametrize("content", ["^^^^^^H", '""', '""^""^""'])
def test_xad_without_a_part_of_an_address_is_none(content: str, ask: Ask) -> None:
    assert ask("xad", content).result is None


def test_xad_validity_range_is_the_period_where_no_dates_are_sent(ask: Ask) -> None:
    answer = ask("xad", "^^X^^^^^^^^^20200101&20201231")
    assert answer.result["period"] == {"start": "2020-01-01", "end": "2020-12-31"}
