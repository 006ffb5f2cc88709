"""What invariants ask of an element: is a property there, alone or only as an extension; which code has it.

A primitive property `x` exists when `x` or `_x` (its id and extensions) is there.
Source: hl7.org/fhir/R4/json.html#primitive, hl7.org/fhirpath (exists, xor)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

Json = dict[str, Any]

UCUM = "http://unitsofmeasure.org"


def has(element: Json, *names: str) -> bool:
    """Whether any of the named properties exists."""
    for name in names:  # noqa: SIM110  a generator costs twice as much, and this runs for every resource
        if name in element or "_" + name in element:
            return True
    return False


def chosen(element: Json, name: str) -> bool:
    """Whether a choice `name[x]` has a value."""
    forms = (name, "_" + name)
    for key in element:
        if key.startswith(forms):
            after = len(name) + (key[0] == "_")
            if key[after : after + 1].isupper():
                return True
    return False


def count(element: Json, *names: str) -> int:
    """How many of the named properties exist."""
    return sum(has(element, name) for name in names)


def items(element: Json, *path: str) -> list[Json]:
    """The objects reached by following lists and objects along the path."""
    found = [element]
    for name in path:
        values: list[Any] = []
        for parent in found:
            value = parent.get(name, ())
            values.extend(value if isinstance(value, list) else [value] if value != () else [])
        found = [value for value in values if isinstance(value, dict)]
    return found


def coded(concept: Json | None, system: str, *codes: str) -> bool:
    """Whether a CodeableConcept has one of the codes of the system."""
    return any(
        coding.get("system") == system and coding.get("code") in codes
        for coding in (concept or {}).get("coding", ())
    )


def distinct(values: Iterable[Hashable]) -> bool:
    """Whether no value comes twice."""
    listed = list(values)
    return len(set(listed)) == len(listed)
