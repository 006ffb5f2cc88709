"""Segments, fields and components have the standard's names and datatypes.

Covers mappings/hl7v2/fields.py and its data.
"""

from __future__ import annotations

import re

import pytest

from mappings.hl7v2.abstract_syntax import structures
from mappings.hl7v2.fields import (
    component_name,
    component_type,
    components,
    field_name,
    field_type,
    fields,
    full_name,
    segment_name,
    segments,
)


def test_a_field_has_name_and_datatype() -> None:
    assert segment_name("PID") == "Patient Identification"
    assert (field_name("PID", 3), field_type("PID", 3)) == ("Patient Identifier List", "CX")
    assert (component_name("CX", 4), component_type("CX", 4)) == ("Assigning Authority", "HD")
    assert fields()["PID", 3].repeats
    assert not fields()["PID", 7].repeats
    assert fields()["PID", 8].table == "0001"
    assert field_type("OBX", 5) == "varies"


def test_a_value_has_one_name() -> None:
    assert full_name("PID", 3, 4, 1) == "Patient Identifier List, Assigning Authority, Namespace ID"
    assert full_name("PID", 5, 1, 1) == "Patient Name, Family Name, Surname"
    assert full_name("PID", 8, 1, 1) == "Administrative Sex"
    assert full_name("OBX", 5, 1, 1) == "Observation Value"
    assert full_name("OBX", 5, 1, 1, "CWE") == "Observation Value, Identifier"


@pytest.mark.parametrize(
    ("segment", "number", "name"),
    [
        ("MSH", 18, "Character Set"), ("EVN", 6, "Event Occurred"), ("PV1", 19, "Visit Number"),
        ("PID", 40, "Patient Telecommunication Information"), ("PV1", 44, "Admit Date/Time"),
        ("OBX", 21, "Observation Instance Identifier"), ("OBR", 25, "Result Status"),
        ("ORC", 1, "Order Control"),
        ("TXA", 12, "Unique Document Number"), ("RXE", 2, "Give Code"), ("GOL", 4, "Goal Instance ID"),
        ("PRB", 3, "Problem ID"), ("SCH", 25, "Filler Status Code"), ("PRT", 4, "Participation"),
        ("IAM", 7, "Allergy Unique Identifier"), ("SPM", 4, "Specimen Type"),
    ],
)  # fmt: skip
def test_names_are_those_of_the_standard(segment: str, number: int, name: str) -> None:
    assert field_name(segment, number) == name


def test_what_is_not_known_has_no_name() -> None:
    assert [segment_name("ZZZ"), field_name("PID", 99), field_type("ZZZ", 1), component_name("ST", 1)] == [
        ""
    ] * 4
    assert full_name("ZZZ", 1, 1, 1) == ""


def test_every_segment_of_every_structure_is_covered() -> None:
    held = frozenset().union(*(structure.holds for structure in structures().values()))
    assert held <= set(segments())


def test_every_datatype_is_primitive_or_has_components() -> None:
    composite = {datatype for datatype, _ in components()}
    used = {field.type for field in (*fields().values(), *components().values())}
    primitive = {"DT", "DTM", "FT", "GTS", "ID", "IS", "NM", "SI", "ST", "TM", "TN", "TX", "varies"}
    assert used - composite <= primitive
    assert not composite & primitive


def test_numbers_have_no_gaps_and_tables_four_digits() -> None:
    for table in (fields(), components()):
        for name in {name for name, _ in table}:
            numbers = sorted(number for one, number in table if one == name)
            assert numbers == list(range(1, len(numbers) + 1)), name
        assert all(re.fullmatch(r"(\d{4})?", one.table) for one in table.values())
        assert all(one.name.strip() == one.name != "" and one.type for one in table.values())
