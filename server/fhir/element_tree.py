"""A resource as a tree of elements, each of which knows where it stands: what a change by path works on.

JSON writes one element in two places (a primitive and its `_` twin), in lists or alone, and a choice under the
name of its type; here all of it is one Node. `tree` and `as_json` are inverse to each other.
Sources: hl7.org/fhir/R4/json.html, hl7.org/fhir/R4/element.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.validation_tables import PRIMITIVES, Element, table

Json = dict[str, Any]


class MalformedElement(ValueError):
    """The JSON is not of the shape that its type has. The text says what is wrong, never a value."""


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """One element, or a resource.

    type: as the tables name it ("HumanName", "code", "Patient.contact", "Patient"). name: the JSON property it
    stands in ("valueQuantity"), "" for the root. value: of a primitive, None where it has only extensions.
    children: JSON property -> the elements in it, in order.
    """

    type: str
    name: str = ""
    parent: Node | None = None
    value: Any = None
    children: dict[str, list[Node]] = field(default_factory=dict)

    def elements(self) -> dict[str, Element]:
        """What may stand in this element, by JSON property."""
        return table(_described(self.type)).elements

    def is_choice(self, name: str) -> bool:
        """Whether a name stands for a choice of types in this element: "value" for value[x]."""
        return name in table(_described(self.type)).choices

    def named(self, name: str) -> list[Node]:
        """The children of a name as FHIRPath knows it: "value" for valueQuantity, valueString, ..."""
        found = self.children.get(name)
        if found is not None:
            return found
        choices = table(_described(self.type)).choices.get(name, ())
        return [node for choice in choices for node in self.children.get(choice, ())]

    def siblings(self) -> list[Node]:
        """The elements in the same property of the parent, this one among them. Not for the root."""
        assert self.parent is not None
        return self.parent.children[self.name]


def tree(resource: Json) -> Node:
    """The root of the tree of a resource.

    Raises: MalformedElement for what no table describes; a resource that was found valid never does.
    """
    return complex_node("Resource", resource)


def complex_node(type: str, value: Any) -> Node:
    """The element of a type that is no primitive. Raises: MalformedElement."""
    if not isinstance(value, dict):
        raise MalformedElement("an element that is no primitive is written as an object")
    if type == "Resource":
        type = value.get("resourceType", "")
        if not isinstance(type, str) or type not in RESOURCE_TYPES:
            raise MalformedElement("a resource names no resource type of FHIR R4")
    node = Node(type)
    _fill(node, value)
    return node


def primitive_node(type: str, value: Any, twin: Any = None) -> Node:
    """A primitive element. twin: what stands under its name with `_`. Raises: MalformedElement."""
    if isinstance(value, dict | list):
        raise MalformedElement("a primitive is written as a text, a number or a boolean")
    node = Node(type, value=value)
    if twin is not None:
        if not isinstance(twin, dict):
            raise MalformedElement("the extensions of a primitive are written as an object")
        _fill(node, twin)
    return node


def _fill(node: Node, value: Json) -> None:
    elements = node.elements()
    for written in value:
        name = written.removeprefix("_")
        if (name == "resourceType" and node.type in RESOURCE_TYPES) or name in node.children:
            continue
        element = elements.get(name)
        if element is None or (written[0] == "_" and not element.is_primitive):
            raise MalformedElement("an element has a property that its type does not have")
        made = _listed(element, value.get(name), value.get(f"_{name}"))
        for child in made:
            child.name, child.parent = name, node
        node.children[name] = made


def _listed(element: Element, item: Any, twin: Any) -> list[Node]:
    if not element.is_list:
        if isinstance(item, list):
            raise MalformedElement("an element that occurs once is written as a list")
        return [_node(element, item, twin)]
    if not isinstance(item, list | None) or not isinstance(twin, list | None):
        raise MalformedElement("an element that may repeat is not written as a list")
    items, twins = item or [], twin or []
    length = max(len(items), len(twins))
    items, twins = (given + [None] * (length - len(given)) for given in (items, twins))
    return [_node(element, one, other) for one, other in zip(items, twins, strict=True)]


def _node(element: Element, item: Any, twin: Any) -> Node:
    if element.is_primitive:
        return primitive_node(element.type, item, twin)
    return complex_node(element.type, item)


def as_json(node: Node) -> Json:
    """The JSON of a resource or an element that is no primitive; of a primitive only what its twin holds.

    Elements that have become empty are left out.
    """
    written: Json = {"resourceType": node.type} if node.type in RESOURCE_TYPES else {}
    elements = node.elements()
    for name, children in node.children.items():
        element = elements[name]
        if element.is_primitive:
            _write_primitives(written, element, children)
            continue
        items = [item for child in children if (item := as_json(child))]
        if items:
            written[name] = items if element.is_list else items[0]
    return written


def _write_primitives(written: Json, element: Element, children: list[Node]) -> None:
    pairs = [(child.value, as_json(child) or None) for child in children]
    pairs = [pair for pair in pairs if pair != (None, None)]
    for name, items in (
        (element.name, [one for one, _ in pairs]),
        (f"_{element.name}", [two for _, two in pairs]),
    ):
        if any(item is not None for item in items):
            written[name] = items if element.is_list else items[0]


def _described(type: str) -> str:
    """The table that describes the children of a type."""
    return "Element" if type in PRIMITIVES else type
