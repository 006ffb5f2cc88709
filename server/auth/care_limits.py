"""Whose charts a person reaches: the limits that role and organizations put on every rule (pure).

Source: `policy/roles.json`; what a limit means: `fhir.visibility.Limit`.
"""

from __future__ import annotations

from collections.abc import Collection

from server.auth.principal import Principal
from server.fhir.hashing import reference_hash
from server.fhir.visibility import Limit
from server.policy.roles import ANYBODY, REACHES, policy, role

_STAFF = ("Practitioner/", "PractitionerRole/")


def acts_for_staff(principal: Principal) -> bool:
    """Whether a member of staff stands behind the token: then role, organization and relationships count.

    A patient or a related person has none of these; a backend service has no user at all.
    """
    return principal.user is not None and principal.user.startswith(_STAFF)


def limits_of(principal: Principal) -> tuple[Limit, ...]:
    """The limits of a member of staff, all of which must be kept; () reaches all charts.

    First that of the role, then one for each narrower reach that organizations give their staff, and that of
    whoever works for none of the organizations that reach further.
    """
    reach = role(principal.role).reach
    found = [] if reach == "all" else [Limit(reach == "organization")]
    for place in range(REACHES.index(reach) + 1, len(REACHES)):
        of_house = REACHES[place] == "organization"
        if named := _reaching({REACHES[place]}):
            found.append(Limit(of_house, of=named))
        if policy().organizations.get(ANYBODY) == REACHES[place]:
            found.append(Limit(of_house, but=_reaching(set(REACHES[:place]))))
    return tuple(found)


def _reaching(reaches: Collection[str]) -> frozenset[int]:
    """The organizations whose staff has one of the reaches."""
    named = (name for name, widest in policy().organizations.items() if widest in reaches and name != ANYBODY)
    return frozenset(map(reference_hash, named))


def caller_of(principal: Principal) -> int | None:
    """Whom limits ask about: the person's reference_hash, None for nobody."""
    return reference_hash(principal.user) if principal.user else None
