"""Which value set the codes of a search parameter are bound to: an element of type code has its system there.

Source: hl7.org/fhir/R4/search.html#token, hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

import re
from functools import lru_cache

from server.fhir.search_query import SearchParameter
from server.fhir.validation_tables import PRIMITIVES, Element, codes, table

MIME_TYPES = "http://hl7.org/fhir/ValueSet/mimetypes"

_PATH = re.compile(r"[A-Za-z]+(?:\.[A-Za-z]+)+")


@lru_cache(maxsize=512)
def bound_value_sets(parameter: SearchParameter) -> tuple[str, ...]:
    """Canonical urls of the required bindings of the code elements that a parameter selects; () for none."""
    found: dict[str, None] = {}
    for path in _PATH.findall(parameter.expression):
        root, *names = path.split(".")
        if root == parameter.resource_type and (value_set := _value_set(root, names)):
            found[value_set] = None
    return tuple(found)


@lru_cache(maxsize=512)
def bound_codes(parameter: SearchParameter, system: str) -> frozenset[str]:
    """The codes of a system that the bindings of the code elements of a parameter list; empty for none."""
    found: set[str] = set()
    for value_set in bound_value_sets(parameter):
        listed = codes(value_set).get(system, ())
        found.update(listed if isinstance(listed, list) else ())
    return frozenset(found)


def bound_systems(parameter: SearchParameter, code: str) -> tuple[str, ...]:
    """The systems under which the bindings of the code elements of a parameter list a code."""
    return tuple(
        system
        for value_set in bound_value_sets(parameter)
        for system, listed in codes(value_set).items()
        if isinstance(listed, list) and code in listed
    )


def _value_set(root: str, names: list[str]) -> str:
    at, element = root, None
    for name in names:
        element = _element(at, name)
        if element is None:
            return ""
        at = element.type
    return element.value_set if element is not None and element.type == "code" else ""


def _element(type_name: str, name: str) -> Element | None:
    if type_name in PRIMITIVES or type_name == "Resource":
        return None
    return table(type_name).elements.get(name)
