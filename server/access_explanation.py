"""Why somebody may see or write something: each layer of the decision, with the data it rests on.

The layers only tell; the verdict is the server's own: `auth.access` decides and the store is asked with that
decision, as by a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from server.auth.access import PERMISSION, Decision, decide, is_limited, may_write
from server.auth.care_limits import acts_for_staff, limits_of
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.compartments import in_patient_compartment
from server.fhir.dates import EARLIEST, LATEST, microseconds, zone
from server.fhir.hashing import reference_hash
from server.fhir.index_collector import Target
from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Clause, ReferenceValue, SearchQuery
from server.fhir.visibility import EVERYTHING, Limit
from server.interactions.operations import access_of
from server.interactions.request import Context, InteractionRequest
from server.policy.open_types import open_types
from server.policy.relationships import why
from server.policy.roles import ANYBODY, policy, role
from server.storage.interface import Reader, StoredVersion
from server.storage.relationships import Relation

Row = dict[str, Any]
_KINDS = {ROLE: "role", ORGANIZATION: "organization", TEAM: "team"}
_CAP = 10_000  # matches are counted no further
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Layer:
    """verdict: allows, limits, refuses, or "" where the layer says nothing of this request. rows: what it rests
    on."""

    name: str
    verdict: str
    says: str
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """allowed: the request is not refused and its resource, if it names one, is in sight. says: in words."""

    layers: tuple[Layer, ...]
    allowed: bool
    says: str


class _Parties:
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
        return Target(reference, self._base)

    def name(self, hash: int) -> str:
        return self._names.get(hash, "?")

    def within(self, organizations: bool) -> list[int]:
        """All of them, as the predicate takes them: the person, roles, teams, and organizations where they
        count."""
        own, kinds = reference_hash(self._user), {ROLE, ORGANIZATION} if organizations else {ROLE}
        first = [own, *(row.right for row in self.rows if row.left == own and row.kind in kinds)]
        return [*first, *(row.right for row in self.rows if row.kind == TEAM and row.left in first)]

    def organizations(self) -> list[Relation]:
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


def explain(context: Context, principal: Principal, request: InteractionRequest) -> Explanation:
    """What each layer says of a request of the principal, and what the server would do.

    Raises: FhirError of a request that cannot be understood, unavailable.
    """
    at = microseconds(context.clock())
    interaction, resource_type = access_of(request), request.resource_type
    letter = PERMISSION[interaction]
    with context.store.reading() as reader:
        stored = _stored(reader, request)
        patients = _patients(context, request, stored)
        parties = _Parties(context, principal.user, at) if principal.user else None
        layers = (
            _scopes(principal, resource_type, letter),
            _role(principal, resource_type, letter),
            _organizations(principal, parties),
            _relationships(context, principal, resource_type, patients, parties, at),
            _compartment(principal, resource_type, patients, stored),
        )
        allowed, says = _verdict(context, reader, principal, request, stored, at)
    return Explanation(layers, allowed, says)


def _stored(reader: Reader, request: InteractionRequest) -> StoredVersion | None:
    if not request.id or not request.resource_type:
        return None
    return reader.read(request.resource_type, request.id, EVERYTHING)


def _patients(context: Context, request: InteractionRequest, stored: StoredVersion | None) -> tuple[str, ...]:
    """The charts that a request is about, as far as it says."""
    if stored is not None and not stored.deleted:
        content = decode(stored.body)
        return index_values(content, base_url=context.base_url, time_zone=context.time_zone).compartments
    if request.resource_type == "Patient" and request.id:
        return (request.id,)
    named = [request.compartment.removeprefix("Patient/")] if request.compartment.startswith("Patient/") else []
    if request.interaction == "search-type":
        for condition in _query(context, request).conditions:
            if isinstance(condition, Clause):
                named += [
                    value.id
                    for value in condition.values
                    if isinstance(value, ReferenceValue)
                    and value.id
                    and (value.resource_type == "Patient" or condition.parameter.code == "patient")
                ]
    return tuple(dict.fromkeys(named))


def _query(context: Context, request: InteractionRequest) -> SearchQuery:
    return parse_search(
        request.resource_type,
        request.query,
        time_zone=context.time_zone,
        base_url=context.base_url,
        now=context.clock(),
        known=context.store.custom_parameters,
    )


def _scopes(principal: Principal, resource_type: str, letter: str) -> Layer:
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


def _role(principal: Principal, resource_type: str, letter: str) -> Layer:
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


def _organizations(principal: Principal, parties: _Parties | None) -> Layer:
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


def _relationships(
    context: Context,
    principal: Principal,
    resource_type: str,
    patients: tuple[str, ...],
    parties: _Parties | None,
    at: int,
) -> Layer:
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


def _relationship_row(context: Context, parties: _Parties, relation: Relation, patient: str, at: int) -> Row:
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


def _row(parties: _Parties, row: Relation) -> Row:
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


def _compartment(
    principal: Principal, resource_type: str, patients: tuple[str, ...], stored: StoredVersion | None
) -> Layer:
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


def _verdict(
    context: Context,
    reader: Reader,
    principal: Principal,
    request: InteractionRequest,
    stored: StoredVersion | None,
    at: int,
) -> tuple[bool, str]:
    """What a request would meet, by the decision and the store themselves."""
    interaction, resource_type = access_of(request), request.resource_type
    try:
        if is_limited(principal):
            reader.require_relations()
        decision = decide(principal, interaction, resource_type, at=at)
    except FhirError as error:
        return False, f"{error.status}: " + " ".join(issue.diagnostics for issue in error.issues)
    if not PERMISSION[interaction]:
        return True, "decided part by part"
    if request.id and resource_type:
        return _of_instance(context, reader, decision, request, stored)
    if interaction == "search-type":
        return True, _of_search(context, reader, decision, request)
    return True, "allowed, for what lies within the layers above"


def _of_instance(
    context: Context,
    reader: Reader,
    decision: Decision,
    request: InteractionRequest,
    stored: StoredVersion | None,
) -> tuple[bool, str]:
    if stored is None:
        return False, "404: there is no such resource"
    if reader.read(request.resource_type, request.id, decision.visible) is None:
        return False, "404: it is there, and out of sight"
    if PERMISSION[access_of(request)] not in "cud":
        return True, "410: it was deleted" if stored.deleted else "200: it is shown"
    if stored.deleted:
        return True, "it was deleted; what is written in its place is judged by its content"
    content = decode(stored.body)
    rows = index_values(content, base_url=context.base_url, time_zone=context.time_zone)

    def keeps(limits: tuple[Limit, ...]) -> bool:
        lasting = rows.relations is not None and bool(rows.relations.relationships)
        return reader.reaches(decision.writable, limits, rows.compartments, lasting=lasting)

    if may_write(decision, request.resource_type, rows, content, keeps):
        return True, "what is there may be replaced; what replaces it is judged by its content"
    return False, "403: it is in sight and may not be changed"


def _of_search(context: Context, reader: Reader, decision: Decision, request: InteractionRequest) -> str:
    query = replace(_query(context, request), includes=(), after=None)
    shown = reader.total(query, decision.visible, _CAP)
    every = reader.total(query, EVERYTHING, _CAP)
    more = "" if every.exact else " or more"
    return f"200: {shown.value} of {every.value}{more} matches are shown"


def as_document(principal: Mapping[str, Any], asked: str, explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON."""
    return {
        "principal": dict(principal),
        "request": asked,
        "layers": [
            {"layer": layer.name, "verdict": layer.verdict, "says": layer.says, "rows": list(layer.rows)}
            for layer in explanation.layers
        ],
        "allowed": explanation.allowed,
        "verdict": explanation.says,
    }


def as_lines(asked: str, explanation: Explanation) -> Iterable[str]:
    """An explanation to be read."""
    yield asked
    for layer in explanation.layers:
        yield f"  {layer.name:<13} {layer.verdict or '-':<8} {layer.says}"
        for row in layer.rows:
            parts = [f"{name}={value}" for name, value in row.items() if value not in ("", None)]
            yield f"      {' '.join(parts)}"
    yield f"{'yes' if explanation.allowed else 'no'}: {explanation.says}"
