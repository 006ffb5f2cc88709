"""Which character set a message is in (MSH-18, table 0211), and where its bytes cannot be separators.

What is declared is not always what was sent: UTF-8 under a declared ISO 8859 is read as UTF-8, since other text
hardly ever is valid UTF-8 by chance; C1 control bytes under a declared ISO 8859-1 are Windows-1252. What no
character set can decode becomes ISO 8859-1, one character a byte, so that nothing is lost.
Source: HL7 v2.5.1, 2.15.9.18 and table 0211; names beyond it as senders write them
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from mappings.result import Finding

FALLBACK = "iso8859-1"
"""Any bytes decode, one character each."""

_BEYOND_ASCII = ("utf-8", "iso8859", "cp125")
"""How codecs are called that leave every byte of ASCII as it is, whatever stands before it."""

_HIDDEN = {
    "shift_jis": re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]"),
    "gb18030": re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[0-9][\x81-\xfe][0-9])"),
    "big5": re.compile(rb"[\x81-\xfe][\x40-\x7e\xa1-\xfe]"),
    "iso2022_jp_ext": re.compile(rb"\x1b(?:\$\(?[@-D]|\(I)[^\x1b\r\n]*|\x1b\([A-Z]"),
}
"""Codec -> characters that may contain bytes of separators."""


@cache
def codecs() -> dict[str, str]:
    """Name of a character set, in capitals -> Python's codec (`data/character_sets.tsv`)."""
    lines = (files("mappings.hl7v2") / "data" / "character_sets.tsv").read_text(encoding="utf-8").splitlines()
    return {row["name"]: row["codec"] for row in csv.DictReader(lines, delimiter="\t")}


def plain(data: bytes, codec: str, start: int = 0) -> bytes:
    """`data` in the same length, without bytes that look like separators but are part of other characters.

    start: where the message begins; what is before stays.
    """
    hidden = _HIDDEN.get(codec)
    return data[:start] + hidden.sub(lambda match: b"\xff" * len(match[0]), data[start:]) if hidden else data


def decoded(data: bytes, codec: str) -> str:
    """Text of `data` if each byte is the ASCII character that it is in every text, "" otherwise."""
    return data.decode("ascii") if codec.startswith(_BEYOND_ASCII) and data.isascii() else ""


def decode(data: bytes, codec: str) -> str:
    """Text of `data`; one character a byte where the codec does not decode it."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return data.decode(FALLBACK)


def choose(data: bytes, declared: Sequence[str], required: str = "") -> tuple[str, list[Finding]]:
    """Codec of a message, and what is odd about its character set.

    declared: what MSH-18 says, in capitals. required: a name that counts instead, by configuration.
    """
    names = [required.strip().upper()] if required else list(declared)
    known = [codec for name in names if (codec := codecs().get(name))]
    findings = []
    if len(known) < len(names):
        findings.append(_finding("It is not known here"))
    codec = "iso2022_jp_ext" if "iso2022_jp_ext" in known else known[0] if known else codecs()[""]
    if data.isascii():
        return codec, findings
    if required and known:
        return codec, [*findings, *_undecodable(data, codec)]
    if codec == "utf-8":
        return _assumed(data, bool(known) and not names[0].endswith(("ASCII", "IR6")), findings)
    if codec.startswith("iso8859"):
        if _decodes(data, "utf-8"):
            return "utf-8", [*findings, _finding("The text is UTF-8, though another one is declared")]
        if codec == "iso8859-1" and re.search(rb"[\x80-\x9f]", data) and _decodes(data, "cp1252"):
            return "cp1252", [*findings, _finding("The text is Windows-1252, though ISO 8859-1 is declared")]
    return codec, [*findings, *_undecodable(data, codec)]


def _assumed(data: bytes, declared: bool, findings: list[Finding]) -> tuple[str, list[Finding]]:
    if declared:
        return "utf-8", [*findings, *_undecodable(data, "utf-8")]
    if _decodes(data, "utf-8"):
        return "utf-8", [*findings, _finding("None is declared for text beyond ASCII; it is read as UTF-8")]
    codec = "cp1252" if _decodes(data, "cp1252") else FALLBACK
    return codec, [*findings, _finding(f"None is declared for text beyond ASCII; it is read as {codec}")]


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(data: bytes, codec: str) -> list[Finding]:
    if _decodes(data, codec):
        return []
    return [_finding("Some text does not belong to it; there each byte is read as one character")]


def _finding(text: str) -> Finding:
    return Finding("character-set", "MSH[1]-18[1].1.1", f"Character set: {text}")
