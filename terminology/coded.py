"""Codes as `concepts` answers with them: systems, concepts, relations, translations, members of value sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeSystemInfo:
    """One version of a code system that the file has."""

    url: str
    version: str
    name: str
    content: str
    """complete, or fragment: codes exist that the file does not have, so unknown is not wrong."""
    licence: str
    notice: str
    """To be shown wherever the content is; empty where none is asked for."""
    concepts: int
    is_default: bool
    """The version meant where none is named."""
    origin: str
    """shipped, or loaded by this deployment."""
    sha256: str
    loaded_at: str
    kind: str
    """The property that `kind` of its concepts is the value of: TTY, billable ...; empty for none."""


@dataclass(frozen=True, slots=True)
class Designation:
    use: str
    language: str
    value: str


@dataclass(frozen=True, slots=True)
class Property:
    """`type` is that of CodeSystem.property: code, string, integer, boolean, dateTime, decimal."""

    name: str
    value: str
    type: str


@dataclass(frozen=True, slots=True)
class Relation:
    """`name` leads from the concept to `code`, of the same system."""

    name: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A concept as lists show it. `kind` is the system's own main category (RxNorm: TTY)."""

    system: str
    version: str
    code: str
    display: str
    kind: str
    active: bool


@dataclass(frozen=True, slots=True)
class Concept:
    """Everything the file says of a concept."""

    system: str
    version: str
    code: str
    display: str
    kind: str
    active: bool
    properties: tuple[Property, ...]
    designations: tuple[Designation, ...]
    parents: tuple[Relation, ...]
    children: tuple[Relation, ...]
    relations: tuple[Relation, ...]
    """Relations other than is-a, from this concept."""


@dataclass(frozen=True, slots=True)
class Translation:
    """`equivalence` says how the target relates to the source (R4 concept-map-equivalence)."""

    system: str
    code: str
    equivalence: str
    map: str
    """Canonical url of the concept map."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was found, and how much there is in all."""

    concepts: tuple[Coded, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Member:
    """A code of a value set; `version` and `display` are empty where the set says none."""

    system: str
    version: str
    code: str
    display: str
