"""A segment, whose fields are split where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from mappings.hl7v2.repetition import Repetition, nth, pieces, spans
from mappings.hl7v2.separators import Separators
from mappings.hl7v2.value import HEADERS, Content, Value

_LITERAL = Separators(b"", b"", b"", b"", b"")
"""For what is not split: the separators of a header."""


class Segment:
    """name: three characters. ordinal: in the message; occurrence: among those of its name; both from 1.

    start, end: bytes of the message, without the line end. In MSH, FHS and BHS the separators count as fields 1
    and 2 and are not split.
    """

    __slots__ = ("_fields", "_starts", "content", "end", "name", "occurrence", "ordinal", "start")

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
        self._starts: list[int] = []

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self.content.raw[self.start : self.end]

    @property
    def last_field(self) -> int:
        """Number of the last field, 0 for a segment that is nothing but its name."""
        return len(self._split()) - (0 if self.name in HEADERS else 1)

    def raw_field(self, field: int) -> bytes:
        """The bytes of a field with all that is in it, b"" where it is not there.

        Raises: ValueError for a number below 1.
        """
        plain, start = self._field(field)
        return self.content.raw[start : start + len(plain)]

    def repetitions(self, field: int) -> tuple[Repetition, ...]:
        """The repetitions of a field, none where it is not there or empty.

        Raises: ValueError for a number below 1.
        """
        if not self._has(field):
            return ()
        plain, start = self._field(field)
        if field <= 2 and self.name in HEADERS:
            return (Repetition(self, (b"", b""), field, 1, plain, start),) if plain else ()
        separators = self.content.separators
        levels = (separators.component, separators.subcomponent)
        if not (separators.repetition and separators.repetition in plain):
            return (Repetition(self, levels, field, 1, plain, start),)
        return tuple(
            Repetition(self, levels, field, number, piece, at)
            for number, piece, at in pieces(plain, start, separators.repetition)
        )

    def filled_repetitions(self) -> dict[int, list[Repetition]]:
        """The fields with content or a null, in order, each with its repetitions that have it; those of a
        header's separators too."""
        found: dict[int, list[Repetition]] = {}
        skipped = 1  # parts of the line that are no fields with values
        if self.name in HEADERS:
            skipped = 2
            for number in (1, 2):
                if filled := [one for one in self.repetitions(number) if one.leaves]:
                    found[number] = filled
        separators = self.content.separators
        levels, between = (separators.component, separators.subcomponent), separators.repetition
        start = self.start
        for number, field in enumerate(self._split(), skipped - 1):
            if field and number >= 2 * skipped - 1:
                if between and between in field:
                    every = [
                        Repetition(self, levels, number, n, part, at)
                        for n, part, at in pieces(field, start, between)
                    ]
                    if filled := [one for one in every if one.leaves]:
                        found[number] = filled
                elif (single := Repetition(self, levels, number, 1, field, start)).leaves:
                    found[number] = [single]
            start += len(field) + 1
        return found

    def value(self, field: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> Value:
        """The value there; an empty one where nothing is.

        Raises: ValueError for a number below 1.
        """
        plain, start = self._field(field)
        separators = _LITERAL if field <= 2 and self.name in HEADERS else self.content.separators
        plain, start = nth(plain, start, separators.repetition, repetition)
        plain, start = nth(plain, start, separators.component, component)
        plain, start = nth(plain, start, separators.subcomponent, subcomponent)
        return Value(self, field, repetition, component, subcomponent, start, start + len(plain))

    def filled_fields(self) -> Iterator[int]:
        """Numbers of the fields that are not empty, in order; the separators of a header are none."""
        skipped = 2 if self.name in HEADERS else 1  # parts of the line that are no fields with values
        for number, field in enumerate(self._split()[skipped:], 2 * skipped - 1):
            if field:
                yield number

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well, in order; the separators of a header are none."""
        separators = self.content.separators
        levels = separators.component, separators.subcomponent
        skipped = 2 if self.name in HEADERS else 1  # parts of the line that are no fields with values
        start = self.start
        for number, field in enumerate(self._split()):
            if field and number >= skipped:
                for repetition, part, at in pieces(field, start, separators.repetition):
                    for component, subcomponent, begin, end in spans(part, at, *levels):
                        yield Value(self, number + skipped - 1, repetition, component, subcomponent, begin, end)
            start += len(field) + 1

    def _split(self) -> list[bytes]:
        if self._fields is None:
            self._fields = self.content.plain[self.start : self.end].split(self.content.separators.field)
        return self._fields

    def _has(self, field: int) -> bool:
        """Whether there is anything in a field; most fields that are asked for are empty."""
        at = field - 1 if self.name in HEADERS else field
        fields = self._split()
        return at <= 0 or (at < len(fields) and fields[at] != b"")

    def _field(self, field: int) -> tuple[bytes, int]:
        """A field and where it starts; b"" at the end of the segment where there is none."""
        if field < 1:
            raise ValueError("Fields of a segment are counted from 1")
        fields = self._split()
        if self.name in HEADERS:
            field -= 1
            if not field:
                return self.content.plain[self.start + 3 : self.end][:1], min(self.start + 3, self.end)
        if field >= len(fields):
            return b"", self.end
        if not self._starts:
            self._starts = [*accumulate([len(one) + 1 for one in fields], initial=self.start)]
        return fields[field], self._starts[field]

    def __repr__(self) -> str:
        return f"Segment({self.name}[{self.occurrence}])"
