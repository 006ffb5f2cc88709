"""The smallest part of a message, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mappings.content import clean
from mappings.hl7v2.character_sets import decode
from mappings.hl7v2.separators import Separators, unescape

if TYPE_CHECKING:
    from mappings.hl7v2.segment import Segment

NULL = b'""'
"""Sent on purpose: the value is to be deleted. An empty field says nothing."""

_NULL_TEXT = NULL.decode()

HEADERS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose field 1 is the field separator itself."""


@dataclass(frozen=True, slots=True)
class Content:
    """What segments are parts of. plain: `raw` in which separators are looked for, of the same length.

    decoded: all of it at once, where each byte is one character and nothing is escaped; "" where it is not so.
    """

    raw: bytes
    plain: bytes
    separators: Separators
    codec: str
    decoded: str = ""

    def text(self, start: int, end: int) -> str:
        """Decoded and unescaped; "" for a null."""
        if self.decoded:
            text = self.decoded[start:end]
            return "" if text == _NULL_TEXT else text
        raw = self.raw[start:end]
        if raw == NULL:
            return ""
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
        return _place(
            self.segment, self.occurrence, self.field, self.repetition, self.component, self.subcomponent
        )


@lru_cache(16384)
def _place(
    segment: str, occurrence: int, field: int, repetition: int, component: int, subcomponent: int
) -> str:
    return f"{segment}[{occurrence}]-{field}[{repetition}].{component}.{subcomponent}"


class Value(msgspec.Struct, eq=False, gc=False):
    """One subcomponent, the smallest part of a message; of a component without any, the component.

    A struct, because a message has hundreds; nothing that it holds leads back to it.
    """

    _segment: Segment
    field: int
    repetition: int
    component: int
    subcomponent: int
    start: int
    end: int
    _text: str | None = None
    _said: str | None = None
    _place: str | None = None

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self._segment.content.raw[self.start : self.end]

    @property
    def text(self) -> str:
        """Decoded and unescaped, blanks kept; "" where it is null."""
        if self._text is None:
            content = self._segment.content
            if self.field <= 2 and self._segment.name in HEADERS:
                self._text = decode(self.raw, content.codec)
            else:
                self._text = content.text(self.start, self.end) if self.start < self.end else ""
        return self._text

    @property
    def said(self) -> str:
        """The text as FHIR can hold it: `clean`; "" where it is null."""
        if self._said is None:
            self._said = clean(self.text)
        return self._said

    @property
    def is_null(self) -> bool:
        """Whether it is `""`: to be deleted."""
        return self.end - self.start == 2 and self.raw == NULL

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing, or nothing but blanks; a null is not empty."""
        return self.start == self.end or self.raw.isspace()

    @property
    def key(self) -> tuple[int, int, int, int, int]:
        """Where it stands, to compare: ordinal of the segment, field, repetition, component, subcomponent."""
        return self._segment.ordinal, self.field, self.repetition, self.component, self.subcomponent

    @property
    def place(self) -> str:
        """`str(position)`."""
        if self._place is None:
            segment = self._segment
            self._place = _place(
                segment.name,
                segment.occurrence,
                self.field,
                self.repetition,
                self.component,
                self.subcomponent,
            )
        return self._place

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
