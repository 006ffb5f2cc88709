"""One repetition of a field: components and subcomponents, split where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mappings.hl7v2.value import NULL, Value

if TYPE_CHECKING:
    from mappings.hl7v2.segment import Segment


def nth(part: bytes, start: int, separator: bytes, number: int) -> tuple[bytes, int]:
    """The piece of a part with that number, the first being 1, and where it starts; b"" at the end for none.

    start: of the part. separator: b"" for one that the message does not have.
    Raises: ValueError for a number below 1.
    """
    if number == 1:
        end = part.find(separator) if separator else -1
        return part if end < 0 else part[:end], start
    if number < 1:
        raise ValueError("Parts of a message are counted from 1")
    pieces = part.split(separator, number) if separator else [part]
    if number > len(pieces):
        return b"", start + len(part)
    return pieces[number - 1], start + sum(map(len, pieces[: number - 1])) + number - 1


def pieces(part: bytes, start: int, separator: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Every piece of a part with its number and where it starts."""
    for number, piece in enumerate(part.split(separator) if separator else (part,), 1):
        yield number, piece, start
        start += len(piece) + 1


def spans(part: bytes, start: int, outer: bytes, inner: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Component, subcomponent, first byte and end of everything in a repetition that is not blank."""
    if not (outer and outer in part) and not (inner and inner in part):
        if part and not part.isspace():
            yield 1, 1, start, start + len(part)
        return
    for c, component in enumerate(part.split(outer) if outer else (part,), 1):
        at = start
        start += len(component) + 1
        if not component or component.isspace():
            continue
        if not inner or inner not in component:
            yield c, 1, at, at + len(component)
            continue
        for s, leaf in enumerate(component.split(inner), 1):
            end = at + len(leaf)
            if leaf and not leaf.isspace():
                yield c, s, at, end
            at = end + 1


class Repetition:
    """One repetition of a field; or (`part`) one component of it as a composite of its own.

    leaves: every value with content, nulls as well, by component and subcomponent, in order; not to be changed.
    is_null: whether it is `""`: to be deleted.
    """

    __slots__ = (
        "_plain", "_segment", "_separators", "_within", "field", "is_null", "leaves", "repetition", "start",
    )  # fmt: skip

    def __init__(
        self,
        segment: Segment,
        separators: tuple[bytes, bytes],
        field: int,
        repetition: int,
        plain: bytes,
        start: int,
        within: tuple[int, ...] = (),
    ) -> None:
        self._segment = segment
        self._separators = separators
        self.field = field
        self.repetition = repetition
        self._plain = plain
        self.start = start
        self._within = within
        self.is_null = plain == NULL
        # Most of what a repetition is asked for is not there, so what is there is found all at once.
        outer, inner = separators
        self.leaves: dict[tuple[int, int], Value] = {}
        if (inner and inner in plain) or within:
            for c, s, begin, end in spans(plain, start, outer, inner):
                self.leaves[c, s] = self._value(c, s, begin, end)
        elif outer and outer in plain:
            for c, component in enumerate(plain.split(outer), 1):
                end = start + len(component)
                if component and not component.isspace():
                    self.leaves[c, 1] = Value(segment, field, repetition, c, 1, start, end)
                start = end + 1
        elif plain and not plain.isspace():  # most are a single value
            self.leaves[1, 1] = Value(segment, field, repetition, 1, 1, start, start + len(plain))

    @property
    def end(self) -> int:
        """The byte of the message that comes after it."""
        return self.start + len(self._plain)

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self._segment.content.raw[self.start : self.end]

    @property
    def text(self) -> str:
        """All of it, decoded and unescaped, with the separators of components that are in it; "" where null."""
        return self._segment.content.text(self.start, self.end)

    @property
    def is_empty(self) -> bool:
        """Whether no component has content; a null is content."""
        return not self.leaves

    @property
    def components(self) -> tuple[tuple[Value, ...], ...]:
        """Every component with its subcomponents, empty ones too."""
        outer, inner = self._separators
        return tuple(
            tuple(self._value(c, s, at, at + len(leaf)) for s, leaf, at in pieces(component, start, inner))
            for c, component, start in pieces(self._plain, self.start, outer)
        )

    def value(self, component: int = 1, subcomponent: int = 1) -> Value:
        """The value there; an empty one where nothing is.

        Raises: ValueError for a number below 1.
        """
        found = self.leaves.get((component, subcomponent))
        return self._blank(component, subcomponent) if found is None else found

    def said(self, component: int = 1, subcomponent: int = 1) -> str:
        """The text there as FHIR can hold it, "" for an empty one and for `\"\"`."""
        found = self.leaves.get((component, subcomponent))
        return "" if found is None else found.said

    def part(self, component: int) -> Repetition:
        """A component whose subcomponents are asked for as components: `PL.4` as the HD that it is."""
        plain, start = nth(self._plain, self.start, self._separators[0], component)
        inner = (self._separators[1], b"")
        within = (*self._within, component)
        return Repetition(self._segment, inner, self.field, self.repetition, plain, start, within)

    @property
    def likeness(self) -> tuple[Any, ...]:
        """What is the same of another one that reads the same in a message of the same `manner`: all but where
        it stands."""
        content, plain = self._segment.content, self._plain
        same = (plain, self._segment.name, self.field, self.repetition, self._within)
        return same if content.plain is content.raw else (*same, self.raw)

    @property
    def place(self) -> str:
        """How the places of its values begin."""
        segment = self._segment
        return f"{segment.name}[{segment.occurrence}]-{self.field}[{self.repetition}]."

    @property
    def occurrence(self) -> int:
        """Of its segment, among those of the name."""
        return self._segment.occurrence

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well."""
        return iter(self.leaves.values())

    def _blank(self, component: int, subcomponent: int) -> Value:
        """A value without content."""
        plain, start = nth(self._plain, self.start, self._separators[0], component)
        if plain or subcomponent != 1:
            plain, start = nth(plain, start, self._separators[1], subcomponent)
        return self._value(component, subcomponent, start, start + len(plain))

    def _value(self, component: int, subcomponent: int, start: int, end: int) -> Value:
        if self._within:
            component, subcomponent = (*self._within, component)[:2]
        return Value(self._segment, self.field, self.repetition, component, subcomponent, start, end)

    def __repr__(self) -> str:
        return f"Repetition({self._segment.name}-{self.field}[{self.repetition}])"
