"""Which datatype stands at a path, so that a map is told of fields and components that do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from mappings.compiler.problems import did_you_mean
from mappings.hl7v2.abstract_syntax import Part, structures
from mappings.hl7v2.fields import components, fields, segments
from mappings.running.source_path import SourcePath

_VARIES = "varies"


class NoField(Exception):
    """The segment or datatype has no such part; the text says which."""


def datatype_of(path: SourcePath, around: str) -> str:
    """The datatype at a path, "" where it is not known (segments of the site, OBX-5). around: of the
    repetition.

    Raises NoField.
    """
    datatype = around
    if path.segment:
        check_segment(path.segment)
        field = fields().get((path.segment, path.field))
        if field is None and path.segment in segments():
            raise NoField(f"{path.segment} has no field {path.field}")
        datatype = field.type if field is not None else ""
    for number in (path.component, path.subcomponent):
        datatype = _component(datatype, number) if number else datatype
    return "" if datatype == _VARIES else datatype


def check_segment(name: str) -> None:
    """Raises NoField for a segment that is neither HL7's nor, starting with Z, a site's own."""
    if name not in segments() and not name.startswith("Z"):
        raise NoField(f"no segment {name!r}{did_you_mean(name, segments())}")


def is_set_id(segment: str, field: int) -> bool:
    """Whether a field only counts the segments of a name."""
    return field == 1 and getattr(fields().get((segment, 1)), "type", "") == "SI"


def _component(datatype: str, number: int) -> str:
    if not datatype or datatype == _VARIES:
        return ""
    component = components().get((datatype, number))
    if component is not None:
        return component.type
    if number == 1 and (datatype, 2) not in components():
        return datatype  # a primitive is its own only component
    raise NoField(f"{datatype} has no component {number}")


@cache
def group_names() -> frozenset[str]:
    """The groups of all message structures that are known."""

    def within(part: Part) -> Iterator[str]:
        for inner in part.parts:
            if inner.parts:
                yield inner.name
                yield from within(inner)

    return frozenset(name for structure in structures().values() for name in within(structure) if name)
