"""One repetition of a field: components and subcomponents, split where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mappings.hl7v2.value import NULL, Value

if TYPE_CHECKING:
    from mappings.hl7v2.segment import Segment


def cut(parts: list[bytes] | None, number: int, start: int, end: int) -> tuple[int, int]:
    """Span of the part with that number, the first being 1, of parts with one byte between them."""
    if number < 1:
        raise ValueError("Parts of a message are counted from 1")
    if parts is None:
        return (start, end) if number == 1 else (end, end)
    if number > len(parts):
        return end, end
    at = start + sum(map(len, parts[: number - 1])) + number - 1
    return at, at + len(parts[number - 1])


class Repetition:
    """One repetition of a field; or (`part`) one component of it as a composite of its own."""

    __slots__ = ("_component", "_parts", "_read", "_segment", "_separators", "end", "field", "repetition", "start")

    def __init__(
        self, segment: Segment, separators: tuple[bytes, bytes], field: int, repetition: int,
        start: int, end: int, component: int = 0,
    ) -> None:  # fmt: skip
        self._segment = segment
        self._separators = separators
        self.field = field
        self.repetition = repetition
        self.start = start
        self.end = end
        self._component = component
        self._parts: list[bytes] | None = None
        self._read: dict[tuple[int, int], Value] = {}

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self._segment.content.raw[self.start : self.end]

    @property
    def text(self) -> str:
        """All of it, decoded and unescaped, with the separators of components that are in it; "" where null."""
        return "" if self.is_null else self._segment.content.text(self.start, self.end)

    @property
    def is_null(self) -> bool:
        """Whether it is `""`: to be deleted."""
        return self.end - self.start == 2 and self.raw == NULL

    @property
    def is_empty(self) -> bool:
        """Whether no component has content; a null is content."""
        return self.start == self.end or next(self.filled(), None) is None

    @property
    def components(self) -> tuple[tuple[Value, ...], ...]:
        """Every component with its subcomponents, empty ones too."""
        return tuple(tuple(self._values(number, start, end)) for number, start, end in self._spans())

    def value(self, component: int = 1, subcomponent: int = 1) -> Value:
        """The value there; an empty one where nothing is.

        Raises: ValueError for a number below 1.
        """
        found = self._read.get((component, subcomponent))
        if found is None:
            start, end = self._span(component)
            separator = self._separators[1]
            if subcomponent == 1 and (start == end or not separator or separator not in self._plain(start, end)):
                found = self._at(component, 1, start, end)
            else:
                parts = self._plain(start, end).split(separator) if separator else None
                found = self._at(component, subcomponent, *cut(parts, subcomponent, start, end))
            self._read[component, subcomponent] = found
        return found

    def part(self, component: int) -> Repetition:
        """A component whose subcomponents are asked for as components: `PL.4` as the HD that it is."""
        start, end = self._span(component)
        return Repetition(
            self._segment, (self._separators[1], b""), self.field, self.repetition, start, end, component
        )

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well."""
        for number, start, end in self._spans():
            if start < end:
                yield from (value for value in self._values(number, start, end) if not value.is_empty)

    def _at(self, component: int, subcomponent: int, start: int, end: int) -> Value:
        if self._component:
            component, subcomponent = self._component, component
        return Value(self._segment, self.field, self.repetition, component, subcomponent, start, end)

    def _plain(self, start: int, end: int) -> bytes:
        return self._segment.content.plain[start:end]

    def _split(self) -> list[bytes]:
        if self._parts is None:
            plain, separator = self._plain(self.start, self.end), self._separators[0]
            self._parts = plain.split(separator) if separator else [plain]
        return self._parts

    def _span(self, component: int) -> tuple[int, int]:
        return cut(self._split(), component, self.start, self.end)

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        start = self.start
        for number, part in enumerate(self._split(), 1):
            yield number, start, start + len(part)
            start += len(part) + 1

    def _values(self, component: int, start: int, end: int) -> Iterator[Value]:
        separator = self._separators[1]
        plain = self._plain(start, end)
        parts = plain.split(separator) if separator else [plain]
        for number, part in enumerate(parts, 1):
            yield self._at(component, number, start, start + len(part))
            start += len(part) + 1

    def __repr__(self) -> str:
        return f"Repetition({self._segment.name}-{self.field}[{self.repetition}])"
