"""The characters that structure a message (MSH-1, MSH-2) and the escapes that stand for them in texts.

Source: HL7 v2.5.1, 2.5.4 (delimiters) and 2.7 (escape sequences); v2.7, 2.5.5.2 (truncation character)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from mappings.hl7v2.errors import Hl7Error
from mappings.result import Finding

_PUNCTUATION = frozenset(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
"""MSH-18 says that separators are of the printable 7-bit characters; letters, digits and blanks are text."""

_ENCODING = re.compile(rb"[!-/:-@\[-`{-~]{0,5}")


@dataclass(frozen=True, slots=True)
class Separators:
    """One byte each; b"" for a character that the message does not declare."""

    field: bytes = b"|"
    component: bytes = b"^"
    repetition: bytes = b"~"
    escape: bytes = b"\\"
    subcomponent: bytes = b"&"
    truncation: bytes = b""

    @property
    def encoding(self) -> bytes:
        """MSH-2 as it is written."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


USUAL = Separators()


def read_separators(header: bytes) -> tuple[Separators, tuple[Finding, ...]]:
    """The separators that a header segment (MSH, FHS, BHS) declares, from its first byte on.

    Raises: Hl7Error where field 1 or 2 is no separator at all.
    """
    field = header[3:4]
    return _separators(header[:3], field, header[4:64].partition(field)[0] if field else b"")


@lru_cache(256)
def _separators(header: bytes, field: bytes, following: bytes) -> tuple[Separators, tuple[Finding, ...]]:
    name = header.decode("latin-1")
    if not field or field[0] not in _PUNCTUATION:
        raise Hl7Error("101", f"{name}-1", "There is no field separator")
    declared = re.split(rb"[\r\n]", following, maxsplit=1)[0].strip()
    if not declared and field not in USUAL.encoding:
        return Separators(field), (_finding(name, "are missing; the usual ones are assumed"),)
    match = _ENCODING.match(declared)
    characters = match[0] if match else b""
    if not characters:
        text = "Encoding characters must be punctuation of the 7-bit set other than the field separator"
        raise Hl7Error("102", f"{name}-2", text)
    findings = []
    if len(characters) < len(declared):
        findings.append(_finding(name, "are followed by something else"))
    if len(set(field + characters)) <= len(characters):
        findings.append(_finding(name, "repeat themselves"))
    return Separators(field, *(characters[n : n + 1] for n in range(5))), tuple(findings)


def _finding(name: str, text: str) -> Finding:
    return Finding("encoding-characters", f"{name}[1]-2[1].1.1", f"Encoding characters {text}")


@cache
def _escapes(escape: bytes) -> re.Pattern[bytes]:
    mark = re.escape(escape)
    return re.compile(
        mark + rb"(?:([FSTREPHN])|X((?:[0-9A-Fa-f]{2})+)|\.(br|sp|fi|nf|in|ti|sk|ce)[+]?(-?\d{0,2}))" + mark
    )


def unescape(raw: bytes, plain: bytes, separators: Separators) -> bytes:
    """`raw` with its escapes replaced; those that HL7 does not define for all stay as they are.

    plain: of the same length, what of `raw` may be a separator (`character_sets.plain`). Breaks and spaces of
    formatted text become line feeds and blanks; highlighting, indents and fill modes are left out.
    """
    result = []
    last = 0
    for match in _escapes(separators.escape).finditer(plain):
        result += [raw[last : match.start()], _meaning(match, separators)]
        last = match.end()
    return b"".join([*result, raw[last:]]) if last else raw


def _meaning(match: re.Match[bytes], separators: Separators) -> bytes:
    letter, hexadecimal, command, count = match.groups()
    if letter:
        return {
            b"F": separators.field,
            b"S": separators.component or USUAL.component,
            b"T": separators.subcomponent or USUAL.subcomponent,
            b"R": separators.repetition or USUAL.repetition,
            b"E": separators.escape,
            b"P": separators.truncation or b"#",
        }.get(letter, b"")
    if hexadecimal:
        return bytes.fromhex(hexadecimal.decode("ascii"))
    times = max(1, int(count)) if count.strip(b"-") else 1
    return {b"br": b"\n", b"ce": b"\n", b"sp": b"\n" * times, b"sk": b" " * times}.get(command, b"")


def escape(text: bytes, separators: Separators) -> bytes:
    """`text` as it can stand in a message: separators escaped, line breaks as `\\.br\\`, no other control.

    For text whose bytes below 0x80 are ASCII: not for Shift-JIS, ISO 2022, GB 18030 or Big-5.
    """
    mark = separators.escape or USUAL.escape
    letters = {
        separators.field: b"F",
        separators.component: b"S",
        separators.subcomponent: b"T",
        separators.repetition: b"R",
        separators.truncation: b"P",
        mark: b"E",
    }
    written = []
    for byte in text.replace(b"\r\n", b"\n").replace(b"\r", b"\n"):
        character = bytes((byte,))
        if character in letters:
            written.append(mark + letters[character] + mark)
        elif character == b"\n":
            written.append(mark + b".br" + mark)
        elif byte >= 0x20 and byte != 0x7F:
            written.append(character)
    return b"".join(written)
