"""For whom a caller acts: the parties of a Task or request are people, their roles, organizations and teams.

A user acts for itself, for the PractitionerRoles of its Practitioner that are in force, for the organizations
of these, and for the CareTeams that have any of them as a participant. These are facts of the server's own
about the caller, read whatever the token may see. A token without a user acts by its `system/` scopes: which
organization such a client belongs to is not known, so it acts for anyone; a token with neither acts for nobody.
Sources: hl7.org/fhir/R4/practitionerrole.html, careteam.html, task.html (requester, owner)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from server.fhir.dates import date_range, zone
from server.fhir.json_codec import decode
from server.fhir.references import Local, MalformedReference, parse_reference
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.interactions.call import Call
from server.storage.interface import Writer

Resource = dict[str, Any]


def acts_for(call: Call[Writer], reference: str) -> bool:
    """Whether the caller acts for whom a reference names; for nobody that is not a resource of this server."""
    principal = call.principal
    if principal.user is None:
        return any(scope.level == "system" for scope in principal.scopes)
    user, party = _local(call, principal.user), _local(call, reference)
    if user is None or party is None:
        return False
    return _is_or_acts_for(call, user, party)


def _is_or_acts_for(call: Call[Writer], user: Local, party: Local) -> bool:
    through = _THROUGH.get(party.type)
    return user == party or (through is not None and through(call, user, party))


def _by_own_role(call: Call[Writer], user: Local, party: Local) -> bool:
    return user.type == "PractitionerRole" and _by_role(call, party, user)


def _by_role(call: Call[Writer], user: Local, party: Local) -> bool:
    role = _read(call, party)
    return role is not None and _is_in_force(call, role) and _refers(call, role.get("practitioner")) == user


def _by_organization(call: Call[Writer], user: Local, party: Local) -> bool:
    return any(_refers(call, role.get("organization")) == party for role in _roles(call, user))


def _by_team(call: Call[Writer], user: Local, party: Local) -> bool:
    team = _read(call, party)
    if team is None or team.get("status", "active") != "active":
        return False
    taking_part = (part for part in team.get("participant", ()) if _is_in_force(call, part))
    members = (_refers(call, part.get("member")) for part in taking_part)
    # A team within a team is not followed: it could be within itself.
    people = (member for member in members if member is not None and member.type != "CareTeam")
    return any(_is_or_acts_for(call, user, member) for member in people)


_THROUGH: Mapping[str, Callable[[Call[Writer], Local, Local], bool]] = {
    "Practitioner": _by_own_role,
    "PractitionerRole": _by_role,
    "Organization": _by_organization,
    "CareTeam": _by_team,
}


def _roles(call: Call[Writer], user: Local) -> Iterator[Resource]:
    """The roles in force of a Practitioner, or the one role that the user is."""
    found: list[Resource | None] = []
    if user.type == "PractitionerRole":
        found = [_read(call, user)]
    elif user.type == "Practitioner":
        query = parse_search(
            "PractitionerRole",
            (("practitioner", str(user)),),
            handling="strict",
            time_zone=call.context.time_zone,
            base_url=call.context.base_url,
            count_default=call.context.limits.count_maximum,
            count_maximum=call.context.limits.count_maximum,
        )
        found = [decode(match.body) for match in call.unit.search(query, EVERYTHING).matches]
    for role in found:
        if role is not None and _is_in_force(call, role):
            yield role


def _is_in_force(call: Call[Writer], role: Resource) -> bool:
    """Whether a role or a part in a team is active and its period has begun and not ended."""
    local = zone(call.context.time_zone)
    now = int(call.context.clock().timestamp() * 1_000_000)
    period = role.get("period", {})
    start, end = period.get("start"), period.get("end")
    return (
        role.get("active", True) is not False
        and (start is None or date_range(start, local)[0] <= now)
        and (end is None or now < date_range(end, local)[1])
    )


def _read(call: Call[Writer], reference: Local) -> Resource | None:
    version = call.unit.read(reference.type, reference.id, EVERYTHING)
    return decode(version.body) if version is not None and not version.deleted else None


def _refers(call: Call[Writer], element: Any) -> Local | None:
    reference = element.get("reference") if isinstance(element, dict) else None
    return _local(call, reference) if isinstance(reference, str) else None


def _local(call: Call[Writer], reference: str) -> Local | None:
    """The resource a reference names, whichever of its versions; None where it is not one of this server."""
    try:
        parsed = parse_reference(reference, call.context.base_url)
    except MalformedReference:
        return None
    return Local(parsed.type, parsed.id) if isinstance(parsed, Local) else None
