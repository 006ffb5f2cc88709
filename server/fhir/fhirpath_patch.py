"""FHIRPath Patch: a Parameters resource whose operations change the elements that paths lead to (pure).

Paths are those of `element_paths`. An operation is applied as it says or refuses the whole patch; a deletion of
what is not there is no error, as R4 has it ("if found").
Source: hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import FhirError
from server.fhir.element_paths import Path, parse_path
from server.fhir.element_steps import PathError, PathTooCostly, Walk
from server.fhir.element_tree import MalformedElement, Node, as_json, tree
from server.fhir.fhirpath_patch_values import Refused, value_of
from server.fhir.patch_rules import OPERATIONS_MAXIMUM, Identity, IdentityGuard

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    """type, and the parts it has: name -> the part as JSON."""

    type: str
    path: Path
    parts: Mapping[str, Json]
    places: Mapping[str, str]

    def whole_number(self, name: str) -> int:
        """The value of index, source or destination."""
        value = self.parts[name].get("valueInteger")
        if type(value) is not int or value < 0:
            raise Refused(f"{name} is a valueInteger from 0", name)
        return value

    def text(self, name: str) -> str:
        """The value of name."""
        value = self.parts[name].get("valueString")
        if not isinstance(value, str):
            raise Refused(f"{name} is a valueString", name)
        return value


# Operation -> the parts it needs beyond type and path.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "add": ("name", "value"),
    "insert": ("index", "value"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}


def apply_fhirpath_patch(resource: Json, parameters: Json) -> Json:
    """The resource after all operations of a Parameters resource, applied in their order.

    Raises: FhirError invalid-request and required (not a FHIRPath Patch), too-costly (too many operations, or
    paths that look at too much), unprocessable (an operation cannot be applied, or what identifies the resource
    changes); the expression `Parameters.parameter[n]` names the operation.
    """
    listed = parameters.get("parameter", [])
    if parameters.get("resourceType") != "Parameters" or not isinstance(listed, list):
        raise FhirError("invalid-request", "a FHIRPath Patch is a Parameters resource", "Parameters")
    if len(listed) > OPERATIONS_MAXIMUM:
        raise FhirError(
            "too-costly", f"a patch may have {OPERATIONS_MAXIMUM} operations", "Parameters.parameter"
        )
    walk = Walk()
    operations = [_read(raw, f"Parameters.parameter[{number}]", walk) for number, raw in enumerate(listed)]
    try:
        root = tree(resource)
    except MalformedElement:
        raise FhirError("unprocessable", "the stored resource is not of the shape that paths need") from None
    guard = IdentityGuard(_identity(root))
    for number, operation in enumerate(operations):
        place = f"Parameters.parameter[{number}]"
        try:
            _APPLY[operation.type](operation, root, walk)
        except PathTooCostly as error:
            raise FhirError("too-costly", str(error), operation.places["path"]) from None
        except PathError as error:
            raise FhirError("unprocessable", str(error), operation.places["path"]) from None
        except MalformedElement as error:
            raise FhirError("unprocessable", f"value: {error}", operation.places["value"]) from None
        except Refused as error:
            raise FhirError("unprocessable", str(error), operation.places.get(error.part, place)) from None
        guard.after(_identity(root), place)
    guard.check()
    return as_json(root)


def _identity(root: Node) -> Identity:
    def value(nodes: list[Node], name: str) -> Any:
        return next((child.value for node in nodes for child in node.named(name)), None)

    meta = root.named("meta")
    return root.type, value([root], "id"), value(meta, "versionId"), value(meta, "lastUpdated")


def _read(raw: Any, place: str, walk: Walk) -> _Operation:
    """An operation. Raises: FhirError invalid-request, required, too-costly."""
    listed = raw.get("part") if isinstance(raw, dict) else None
    if not isinstance(listed, list) or raw.get("name") != "operation":
        raise FhirError("invalid-request", 'each parameter is named "operation" and has parts', place)
    parts: dict[str, Json] = {}
    places: dict[str, str] = {}
    for number, part in enumerate(listed):
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name in parts:
            raise FhirError(
                "invalid-request", "parts have a name each, and none twice", f"{place}.part[{number}]"
            )
        parts[name], places[name] = part, f"{place}.part[{number}]"
    type = parts.get("type", {}).get("valueCode")
    if not isinstance(type, str) or type not in _NEEDED:
        words = ", ".join(_NEEDED)
        raise FhirError("invalid-request", f"type is a valueCode: {words}", places.get("type", place))
    for name in ("path", *_NEEDED[type]):
        if name not in parts:
            raise FhirError("required", f"{type} needs the part {name}", place)
    written = parts["path"].get("valueString")
    if not isinstance(written, str):
        raise FhirError("invalid-request", "path is a valueString", places["path"])
    try:
        path = parse_path(written, walk)
    except PathTooCostly as error:
        raise FhirError("too-costly", str(error), places["path"]) from None
    except PathError as error:
        raise FhirError("invalid-request", str(error), places["path"]) from None
    return _Operation(type, path, parts, places)


def _one(operation: _Operation, root: Node, walk: Walk) -> Node:
    found = operation.path.nodes(root, walk)
    if len(found) != 1:
        raise Refused(f"the path leads to {'no' if not found else 'more than one'} element", "path")
    return found[0]


def _add(operation: _Operation, root: Node, walk: Walk) -> None:
    parent = _one(operation, root, walk)
    made = value_of(operation.parts["value"], parent, operation.text("name"), "name")
    if parent.named(operation.text("name")) and not parent.elements()[made.name].is_list:
        raise Refused("the element is there already and may occur once only", "name")
    parent.children.setdefault(made.name, []).append(made)


def _insert(operation: _Operation, root: Node, walk: Walk) -> None:
    parent, name = operation.path.container(root, walk)
    made = value_of(operation.parts["value"], parent, name, "path")
    if not parent.elements()[made.name].is_list:
        raise Refused("the path leads to an element that is no list", "path")
    index, listed = operation.whole_number("index"), parent.children.setdefault(made.name, [])
    if index > len(listed):
        raise Refused("index is beyond the end of the list", "index")
    listed.insert(index, made)


def _delete(operation: _Operation, root: Node, walk: Walk) -> None:
    found = operation.path.nodes(root, walk)
    if len(found) > 1:
        raise Refused("the path leads to more than one element", "path")
    for node in found:
        _refuse_root(node)
        node.siblings().remove(node)


def _replace(operation: _Operation, root: Node, walk: Walk) -> None:
    node = _one(operation, root, walk)
    parent = _refuse_root(node)
    choice = parent.elements()[node.name].choice
    made = value_of(operation.parts["value"], parent, choice or node.name, "value")
    siblings = node.siblings()
    if made.name == node.name:
        siblings[siblings.index(node)] = made
    else:  # another type of a choice
        del parent.children[node.name]
        parent.children[made.name] = [made]


def _move(operation: _Operation, root: Node, walk: Walk) -> None:
    parent, name = operation.path.container(root, walk)
    listed = parent.children.get(name, [])
    source, destination = operation.whole_number("source"), operation.whole_number("destination")
    for number, part in ((source, "source"), (destination, "destination")):
        if number >= len(listed):
            raise Refused(f"{part} is beyond the end of the list", part)
    listed.insert(destination, listed.pop(source))


_APPLY: Mapping[str, Callable[[_Operation, Node, Walk], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _refuse_root(node: Node) -> Node:
    if node.parent is None:
        raise Refused("the path leads to the resource itself", "path")
    return node.parent
