"""Section 2.1, XPN -> HumanName; the name of an XCN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., Any]
EXTENSION = "http://hl7.org/fhir/StructureDefinition/humanname-"


def test_xpn_parts_in_their_places(ask: Ask) -> None:
    answer = ask("xpn", "Muster^Anna Lena^B^Jr.^Dr.^MD^L")
    assert answer.result == {
        "family": "Muster",
        "given": ["Anna Lena", "B"],
        "prefix": ["Dr."],
        "suffix": ["Jr.", "MD"],
        "use": "official",
    }
    assert answer.unread == set()
    assert answer.tables == {"0200:L"}


def test_xpn_given_names_are_not_split_at_spaces(ask: Ask) -> None:
    assert ask("xpn", "M^Anna Lena^B C").result["given"] == ["Anna Lena", "B C"]


def test_xpn_second_given_name_alone_is_the_first_of_the_list(ask: Ask) -> None:
    answer = ask("xpn", "M^^B")
    assert answer.result["given"] == ["B"]
    assert answer.used["3.1"] == ["given[0]"]


def test_xpn_professional_suffix_follows(ask: Ask) -> None:
    assert ask("xpn", "M^A^^III^^^^^^^^^^RN").result["suffix"] == ["III", "RN"]


def test_fn_parts_are_extensions_of_the_family(ask: Ask) -> None:
    answer = ask("xpn", "van Hagen&van&Hagen&de&Boer^A")
    assert answer.result["family"] == "van Hagen"
    assert answer.result["_family"]["extension"] == [
        {"url": f"{EXTENSION}own-prefix", "valueString": "van"},
        {"url": f"{EXTENSION}own-name", "valueString": "Hagen"},
        {"url": f"{EXTENSION}partner-prefix", "valueString": "de"},
        {"url": f"{EXTENSION}partner-name", "valueString": "Boer"},
    ]
    assert answer.unread == set()


@pytest.mark.parametrize(("code", "use"), [("M", "maiden"), ("D", "usual"), ("N", "nickname"), ("BAD", "old")])
def test_xpn_type_is_the_use(code: str, use: str, ask: Ask) -> None:
    assert ask("xpn", f"M^A^^^^^{code}").result["use"] == use


def test_xpn_type_without_a_use_in_fhir_is_no_gap(ask: Ask) -> None:
    answer = ask("xpn", "M^A^^^^^C")
    assert "use" not in answer.result
    assert (answer.findings, answer.unread) == ([], {"7.1"})


def test_xpn_type_that_the_table_does_not_know_is_a_finding(ask: Ask) -> None:
    answer = ask("xpn", "M^A^^^^^?")
    assert "use" not in answer.result
    assert answer.findings == ["code-unknown"]


def test_xpn_effective_dates_win_over_the_validity_range(ask: Ask) -> None:
    assert ask("xpn", "M^A^^^^^^^^20200101&20201231").result["period"]["start"] == "2020-01-01"
    both = ask("xpn", "M^A^^^^^^^^20200101&20201231^^20210101^20211231")
    assert both.result["period"] == {"start": "2021-01-01", "end": "2021-12-31"}


def test_xpn_assembly_order_is_an_extension(ask: Ask) -> None:
    answer = ask("xpn", "M^A^^^^^^^^^G")
    assert answer.result["extension"] == [{"url": f"{EXTENSION}assembly-order", "valueCode": "G"}]


def test_xpn_called_by_is_a_second_name(ask: Ask) -> None:
    content = f"M^Robert{'^' * 13}Bob"
    assert ask("xpn_called", content).result == {"use": "nickname", "given": ["Bob"]}
    assert "Bob" not in str(ask("xpn", content).result)


@pytest.mark.parametrize("content", ["^^^^^^L", '""', '""^""', "^^^^^^^^^20200101&20201231"])
def test_xpn_without_a_part_of_a_name_is_none(content: str, ask: Ask) -> None:
    assert ask("xpn", content).result is None


def test_xpn_keeps_letters_of_every_script(ask: Ask) -> None:
    assert ask("xpn", "山田^太郎").result == {"family": "山田", "given": ["太郎"]}


def test_xcn_name_stands_one_component_later(ask: Ask) -> None:
    answer = ask("xcn_name", "77^Doc^Test^Q^Jr^Dr.^MD^^^L")
    assert answer.result == {
        "family": "Doc",
        "given": ["Test", "Q"],
        "prefix": ["Dr."],
        "suffix": ["Jr"],
        "use": "official",
    }
