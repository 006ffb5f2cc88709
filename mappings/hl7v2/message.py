"""A message, read lazily: segments are found at once, fields are split where they are asked for.

Every value knows its place: segment, field, repetition, component, subcomponent, and the bytes it came from.
Nothing is refused but what has no readable MSH; what is odd becomes a `Finding` in `Message.warnings`:
`encoding-characters`, `character-set`, `broken-line`, `second-header`.
Source: HL7 v2.5.1, 2.5 (messages) and 2.6 (construction rules); 2.5.3.5 (null and empty)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from mappings.hl7v2 import character_sets
from mappings.hl7v2.errors import Hl7Error
from mappings.hl7v2.repetition import Repetition
from mappings.hl7v2.segment import Segment
from mappings.hl7v2.separators import Separators, read_separators
from mappings.hl7v2.value import Content, Position, Value
from mappings.result import Finding

__all__ = ["Hl7Error", "Message", "Position", "Repetition", "Segment", "Separators", "Value", "parse"]

_NOISE = b"\x00\x0b\x1a\x1c"
"""What transports leave around a message: the frame of MLLP, end-of-file marks, padding."""

_BEFORE = re.compile(rb"(?:[\s\x00]|\xef\xbb\xbf)*")
_LINE = re.compile(rb"[^\r\n]+")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?")


class Message:
    """raw: the bytes as they came. charset: Python's name of the codec that texts are decoded with.

    segments: in the order of the message; between them are only line ends, blanks and what transports leave.
    warnings: what is odd about the message as a whole.
    """

    __slots__ = ("_content", "_named", "charset", "raw", "segments", "separators", "warnings")

    def __init__(
        self, content: Content, charset: str, segments: Sequence[Segment], warnings: Sequence[Finding]
    ) -> None:
        self._content = content
        self.raw = content.raw
        self.separators = content.separators
        self.charset = charset
        self.segments = tuple(segments)
        self.warnings = tuple(warnings)
        self._named: dict[str, list[Segment]] = {}
        for segment in segments:
            self._named.setdefault(segment.name, []).append(segment)

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        named = self._named.get(name)
        return named[0] if named else None

    def every(self, name: str) -> tuple[Segment, ...]:
        """The segments of that name, in order."""
        return tuple(self._named.get(name, ()))

    def get(self, path: str) -> Value:
        """The value at `PID-3[2].4.2`: repetition, component and subcomponent are 1 where they are left out.

        Of the first segment of that name, or of the one in brackets, as in `OBX[3]-5`; so `str(position)` is a
        path too. Empty, at the end of the message, where there is no such segment.
        Raises: ValueError for what is no path.
        """
        name, occurrence, field, repetition, component, subcomponent = _path(path)
        named = self._named.get(name, ())
        if occurrence > len(named):
            end = len(self.raw)
            absent = Segment(self._content, name, 0, occurrence, end, end)
            return Value(absent, field, repetition, component, subcomponent, end, end)
        return named[occurrence - 1].value(field, component, subcomponent, repetition)

    def filled(self) -> Iterator[Value]:
        """Every value with content, nulls as well, in order; the separators of a header are none."""
        for segment in self.segments:
            yield from segment.filled()


@lru_cache(4096)
def _path(path: str) -> tuple[str, int, int, int, int, int]:
    match = _PATH.fullmatch(path)
    if not match:
        raise ValueError(f"{path!r} is no path of a value: one is PID-3[2].4.2")
    occurrence, field, repetition, component, subcomponent = (int(number or 1) for number in match.groups()[1:])
    if not occurrence:
        raise ValueError(f"{path!r}: segments are counted from 1")
    return match[1], occurrence, field, repetition, component, subcomponent


@cache
def _begins(field: bytes) -> re.Pattern[bytes]:
    """A line that begins a segment: a name, then a field separator or nothing."""
    return re.compile(rb"[ \t]*([A-Z][A-Z0-9]{2})(?:" + re.escape(field) + rb"|[\s" + _NOISE + rb"]*\Z)")


def parse(data: bytes, charset: str = "") -> Message:
    """The message in `data`: a byte order mark, blanks and blank lines before MSH are skipped.

    Segments end at CR, LF or both. A line that begins no segment goes on with the one before it: line breaks
    within texts stay part of them. charset: a name of table 0211 that counts instead of MSH-18.
    Raises: Hl7Error where no MSH can be read.
    """
    before = _BEFORE.match(data)
    start = before.end() if before else 0
    if not data.startswith(b"MSH", start):
        raise Hl7Error("100", "MSH", _instead_of_header(data, start))
    separators, warnings = read_separators(data[start : start + 64])
    declared = _declared_sets(data, start, separators) or ["UTF-8"] * (b"\xef\xbb\xbf" in data[:start])
    codec, odd = character_sets.choose(data[start:], declared, charset)
    content = Content(data, character_sets.plain(data, codec, start), separators, codec)
    segments, broken = _segments(content, start)
    return Message(content, codec, segments, [*warnings, *odd, *broken])


def _instead_of_header(data: bytes, start: int) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"M\x00S\x00H" in data[start : start + 8]:
        return "The message is in UTF-16 or UTF-32, which HL7 v2 is not sent in; UTF-8 is"
    if data.startswith((b"FHS", b"BHS"), start):
        return "This is a batch, not a message"
    return "The message does not begin with MSH"


def _declared_sets(data: bytes, start: int, separators: Separators) -> list[str]:
    line = _LINE.match(data, start)
    fields = line[0].split(separators.field, 18) if line else []
    if len(fields) < 18:
        return []
    repetitions = fields[17].split(separators.repetition) if separators.repetition else [fields[17]]
    return [name for one in repetitions if (name := one.decode("latin-1").strip().upper())]


def _segments(content: Content, start: int) -> tuple[list[Segment], list[Finding]]:
    counts: dict[str, int] = {}
    segments: list[Segment] = []
    findings: dict[str, Finding] = {}
    for name, begin, end, broken in _spans(content, start):
        counts[name] = occurrence = counts.get(name, 0) + 1
        segments.append(Segment(content, name, len(segments) + 1, occurrence, begin, end))
        where = f"{name}[{occurrence}]"
        if broken:
            text = "A line that begins no segment continues this one"
            findings[where] = Finding("broken-line", where, text)
        if name == "MSH" and occurrence == 2:
            findings["MSH"] = Finding("second-header", where, "There is another MSH within the message")
    return segments, list(findings.values())


def _spans(content: Content, start: int) -> list[tuple[str, int, int, bool]]:
    """Name, first byte, end and whether it goes over several lines, of each segment."""
    begins = _begins(content.separators.field)
    found: list[tuple[str, int, int, bool]] = []
    for line in _LINE.finditer(content.plain, start):
        begin, end = line.span()
        text = line[0]
        if text[-1] in _NOISE:
            end = begin + len(text.rstrip(_NOISE))
        match = begins.match(content.plain, begin, end)
        if match:
            found.append((match[1].decode("ascii"), match.start(1), end, False))
        elif text.strip(b" \t\f\v" + _NOISE):
            name, at, _, _ = found[-1]
            found[-1] = (name, at, end, True)
    return found
