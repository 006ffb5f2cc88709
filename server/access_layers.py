"""What each layer of an access decision says of a request, and the rows that it rests on.

Nothing is decided here; `access_explanation` asks the decision itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from server.auth.access import is_limited
from server.auth.care_limits import acts_for_staff, limits_of
from server.auth.principal import Principal
from server.fhir.compartments import in_patient_compartment
from server.fhir.dates import EARLIEST, LATEST, zone
from server.fhir.hashing import reference_hash
from server.fhir.index_collector import Target
from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM
from server.fhir.json_codec import decode
from server.fhir.visibility import Limit
from server.interactions.request import Context
from server.policy.open_types import open_types
from server.policy.relationships import why
from server.policy.roles import ANYBODY, policy, role
from server.storage.relationships import Relation
from server.storage.versions import StoredVersion

Row = dict[str, Any]
_KINDS = {ROLE: "role", ORGANIZATION: "organization", TEAM: "team"}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Layer:
    """verdict: allows, limits, refuses, or "" where the layer says nothing of this request. rows: what it rests
    on."""

    name: str
    verdict: str
    says: str
    rows: tuple[Row, ...] = ()


class Parties:
    """Whom a person acts as now, and what the hashes of rows stand for."""

    def __init__(self, context: Context, user: str, at: int) -> None:
        self._base, self._at, self._user = context.base_url + "/", at, user
        self._names = {reference_hash(user): user}
        self.rows = [
            row for row in context.store.relationships.memberships(user) if row.starts <= at < row.until
        ]
        for row in self.rows:
            self.learn(row)

    def learn(self, row: Relation) -> None:
        """Remember what a row's resource names."""
        if row.body:
            names = [row.resource, *_references(decode(row.body))]
            self._names |= {target.hash: _named(target) for target in map(self.target, names) if target.id}

    def target(self, reference: str) -> Target:
        """What a literal reference points at."""
        return Target(reference, self._base)

    def name(self, hash: int) -> str:
        """The `Type/id` of a hash, "?" for one that no row has named."""
        return self._names.get(hash, "?")

    def within(self, organizations: bool) -> list[int]:
        """All of them, as the predicate takes them: the person, roles, teams, and organizations where they
        count."""
        own, kinds = reference_hash(self._user), {ROLE, ORGANIZATION} if organizations else {ROLE}
        first = [own, *(row.right for row in self.rows if row.left == own and row.kind in kinds)]
        teams = (row.right for row in self.rows if row.kind == TEAM and row.left in first)
        return list(dict.fromkeys((*first, *teams)))

    def organizations(self) -> list[Relation]:
        """The memberships in organizations."""
        own = reference_hash(self._user)
        return [row for row in self.rows if row.left == own and row.kind == ORGANIZATION]


def _named(target: Target) -> str:
    return f"{target.resource_type}/{target.id}"


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def of_scopes(principal: Principal, resource_type: str, letter: str) -> Layer:
    """Which scopes carry the permission (a letter, "" for none) on the type ("" for the whole system)."""
    rows = tuple(
        {"scope": scope.written, "allows": not resource_type or scope.allows(resource_type, letter)}
        for scope in principal.scopes
    )
    if not letter:
        return Layer("scope", "allows", "a token is enough: each part is decided by itself", rows)
    if any(
        row["allows"] and letter in scope.permissions for row, scope in zip(rows, principal.scopes, strict=True)
    ):
        return Layer("scope", "allows", f"a scope carries {letter} on {resource_type or 'some type'}", rows)
    return Layer("scope", "refuses", f"no scope carries {letter} on {resource_type or 'any type'}", rows)


def of_role(principal: Principal, resource_type: str, letter: str) -> Layer:
    """What the role may do with the type, and by which policy."""
    if not acts_for_staff(principal):
        return Layer("role", "", "no member of staff acts: scopes alone count")
    held = role(principal.role)
    letters = held.permissions(resource_type)
    row = {
        "role": principal.role,
        "title": held.title,
        "type": resource_type,
        "letters": letters,
        "policy": policy().origin,
        "version": policy().version,
    }
    verdict = "allows" if not letter or not resource_type or letter in letters else "refuses"
    return Layer("role", verdict, f"{held.title}: {letters or 'nothing'} on {resource_type or '*'}", (row,))


def of_organizations(principal: Principal, parties: Parties | None) -> Layer:
    """Where the person works, and what the policy says of that; for a partner its organization."""
    if principal.organization is not None:
        row = {"party": principal.organization, "kind": "partner"}
        said = f"for the partner {principal.organization}: only what is nobody's chart, and nothing is written"
        return Layer("organization", "limits", said, (row,))
    if parties is None or not acts_for_staff(principal):
        return Layer("organization", "", "no member of staff acts")
    rows = tuple(
        _row(parties, row) | {"reach": policy().organizations.get(parties.name(row.right), "")}
        for row in parties.organizations()
    )
    named = [f"{row['party']}: {row['reach']}" for row in rows if row["reach"]]
    if policy().organizations.get(ANYBODY, "all") != "all":
        named.append(f"whoever works for none that reaches further: {policy().organizations[ANYBODY]}")
    if named:
        return Layer("organization", "limits", f"the widest reach of {'; '.join(named)}", rows)
    return Layer("organization", "allows", "the policy limits no organization of the person", rows)


def of_relationships(
    context: Context,
    principal: Principal,
    resource_type: str,
    patients: tuple[str, ...],
    parties: Parties | None,
    at: int,
) -> Layer:
    """By which rows the person is related to the charts that the request is about, ended ones too."""
    if parties is None or not is_limited(principal):
        return Layer("relationship", "", "all charts are in reach")
    if resource_type in open_types():
        return Layer("relationship", "", "the type is nobody's chart: no relationship is needed")
    mine = {reference_hash(name) for name in (parties.name(row.right) for row in parties.organizations())}
    limits = [
        limit
        for limit in limits_of(principal)
        if not (limit.of and limit.of.isdisjoint(mine)) and limit.but.isdisjoint(mine)
    ]
    if not limits:
        return Layer("relationship", "", "all charts are in reach")
    narrowest = min(limits, key=lambda limit: limit.organizations)
    if not patients:
        return Layer("relationship", "limits", f"only charts related to {_whom(narrowest)}")
    rows: list[Row] = []
    related = set()
    for patient in patients:
        for relation in context.store.relationships.of_chart(parties.within(narrowest.organizations), patient):
            rows.append(_relationship_row(context, parties, relation, patient, at))
            if relation.starts <= at < relation.until:
                related.add(patient)
    found = ", ".join(f"Patient/{patient}" for patient in patients if patient in related)
    if found:
        return Layer("relationship", "allows", f"{found} is related to {_whom(narrowest)}", tuple(rows))
    return Layer("relationship", "refuses", f"no chart is related to {_whom(narrowest)} now", tuple(rows))


def _whom(limit: Limit) -> str:
    others = "a role, team or organization" if limit.organizations else "a role or team"
    return f"the person, or {others} of theirs"


def _relationship_row(context: Context, parties: Parties, relation: Relation, patient: str, at: int) -> Row:
    parties.learn(relation)
    if relation.rid < 0:
        access = context.store.emergency_access.one(-relation.rid)
        made = {"resource": f"emergency access {-relation.rid}", "why": access.reason if access else ""}
    else:
        content = decode(relation.body)
        reason = why(content, relation.left, relation.right, parties.target, zone(context.time_zone))
        made = {"resource": relation.resource, "why": reason}
    return {
        "patient": f"Patient/{patient}",
        "actor": parties.name(relation.left),
        **made,
        **_bounds(relation),
        "in_force": relation.starts <= at < relation.until,
    }


def _row(parties: Parties, row: Relation) -> Row:
    return {
        "member": parties.name(row.left),
        "party": parties.name(row.right),
        "kind": _KINDS[row.kind],
        "resource": row.resource,
        **_bounds(row),
    }


def _bounds(row: Relation) -> Row:
    return {"from": _moment(row.starts), "until": _moment(row.until)}


def _moment(value: int) -> str:
    if value in (EARLIEST, LATEST):
        return ""
    try:
        return (_FIRST + timedelta(microseconds=value)).isoformat(timespec="seconds")
    except OverflowError:
        return ""


def of_compartment(
    principal: Principal, resource_type: str, patients: tuple[str, ...], stored: StoredVersion | None
) -> Layer:
    """Whether a `patient/` scope reaches the charts that the request is about."""
    rows = tuple({"patient": f"Patient/{patient}"} for patient in patients)
    levels = {scope.level for scope in principal.scopes}
    if levels != {"patient"}:
        said = "a user/ or system/ scope is not limited to a compartment" if levels else "no scope"
        return Layer("compartment", "", said, rows)
    if principal.patient is None:
        return Layer("compartment", "refuses", "patient/ scopes without a patient reach nothing", rows)
    own = f"Patient/{principal.patient}"
    if resource_type and not in_patient_compartment(resource_type):
        verdict = "limits" if resource_type in open_types() else "refuses"
        said = f"the type is in no compartment: shown where the chart of {own} refers to it"
        return Layer("compartment", verdict, said if verdict == "limits" else "nothing opens this type", rows)
    if stored is not None:
        inside = principal.patient in patients
        said = f"it is {'in' if inside else 'not in'} the compartment of {own}"
        return Layer("compartment", "allows" if inside else "refuses", said, rows)
    return Layer("compartment", "limits", f"only the compartment of {own}", rows)
