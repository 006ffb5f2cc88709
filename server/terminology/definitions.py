"""Where definitions come from, and what is said when they do not suffice."""

from __future__ import annotations

from typing import Protocol

from server.terminology.concept_maps import ConceptMap
from server.terminology.concepts import CodeSystem
from server.terminology.value_sets import ValueSet

# Concepts looked at, value sets that import each other, and in a row (docs/reference/limits.md).
WORK_MAXIMUM, IMPORTS_MAXIMUM, DEPTH_MAXIMUM = 1_000_000, 200, 50


class Definitions(Protocol):
    """Where definitions come from. version "": the one in use."""

    def value_set(self, url: str, version: str) -> ValueSet | None:
        """The value set by its canonical url, None where it is not known."""

    def code_system(self, url: str, version: str) -> CodeSystem | None:
        """The code system by its url, None where it is not known."""

    def concept_map(self, url: str, version: str) -> ConceptMap | None:
        """The concept map by its url, None where it is not known."""

    def concept_maps_from(self, system: str) -> tuple[ConceptMap, ...]:
        """The concept maps in use that translate codes of a system."""

    def concept_maps_to(self, system: str) -> tuple[ConceptMap, ...]:
        """The concept maps in use that translate to codes of a system."""


class NotExpandable(ValueError):
    """A value set whose codes cannot be told here; the text says why and names what is missing."""


class TooCostly(ValueError):
    """A value set of more codes, or of more work, than is allowed; the text says how many."""


class Budget:
    """Work that is left, in concepts of a listed system to look at; shared by everything of one request."""

    def __init__(self, concepts: int = WORK_MAXIMUM) -> None:
        self._all = self._left = concepts

    def spend(self, concepts: int) -> None:
        """Raises: TooCostly when it is used up."""
        self._left -= concepts
        if self._left < 0:
            raise TooCostly(f"more than {self._all} concepts to look at")


def split_canonical(canonical: str) -> tuple[str, str]:
    """`url|version` -> url and version, "" for none."""
    url, _, version = canonical.partition("|")
    return url, version
