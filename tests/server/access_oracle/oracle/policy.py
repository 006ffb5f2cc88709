"""Ways in which a scope shows resources: what the site's policy makes of it, in the oracle's own words.

A policy is an object so that a further layer (relationships of care, for example) is a further class: it says
of a user's scope which charts it opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from access_oracle.grants import Grant, Pair, Scope, role_letters
from search_oracle.definitions import open_types, patient_compartment

WRITES = frozenset("cud")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to see resources of a type. patients: whose charts, None for no such limit. criteria: searches
    that the resource fulfils. referred: only where something in a chart that may be seen refers to it."""

    patients: frozenset[str] | None = None
    criteria: tuple[Pair, ...] = ()
    referred: bool = False


class Policy(Protocol):
    """What a user may know beyond the letters of the role. world: the resources, as they are now."""

    def charts(self, grant: Grant, world: Any) -> frozenset[str] | None:
        """The patients whose charts the user may see; None: everybody's."""


class Everybody:
    """No relationship is asked for: a role's letters are all that counts."""

    def charts(self, grant: Grant, world: Any) -> frozenset[str] | None:
        return None


def ways(grant: Grant, kind: str, letters: str, policy: Policy, world: Any) -> Iterator[Way]:
    """Every way in which a token reaches a type by any of the letters. None: a request on the type is refused."""
    for scope in grant.scopes:
        own = {letter for letter in letters if letter in scope.allowed}
        if own and scope.kind in ("*", kind):
            yield from _ways(grant, scope, kind, own, policy, world)


def _ways(grant: Grant, scope: Scope, kind: str, own: set[str], policy: Policy, world: Any) -> Iterator[Way]:
    charted = kind in patient_compartment()
    if scope.level == "patient" and grant.patient is not None:
        if charted:
            yield Way(frozenset({grant.patient}), scope.criteria)
        elif kind in open_types() and not own <= WRITES:
            yield Way(None, scope.criteria, referred=True)
    elif scope.level == "user" and grant.user is not None:
        if own & set(role_letters(grant.role, kind)):
            charts = policy.charts(grant, world)
            yield Way(charts if charted else None, scope.criteria)
    elif scope.level == "system":
        yield Way(None, scope.criteria)
