"""A message, read lazily: segments are found at once, fields are split where they are asked for.

Every value knows its place: segment, field, repetition, component, subcomponent, and the bytes it came from.
Nothing is refused but what has no readable MSH; what is odd becomes a `Finding` in `Message.warnings`:
`encoding-characters`, `character-set`, `broken-line`, `second-header`.
Source: HL7 v2.5.1, 2.5 (messages) and 2.6 (construction rules); 2.5.3.5 (null and empty)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
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

_LINE_END = re.compile(rb"[\r\n]")
_BEFORE = re.compile(rb"(?:[\s\x00]|\xef\xbb\xbf)*")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?")


class Message:
    """raw: the bytes as they came. charset: Python's name of the codec that texts are decoded with.

    segments: in the order of the message; between them are only line ends, blanks and what transports leave.
    warnings: what is odd about the message as a whole.
    """

    __slots__ = ("_content", "_named", "charset", "raw", "segments", "separators", "warnings")

    def __init__(
        self,
        content: Content,
        segments: Sequence[Segment],
        named: Mapping[str, Sequence[Segment]],
        warnings: tuple[Finding, ...],
    ) -> None:
        self._content = content
        self._named = named
        self.raw = content.raw
        self.separators = content.separators
        self.charset = content.codec
        self.segments = tuple(segments)
        self.warnings = warnings

    @property
    def manner(self) -> bytes:
        """What the reading of a value depends on besides the value: character set and separators."""
        return self.charset.encode() + self.separators.field + self.separators.encoding

    @property
    def names(self) -> Collection[str]:
        """The names of its segments."""
        return self._named.keys()

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
    plain = character_sets.plain(data, codec, start)
    decoded = "" if _has_escapes(data, start, separators) else character_sets.decoded(data, codec)
    content = Content(data, plain, separators, codec, decoded)
    named, segments, broken = _segments(content, start)
    return Message(content, segments, named, (*warnings, *odd, *broken))


def _instead_of_header(data: bytes, start: int) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"M\x00S\x00H" in data[start : start + 8]:
        return "The message is in UTF-16 or UTF-32, which HL7 v2 is not sent in; UTF-8 is"
    if data.startswith((b"FHS", b"BHS"), start):
        return "This is a batch, not a message"
    return "The message does not begin with MSH"


def _has_escapes(data: bytes, start: int, separators: Separators) -> bool:
    """Whether the escape character is used after MSH-2, which declares it."""
    return bool(separators.escape) and data.find(separators.escape, data.find(separators.field, start + 4)) >= 0


def _declared_sets(data: bytes, start: int, separators: Separators) -> list[str]:
    rest = character_sets.plain(data[start:], "iso2022_jp_ext") if b"\x1b" in data else data[start:]
    fields = rest.split(separators.field, 18)
    if len(fields) < 18 or _LINE_END.search(b"".join(fields[:17])):
        return []
    declared = _LINE_END.split(fields[17], maxsplit=1)[0]
    repetitions = declared.split(separators.repetition) if separators.repetition else [declared]
    return [name for one in repetitions if (name := one.decode("latin-1").strip().upper())]


def _segments(content: Content, start: int) -> tuple[dict[str, list[Segment]], list[Segment], list[Finding]]:
    """The segments by their names and in order, and what is odd about their lines."""
    field = content.separators.field
    named: dict[str, list[Segment]] = {}
    segments: list[Segment] = []
    broken: dict[str, Finding] = {}
    following = start
    for line in content.plain[start:].replace(b"\n", b"\r").split(b"\r"):
        begin, following = following, following + len(line) + 1
        if not line:
            continue
        if line[-1] in _NOISE:
            line = line.rstrip(_NOISE)
        end = begin + len(line)
        name, indent = _name(line[:4], field), 0
        if not name and (match := _begins(field).match(line)):
            name, indent = match[1].decode("ascii"), match.start(1)
        if name:
            alike = named.setdefault(name, [])
            segments.append(Segment(content, name, len(segments) + 1, len(alike) + 1, begin + indent, end))
            alike.append(segments[-1])
        elif line.strip(b" \t\f\v" + _NOISE):
            last = segments[-1]
            last.end = end
            where = f"{last.name}[{last.occurrence}]"
            broken[where] = Finding("broken-line", where, "A line that begins no segment continues this one")
    if len(named["MSH"]) > 1:
        broken["MSH"] = Finding("second-header", "MSH[2]", "There is another MSH within the message")
    return named, segments, list(broken.values())


@lru_cache(4096)
def _name(beginning: bytes, field: bytes) -> str:
    """The segment that a line with these four bytes begins, "" for none."""
    return (
        beginning[:3].decode("ascii")
        if re.fullmatch(rb"[A-Z][A-Z0-9]{2}" + re.escape(field), beginning)
        else ""
    )
