"""AuditEvent: read and search, answered from the sealed audit trail. Nothing else can be asked of it.

No client writes an AuditEvent, and none is stored as a resource: what is served under this name is what the
server itself saw, sealed against change. So other row sources (includes, chains, `_has`, histories, records)
have none.
Sources: hl7.org/fhir/R4/auditevent.html, docs/decisions/0017-audit-events.md
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.auth.audit_access import require_audit_reader
from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import bundle, outcome_entry, search_entry, url_with
from server.fhir.json_codec import encode
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import SearchQuery
from server.interactions.answer import absent, answer_version
from server.interactions.audit import parameter_names
from server.interactions.audit_event import TYPE, audit_event
from server.interactions.audit_event_search import audit_query, check_names, sequence_of
from server.interactions.call import Call, ReadingHandler
from server.interactions.cursor import PARAMETER, open_cursor, seal_cursor
from server.interactions.request import InteractionRequest, InteractionResponse
from server.interactions.subset import subset, subset_of_instance
from server.storage.audit_values import AuditQuery, AuditRow, AuditTest
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

Pairs = tuple[tuple[str, str], ...]
_COMPARTMENTS = {"Patient": "patient", "Practitioner": "agent"}


# What else a path of this type can ask, and what is said then.
_HISTORIES = frozenset({"vread", "history-instance", "history-type"})


def check_offered(request: InteractionRequest) -> None:
    """Refuse what cannot be asked of AuditEvents. Raises: FhirError method-not-allowed, unknown-operation."""
    if request.resource_type != TYPE or request.interaction in HANDLERS or request.interaction == "operation":
        return
    if request.interaction in _HISTORIES:
        raise FhirError("unknown-operation", "an AuditEvent never changes: it has no history")
    raise FhirError(
        "method-not-allowed",
        "AuditEvents are what the server itself recorded: they are read and searched, never written",
        headers={"Allow": "GET, HEAD"},
    )


def read(call: Call[Reader]) -> InteractionResponse:
    """One event. Raises: FhirError forbidden, not-found."""
    require_audit_reader(call.principal, "r")
    context, request = call.context, call.request
    sequence = sequence_of(request.id) if request.id else 0
    found = (
        context.store.search_audit(AuditQuery(conditions=(((AuditTest("sequence", (sequence,)),),),), count=1))
        if sequence
        else None
    )
    if found is None or not found.rows:
        raise absent(TYPE)
    _, row = found.rows[0]
    version = _version(sequence, row, context.base_url)
    body = subset_of_instance(version, request.query) if request.query else version.body
    return answer_version(context, request, version, 200, body=body, patients=tuple(row.patient.split()))


def search(call: Call[Reader]) -> InteractionResponse:
    """A page of a searchset Bundle, the latest event first.

    Raises: FhirError forbidden; invalid-search, unsupported-search, too-costly.
    """
    require_audit_reader(call.principal, "s")
    context, request = call.context, call.request
    pairs = tuple(pair for pair in request.query if pair[0] != PARAMETER)
    if request.prefer_handling != "lenient":
        check_names(name for name, _ in pairs)
    query = parse_search(
        TYPE,
        (*_of_compartment(request), *pairs),
        handling=request.prefer_handling or "strict",
        time_zone=context.time_zone,
        base_url=context.base_url,
        count_default=context.limits.count_default,
        count_maximum=context.limits.count_maximum,
        now=context.clock(),
    )
    path = "/".join(part for part in (context.base_url, request.compartment, TYPE) if part)
    return _page(call, query, pairs, path)


# Interaction -> what answers it, for this type.
HANDLERS: dict[str, ReadingHandler] = {"read": read, "search-type": search}


def _page(call: Call[Reader], query: SearchQuery, pairs: Pairs, path: str) -> InteractionResponse:
    context, request = call.context, call.request
    asked = audit_query(query, context.base_url)
    question = (call.caller, path, pairs, request.prefer_handling)
    cursor = [value for name, value in request.query if name == PARAMETER]
    if len(cursor) > 1:
        raise FhirError("invalid-search", f"{PARAMETER} is given more than once")
    known_total: int | None = None
    if cursor:
        after, known_total = open_cursor(context.cursor_key, question, cursor[0])
        asked = replace(asked, after=tuple(after))
    if query.summary == "count" or query.count == 0:
        total: int | None = context.store.audit_total(asked, None).value
        return _answer(call, query, (), total, path, [])
    page = context.store.search_audit(asked)
    total = known_total if cursor else _total(call, query, asked, len(page.rows), page.next_after is not None)
    following: list[tuple[str, str]] = []
    if page.next_after is not None:
        sealed = seal_cursor(context.cursor_key, question, (page.next_after, total))
        following.append(("next", url_with(path, (*pairs, (PARAMETER, sealed)))))
    return _answer(call, query, page.rows, total, path, following)


def _total(call: Call[Reader], query: SearchQuery, asked: AuditQuery, rows: int, more: bool) -> int | None:
    """As of every search: exact up to the published cap, always exact where that is asked for, never wrong."""
    if query.total == "none":
        return None
    if not more:
        return rows
    cap = None if query.total == "accurate" else call.context.limits.total_cap
    counted = call.context.store.audit_total(asked, cap)
    return counted.value if counted.exact or query.total == "estimate" else None


def _answer(
    call: Call[Reader],
    query: SearchQuery,
    rows: tuple[tuple[int, AuditRow], ...],
    total: int | None,
    path: str,
    following: list[tuple[str, str]],
) -> InteractionResponse:
    base_url = call.context.base_url
    own = tuple(pair for pair in call.request.query if pair[0] == PARAMETER)
    given = query.self_parameters[len(_of_compartment(call.request)) :]
    entries: list[dict[str, Any]] = [_entry(query, sequence, row, base_url) for sequence, row in rows]
    said = [
        Issue("not-supported", f"the search parameter {name} was ignored", f"http.{name}", "warning")
        for name in query.ignored
    ]
    if said:
        entries.append(outcome_entry(operation_outcome(said)))
    return InteractionResponse(
        200,
        bundle("searchset", entries, total=total, links=[("self", url_with(path, (*given, *own))), *following]),
        patients=tuple(sorted({id for _, row in rows for id in row.patient.split()})),
        results=len(rows),
        detail=parameter_names(call.request.query, query.ignored),
    )


def _entry(query: SearchQuery, sequence: int, row: AuditRow, base_url: str) -> dict[str, Any]:
    body = encode(audit_event(sequence, row, base_url))
    if query.summary or query.elements:
        body = subset(body, TYPE, query.summary, query.elements)
    return search_entry(base_url, TYPE, str(sequence), body, "match")


def _version(sequence: int, row: AuditRow, base_url: str) -> StoredVersion:
    """An event as what `answer_version` shows: it has one version, as old as itself."""
    return StoredVersion(
        TYPE, str(sequence), 1, row.recorded, encode(audit_event(sequence, row, base_url)), "POST"
    )


def _of_compartment(request: InteractionRequest) -> Pairs:
    """What a compartment asks for, as a parameter: of its Patient, or of what its Practitioner did."""
    if not request.compartment:
        return ()
    code = request.compartment.partition("/")[0]
    if code not in _COMPARTMENTS:
        raise FhirError("unsupported-search", f"audit events are not searched within a {code} compartment")
    return ((_COMPARTMENTS[code], request.compartment),)
