"""Search parameters that a site has defined itself: SearchParameter resources that are active.

What a process knows of them is one value, and a change of any gives another one. It is handed to whoever reads
a search or makes index rows, and what is not handed one knows the shipped parameters alone: so criteria of
granular scopes can never be built on a definition that somebody stores. Source:
hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from server.fhir.search_query import SearchParameter

# Their numbers begin far above those of the registry (`parameter_numbers.json`).
FIRST_NUMBER = 1_000_001


_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CustomParameters:
    """A set: resource type -> code -> parameter. epoch: its name, which no other set has; 0 where none was ever
    defined."""

    epoch: int = 0
    by_type: Mapping[str, Mapping[str, SearchParameter]] = field(default_factory=lambda: _EMPTY)

    def of(self, resource_type: str) -> Mapping[str, SearchParameter]:
        """Those of a type, by code."""
        return self.by_type.get(resource_type, _EMPTY)


NO_CUSTOM_PARAMETERS = CustomParameters()

# Gives the set when a search names what is not shipped, so that other searches do not ask for it.
Known = Callable[[], CustomParameters]


def none_known() -> CustomParameters:
    """For those who know the shipped parameters alone."""
    return NO_CUSTOM_PARAMETERS


def is_custom(parameter: SearchParameter) -> bool:
    """Whether a parameter is one that the site has defined."""
    return parameter.number >= FIRST_NUMBER
