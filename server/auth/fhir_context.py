"""`fhirContext` of a launch: what besides patient and encounter an app is opened with (pure).

Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (fhirContext)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from server.fhir.compartments import RESOURCE_TYPES

_MOST_ITEMS = 50
_MOST_CHARACTERS = 2_000
_REFERENCE = re.compile(r"([A-Za-z]{1,64})/[A-Za-z0-9.-]{1,64}")
_MOST_DEPTH = 5
_IDENTIFIER = frozenset({"use", "type", "system", "value", "period", "assigner"})
_MEMBERS = ("reference", "canonical", "identifier", "type", "role")
# Roles that the specification itself defines; any other is an absolute URI.
_PREDEFINED_ROLES = ("launch",)
# They are launch parameters of their own, and stand here only in another role.
_OWN_PARAMETERS = ("Patient", "Encounter")


class FhirContextError(ValueError):
    """The items are no fhirContext; the text says what is wrong, without their values."""


def check_fhir_context(items: Any) -> list[dict[str, Any]]:
    """The items as they may be sent with a token.

    Raises: FhirContextError.
    """
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) > _MOST_ITEMS:
        raise FhirContextError(f"fhirContext is an array of at most {_MOST_ITEMS} objects")
    for item in items:
        _check(item)
    return [dict(item) for item in items]


def _check(item: Any) -> None:
    if not isinstance(item, Mapping) or not set(item) <= set(_MEMBERS):
        raise FhirContextError(f"an item of fhirContext is an object with {', '.join(_MEMBERS)}")
    if not {"reference", "canonical", "identifier"} & set(item):
        raise FhirContextError("an item of fhirContext needs a reference, a canonical or an identifier")
    for name in ("reference", "canonical", "type", "role"):
        value = item.get(name, "-")
        if not isinstance(value, str) or not 0 < len(value) <= _MOST_CHARACTERS or not value.isprintable():
            raise FhirContextError(f"{name} of a fhirContext item is printable text that is not empty")
    types = {item["type"]} if "type" in item else set()
    if "reference" in item:
        reference = _REFERENCE.fullmatch(item["reference"])
        if reference is None:
            raise FhirContextError("reference of a fhirContext item is relative: Type/id")
        types.add(reference[1])
    if not types <= set(RESOURCE_TYPES) or len(types) > 1:
        raise FhirContextError("a fhirContext item has a single type, of FHIR R4")
    if "canonical" in item and not _is_web_url(item["canonical"]):
        raise FhirContextError("canonical of a fhirContext item is an absolute http or https URL")
    if "identifier" in item:
        _check_identifier(item["identifier"])
    role = item.get("role", "launch")
    if role not in _PREDEFINED_ROLES and not _is_absolute(role):
        raise FhirContextError("role of a fhirContext item is launch or an absolute URI")
    if role == "launch" and types & set(_OWN_PARAMETERS):
        raise FhirContextError("Patient and Encounter stand in fhirContext only in a role of their own")


def _check_identifier(identifier: Any) -> None:
    if not isinstance(identifier, Mapping) or not {"system", "value"} & set(identifier):
        raise FhirContextError("identifier of a fhirContext item is a FHIR Identifier with system or value")
    for name in ("system", "value"):
        if not isinstance(identifier.get(name, "-"), str):
            raise FhirContextError("system and value of a fhirContext item's identifier are text")
    if not set(identifier) <= _IDENTIFIER or not _is_plain(identifier, _MOST_DEPTH):
        raise FhirContextError("identifier of a fhirContext item holds what no FHIR Identifier does")


def _is_plain(value: Any, depth: int) -> bool:
    """Whether it is text and booleans in arrays and objects, none of them empty."""
    if isinstance(value, str):
        return 0 < len(value) <= _MOST_CHARACTERS and value.isprintable()
    if isinstance(value, Mapping | list):
        inner = value.values() if isinstance(value, Mapping) else value
        return depth > 0 and bool(value) and all(_is_plain(part, depth - 1) for part in inner)
    return isinstance(value, bool)


def _is_absolute(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.netloc or parts.path) and " " not in uri


def _is_web_url(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)
    except ValueError:
        return False
