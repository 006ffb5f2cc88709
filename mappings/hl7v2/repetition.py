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


def leaves(part: bytes, start: int, outer: bytes, inner: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Component, subcomponent, first byte and end of everything in a repetition that is not blank."""
    if not (outer and outer in part) and not (inner and inner in part):  # most are a single value
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
    """One repetition of a field; or (`part`) one component of it as a composite of its own."""

    __slots__ = (
        "_filled", "_plain", "_read", "_segment", "_separators", "_within", "field", "repetition", "start",
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
        self._read: dict[tuple[int, int], Value] = {}
        # Most of what a repetition is asked for is not there, so what is there is found all at once.
        self._filled = {(c, s): (begin, end) for c, s, begin, end in leaves(plain, start, *separators)}

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
    def is_null(self) -> bool:
        """Whether it is `""`: to be deleted."""
        return self._plain == NULL

    @property
    def is_empty(self) -> bool:
        """Whether no component has content; a null is content."""
        return not self._filled

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
        key = component, subcomponent
        found = self._read.get(key)
        if found is None:
            start, end = self._filled.get(key) or self._blank(component, subcomponent)
            found = self._read[key] = self._value(component, subcomponent, start, end)
        return found

    def said(self, component: int = 1, subcomponent: int = 1) -> str:
        """The text there as FHIR can hold it, "" for an empty one and for `\"\"`."""
        if (component, subcomponent) not in self._filled:
            return ""
        return self.value(component, subcomponent).said

    def part(self, component: int) -> Repetition:
        """A component whose subcomponents are asked for as components: `PL.4` as the HD that it is."""
        plain, start = nth(self._plain, self.start, self._separators[0], component)
        inner = (self._separators[1], b"")
        within = (*self._within, component)
        return Repetition(self._segment, inner, self.field, self.repetition, plain, start, within)

    @property
    def likeness(self) -> tuple[Any, ...]:
        """What is the same of another one that reads the same: all but where in the message it stands."""
        content, plain = self._segment.content, self._plain
        separators = content.separators
        return (
            plain,
            self.raw,
            self._segment.name,
            self.field,
            self.repetition,
            self._within,
            self._separators,
            separators.escape,
            separators.repetition,
            content.codec,
        )

    def leaf(self, component: int, subcomponent: int, start: int, end: int, text: str) -> Value:
        """A value in it of which everything is known: component and subcomponent as its position tells them."""
        if self._within:
            return Value(self._segment, self.field, self.repetition, component, subcomponent, start, end, text)
        key = component, subcomponent
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = Value(
                self._segment, self.field, self.repetition, component, subcomponent, start, end, text
            )
        return found

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well."""
        return iter([self.value(*key) for key in self._filled])

    def _blank(self, component: int, subcomponent: int) -> tuple[int, int]:
        """First byte and end of what has no content."""
        plain, start = nth(self._plain, self.start, self._separators[0], component)
        if plain or subcomponent != 1:
            plain, start = nth(plain, start, self._separators[1], subcomponent)
        return start, start + len(plain)

    def _value(self, component: int, subcomponent: int, start: int, end: int) -> Value:
        if self._within:
            component, subcomponent = (*self._within, component)[:2]
        return Value(self._segment, self.field, self.repetition, component, subcomponent, start, end)

    def __repr__(self) -> str:
        return f"Repetition({self._segment.name}-{self.field}[{self.repetition}])"
