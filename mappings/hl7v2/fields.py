"""What segments, fields and components are called, and of which datatype they are.

One table for all versions: each field as v2.5.1 has it, those that came later as the version that brought them.
Unknown ones are "". Source: HL7 v2 chapters 2A, 3 to 12 (`data/SOURCES.toml`)
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a segment, or a component of a datatype (`repeats` is False then).

    type: datatype; `varies` for OBX-5 and its like, which another field decides. table: four digits, "" for
    none. since: version that brought it, 2.5.1 for all that were there by then.
    """

    name: str
    type: str
    repeats: bool
    table: str
    since: str


_UNKNOWN = Field("", "", False, "", "")


def _rows(name: str) -> list[dict[str, str]]:
    lines = (files("mappings.hl7v2") / "data" / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def segments() -> Mapping[str, str]:
    """Name of a segment, as `PID` -> what it is called, as `Patient Identification`."""
    return {row["segment"]: row["name"] for row in _rows("segments.tsv")}


@cache
def fields() -> Mapping[tuple[str, int], Field]:
    """(segment, number) -> field."""
    return {
        (row["segment"], int(row["field"])): Field(
            row["name"], row["type"], row["repeats"] == "Y", row["table"], row["since"]
        )
        for row in _rows("fields.tsv")
    }


@cache
def components() -> Mapping[tuple[str, int], Field]:
    """(datatype, number) -> component; none for primitive datatypes."""
    return {
        (row["type"], int(row["component"])): Field(
            row["name"], row["component_type"], False, row["table"], row["since"]
        )
        for row in _rows("components.tsv")
    }


def segment_name(segment: str) -> str:
    """`Patient Identification` of `PID`."""
    return segments().get(segment, "")


def field_name(segment: str, field: int) -> str:
    """`Patient Identifier List` of `PID`, 3."""
    return fields().get((segment, field), _UNKNOWN).name


def field_type(segment: str, field: int) -> str:
    """`CX` of `PID`, 3."""
    return fields().get((segment, field), _UNKNOWN).type


def component_name(datatype: str, component: int) -> str:
    """`Assigning Authority` of `CX`, 4."""
    return components().get((datatype, component), _UNKNOWN).name


def component_type(datatype: str, component: int) -> str:
    """`HD` of `CX`, 4."""
    return components().get((datatype, component), _UNKNOWN).type


def full_name(segment: str, field: int, component: int = 0, subcomponent: int = 0, datatype: str = "") -> str:
    """`Patient Identifier List, Assigning Authority, Namespace ID` of `PID`, 3, 4, 1.

    As far as it is known; a component of what has none is not named. datatype: instead of the field's own, for
    fields whose datatype varies.
    """
    kind = datatype or field_type(segment, field)
    names = [field_name(segment, field), component_name(kind, component)]
    names.append(component_name(component_type(kind, component), subcomponent))
    return ", ".join(name for name in names if name)
