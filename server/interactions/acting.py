"""For whom a caller acts: the parties of a Task or request are people, their roles, organizations and teams.

A user acts for itself, for the PractitionerRoles of its Practitioner that are in force, for the organizations
of these, and for the CareTeams that have any of them as a participant. These are facts of the server's own
about the caller, read whatever the token may see. A token without a user acts by its `system/` scopes: that of
a partner's client for the partner's organization and its teams, another one for anyone; a token without both
acts for nobody.
Sources: hl7.org/fhir/R4/practitionerrole.html, careteam.html, task.html (requester, owner)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from server.fhir.dates import date_range, zone
from server.fhir.json_codec import decode
from server.fhir.references import Local, MalformedReference, parse_reference
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.interactions.call import Call
from server.storage.interface import Writer

Resource = dict[str, Any]


def acting(call: Call[Writer]) -> Callable[[str], bool]:
    """Whether the caller acts for whom a reference names: for nobody that is not a resource of this server.

    What the caller is part of is read when it is first asked for, and once.
    """
    principal = call.principal
    by_system = principal.user is None and any(scope.level == "system" for scope in principal.scopes)
    named = principal.user or (principal.organization if by_system else None)
    if named is None:
        return lambda reference: by_system
    user = _local(call, named)
    parties = cache(partial(_parties, call, user))

    def acts_for(reference: str) -> bool:
        party = _local(call, reference)
        if party is None or party == user:
            return party is not None
        return party in parties() or (party.type == "CareTeam" and _takes_part(call, party, parties()))

    return acts_for


def _parties(call: Call[Writer], user: Local | None) -> frozenset[Local]:
    """A user, its roles in force, the people and organizations they are of; an organization alone."""
    found = {user} if user is not None else set()
    for role in _roles(call, user):
        named = (_refers(call, role.get(element)) for element in ("practitioner", "organization"))
        found |= {Local("PractitionerRole", role["id"]), *(party for party in named if party is not None)}
    return frozenset(found)


def _takes_part(call: Call[Writer], reference: Local, parties: frozenset[Local]) -> bool:
    """Whether an active team has one of the parties. A team within a team is not followed."""
    team = _read(call, reference)
    if team is None or team.get("status", "active") != "active":
        return False
    return any(
        _refers(call, part.get("member")) in parties and _is_in_force(call, part)
        for part in team.get("participant", ())
    )


def _roles(call: Call[Writer], user: Local | None) -> list[Resource]:
    """The roles in force of a Practitioner (as many as one page may have), or the one role that the user is."""
    found: list[Resource | None] = []
    if user is not None and user.type == "PractitionerRole":
        found = [_read(call, user)]
    elif user is not None and user.type == "Practitioner":
        most = call.context.limits.count_maximum
        query = parse_search(
            "PractitionerRole",
            (("practitioner", str(user)),),
            time_zone=call.context.time_zone,
            base_url=call.context.base_url,
            count_default=most,
            count_maximum=most,
        )
        found = [decode(match.body) for match in call.unit.search(query, EVERYTHING).matches]
    return [role for role in found if role is not None and _is_in_force(call, role)]


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
