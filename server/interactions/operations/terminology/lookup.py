"""$lookup: what a code system says of a code.

Source: hl7.org/fhir/R4/codesystem-operation-lookup.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.errors import FhirError
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.terminology.asking import asking, parameters
from server.interactions.request import InteractionResponse
from server.storage.interface import Reader
from server.terminology.code_validation import Displays
from server.terminology.concepts import CodeSystem, Concept, Designation

# What a Parameters resource calls the types of properties.
_ELEMENTS = {
    "code": "valueCode",
    "Coding": "valueCoding",
    "string": "valueString",
    "integer": "valueInteger",
    "boolean": "valueBoolean",
    "dateTime": "valueDateTime",
    "decimal": "valueDecimal",
}


def lookup(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A Parameters resource: the system's name and version, display, designations and properties.

    property: only these of `designation`, `parent`, `child` and the properties, all without it.
    Raises: FhirError required, not-found (the system, or the code).
    """
    with asking(call, arguments) as asked:
        coded = asked.coded()
        source = asked.system(coded, arguments.one("version") or "")
        code = coded.code
        concept = source.concept(code)
        if concept is None and source.case_sensitive is not True:
            concept = source.concept(source.in_other_case(code))
        if concept is None:
            raise FhirError(
                "not-found", _absent(source), asked.place("coding" if asked.is_given("coding") else "code")
            )
        language = arguments.one("displayLanguage") or ""
        wanted = frozenset(arguments.every("property"))
        rows: list[dict[str, Any]] = [{"name": "name", "valueString": source.name or source.url}]
        if source.version:
            rows.append({"name": "version", "valueString": source.version})
        rows.append({"name": "display", "valueString": Displays(concept).preferred(language) or concept.code})
        if not wanted or "designation" in wanted:
            rows += map(designation_row, concept.designations)
        rows += (
            row for row in _properties(source, concept) if not wanted or row["part"][0]["valueCode"] in wanted
        )
        return parameters(rows)


def designation_row(designation: Designation) -> dict[str, Any]:
    """A designation as a parameter with parts."""
    parts: list[dict[str, Any]] = []
    if designation.language:
        parts.append({"name": "language", "valueCode": designation.language})
    if designation.use:
        parts.append({"name": "use", "valueCoding": designation.use})
    return {"name": "designation", "part": [*parts, {"name": "value", "valueString": designation.value}]}


def _absent(source: CodeSystem) -> str:
    if source.is_complete:
        return "the code system has no such code"
    return "the code is not among those known to this server, which are not all of the code system"


def _properties(source: CodeSystem, concept: Concept) -> Iterator[dict[str, Any]]:
    stated = {item.code for item in concept.properties}
    if "inactive" not in stated:
        yield _property("inactive", "valueBoolean", concept.inactive)
    for parent in concept.parents if "parent" not in stated else ():
        yield _property("parent", "valueCode", parent)
    for child in source.children(concept.code) if "child" not in stated else ():
        yield _property("child", "valueCode", child)
    for item in concept.properties:
        yield _property(item.code, _ELEMENTS.get(item.type, "valueString"), item.value)


def _property(code: str, element: str, value: Any) -> dict[str, Any]:
    return {
        "name": "property",
        "part": [{"name": "code", "valueCode": code}, {"name": "value", element: value}],
    }
