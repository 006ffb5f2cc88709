"""Names as lists are ordered and searched by them: capitals of ASCII do not count, and both databases agree."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
# Sorts behind every text that begins alike, by code point and by UTF-8 byte.
_LAST = "\U0010ffff"


def folded(name: str) -> str:
    """The form of a name in `name_key` columns."""
    return name.translate(_LOWER).replace("\0", "\ufffd")


def beginning(text: str) -> tuple[str, str]:
    """The first and the last form that begin like a text."""
    low = folded(text)
    return low, low + _LAST
