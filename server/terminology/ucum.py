"""The units of UCUM as a code system: a grammar, so that a code can be judged and no list is whole.

Source: ucum.org/ucum, hl7.org/fhir/R4/ucum.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from server.fhir.units import UCUM, unit
from server.terminology.concepts import Concept
from server.terminology.words import Words


@dataclass(frozen=True, slots=True)
class UnitsOfMeasure:
    """Every valid code is a concept, which is displayed as it is written. version: of the essence file."""

    url: str = UCUM
    version: str = "2.2"
    name: str = "Unified Code for Units of Measure (UCUM)"
    content: str = "complete"
    meaning: str = ""
    case_sensitive: bool = True
    value_set: str = "http://unitsofmeasure.org/vs"
    properties: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True
    is_listed: bool = False
    cost: int = 1

    def concept(self, code: str) -> Concept | None:
        return Concept(code, code) if unit(code) is not None else None

    def in_other_case(self, code: str) -> str:
        return ""

    def codes(self) -> Iterable[str]:
        return ()

    def matching(self, words: Words) -> Iterable[str]:
        return ()

    def having(self, name: str, values: Collection[str]) -> None:
        return None

    def children(self, code: str) -> tuple[str, ...]:
        return ()

    def below(self, code: str) -> Iterable[str]:
        return (code,) if self.concept(code) is not None else ()

    def above(self, code: str) -> Iterable[str]:
        return self.below(code)

    def subsumes(self, above: str, below: str) -> bool:
        return above == below and self.concept(above) is not None


UNITS = UnitsOfMeasure()
