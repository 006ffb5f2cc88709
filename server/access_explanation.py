"""Why somebody may see or write something: each layer of the decision, with the data it rests on.

The layers only tell; the verdict is the server's own: `auth.access` decides and the store is asked with that
decision, as by a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from server.access_layers import (
    Layer,
    Parties,
    of_compartment,
    of_organizations,
    of_relationships,
    of_role,
    of_scopes,
)
from server.auth.access import PERMISSION, Decision, decide, is_limited, may_write
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Clause, ReferenceValue, SearchQuery
from server.fhir.visibility import EVERYTHING, Limit
from server.interactions.operations import access_of
from server.interactions.request import Context, InteractionRequest
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

_CAP = 10_000  # matches are counted no further


@dataclass(frozen=True, slots=True)
class Explanation:
    """allowed: the request is not refused and its resource, if it names one, is in sight. says: in words."""

    layers: tuple[Layer, ...]
    allowed: bool
    says: str


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
        parties = Parties(context, principal.user, at) if principal.user else None
        layers = (
            of_scopes(principal, resource_type, letter),
            of_role(principal, resource_type, letter),
            of_organizations(principal, parties),
            of_relationships(context, principal, resource_type, patients, parties, at),
            of_compartment(principal, resource_type, patients, stored),
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
