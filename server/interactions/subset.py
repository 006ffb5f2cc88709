"""Part of a resource instead of all of it: `_summary` and `_elements`, tagged SUBSETTED.

Sources: hl7.org/fhir/R4/search.html#summary, #elements; elements from definitions/subset-elements.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.storage.versions import StoredVersion

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
_ALWAYS = ("resourceType", "id", "meta")


def subset_of_instance(version: StoredVersion, query: Iterable[tuple[str, str]]) -> bytes:
    """The body that `_summary` or `_elements` of a read asks for.

    Raises: FhirError unsupported-search for any other parameter, invalid-search for an unknown summary mode.
    """
    summary = ""
    elements: tuple[str, ...] = ()
    for name, value in query:
        if name == "_summary":
            if value not in ("true", "text", "data", "false"):
                raise FhirError("invalid-search", "_summary of one resource is true, text, data or false")
            summary = value
        elif name == "_elements":
            elements = tuple(part for part in value.split(",") if part)
        else:
            raise FhirError(
                "unsupported-search",
                "a read takes the parameters _summary, _elements, _format and _pretty only",
            )
    return subset(version.body, version.resource_type, summary, elements)


def subset(body: bytes, resource_type: str, summary: str, elements: tuple[str, ...]) -> bytes:
    """The asked part of a stored body; the body itself where all of it is asked.

    summary: "", true, text, data or false. elements: names of top-level elements; the mandatory ones and those
    that modify the meaning come along.
    """
    if summary in ("", "false") and not elements:
        return body
    resource = decode(body)
    known = _definitions()[resource_type]
    if summary == "data":
        kept = {name: value for name, value in resource.items() if name not in ("text", "_text")}
    elif summary == "true":
        kept = _pick(resource, known["summary"])
    else:
        choices = known["choices"]  # a client writes `_elements=value` for value[x]
        asked = (f"{name}[x]" if f"{name}[x]" in choices else name for name in elements)
        names: dict[str, Any] = {name: {} for name in (*known["mandatory"], *asked)}
        if summary == "text":
            names["text"] = {}
        kept = _pick(resource, names)
    kept = {name: resource[name] for name in _ALWAYS if name in resource} | kept
    meta = dict(kept.get("meta", {}))
    meta["tag"] = [*meta.get("tag", ()), SUBSETTED]
    return encode({"resourceType": resource_type, "id": resource["id"], "meta": meta} | _without_head(kept))


def _without_head(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in _ALWAYS}


def _pick(element: dict[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in element.items():
        below = _below(key.removeprefix("_"), names)
        if below is None:
            continue
        if below and isinstance(value, list):
            kept[key] = [_pick(item, below) if isinstance(item, dict) else item for item in value]
        elif below and isinstance(value, dict):
            kept[key] = _pick(value, below)
        else:
            kept[key] = value
    return kept


def _below(name: str, names: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is kept below an element, None where the element itself is left out."""
    found = names.get(name)
    if found is not None:
        return found
    for candidate in names:
        stem = candidate.removesuffix("[x]")
        if stem is not candidate and name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper():
            return names[candidate]
    return None


@cache
def _definitions() -> dict[str, Any]:
    return json.loads(files("server.fhir").joinpath("definitions/subset-elements.json").read_text())
