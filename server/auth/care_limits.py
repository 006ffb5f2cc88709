"""Whose charts a person reaches: the limits that role and organizations put on every rule (pure).

Source: `policy/roles.json`; what a limit means: `fhir.visibility.Limit`.
"""

from __future__ import annotations

from server.auth.principal import Principal
from server.fhir.hashing import reference_hash
from server.fhir.visibility import Limit
from server.policy.roles import REACHES, policy, role

_STAFF = ("Practitioner/", "PractitionerRole/")


def acts_for_staff(principal: Principal) -> bool:
    """Whether a member of staff stands behind the token: then role, organization and relationships count.

    A patient or a related person has none of these; a backend service has no user at all.
    """
    return principal.user is not None and principal.user.startswith(_STAFF)


def limits_of(principal: Principal) -> tuple[Limit, ...]:
    """The limits of a member of staff, all of which must be kept; () reaches all charts.

    First that of the role, then one for each narrower reach that some organizations give their staff.
    """
    reach = role(principal.role).reach
    found = [] if reach == "all" else [Limit(reach == "organization")]
    for narrower in REACHES[REACHES.index(reach) + 1 :]:
        named = [name for name, widest in policy().organizations.items() if widest == narrower]
        if named:
            found.append(Limit(narrower == "organization", frozenset(map(reference_hash, named))))
    return tuple(found)


def caller_of(principal: Principal) -> int | None:
    """Whom limits ask about: the person's reference_hash, None for nobody."""
    return reference_hash(principal.user) if principal.user else None
