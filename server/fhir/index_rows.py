"""The index rows of one resource version, as values. `index_values` computes them, `storage` keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class DateRow(NamedTuple):
    """[low, high) in UTC microseconds; open ends are the smallest and largest 64-bit values."""

    parameter: int
    low: int
    high: int


class StringRow(NamedTuple):
    """normal: case and accents folded, for `=`, `:contains` and sorting. exact: as written, for `:exact`."""

    parameter: int
    normal: str
    exact: str


class QuantityRow(NamedTuple):
    """Numbers and quantities: the value, or the ends of a Range, as floats.

    parameter and unit: see `hashing`. A quantity has a row for its unit as written and one, under the
    parameter's canonical number, in base units.
    """

    parameter: int
    low: float
    high: float
    unit: int


class UriRow(NamedTuple):
    parameter: int
    uri: str


class ReferenceRow(NamedTuple):
    """A reference parameter's target: what `_include` and chains follow. target: hashing.reference_hash."""

    parameter: int
    target: int


# What a member is of a party: in a role (or the person of it), of an organization, in a standing team.
ROLE, ORGANIZATION, TEAM = 1, 2, 3


class RelationshipRow(NamedTuple):
    """An actor (Practitioner, PractitionerRole, Organization, CareTeam) may know a patient's chart.

    actor, patient: hashing.reference_hash. [starts, until) in UTC microseconds, open ends as in DateRow.
    """

    actor: int
    patient: int
    starts: int
    until: int


class MembershipRow(NamedTuple):
    """Who is related to a patient as `party` is so as `member`, too. kind: ROLE, ORGANIZATION, TEAM."""

    member: int
    party: int
    kind: int
    starts: int
    until: int


@dataclass(frozen=True, slots=True)
class Relations:
    """What a version says of who may know which chart (`policy.relationships`)."""

    relationships: tuple[RelationshipRow, ...] = ()
    memberships: tuple[MembershipRow, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexRows:
    """Everything the store indexes of one version.

    tokens: signed 64-bit hashes (see `hashing`): token_hash, code_hash, system_hash, identifier_hash,
    link_hash(parameter, target) of every reference parameter, presence_hash of every parameter that
    selects a value, and for every reference anywhere in the resource its parameter-less reference_hash,
    which `referred` rules use.
    references: for each reference parameter the local targets ("Type/id") again, to be followed forward.
    compartments: ids of the Patients in whose compartments the resource is.
    patient: the id of the Patient whose chart it belongs to (hot column), None if none or several.
    main_date: UTC microseconds of the type's main date (hot column), None if absent.
    epoch: of the site's own search parameters they were made with (`custom_parameters`).
    relations: who may know which chart by this version; None for a type that never says so.
    """

    tokens: frozenset[int] = frozenset()
    dates: tuple[DateRow, ...] = ()
    strings: tuple[StringRow, ...] = ()
    quantities: tuple[QuantityRow, ...] = ()
    uris: tuple[UriRow, ...] = ()
    references: tuple[ReferenceRow, ...] = ()
    compartments: tuple[str, ...] = ()
    patient: str | None = None
    main_date: int | None = None
    epoch: int = 0
    relations: Relations | None = None

    @property
    def size(self) -> int:
        """How many values are indexed."""
        return (
            len(self.tokens)
            + len(self.dates)
            + len(self.strings)
            + len(self.quantities)
            + len(self.uris)
            + len(self.references)
            + len(self.compartments)
            + (len(self.relations.relationships) + len(self.relations.memberships) if self.relations else 0)
        )
