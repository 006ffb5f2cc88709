"""Patches as they come, by their media type or in an entry of a Bundle, and what they make of a resource.

    application/json-patch+json    JSON Patch (RFC 6902)
    application/merge-patch+json   JSON Merge Patch (RFC 7396), which R4 does not know but common clients send
    application/fhir+json          FHIRPath Patch, a Parameters resource
    application/json               whichever of them the content is: a list, Parameters, another object

Sources: hl7.org/fhir/R4/http.html#patch, hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.fhir.fhirpath_patch import apply_fhirpath_patch
from server.fhir.json_codec import decode, decode_array, encode
from server.fhir.json_patch import apply_json_patch, apply_merge_patch
from server.fhir.references import iter_references, rewrite_references
from server.interactions.request import Limits, Patch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
FHIR_JSON = "application/fhir+json"
# What the CapabilityStatement and Accept-Patch name.
PATCH_FORMATS = (JSON_PATCH, FHIR_JSON, MERGE_PATCH)

_PLAIN_JSON = frozenset({"application/json", "text/json"})
_FHIR = frozenset({FHIR_JSON, "application/json+fhir", ""})

_APPLY: Mapping[str, Callable[[dict[str, Any], Any], dict[str, Any]]] = {
    "json": apply_json_patch,
    "merge": apply_merge_patch,
    "fhirpath": apply_fhirpath_patch,
}


def read_patch(media_type: str, data: bytes, limits: Limits) -> Patch:
    """The patch in a body. media_type: in lower case, without parameters; "" where none is given.

    Raises: FhirError unsupported-media-type (with Accept-Patch), invalid-request, invalid-json, too-costly.
    """
    if media_type == JSON_PATCH or (media_type in _PLAIN_JSON and data.lstrip()[:1] == b"["):
        content = decode_array(data, max_nesting=limits.nesting, max_elements=limits.elements)
        return Patch("json", content)
    if media_type not in (MERGE_PATCH, *_PLAIN_JSON, *_FHIR):
        raise FhirError(
            "unsupported-media-type",
            f"a patch is sent as {', '.join(PATCH_FORMATS)}; XML Patch is not offered",
            headers={"Accept-Patch": ", ".join(PATCH_FORMATS)},
        )
    changes = decode(data, max_nesting=limits.nesting, max_elements=limits.elements)
    is_parameters = changes.get("resourceType") == "Parameters"
    if media_type == MERGE_PATCH or (media_type in _PLAIN_JSON and not is_parameters):
        return Patch("merge", changes)
    return _fhirpath(changes)


def patch_of_entry(resource: dict[str, Any] | None, limits: Limits) -> Patch:
    """The patch in an entry of a Bundle: Parameters, or a Binary that holds a patch of another format.

    Raises: as `read_patch`; FhirError required where there is no resource.
    """
    if resource is None:
        raise FhirError("required", "a PATCH needs a resource: Parameters, or a Binary with a JSON Patch")
    if resource.get("resourceType") != "Binary":
        return _fhirpath(resource)
    media_type, data = resource.get("contentType"), resource.get("data")
    if not isinstance(media_type, str) or not isinstance(data, str):
        raise FhirError("required", "the Binary of a PATCH has contentType and data", "Binary")
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise FhirError("invalid-request", "data is not base64", "Binary.data") from None
    if len(content) > limits.body_bytes:
        raise FhirError("too-large", f"a patch may have {limits.body_bytes} bytes at most", "Binary.data")
    return read_patch(media_type.partition(";")[0].strip().lower(), content, limits)


def _fhirpath(parameters: dict[str, Any]) -> Patch:
    if parameters.get("resourceType") != "Parameters":
        raise FhirError(
            "invalid-request",
            f"a patch in FHIR JSON is a Parameters resource; other formats: {JSON_PATCH}, {MERGE_PATCH}",
            "resourceType",
        )
    return Patch("fhirpath", parameters)


def patched(patch: Patch, resource: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The resource after the patch, within the limits of a body but not yet validated; the resource given may
    be changed.

    Raises: FhirError unprocessable, too-costly, too-large, invalid-request, required, invalid-json (nested too
    deep).
    """
    result = _APPLY[patch.format](resource, patch.content)
    try:
        written = encode(result)
    except RecursionError:
        raise FhirError(
            "unprocessable", f"the patched resource is nested more than {limits.nesting} deep"
        ) from None
    return decode(
        written,
        max_nesting=limits.nesting,
        max_bytes=limits.body_bytes,
        max_elements=limits.elements,
    )


def references_of(patch: Patch) -> Iterator[str]:
    """Every text that the patch writes as Reference.reference."""
    if patch.format == "fhirpath":
        for _, element in iter_references(patch.content):
            if isinstance(text := element.get("reference"), str):
                yield text
        return
    found: list[str] = []
    _with_references(patch.content, "", found.append)
    yield from found


def relinked(patch: Patch, mapping: Callable[[str], str | None]) -> Patch:
    """The patch with the links that it writes replaced, as a transaction does it.

    mapping: a link -> its replacement, or None. In a FHIRPath Patch every link counts, in the others what
    stands as `reference`: only Parameters say which texts are links.
    """
    if patch.format == "fhirpath":
        return replace(patch, content=rewrite_references(patch.content, mapping))
    return replace(patch, content=_with_references(patch.content, "", mapping))


def _with_references(value: Any, name: str, mapping: Callable[[str], str | None]) -> Any:
    """A JSON value with the texts replaced that stand, or are put by an operation, under `reference`."""
    if isinstance(value, list):
        return [_with_references(item, name, mapping) for item in value]
    if isinstance(value, dict):
        path = value.get("path") if "op" in value else None
        place = path.rpartition("/")[2] if isinstance(path, str) else ""
        return {
            key: _with_references(item, place if key == "value" and path is not None else key, mapping)
            for key, item in value.items()
        }
    if name == "reference" and isinstance(value, str):
        return mapping(value) or value
    return value
