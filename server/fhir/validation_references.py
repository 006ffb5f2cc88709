"""The rules of one Reference: its form, and whether it may point at that type.

The type of the target is known from "Type/id", from an absolute URL that ends so, or from Reference.type.
Fragments (#id) are the business of validation_explain, which knows the contained resources.
Source: hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES

_ID = r"[A-Za-z0-9\-.]{1,64}"
_LOCAL = re.compile(rf"([A-Z][A-Za-z]*)/{_ID}(?:/_history/{_ID})?")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:[^\s]+")
_TAIL = re.compile(rf"/([A-Z][A-Za-z]*)/{_ID}(?:/_history/{_ID})?")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]*)\?[^\s]+")


class MalformedReference(ValueError):
    """The text is none of the forms a reference may have."""


def target_type(reference: str) -> str:
    """The resource type that a reference evidently points at, or "".

    Raises: MalformedReference unless it is Type/id[/_history/version], Type?query, #id or an absolute URI.
    """
    match = _LOCAL.fullmatch(reference) or _CONDITIONAL.fullmatch(reference)
    if match is not None:
        if match[1] not in RESOURCE_TYPES:
            raise MalformedReference
        return match[1]
    if reference.startswith("#"):
        return ""
    if _ABSOLUTE.fullmatch(reference) is None:
        raise MalformedReference
    if not reference.startswith("http"):
        return ""
    # Only the last segments are looked at: a search over the whole text would try every slash.
    segments = reference.rsplit("/", 4 if "/_history/" in reference[-80:] else 2)
    tail = _TAIL.fullmatch("/" + "/".join(segments[1:]))
    return tail[1] if tail is not None and tail[1] in RESOURCE_TYPES else ""


def accepts_target(targets: frozenset[str]) -> Callable[[dict[str, Any]], bool]:
    """A quick test of well-shaped References: true if certainly right, false if it must be looked into."""
    allowed = targets or RESOURCE_TYPES
    local = _LOCAL.fullmatch

    def accept(element: dict[str, Any]) -> bool:
        reference = element.get("reference")
        if reference is None:
            return "type" not in element or element["type"] in allowed
        match = local(reference)
        if match is not None:
            return match[1] in allowed and ("type" not in element or element["type"] == match[1])
        return reference.startswith("urn:uuid:") and ("type" not in element or element["type"] in allowed)

    return accept
