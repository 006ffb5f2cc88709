"""Where a rule reads: `PID-3`, `PID-3.1`, `PID-3[2].4.2`, `PID-3[5=MR].1`; inside a loop over repetitions
`.4.2`, `.`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mappings.hl7v2.message import Value
    from mappings.running.frame import Frame

FieldNames = frozenset[tuple[str, int]]
"""Fields by segment and number. Of what may be idle: it does nothing where none of them is filled; no names
say that nobody knows."""

_PATH = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>[1-9]\d{0,2})"
    r"(?:\[(?:(?P<repetition>[1-9]\d{0,3})|(?P<filter>[1-9]\d?)=(?P<code>[^\]\s]+))\])?"
    r"(?:\.(?P<component>[1-9]\d?)(?:\.(?P<subcomponent>[1-9]\d?))?)?"
)
_RELATIVE = re.compile(r"\.(?:(?P<component>[1-9]\d?)(?:\.(?P<subcomponent>[1-9]\d?))?)?")


@dataclass(frozen=True, slots=True)
class SourcePath:
    """segment: "" inside a repetition. repetition: 0 for all. filter, code: only repetitions with this code
    there.

    component, subcomponent: 0 where the path ends before. leaf: those of the value that it then means.
    """

    segment: str
    field: int = 0
    repetition: int = 0
    filter: int = 0
    code: str = ""
    component: int = 0
    subcomponent: int = 0
    leaf: tuple[int, int] = dataclass_field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaf", (self.component or 1, self.subcomponent or 1))

    def __str__(self) -> str:
        below = "".join(f".{n}" for n in (self.component, self.subcomponent) if n)
        if not self.segment:
            return below or "."
        which = (
            f"[{self.repetition}]" if self.repetition else f"[{self.filter}={self.code}]" if self.code else ""
        )
        return f"{self.segment}-{self.field}{which}{below}"

    @property
    def fields(self) -> FieldNames:
        """The field that the path is in; none for a path in a repetition."""
        return frozenset({(self.segment, self.field)} if self.segment else ())

    def repetitions(self, frame: Frame) -> list[Any]:
        """The repetitions that are filled or explicitly null, of the field that the path names, in a frame.

        Not to be changed: other rules are given the same list.
        """
        if not self.segment:
            whole = frame.repetition
            return [] if whole is None or whole.is_empty else [whole]
        filled = frame.filled.get(self.segment)  # looked at before, as most are
        if filled is None:
            filled = frame.fields(self.segment)
        found = filled.get(self.field)
        if found is None:
            return []
        if self.repetition:
            found = [one for one in found if one.repetition == self.repetition]
        if self.filter:
            found = [one for one in found if one.value(self.filter).text == self.code]
        return found

    def readings(self, frame: Frame) -> list[Any]:
        """What a datatype function is given: repetitions, or components as composites of their own."""
        found = self.repetitions(frame)
        if not found or not self.component:
            return found
        components = [r if r.is_null else r.part(self.component) for r in found]
        return [c for c in components if not c.is_empty]

    def values(self, frame: Frame) -> list[Value]:
        """The leaves that the path names; explicit nulls among them."""
        found = self.repetitions(frame)
        if not found:
            return []
        named = self.leaf
        return [
            leaf for r in found if (leaf := r.leaves.get((1, named[1]) if r.is_null else named)) is not None
        ]

    def content(self, frame: Frame) -> list[Value]:
        """All filled leaves of what the path names: of a field without a component every one that it has."""
        if self.component:
            return self.values(frame)
        return [leaf for whole in self.repetitions(frame) for leaf in whole.filled()]


def union(of: Iterable[FieldNames]) -> FieldNames:
    """The fields of what is idle where all of these are; none where one of them has none."""
    names = list(of)
    return frozenset().union(*names) if all(names) else frozenset()


def parse(text: str) -> SourcePath | None:
    """The path that a text spells, None for none."""
    match = _PATH.fullmatch(text) or _RELATIVE.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    numbers = ("field", "repetition", "filter", "component", "subcomponent")
    return SourcePath(
        parts.get("segment") or "",
        code=parts.get("code") or "",
        **{name: int(parts.get(name) or 0) for name in numbers},
    )
