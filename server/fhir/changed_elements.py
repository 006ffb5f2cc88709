"""What differs between two versions of a resource: which elements, and place by place (pure).

    changed_elements(before, after)   ("Task.status", "Task.note")
    changes(before, after)            (Change("Task.status", "changed", "requested", "accepted"),
                                       Change("Task.note[1]", "added", None, {"text": ...}))

meta.versionId and meta.lastUpdated differ between any two versions and are not spoken of. Digits count: 1.50 is
not 1.5; the order of keys does not. Paths are those of the JSON with the index of lists; what a primitive
carries beside its value (`_status`) is told under the name of the element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

import msgspec

Kind = Literal["added", "removed", "changed"]

_OF_THE_VERSION = ("versionId", "lastUpdated")
_ALIGNED = 40_000  # pairs of items up to which two lists are aligned; longer ones are compared by position
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs. before: the JSON value, None where added; after: None where removed.

    path: in the later version; the index of a removed item is its place in the earlier list.
    """

    path: str
    kind: Kind
    before: Any
    after: Any


def canonical(value: Any) -> bytes:
    """One spelling of a JSON value, whatever the order of its keys; 1.50 and 1.5 stay different."""
    return _canonical(value)


def changed_elements(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The top-level elements that differ, as `Type.element`, in the order of the earlier version."""
    root = _root(after)
    first, second = _content(before), _content(after)
    return tuple(
        dict.fromkeys(
            f"{root}.{name.removeprefix('_')}"
            for name in (*first, *second)
            if name not in first or name not in second or not _same(first[name], second[name])
        )
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every place that differs, as deep as can be told; what was added or removed is one change as a whole."""
    return tuple(_of_objects(_root(after), _content(before), _content(after)))


def _root(resource: Mapping[str, Any]) -> str:
    return str(resource.get("resourceType", ""))


def _content(resource: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _OF_THE_VERSION}
    return {name: value for name, value in resource.items() if name != "meta"} | (
        {"meta": meta} if meta else {}
    )


def _same(before: Any, after: Any) -> bool:
    return _canonical(before) == _canonical(after)


def _of_objects(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        place = f"{path}.{name.removeprefix('_')}"
        if name not in after:
            yield Change(place, "removed", before[name], None)
        elif name not in before:
            yield Change(place, "added", None, after[name])
        else:
            yield from _of_values(place, before[name], after[name])


def _of_values(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif not _same(before, after):
        yield Change(path, "changed", before, after)


def _of_lists(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    for low, high, start, end in _differing(before, after):
        paired = min(high - low, end - start)
        for step in range(paired):
            yield from _of_values(f"{path}[{start + step}]", before[low + step], after[start + step])
        for at in range(low + paired, high):
            yield Change(f"{path}[{at}]", "removed", before[at], None)
        for at in range(start + paired, end):
            yield Change(f"{path}[{at}]", "added", None, after[at])


def _differing(before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[int, int, int, int]]:
    """The spans that differ: [low, high) of the earlier list stands where [start, end) of the later one is."""
    if len(before) * len(after) > _ALIGNED:
        yield 0, len(before), 0, len(after)
        return
    items = [_canonical(item) for item in before], [_canonical(item) for item in after]
    for what, low, high, start, end in SequenceMatcher(None, *items, autojunk=False).get_opcodes():
        if what != "equal":
            yield low, high, start, end
