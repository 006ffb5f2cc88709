"""What is answered to a message: MSH, MSA and, from v2.5 on, one ERR for each error.

Values of the sender are echoed as they came, without control characters: what is within a field holds no field
separator and no segment end, so nothing of it can end the answer's segment or frame.
Source: HL7 v2.5.1, 2.9 (acknowledgement), 2.15.5 (ERR), 2.15.8 (MSA), tables 0008, 0357 and 0516
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from mappings.hl7v2.character_sets import plain
from mappings.hl7v2.errors import Hl7Error
from mappings.hl7v2.message import Message
from mappings.hl7v2.separators import USUAL, Separators, escape

CODES = ("AA", "AE", "AR", "CA", "CE", "CR")
"""Table 0008: accept, error, reject of the application (A), of the receiver that committed to it (C)."""

CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "198": "Non-Conformant Cardinality",
    "199": "Other HL7 Error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application error",
}
"""Table 0357."""

_LONGEST = 1000
"""Bytes of a field that are echoed; control ids and names of systems have up to 250."""

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LOCATION = re.compile(r"([A-Z0-9]{3})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?)?")
_HEADER = re.compile(rb"(?:^|[\r\n\x0b])[ \t]*MSH([!-/:-@\[-`{-~])([^\r\n]*)")


def is_acknowledgement(message: Message) -> bool:
    """Whether a message is itself an answer (ACK, or any with an MSA), which is never acknowledged in turn."""
    return message.get("MSH-9").text.strip().upper() in ("ACK", "MCF") or message.first("MSA") is not None


def control_id_of(data: bytes) -> bytes:
    """MSH-10 of bytes that may not be a readable message, or only its beginning; b"" where it is not there."""
    header = _HEADER.search(data)
    fields = header[2].split(header[1]) if header else []
    return echo(fields[8]) if len(fields) > 8 else b""


def acknowledge(
    message: Message | None,
    code: str,
    *,
    control_id: str,
    at: datetime,
    errors: Sequence[Hl7Error] = (),
    text: str = "",
    original: bytes = b"",
) -> bytes:
    """The answer to a message, each segment ended by CR.

    message: None for what is none; then original is its control id as far as it can be known
    (`control_id_of`). code: of table 0008. control_id: of the answer. text: for people, without patient data.
    Raises: ValueError for a code that is none.
    """
    if code not in CODES:
        raise ValueError(f"{code!r} is no acknowledgement code")
    separators = message.separators if message else USUAL
    version = _field(message, 12) or b"2.5.1"
    segments = [_header(message, separators, control_id, at, version)]
    acknowledged = [b"MSA", code.encode(), _field(message, 10) if message else echo(original)]
    problems = list(errors)
    if text and not problems:
        problems.append(Hl7Error("0" if code in ("AA", "CA") else "207", "", text))
    if _before_2_5(version):
        acknowledged += [plain_text(text or next((error.text for error in problems), ""), separators)]
        problems.clear()
    segments.append(separators.field.join(acknowledged))
    segments += [_error(error, separators) for error in problems]
    return b"".join(segment.rstrip(separators.field) + b"\r" for segment in segments)


def _header(
    message: Message | None, separators: Separators, control_id: str, at: datetime, version: bytes
) -> bytes:
    trigger = plain_text(message.get("MSH-9.2").text.strip(), separators) if message else b""
    kind = (separators.component or USUAL.component).join((b"ACK", trigger, b"ACK")) if trigger else b"ACK"
    fields = [
        b"MSH",
        separators.encoding,
        _field(message, 5),
        _field(message, 6),
        _field(message, 3),
        _field(message, 4),
        at.strftime("%Y%m%d%H%M%S%z").encode("ascii"),
        b"",
        kind,
        plain_text(control_id, separators),
        _field(message, 11) or b"P",
        version,
        *([b""] * 5),
        _field(message, 18),
    ]
    return separators.field.join(fields)


def _error(error: Hl7Error, separators: Separators) -> bytes:
    component = separators.component or USUAL.component
    code = (error.code, CONDITIONS.get(error.code, ""), "HL70357")
    fields = (
        b"ERR",
        b"",
        component.join(plain_text(part, separators) for part in _location(error.location)),
        component.join(plain_text(part, separators) for part in code),
        b"I" if error.code == "0" else b"E",
        b"",
        b"",
        b"",
        plain_text(error.text, separators),
    )
    return separators.field.join(fields)


def _location(location: str) -> list[str]:
    """Components of ERR-2: segment, which of its name, field, repetition, component, subcomponent."""
    match = _LOCATION.fullmatch(location)
    if not match:
        return []
    parts = [part or "" for part in match.groups()]
    if parts[5] == "1":
        parts[5] = ""
    while not parts[-1]:
        parts.pop()
    return [part or "1" for part in parts]


def _before_2_5(version: bytes) -> bool:
    numbers = re.match(rb"(\d{1,3})\.(\d{1,3})", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < (2, 5)


def _field(message: Message | None, number: int) -> bytes:
    """A field of the message's MSH with all that is in it."""
    header = message.first("MSH") if message else None
    return echo(header.raw_field(number)) if header else b""


def echo(value: bytes) -> bytes:
    """A field of the sender's as it is sent back: without control characters, no longer than any should be.

    Also without text that is switched to by ESC: without its escapes its bytes would be separators.
    """
    if b"\x1b" in value:
        value = plain(value, "iso2022_jp_ext").replace(b"\xff", b"")
    return _CONTROL.sub(b"", value).strip()[:_LONGEST]


def plain_text(text: str, separators: Separators) -> bytes:
    """Text of ours, escaped, in ASCII, which every character set of a message has in common."""
    return escape(text.encode("ascii", "replace"), separators)
