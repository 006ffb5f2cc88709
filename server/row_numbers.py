"""Numbers of rows, as addresses, forms and commands name them."""

from __future__ import annotations

from server.errors import FhirError

LARGEST = 2**63 - 1  # that either database can hold


def row_number(text: str, what: str = "row") -> int:
    """The number of a row, from 1. what: the kind of row, for the words. Raises: FhirError not-found."""
    if text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= LARGEST:
        return int(text)
    raise FhirError("not-found", f"There is no such {what}.")
