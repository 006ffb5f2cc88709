"""Somebody with a token who tries to open charts in an emergency, and what has to come of it.

Source: docs/reference/access.md#break-glass
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from access_oracle.curious import Json, refused
from access_oracle.sight import Sight
from access_oracle.world import Opened
from search_oracle.makers import IDS

UNKNOWN = "CURIOUS"  # a reason that no policy has
_ROUNDING = timedelta(milliseconds=1)


def open_chart(sight: Sight, random: Random) -> str:
    """One attempt, and what is wrong with its answer ("": nothing). What it opened is in the world."""
    world = sight.world
    patient = random.choice((*IDS, "nobody-has-this"))
    reason = random.choice((*sorted(sight.policy.reasons) * 2, UNKNOWN))
    before = world.clock.now
    reply = _sent(sight, random, patient, reason)
    after = world.clock.now
    wanted = status(sight, patient, reason)
    if wanted != 200 or reply.status != 200:
        fault = refused(reply, wanted)
        return f"$break-glass of {patient} for {reason}: {fault}" if fault else ""
    said = {row["name"]: row for row in reply.json["parameter"]}
    since, until = (datetime.fromisoformat(said["period"]["valuePeriod"][end]) for end in ("start", "end"))
    assert sight.grant.user is not None
    world.opened.append(Opened(sight.grant.user, patient, since, until))
    if said["reason"]["valueCode"] != reason or not before - _ROUNDING < since <= after:
        return f"$break-glass of {patient}: {said}"
    if until - since != timedelta(minutes=sight.policy.emergency_minutes(sight.grant.role)):
        return f"$break-glass of {patient}: from {since} until {until}"
    return ""


def may_open(sight: Sight) -> bool:
    """Whether the policy trusts a token with it: a person by a `user/` scope, whose role has minutes for it."""
    grant = sight.grant
    by_user = any(
        scope.level == "user" and scope.kind in ("*", "Patient") and "r" in scope.allowed
        for scope in grant.scopes
    )
    minutes = sight.policy.emergency_minutes(grant.role)
    return grant.user is not None and by_user and minutes > 0 and sight.reaches("Patient", "r")


def status(sight: Sight, patient: str, reason: str) -> int:
    """What an attempt is answered with."""
    if not may_open(sight):
        return 403
    if reason not in sight.policy.reasons:
        return 400
    if not sight.world.is_there(("Patient", patient)):
        return 404
    return 422 if sight.sees(("Patient", patient), "r") else 200


def _sent(sight: Sight, random: Random, patient: str, reason: str) -> Any:
    """The attempt by itself, or as the one entry of a transaction."""
    path = f"Patient/{patient}/$break-glass"
    stated = {"reason": ("valueCode", reason), "comment": ("valueString", "found on the floor at home")}
    body: Json = {
        "resourceType": "Parameters",
        "parameter": [{"name": name, element: value} for name, (element, value) in stated.items()],
    }
    if random.random() < 0.7:
        return sight.fhir.post(path, body)
    entry = {"request": {"method": "POST", "url": path}, "resource": body}
    reply = sight.fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    return reply if reply.status != 200 else _Entry(reply.json["entry"][0])


class _Entry:
    """The answer to the entry of a transaction, as that to a request."""

    def __init__(self, entry: Json) -> None:
        self.status, self.json = int(entry["response"]["status"][:3]), entry["resource"]
