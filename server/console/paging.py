"""Where a page of a list ends, as a text for the address of the page after it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from server.errors import FhirError

PAGE = 50
_LONGEST = 4_096


def place_text(place: tuple[str | int, str] | None) -> str:
    """A place in a list; "" for its end."""
    return "" if place is None else urlsafe_b64encode(json.dumps(place).encode()).decode()


def text_place(text: str) -> tuple[str, str] | None:
    """The place of a text in a list ordered by texts, None for "". Raises: FhirError not-found."""
    first, second = _pair(text) if text else ("", "")
    if not isinstance(first, str):
        raise _no_page()
    return (first.replace("\0", "\ufffd"), second) if text else None


def number_place(text: str) -> tuple[int, str] | None:
    """The place of a text in a list ordered by numbers, None for "". Raises: FhirError not-found."""
    first, second = _pair(text) if text else (0, "")
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first < 2**63:
        raise _no_page()
    return (first, second) if text else None


def _pair(text: str) -> tuple[object, str]:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        first, second = json.loads(urlsafe_b64decode(text.encode("ascii")))
        if not isinstance(second, str):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise _no_page() from None
    return first, second.replace("\0", "\ufffd")


def _no_page() -> FhirError:
    return FhirError("not-found", "There is no such page of the list.")
