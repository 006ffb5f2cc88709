"""Words as a person types them into a search field, and whether a term has them.

Source: hl7.org/fhir/R4/valueset-operation-expand.html (filter)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.fhir.folding import fold


@dataclass(frozen=True, slots=True)
class Words:
    """text: as typed. begun: the folded beginnings, each of which some word of a term must have."""

    text: str
    begun: tuple[str, ...]

    def are_in(self, terms: Iterable[str]) -> bool:
        """Whether any one of the terms has all of them."""
        for term in terms:
            found = fold(term).split()
            if all(any(word.startswith(begun) for word in found) for begun in self.begun):
                return True
        return False


def words(text: str) -> Words:
    """The words of a text."""
    return Words(text, tuple(dict.fromkeys(fold(text).split())))
