"""Sets of codes of several systems, with what can be said of systems whose codes nobody here can list.

Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CodeSet:
    """codes: system -> its codes in the order they were found, never empty.

    whole: systems of which every code is a member though their codes cannot be listed; not among `codes`.
    """

    codes: Mapping[str, Mapping[str, None]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many codes are listed."""
        return sum(len(found) for found in self.codes.values())

    def has(self, system: str, code: str) -> bool:
        return system in self.whole or code in self.codes.get(system, ())

    def intersection(self, other: CodeSet) -> CodeSet:
        """What is in both."""
        kept: dict[str, dict[str, None]] = {}
        for one, two in ((self, other), (other, self)):
            for system, codes in one.codes.items():
                found = {code: None for code in codes if two.has(system, code)}
                if found:
                    kept.setdefault(system, found)
        return CodeSet(kept, self.whole & other.whole)


def union(parts: Iterable[CodeSet]) -> CodeSet:
    """What is in any of the sets."""
    parts = tuple(parts)
    whole = frozenset[str]().union(*(part.whole for part in parts))
    merged: dict[str, dict[str, None]] = {}
    for part in parts:
        for system, found in part.codes.items():
            if system not in whole:
                merged.setdefault(system, {}).update(found)
    return CodeSet(merged, whole)


def listed(system: str, codes: Iterable[str]) -> CodeSet:
    """The set of these codes of one system."""
    found = dict.fromkeys(codes)
    return CodeSet({system: found} if found else {})
