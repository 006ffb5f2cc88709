"""What R4 demands of contained resources beyond their own validity: dom-2 to dom-5, and ids used once.

Source: hl7.org/fhir/R4/references.html#contained
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def broken_by_contained(
    container: dict[str, Any], contained: list[Any], fragments: set[str]
) -> Iterator[tuple[int, str]]:
    """The index of each contained resource at fault with the invariant it breaks, or "duplicate id".

    fragments: the `#id` of every Reference in the container.
    """
    seen: set[Any] = set()
    named: set[str] | None = None  # what the container may mean by its texts; gathered once
    for index, resource in enumerate(contained):
        if not isinstance(resource, dict):
            continue
        if "contained" in resource:
            yield index, "dom-2"
        meta = resource.get("meta")
        if isinstance(meta, dict):
            if "versionId" in meta or "lastUpdated" in meta:
                yield index, "dom-4"
            if "security" in meta:
                yield index, "dom-5"
        identity = resource.get("id")
        if not isinstance(identity, str):
            identity = None
        if identity is not None and identity in seen:
            yield index, "duplicate id"
        elif identity is None or f"#{identity}" not in fragments:
            # Canonicals and URIs may name it too; and it may itself refer to its container.
            if named is None:
                named = {text for text in _texts(container) if text.startswith("#")}
            is_named = identity is not None and f"#{identity}" in named
            if not is_named and "#" not in _texts(resource):
                yield index, "dom-3"
        seen.add(identity)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
