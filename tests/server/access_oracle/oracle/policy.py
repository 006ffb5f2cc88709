"""Ways in which a token shows resources: its scopes, within what the site's policy leaves of them.

The policy is the file that the site gives the server (roles, reaches, organizations), in the oracle's own
words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from access_oracle.grants import Grant, Pair, Scope
from access_oracle.relationships import Relations, relating_types
from access_oracle.world import World
from search_oracle.definitions import open_types, patient_compartment
from search_oracle.evaluator import Key

WRITES = frozenset("cud")
REACHES = ("all", "organization", "related")  # from the widest


@dataclass(frozen=True, slots=True)
class Way:
    """One way to see resources of a type. patients: whose charts, None for no such limit. related: charts of
    which it must be one as well, for members of staff. criteria: searches that the resource fulfils.
    lasting: those of them in which it is one for longer than an emergency. referred: only where something in a
    chart that may be seen refers to it."""

    patients: frozenset[str] | None = None
    criteria: tuple[Pair, ...] = ()
    referred: bool = False
    related: frozenset[str] | None = None
    lasting: frozenset[str] | None = None

    @property
    def charts(self) -> frozenset[str] | None:
        """The charts that it opens; None: it asks for none."""
        limits = [one for one in (self.patients, self.related) if one is not None]
        return frozenset.intersection(*limits) if limits else None


class Policy:
    """What the file says of members of staff, in one world at one moment."""

    def __init__(self, document: Mapping[str, Any], world: World) -> None:
        self._roles, self._organizations = document["roles"], document.get("organizations", {})
        self.reasons = frozenset(document["emergency_reasons"])
        self._relations = Relations(world)

    def letters(self, role: str, kind: str) -> set[str]:
        """What a role may do to a type; nothing unless the file says so."""
        types = self._roles.get(role, {}).get("types", {})
        return set(types.get(kind, types.get("*", "")))

    def is_limited(self, role: str) -> bool:
        """Whether anybody of a role may be kept from a chart."""
        return self._reach(role) != "all" or any(reach != "all" for reach in self._organizations.values())

    def is_for_partners(self, role: str) -> bool:
        """Whether a role is one for the people of partner organisations."""
        return bool(self._roles.get(role, {}).get("partner", False))

    def emergency_minutes(self, role: str) -> int:
        """For how long a chart may be opened in an emergency; 0: for no moment."""
        return int(self._roles.get(role, {}).get("emergency_minutes", 0))

    def charts(self, grant: Grant, *, lasting: bool = False) -> frozenset[str] | None:
        """The patients whose charts the user may reach; None: everybody's. lasting: emergencies aside."""
        assert grant.user is not None
        kind, _, id = grant.user.partition("/")
        user: Key = kind, id
        limits = {self._reach(grant.role), *self._of_employers(user)} - {"all"}
        if not limits:
            return None
        found = [
            self._relations.charts(user, organizations=reach == "organization", lasting=lasting)
            for reach in limits
        ]
        return frozenset.intersection(*found)

    def _reach(self, role: str) -> str:
        return str(self._roles.get(role, {}).get("reach", "related"))

    def _of_employers(self, user: Key) -> Iterator[str]:
        """The reaches that organizations leave to a user, whatever the role."""
        employers = {"/".join(key) for key in self._relations.organizations(user)}
        given = [self._organizations[name] for name in sorted(employers & self._organizations.keys())]
        yield from given
        others = self._organizations.get("*", "all")
        if not any(REACHES.index(reach) < REACHES.index(others) for reach in given):
            yield others


def ways(grant: Grant, kind: str, letters: str, policy: Policy) -> Iterator[Way]:
    """Every way in which a token reaches a type by any of the letters. None: a request on the type is
    refused."""
    for scope in grant.scopes:
        own = {letter for letter in letters if letter in scope.allowed}
        if own and scope.kind in ("*", kind):
            yield from _ways(grant, scope, kind, own, policy)


def _ways(grant: Grant, scope: Scope, kind: str, own: set[str], policy: Policy) -> Iterator[Way]:
    if grant.partner and (kind not in open_types() or own <= WRITES):
        return  # a partner reads what is nobody's chart, and that is all
    if policy.is_for_partners(grant.role) and not grant.partner:
        return
    if scope.level == "system":
        yield Way(None, scope.criteria)
    elif (grant.is_staff or scope.level == "user") and not own & policy.letters(grant.role, kind):
        return  # staff may do no more by an app's scope than their role allows
    elif scope.level == "patient" and grant.patient is not None:
        if kind in patient_compartment():
            limits = _limits(grant, policy) if grant.is_staff else {}
            yield Way(frozenset({grant.patient}), scope.criteria, **limits)
        elif kind in open_types() and not own <= WRITES:
            yield Way(None, scope.criteria, referred=True)
    elif scope.level == "user" and grant.user is not None:
        yield from _staff(grant, scope, kind, own, policy)


def _staff(grant: Grant, scope: Scope, kind: str, own: set[str], policy: Policy) -> Iterator[Way]:
    if not policy.is_limited(grant.role):
        yield Way(None, scope.criteria)
    elif kind in open_types():
        # What is nobody's chart is open to all staff, but nobody makes themselves related by it.
        if not own <= WRITES or kind not in relating_types():
            yield Way(None, scope.criteria)
    else:
        limits = _limits(grant, policy)
        if not limits or kind in patient_compartment():
            yield Way(None, scope.criteria, **limits)


def _limits(grant: Grant, policy: Policy) -> dict[str, frozenset[str]]:
    """`related` and `lasting` of a way by which the token's user goes, none for no such limit."""
    charts = policy.charts(grant)
    lasting = policy.charts(grant, lasting=True) if charts is not None else None
    return {} if charts is None or lasting is None else {"related": charts, "lasting": lasting}
