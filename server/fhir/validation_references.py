"""The rules of one Reference: its form, and whether it may point at that type.

The type of the target is known from "Type/id", from an absolute URL that ends so, or from Reference.type.
Fragments (#id) are the business of validation_explain, which knows the contained resources.
Source: hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.references import LOCAL, Absolute, Local, Query, parse_reference


def target_type(reference: str) -> str:
    """The resource type that a reference evidently points at, or "". Raises: MalformedReference."""
    parsed = parse_reference(reference)
    return parsed.type if isinstance(parsed, Local | Absolute | Query) else ""


def accepts_target(targets: frozenset[str]) -> Callable[[dict[str, Any]], bool]:
    """A quick test of well-shaped References: true if certainly right, false if it must be looked into."""
    allowed = targets or RESOURCE_TYPES
    local = LOCAL.fullmatch

    def accept(element: dict[str, Any]) -> bool:
        reference = element.get("reference")
        if reference is None:
            return bool(element) and ("type" not in element or element["type"] in allowed)
        match = local(reference)
        if match is not None:
            return match[1] in allowed and ("type" not in element or element["type"] == match[1])
        if "type" in element and element["type"] not in allowed:
            return False
        return bool(reference.startswith("urn:uuid:"))

    return accept
