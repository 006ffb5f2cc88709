"""A segment and what is in it: fields, repetitions, components, subcomponents, split where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mappings.hl7v2.character_sets import decode
from mappings.hl7v2.separators import Separators, unescape

NULL = b'""'
"""Sent on purpose: the value is to be deleted. An empty field says nothing."""

HEADERS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose field 1 is the field separator itself."""


@dataclass(frozen=True, slots=True)
class Content:
    """What segments are parts of. plain: `raw` in which separators are looked for, of the same length."""

    raw: bytes
    plain: bytes
    separators: Separators
    codec: str

    def text(self, start: int, end: int) -> str:
        """Decoded and unescaped."""
        raw = self.raw[start:end]
        escape = self.separators.escape
        if escape and escape in raw:
            raw = unescape(raw, self.plain[start:end], self.separators)
        return decode(raw, self.codec)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a value stands. segment: name; ordinal: of the segment in the message, 0 for one that is not there;
    occurrence: among those of its name; all counted from 1. start, end: bytes of the message."""

    segment: str
    ordinal: int
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int
    start: int
    end: int

    def __str__(self) -> str:
        """As `PID[1]-3[1].4.2`."""
        return (
            f"{self.segment}[{self.occurrence}]-{self.field}[{self.repetition}]"
            f".{self.component}.{self.subcomponent}"
        )


class Value:
    """One subcomponent, the smallest part of a message; of a component without any, the component."""

    __slots__ = ("_segment", "component", "end", "field", "repetition", "start", "subcomponent")

    def __init__(
        self,
        segment: Segment,
        field: int,
        repetition: int,
        component: int,
        subcomponent: int,
        start: int,
        end: int,
    ) -> None:
        self._segment = segment
        self.field = field
        self.repetition = repetition
        self.component = component
        self.subcomponent = subcomponent
        self.start = start
        self.end = end

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self._segment.content.raw[self.start : self.end]

    @property
    def text(self) -> str:
        """Decoded and unescaped, blanks kept; "" where it is null."""
        if self.is_null:
            return ""
        if self._segment.name in HEADERS and self.field <= 2:
            return self.raw.decode("ascii", "replace")
        return self._segment.content.text(self.start, self.end)

    @property
    def is_null(self) -> bool:
        """Whether it is `""`: to be deleted."""
        return self.end - self.start == 2 and self.raw == NULL

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing, or nothing but blanks; a null is not empty."""
        return self.start == self.end or self.raw.isspace()

    @property
    def position(self) -> Position:
        """Where it stands."""
        segment = self._segment
        return Position(
            segment.name, segment.ordinal, segment.occurrence,
            self.field, self.repetition, self.component, self.subcomponent, self.start, self.end,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Value({self.position})"


class Repetition:
    """One repetition of a field; or (`part`) one component of it as a composite of its own."""

    __slots__ = ("_component", "_parts", "_segment", "_separators", "end", "field", "repetition", "start")

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
        start, end = self._span(component)
        separator = self._separators[1]
        at, until = _cut(
            self._plain(start, end).split(separator) if separator else None, subcomponent, start, end
        )
        return self._at(component, subcomponent, at, until)

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
        return _cut(self._split(), component, self.start, self.end)

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


def _cut(parts: list[bytes] | None, number: int, start: int, end: int) -> tuple[int, int]:
    """Span of the part with that number, the first being 1, of parts with one byte between them."""
    if number < 1:
        raise ValueError("Parts of a message are counted from 1")
    if parts is None:
        return (start, end) if number == 1 else (end, end)
    if number > len(parts):
        return end, end
    at = start + sum(map(len, parts[: number - 1])) + number - 1
    return at, at + len(parts[number - 1])


class Segment:
    """name: three characters. ordinal: in the message; occurrence: among those of its name; both from 1.

    start, end: bytes of the message, without the line end. In MSH, FHS and BHS the separators count as fields 1
    and 2 and are not split.
    """

    __slots__ = ("_fields", "content", "end", "name", "occurrence", "ordinal", "start")

    def __init__(
        self, content: Content, name: str, ordinal: int, occurrence: int, start: int, end: int
    ) -> None:
        self.content = content
        self.name = name
        self.ordinal = ordinal
        self.occurrence = occurrence
        self.start = start
        self.end = end
        self._fields: list[bytes] | None = None

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self.content.raw[self.start : self.end]

    @property
    def last_field(self) -> int:
        """Number of the last field, 0 for a segment that is nothing but its name."""
        return len(self._split()) - (0 if self.name in HEADERS else 1)

    def repetitions(self, field: int) -> tuple[Repetition, ...]:
        """The repetitions of a field, none where it is not there or empty.

        Raises: ValueError for a number below 1.
        """
        start, end = self._span(field)
        if start == end:
            return ()
        separators = self.content.separators
        if field <= 2 and self.name in HEADERS:
            return (Repetition(self, (b"", b""), field, 1, start, end),)
        levels = (separators.component, separators.subcomponent)
        if not separators.repetition:
            return (Repetition(self, levels, field, 1, start, end),)
        found = []
        for number, part in enumerate(self.content.plain[start:end].split(separators.repetition), 1):
            found.append(Repetition(self, levels, field, number, start, start + len(part)))
            start += len(part) + 1
        return tuple(found)

    def value(self, field: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> Value:
        """The value there; an empty one where nothing is.

        Raises: ValueError for a number below 1.
        """
        if min(component, subcomponent, repetition) < 1:
            raise ValueError("Parts of a message are counted from 1")
        repetitions = self.repetitions(field)
        if repetition <= len(repetitions):
            return repetitions[repetition - 1].value(component, subcomponent)
        _, end = self._span(field)
        return Value(self, field, repetition, component, subcomponent, end, end)

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well, in order; the separators of a header are none."""
        for field in range(3 if self.name in HEADERS else 1, self.last_field + 1):
            for repetition in self.repetitions(field):
                yield from repetition.filled()

    def _split(self) -> list[bytes]:
        if self._fields is None:
            self._fields = self.content.plain[self.start : self.end].split(self.content.separators.field)
        return self._fields

    def _span(self, field: int) -> tuple[int, int]:
        if self.name not in HEADERS:
            if field < 1:
                raise ValueError("Fields of a segment are counted from 1")
            return _cut(self._split(), field + 1, self.start, self.end)
        if field == 1:
            return min(self.start + 3, self.end), min(self.start + 4, self.end)
        return _cut(self._split(), field, self.start, self.end)

    def __repr__(self) -> str:
        return f"Segment({self.name}[{self.occurrence}])"
