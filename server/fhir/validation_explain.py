"""The slow half of validation: every fault of a resource, each with its FHIRPath and in plain words.

Called only for resources that validation_accept is not certain of; it descends only into the parts that
are not certain. The words name elements, rules and allowed codes, never a value of the resource.
Sources: hl7.org/fhir/R4/json.html, validation.html, references.html#contained
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from server.errors import Issue
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.references import MalformedReference
from server.fhir.validation_accept import accepts, accepts_element
from server.fhir.validation_codes import accepts_code, accepts_concept, words
from server.fhir.validation_contained import broken_by_contained
from server.fhir.validation_invariants import INVARIANTS, SHAPE_ERRORS
from server.fhir.validation_narrative import fault_of_narrative
from server.fhir.validation_primitives import PRIMITIVE_RULES
from server.fhir.validation_references import target_type
from server.fhir.validation_tables import Element, Table, invariant_words, table

MAX_ISSUES = 1000

_MISSING = object()
# What is written as R4 writes the names of elements is repeated in the report; any other name may be anything.
_NAME = re.compile(r"_?[a-z][A-Za-z0-9_]{0,63}")
_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})


class _Enough(Exception):
    """The report is full."""


def explain(resource: Any) -> tuple[Issue, ...]:
    """The faults of a resource, in the order of its properties; empty = valid. At most MAX_ISSUES."""
    report = _Report()
    try:
        report.resource(resource, "")
    except _Enough:
        report.issues.append(Issue("too-costly", f"Only the first {MAX_ISSUES} faults are listed."))
    return tuple(report.issues)


class _Report:
    """Walks one resource. contained: id -> type of the contained resources that `#id` may mean now."""

    __slots__ = ("contained", "fragments", "issues")

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.contained: dict[str, str] = {}
        self.fragments: set[str] = set()

    def add(self, code: str, text: str, path: str) -> None:
        if len(self.issues) >= MAX_ISSUES:
            raise _Enough
        self.issues.append(Issue(code, text, path))

    def broken(self, invariant: str, path: str) -> None:
        key = invariant.rpartition(":")[2]
        self.add("invariant", f"{invariant_words()[invariant]} ({key})", path)

    # Resources

    def resource(self, value: Any, path: str) -> None:
        """A resource by itself: the root, an entry of a Bundle, a parameter."""
        if not isinstance(value, dict):
            self.add("structure", "A resource must be a JSON object.", path)
            return
        described = self.table_of(value, path)
        if described is None:
            return
        outer = self.contained, self.fragments
        inside = value.get("contained")
        inside = inside if isinstance(inside, list) and "contained" in described.elements else []
        self.contained = {
            r["id"]: r.get("resourceType", "")
            for r in inside
            if isinstance(r, dict) and isinstance(r.get("id"), str) and isinstance(r.get("resourceType"), str)
        }
        self.fragments = set()
        path = path or described.name
        self.object(described, value, path)
        if inside:
            self.check_contained(value, inside, path)
        self.contained, self.fragments = outer

    def table_of(self, value: dict[str, Any], path: str) -> Table | None:
        name = value.get("resourceType")
        if name is None:
            self.add("required", "resourceType is missing.", path)
        elif not isinstance(name, str):
            self.add("structure", "resourceType must be a text.", path)
        elif name not in RESOURCE_TYPES:
            self.add("not-supported", "resourceType is not a resource type of FHIR R4.", path)
        else:
            return table(name)
        return None

    def contained_resource(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            self.add("structure", "A resource must be a JSON object.", path)
            return
        described = self.table_of(value, path)
        if described is not None:
            self.object(described, value, path)

    def check_contained(self, container: dict[str, Any], inside: list[Any], path: str) -> None:
        for index, fault in broken_by_contained(container, inside, self.fragments):
            place = f"{path}.contained[{index}]"
            if fault == "duplicate id":
                self.add("duplicate", "Two contained resources have the same id.", place)
            else:
                self.broken(fault, place)

    # Objects and elements

    def object(self, described: Table, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            self.add("structure", "A JSON object is expected here.", path)
            return
        if not value:
            self.add("structure", "An object must not be empty.", path)
            return
        if not described.is_resource and value.keys() <= {"id"}:
            self.broken("ele-1", path)
        for name, item in value.items():
            self.property(described, value, name, item, path)
        self.check_presence(described, value, path)
        self.check_invariants(described.invariants, value, path)

    def property(self, described: Table, value: dict[str, Any], name: str, item: Any, path: str) -> None:
        element = described.elements.get(name)
        if element is not None:
            place = f"{path}.{element.fhirpath}"
            if element.is_primitive:
                self.primitive(element, item, value.get("_" + name, _MISSING), place)
            else:
                self.complex(element, item, place)
            return
        element = described.elements.get(name[1:]) if name.startswith("_") else None
        if element is not None and element.is_primitive:
            if element.name not in value:
                self.primitive(element, _MISSING, item, f"{path}.{element.fhirpath}")
        elif name != "resourceType" or not described.is_resource:
            is_name = _NAME.fullmatch(name) is not None
            self.add(
                "structure",
                f"{described.name} has no element {name}."
                if is_name
                else f"{described.name} has no such element.",
                f"{path}.{name}" if is_name else path,
            )

    def check_presence(self, described: Table, value: dict[str, Any], path: str) -> None:
        for choice, names in described.choices.items():
            present = [name for name in names if name in value or "_" + name in value]
            if len(present) > 1:
                self.add("structure", f"Only one of the forms of {choice}[x] may be given.", f"{path}.{choice}")
        for name in described.required:
            if name in described.choices:
                if not any(n in value or "_" + n in value for n in described.choices[name]):
                    self.add("required", f"{name}[x] is required.", f"{path}.{name}")
            elif name not in value and "_" + name not in value:
                self.add("required", f"{name} is required.", f"{path}.{name}")

    def check_invariants(self, names: tuple[str, ...], value: Any, path: str) -> None:
        for name in names:
            try:
                holds = INVARIANTS[name](value)
            except SHAPE_ERRORS:  # the shape is at fault and has been reported
                continue
            if not holds:
                self.broken(name, path)

    def complex(self, element: Element, value: Any, path: str) -> None:
        if not element.is_list:
            if isinstance(value, list):
                self.add("structure", f"{element.name} must be one value, not an array.", path)
            else:
                self.item(element, value, path)
            return
        for index, item in enumerate(self.array(element, value, path)):
            self.item(element, item, f"{path}[{index}]")

    def array(self, element: Element, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            self.add("structure", f"{element.name} must be an array.", path)
            return []
        if not value:
            self.add("structure", "An array must not be empty.", path)
        return value

    def item(self, element: Element, value: Any, path: str) -> None:
        """One value of a complex element."""
        if element.type == "Resource":
            if element.name == "contained":
                self.contained_resource(value, path)
            elif not accepts(value):
                self.resource(value, path)
            return
        if value is None:
            self.add("structure", "null is not allowed here.", path)
            return
        if accepts_element(element, value):
            return
        self.object(table(element.type), value, path)
        if not isinstance(value, dict):
            return
        if element.type == "Reference":
            self.reference(element, value, path)
        if element.value_set:
            self.concept(element, value, path)
        self.check_invariants(element.invariants, value, path)

    # Primitives

    def primitive(self, element: Element, value: Any, companion: Any, path: str) -> None:
        """A primitive with its companion `_name`, which holds ids and extensions."""
        if not element.is_list:
            if isinstance(value, list):
                self.add("structure", f"{element.name} must be one value, not an array.", path)
            elif value is None:
                self.add("structure", "null is not allowed here.", path)
            else:
                self.primitive_item(element, value, companion, path)
            return
        values = self.array(element, value, path) if value is not _MISSING else None
        companions = self.array(element, companion, path) if companion is not _MISSING else None
        if values is not None and companions is not None and len(values) != len(companions):
            self.add("structure", f"{element.name} and _{element.name} must have the same length.", path)
        for index in range(max(len(values or ()), len(companions or ()))):
            item = values[index] if values is not None and index < len(values) else None
            beside = companions[index] if companions is not None and index < len(companions) else None
            place = f"{path}[{index}]"
            if item is None and beside is None:
                self.add("structure", "null stands only for a value that has an extension instead.", place)
            else:
                self.primitive_item(
                    element, _MISSING if item is None else item, _MISSING if beside is None else beside, place
                )

    def primitive_item(self, element: Element, value: Any, companion: Any, path: str) -> None:
        if companion is not _MISSING:
            only_an_id = isinstance(companion, dict) and bool(companion) and companion.keys() <= {"id"}
            if not only_an_id or value is _MISSING:
                self.object(table("Element"), companion, path)
        if value is _MISSING:
            return
        test, meaning = PRIMITIVE_RULES[element.type]
        try:
            valid = test(value)
        except TypeError:
            valid = False
        if not valid:
            right_json = _json_type_fits(element.type, value)
            text = f"{element.name} must be {meaning}."
            if element.type == "xhtml" and right_json:
                text = fault_of_narrative(value)
            self.add("value" if right_json else "structure", text, path)
        elif element.value_set and not accepts_code(element.value_set)(value):
            self.add("code-invalid", f"{element.name} must be {words(element.value_set)}.", path)
        else:
            self.check_invariants(element.invariants, value, path)

    # References and bindings

    def reference(self, element: Element, value: dict[str, Any], path: str) -> None:
        reference, declared = value.get("reference"), value.get("type")
        kind = ""
        if isinstance(reference, str) and reference:
            if reference.startswith("#"):
                kind = self.fragment(reference, path)
            else:
                try:
                    kind = target_type(reference)
                except MalformedReference:
                    self.add(
                        "value",
                        "A reference must be Type/id with a type of R4, an absolute URI, or #id.",
                        f"{path}.reference",
                    )
        if isinstance(declared, str) and kind and declared in RESOURCE_TYPES and declared != kind:
            self.add("value", "The type differs from the type in the reference.", f"{path}.type")
        kind = kind or (declared if isinstance(declared, str) and declared in RESOURCE_TYPES else "")
        if kind and element.targets and kind not in element.targets:
            allowed = ", ".join(sorted(element.targets))
            self.add("value", f"{element.name} may refer to {allowed}, not to {kind}.", path)

    def fragment(self, reference: str, path: str) -> str:
        """The type of the contained resource that #id names. Reports ref-1."""
        self.fragments.add(reference)
        if reference == "#":
            return ""
        if reference[1:] not in self.contained:
            self.broken("ref-1", f"{path}.reference")
            return ""
        return self.contained[reference[1:]]

    def concept(self, element: Element, value: dict[str, Any], path: str) -> None:
        try:
            fits = accepts_concept(element.value_set)(value)
        except SHAPE_ERRORS:  # the shape is at fault and has been reported
            return
        if not fits:
            self.add("code-invalid", f"{element.name} must have {words(element.value_set)}.", path)


def _json_type_fits(primitive: str, value: Any) -> bool:
    if primitive == "boolean":
        return isinstance(value, bool)
    if primitive in _NUMBERS:
        return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return isinstance(value, str)
