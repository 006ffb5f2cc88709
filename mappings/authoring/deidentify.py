"""A message without who it is about: the same shape, other content. What is kept: deidentification.toml.

Deny by default: what the table does not name is masked, and so is all of a segment that no version of HL7 has.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mappings.hl7v2.fields import field_type
from mappings.hl7v2.message import Message, Value

_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})([\d.+-]*Z?)", re.ASCII)
_FIRST_DAYS, _DAYS = 30, 700
# Whoever is older is as old as this, as 45 CFR 164.514(b)(2)(i)(C) wants it.
_OLDEST_YEARS = 89
_LETTERS, _DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("deidentification.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Disguise:
    """What makes the same value the same again within a message, and in no other. today: for ages."""

    key: bytes
    days: int
    today: date

    @classmethod
    def fresh(cls, today: date) -> Disguise:
        return cls(secrets.token_bytes(32), _FIRST_DAYS + secrets.randbelow(_DAYS), today)

    def number(self, text: str) -> str:
        """Other letters and digits in the same places."""
        noise = self._noise(text)
        return "".join(_like(char, byte) for char, byte in zip(text, noise, strict=False))

    def name(self, text: str) -> str:
        noise = self._noise(text.casefold())
        return "TEST" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in noise[:4])

    def date(self, text: str) -> str:
        """Another day, the time of day as sent; a year alone stays, a month becomes January."""
        match = _DAY.fullmatch(text)
        if match is None:
            is_year = len(text) in (4, 6) and text.isascii() and text.isdecimal()
            return text if is_year and len(text) == 4 else f"{text[:4]}01" if is_year else ""
        try:
            day = date(*(int(part) for part in match.groups()[:3]))
        except ValueError:
            return ""
        if self.today.year - day.year > _OLDEST_YEARS:
            day = date(self.today.year - _OLDEST_YEARS - 1, 1, 1)
        elif day.toordinal() > self.days:
            day -= timedelta(self.days)
        return f"{day.isoformat().replace('-', '')}{match[4]}"

    def phone(self, text: str) -> str:
        return f"555-01{self._noise(text)[0] % 100:02}"

    def mail(self, text: str) -> str:
        return f"test{self._noise(text)[0]}@example.org"

    def _noise(self, text: str) -> bytes:
        found = hashlib.blake2b(text.encode("utf-8", "replace"), key=self.key).digest()
        return found * (len(text) // len(found) + 1)


def _like(char: str, byte: int) -> str:
    if char.isdecimal():
        return _DIGITS[byte % 10]
    if char.isalpha():
        return _LETTERS[byte % len(_LETTERS)]
    return char if char in "-./ " else "X"


def masked(text: str) -> str:
    """The shape of a text: `x` for letters, `0` for digits."""
    return "".join("0" if c.isdecimal() else "x" if c.isalpha() else c if c in "-./: " else "x" for c in text)


def deidentified(message: Message, disguise: Disguise) -> bytes:
    """The message with every component kept, replaced or masked, its separators and empty places as they
    were.
    """
    actions: dict[str, Callable[[str], str]] = {
        "number": disguise.number,
        "name": disguise.name,
        "date": disguise.date,
        "phone": disguise.phone,
        "mail": disguise.mail,
        "mask": masked,
    }
    parts: list[bytes] = []
    at = 0
    for leaf in message.filled():
        action = action_for(message, leaf)
        if action == "keep" or leaf.is_null:
            continue
        parts.append(message.raw[at : leaf.start])
        parts.append(actions[action](leaf.text).encode("ascii", "replace"))
        at = leaf.end
    return b"".join((*parts, message.raw[at:]))


def action_for(message: Message, leaf: Value) -> str:
    """What is done with a leaf: one of the words of the table, or `mask`."""
    rules, place = _rules(), leaf.position
    found = rules["fields"].get(f"{place.segment}-{place.field}")
    if found is not None:
        return str(found)
    datatype = field_type(place.segment, place.field)
    if place.segment == "OBX" and place.field == 5:
        datatype = message.segments[place.ordinal - 1].value(2).text.strip()
    components = rules["components"].get(datatype)
    if components is not None:
        return str(components.get(str(place.component), "mask"))
    return str(rules["types"].get(datatype, "mask"))
