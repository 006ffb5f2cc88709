"""Section 2.1, CX, EI, EIP, DLN, PLN -> Identifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mappings.result import Source

Ask = Callable[..., Any]
TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
SITE = Source("x", systems={"WEST": "https://site.example/mrn"})


def test_cx_value_type_and_system(ask: Ask) -> None:
    answer = ask("cx", " 12345 ^^^WEST^MR", source=SITE)
    assert answer.result == {
        "value": "12345",
        "type": {"coding": [{"system": TYPES, "code": "MR", "display": "Medical record number"}]},
        "system": "https://site.example/mrn",
    }
    assert answer.used == {"1.1": ["value"], "4.1": ["system"], "5.1": ["type.coding[0].code"]}
    assert answer.tables == {"0203:MR"}


def test_cx_check_digit_is_an_extension(ask: Ask) -> None:
    answer = ask("cx", "12345^6^M10")
    assert answer.result["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit", "valueString": "6"}
    ]
    assert answer.unread == {"3.1"}


def test_cx_effective_and_expiration_are_the_period(ask: Ask) -> None:
    answer = ask("cx", "1^^^^^^20200101^20301231")
    assert answer.result["period"] == {"start": "2020-01-01", "end": "2030-12-31"}


def test_cx_facility_stays_unread(ask: Ask) -> None:
    assert ask("cx", "1^^^^^SITE").unread == {"6.1"}


def test_cx_without_a_number_is_no_identifier(ask: Ask) -> None:
    answer = ask("cx", "^^^WEST^MR")
    assert (answer.result, answer.unread) == (None, {"4.1", "5.1"})


def test_cx_deleted_number_is_no_identifier(ask: Ask) -> None:
    assert ask("cx", '""^^^WEST^MR').result is None


def test_cx_namespace_beside_an_oid_is_the_assigner(ask: Ask) -> None:
    answer = ask("cx", "1^^^WEST&1.2.3&ISO^MR")
    assert answer.result["system"] == "urn:oid:1.2.3"
    assert answer.result["assigner"] == {"display": "WEST"}
    assert answer.used["4.1"] == ["assigner.display"]
    assert answer.used["4.2"] == ["system"]


def test_cx_type_that_the_table_does_not_know_is_kept(ask: Ask) -> None:
    answer = ask("cx", "1^^^^XYZZY")
    assert answer.result["type"] == {"coding": [{"system": TYPES, "code": "XYZZY"}]}
    assert answer.findings == ["code-unknown"]


def test_ei_value_and_authority(ask: Ask) -> None:
    answer = ask("ei", "ORD7^WEST^1.2.3^ISO")
    assert answer.result == {"value": "ORD7", "system": "urn:oid:1.2.3", "assigner": {"display": "WEST"}}
    assert answer.unread == set()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ei_placer", "PLAC"),
        ("ei_filler", "FILL"),
        ("ei_placer_group", "PGN"),
        ("ei_filler_group", "FGN"),
        ("ei_accession", "ACSN"),
    ],
)
def test_ei_of_an_order_has_the_type_of_its_role(name: str, code: str, ask: Ask) -> None:
    result = ask(name, "ORD7").result
    assert result["type"]["coding"][0]["code"] == code
    assert ask(name, "^WEST").result is None


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("eip_placer", "P7", "PLAC"),
        ("eip_filler", "F9", "FILL"),
        ("eip_placer_group", "P7", "PGN"),
        ("eip_filler_group", "F9", "FGN"),
    ],
)
def test_eip_has_a_placer_half_and_a_filler_half(name: str, value: str, code: str, ask: Ask) -> None:
    answer = ask(name, "P7&OE&1.2.3&ISO^F9&LAB&1.2.4&ISO")
    assert (answer.result["value"], answer.result["type"]["coding"][0]["code"]) == (value, code)
    assert answer.result["system"] == ("urn:oid:1.2.3" if value == "P7" else "urn:oid:1.2.4")


def test_dln_has_type_dl_the_system_of_its_state_and_an_end(ask: Ask) -> None:
    answer = ask("dln", "S99988801^TX^20301231")
    assert answer.result == {
        "value": "S99988801",
        "system": "urn:oid:2.16.840.1.113883.4.3.48",
        "period": {"end": "2030-12-31"},
        "type": {"coding": [{"system": TYPES, "code": "DL", "display": "Driver's license number"}]},
    }
    assert answer.findings == []


def test_dln_of_a_place_that_is_not_known_gets_a_uri_of_its_name(ask: Ask) -> None:
    answer = ask("dln", "B1^ATLANTIS")
    assert (answer.result["system"], answer.findings) == ("urn:id:ATLANTIS", ["namespace-unknown"])


def test_pln_number_type_and_end(ask: Ask) -> None:
    answer = ask("pln", "AB1234567^DEA^^20271231")
    assert answer.result["value"] == "AB1234567"
    assert answer.result["system"] == "urn:oid:2.16.840.1.113883.4.814"
    assert answer.result["type"]["coding"][0]["code"] == "DEA"
    assert answer.result["period"] == {"end": "2027-12-31"}
