"""Sets of codes of several systems, with what can be said of systems whose codes nobody here can list.

Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class NotListable(ValueError):
    """The result is a part of a system whose codes cannot be listed; `system` is its url."""

    def __init__(self, system: str) -> None:
        super().__init__(system)
        self.system = system


@dataclass(frozen=True, slots=True)
class CodeSet:
    """codes: system -> code -> display ("" for none known), in the order they were found, never empty.

    whole: systems of which every code is a member though their codes cannot be listed; not among `codes`.
    """

    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many codes are listed."""
        return sum(len(found) for found in self.codes.values())

    def has(self, system: str, code: str) -> bool:
        return system in self.whole or code in self.codes.get(system, ())

    def intersection(self, other: CodeSet) -> CodeSet:
        """What is in both."""
        kept: dict[str, dict[str, str]] = {}
        for system in dict.fromkeys((*self.codes, *other.codes)):
            one, two = self.codes.get(system), other.codes.get(system)
            if one is None:
                one, two = two, None
            assert one is not None  # it is a system of either
            if two is not None:
                found = {code: display or two[code] for code, display in one.items() if code in two}
            elif system in self.whole or system in other.whole:
                found = dict(one)
            else:
                continue
            if found:
                kept[system] = found
        return CodeSet(kept, self.whole & other.whole)

    def difference(self, other: CodeSet) -> CodeSet:
        """What is in this one alone. Raises: NotListable for a whole system without some of its codes."""
        kept: dict[str, dict[str, str]] = {}
        for system, found in self.codes.items():
            gone = other.codes.get(system, {})
            rest = {} if system in other.whole else {c: d for c, d in found.items() if c not in gone}
            if rest:
                kept[system] = rest
        for system in sorted(self.whole - other.whole):
            if system in other.codes:
                raise NotListable(system)
        return CodeSet(kept, self.whole - other.whole)


def union(parts: Iterable[CodeSet]) -> CodeSet:
    """What is in any of the sets; a code keeps the first display that it has."""
    parts = tuple(parts)
    whole = frozenset[str]().union(*(part.whole for part in parts))
    merged: dict[str, dict[str, str]] = {}
    for part in parts:
        for system, found in part.codes.items():
            if system not in whole:
                into = merged.setdefault(system, {})
                for code, display in found.items():
                    into[code] = into.get(code) or display
    return CodeSet(merged, whole)


def listed(system: str, concepts: Iterable[tuple[str, str]]) -> CodeSet:
    """The set of these codes, given with their displays, of one system."""
    found = dict(concepts)
    return CodeSet({system: found} if found else {})
