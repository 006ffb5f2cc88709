"""The value of an operation of a FHIRPath Patch: a part of Parameters, made an element of its place (pure).

A value is one value[x]; or parts, for an element that no value[x] has a type for (Patient.contact,
Timing.repeat); or a resource, to be contained.
Source: hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from server.fhir.element_tree import Node, complex_node, primitive_node
from server.fhir.validation_tables import Element, table

Json = dict[str, Any]

# Type of an element -> types in which a value for it may be given besides its own: Parameters have none of it,
# or the value means the same in both.
_ACCEPTED: Mapping[str, frozenset[str]] = {
    "xhtml": frozenset({"string", "markdown"}),
    "dateTime": frozenset({"date"}),
    "SimpleQuantity": frozenset({"Quantity"}),
}


class Refused(Exception):
    """The operation cannot be applied. part: which part of it is wrong, "" for the whole."""

    def __init__(self, text: str, part: str = "") -> None:
        super().__init__(text)
        self.part = part


def value_of(part: Json, parent: Node, name: str, named_by: str) -> Node:
    """The element that a part describes, made for a place in the parent but not yet put there.

    name: as FHIRPath has it; of a choice, the value's type says which. named_by: the part that has the name.
    Raises: Refused, MalformedElement.
    """
    given = [key for key in _types() if key in part or f"_{key}" in part]
    if parent.is_choice(name) and given:
        name += given[0].removeprefix("value")
    element = parent.elements().get(name)
    if element is None:
        raise Refused("there is no such element, or it does not take a value of this type", named_by)
    node = _made(part, element, given)
    if not node.children and node.value is None:
        raise Refused("the value is empty", "value")
    node.name, node.parent = name, parent
    return node


@cache
def _types() -> Mapping[str, str]:
    """Property of a part -> the type of the value in it."""
    elements = table("Parameters.parameter").elements.values()
    return {element.name: element.type for element in elements if element.choice == "value"}


def _made(part: Json, element: Element, given: list[str]) -> Node:
    if len(given) + ("part" in part) + ("resource" in part) != 1:
        raise Refused("a value is one value[x], or parts, or a resource", "value")
    if "resource" in part:
        if element.type != "Resource":
            raise Refused("a resource cannot stand here", "value")
        return complex_node("Resource", part["resource"])
    if "part" in part:
        return _from_parts(part["part"], element)
    (key,) = given
    type = _types()[key]
    if type != element.type and type not in _ACCEPTED.get(element.type, ()):
        raise Refused(f"the value is not of the element's type, which is {element.type}", "value")
    if element.is_primitive:
        return primitive_node(element.type, part.get(key), part.get(f"_{key}"))
    return complex_node(element.type, part.get(key))


def _from_parts(parts: Any, element: Element) -> Node:
    if element.is_primitive or element.type == "Resource" or not isinstance(parts, list):
        raise Refused("only an element with elements of its own is given in parts", "value")
    node = Node(element.type)
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise Refused("parts of a value have a name each", "value")
        child = value_of(part, node, name, "value")
        listed = node.children.setdefault(child.name, [])
        if listed and not node.elements()[child.name].is_list:
            raise Refused("a part of the value occurs twice", "value")
        listed.append(child)
    return node
