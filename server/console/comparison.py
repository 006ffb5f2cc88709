"""The console's page that compares two versions of a resource: what differs by element, and side by side.

Both versions are read through the same door as everything else, so whoever may not see one sees no comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from server.auth.principal import Principal
from server.console.resources import version_content
from server.errors import FhirError
from server.fhir.changed_elements import changes
from server.fhir.json_codec import encode
from server.interactions.request import Context
from server.staff_area import page, staff_principal

CLIENT_ID = "console"
CONTEXT_LINES = 3  # shown around what differs; the rest of what is alike is folded
MOST_LINES = 20_000  # of both versions together, beyond which only the elements are compared


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs. what: added, removed, changed. before, after: JSON, "" where there is none."""

    path: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of each version beside each other; None where a version has none. same: they are alike."""

    before: str | None
    after: str | None
    same: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that follow each other. folded: they are alike and far from what differs."""

    lines: tuple[Line, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of a resource. deleted: which of them are deletions. too_long: to be set side by side.

    blocks: empty where nothing differs, and where the versions are too long.
    """

    resource_type: str
    id: str
    before: str
    after: str
    deleted: tuple[str, ...]
    differences: tuple[Difference, ...]
    blocks: tuple[Block, ...]
    too_long: bool


def compare(
    context: Context, principal: Principal, resource_type: str, id: str, before: str, after: str
) -> Comparison:
    """What differs between two versions.

    Raises: FhirError as reading each of them would.
    """
    bodies = {
        version: version_content(context, principal, resource_type, id, version) for version in (before, after)
    }
    nothing: dict[str, Any] = {"resourceType": resource_type}
    first, second = bodies[before] or nothing, bodies[after] or nothing
    differences = tuple(
        Difference(change.path, change.kind, _inline(change.before), _inline(change.after))
        for change in changes(first, second)
    )
    texts = _text(bodies[before] and _in_order_of(first, second)), _text(bodies[after])
    too_long = sum(map(len, texts)) > MOST_LINES
    return Comparison(
        resource_type,
        id,
        before,
        after,
        tuple(version for version, body in bodies.items() if body is None),
        differences,
        () if too_long or not differences else tuple(_blocks(*texts)),
        too_long,
    )


def add_comparison_page(pages: Blueprint, context: Context) -> None:
    """Add /console/resources/Type/id/compare?before=1&after=2."""

    @pages.get("/resources/<resource_type>/<id>/compare")
    def compare_versions(resource_type: str, id: str) -> Response:
        asked = (request.args.get("before", "").strip(), request.args.get("after", "").strip())
        if not all(asked):
            raise FhirError("not-found", "Name the two versions to be compared.")
        shown = compare(context, staff_principal(CLIENT_ID), resource_type, id, *asked)
        return page("console/comparison.html", shown=shown)


def _inline(value: Any) -> str:
    return "" if value is None else encode(value).decode()


def _text(resource: Any) -> list[str]:
    """The lines of a resource's indented JSON, none of a deletion."""
    return msgspec.json.format(encode(resource), indent=2).decode().splitlines() if resource else []


def _in_order_of(value: Any, other: Any) -> Any:
    """The value with its keys in the other's order, which says nothing and would look like a difference."""
    if isinstance(value, dict) and isinstance(other, dict):
        names = [*(name for name in other if name in value), *(name for name in value if name not in other)]
        return {name: _in_order_of(value[name], other.get(name)) for name in names}
    if isinstance(value, list) and isinstance(other, list):
        return [_in_order_of(*pair) for pair in zip(value, [*other, *([None] * len(value))], strict=False)]
    return value


def _blocks(before: Sequence[str], after: Sequence[str]) -> Iterator[Block]:
    for what, low, high, start, end in SequenceMatcher(None, before, after).get_opcodes():
        if what != "equal":
            pairs = zip_longest(before[low:high], after[start:end])
            yield Block(tuple(Line(first, second, same=False) for first, second in pairs))
            continue
        lines = tuple(Line(line, line, same=True) for line in before[low:high])
        head = CONTEXT_LINES if low else 0
        tail = CONTEXT_LINES if high < len(before) or end < len(after) else 0
        if len(lines) <= head + tail + 1:
            yield Block(lines)
            continue
        middle = len(lines) - tail
        if head:
            yield Block(lines[:head])
        yield Block(lines[head:middle], folded=True)
        if tail:
            yield Block(lines[middle:])
