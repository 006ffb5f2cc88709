"""A segment, whose fields are split where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.hl7v2.repetition import Repetition, cut
from mappings.hl7v2.value import HEADERS, Content, Value


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

    def raw_field(self, field: int) -> bytes:
        """The bytes of a field with all that is in it, b"" where it is not there.

        Raises: ValueError for a number below 1.
        """
        start, end = self._span(field)
        return self.content.raw[start:end]

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
            return cut(self._split(), field + 1, self.start, self.end)
        if field == 1:
            return min(self.start + 3, self.end), min(self.start + 4, self.end)
        return cut(self._split(), field, self.start, self.end)

    def __repr__(self) -> str:
        return f"Segment({self.name}[{self.occurrence}])"
