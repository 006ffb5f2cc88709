"""What a caller may see, as a value: the one predicate that storage adds to every row source.

`auth.access` makes a Visibility, `storage` turns it into SQL before LIMIT. Deny by default: a type that
has no rule shows nothing, and a limit without a caller or a moment is never kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.fhir.search_query import Clause


@dataclass(frozen=True, slots=True)
class Limit:
    """Only charts to which the caller is related, as stored relationships say (`policy.relationships`).

    organizations: relationships of the caller's organizations count as well as those of the caller, the
    caller's roles and teams. of: reference_hash of the organizations whose staff alone is limited. but: of
    those whose staff alone is not. Without either everybody is.
    """

    organizations: bool = False
    of: frozenset[int] = frozenset()
    but: frozenset[int] = frozenset()

    @property
    def is_for_some(self) -> bool:
        """Whether it depends on where somebody works."""
        return bool(self.of or self.but)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to see resources of a type; all parts must hold.

    patients: ids of the Patients in whose compartments the resource must be, None for no such limit.
    criteria: clauses of a granular scope (`patient/Observation.rs?category=...`).
    referred: the type is in no compartment, and only resources to which a resource visible by a
    compartment rule refers are shown (Practitioner, Organization, Location, Medication for a patient token).
    limits: all of them must be kept, by a chart that the resource is in (with patients: by one of theirs).
    """

    patients: frozenset[str] | None = None
    criteria: tuple[Clause, ...] = ()
    referred: bool = False
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Visibility:
    """resource type -> rules of which any must hold; "*" stands for every type without rules of its own.

    caller: reference_hash of the person or role that the limits of rules ask about. at: the moment at which
    they are asked, in UTC microseconds.
    """

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    caller: int | None = None
    at: int | None = None

    def of(self, resource_type: str) -> tuple[Rule, ...]:
        """The rules for a type; empty means nothing of it may be seen."""
        return self.rules.get(resource_type, self.rules.get("*", ()))

    def whole(self, resource_type: str) -> bool:
        """Every resource of the type is in reach, whatever it says."""
        return _ANY in self.of(resource_type)


_ANY = Rule()
EVERYTHING = Visibility({"*": (_ANY,)})
NOTHING = Visibility()
