"""What a FHIRPath expression selects of a resource, with the datatype of each value (fhirpathpy)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

_MODEL = models["r4"]


@dataclass(frozen=True, slots=True)
class Node:
    """A selected value. type: its FHIR datatype, such as CodeableConcept; "boolean" where it was computed.

    place: fhirpathpy's own node, from which further expressions may go on. path: such as Patient.name[0].use.
    """

    type: str
    value: Any
    place: Any
    path: str = ""


def _refers_to(inputs: list[Any], wanted: str) -> list[bool]:
    """Whether a Reference is to a resource of a type, by what it says.

    A logical reference without a type may be to one of the wanted type; it is taken for one, so that nothing
    is hidden that a caller asked for (docs/reference/search.md).
    """
    return [evident_type(one) in (wanted, None) for one in inputs]


_SHOWN = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?$")


def evident_type(reference: Mapping[str, Any]) -> str | None:
    """The type a reference names in its URL or its `type`; None where a logical one leaves it open.

    "" where nothing can be told: only a display, a urn, or a contained resource without a type.
    """
    shown = _SHOWN.search(reference.get("reference", ""))
    if shown is not None:
        return shown[1]
    if "type" in reference:
        return str(reference["type"])
    return None if "identifier" in reference else ""


_OPTIONS = {
    "returnRawData": True,
    "userInvocationTable": {"refersTo": {"fn": _refers_to, "arity": {0: [], 1: ["String"]}}},
}


@cache
def _compiled(expression: str) -> Callable[[Any, Mapping[str, Any]], list[Any]]:
    return fhirpathpy.compile(expression, _MODEL, _OPTIONS)


def select(start: Any, expressions: tuple[str, ...], resource: Mapping[str, Any]) -> Iterator[Node]:
    """The values that any of the expressions selects; start: the resource, or the `place` of a Node."""
    for expression in expressions:
        for place in _compiled(expression)(start, {"resource": resource}):
            value = getattr(place, "data", place)
            kind = getattr(place, "path", None) or ("boolean" if isinstance(value, bool) else "")
            # A primitive that has extensions only comes as its sibling object.
            if kind[:1].islower() and isinstance(value, dict):
                continue
            yield Node(kind, value, place, getattr(place, "propName", None) or "")
