"""search-type and search-system, by GET and by POST, alone and within a compartment.

Sources: hl7.org/fhir/R4/search.html, hl7.org/fhir/R4/http.html#search, #paging
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import bundle, outcome_entry, search_entry, url_with
from server.fhir.compartments import COMPARTMENTS, RESOURCE_TYPES, in_compartment
from server.fhir.search_parsing import parse_search, parse_search_of_types, read_types
from server.fhir.search_query import SearchQuery
from server.fhir.unstored import UNSTORED
from server.interactions.audit import parameter_names
from server.interactions.call import Call
from server.interactions.cursor import PARAMETER, open_cursor, seal_cursor
from server.interactions.explain import EXPLAIN, explained, wants_explanation
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.interactions.subset import subset
from server.storage.answers import SearchPage, Total
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

Pairs = tuple[tuple[str, str], ...]
# What this module itself takes out of a query string.
_OWN = frozenset({PARAMETER, EXPLAIN})


def search(call: Call[Reader]) -> InteractionResponse:
    """A page of a searchset Bundle: matches, what they include, and what was ignored (lenient handling).

    Raises: FhirError invalid-search, unsupported-search, too-costly, forbidden (an explanation).
    """
    request = call.request
    pairs = _pairs(call)
    query = parse_search(request.resource_type, pairs, **_reading(call))
    if request.compartment:
        query = _within(request.compartment, query)
    return _answered(call, query, pairs)


def search_system(call: Call[Reader]) -> InteractionResponse:
    """The same over several types: those that `_type` names, or all that the caller may search.

    Raises: as `search`; FhirError forbidden where `_type` names a type that may not be searched.
    """
    pairs = _pairs(call)
    typed = tuple(pair for pair in pairs if pair[0] == "_type")
    others = tuple(pair for pair in pairs if pair[0] != "_type")
    query = parse_search_of_types(
        _types(call, read_types([text for _, text in typed])), others, **_reading(call)
    )
    if call.request.compartment:
        query = replace(query, parts=tuple(_within(call.request.compartment, part) for part in query.parts))
    query = replace(query, self_parameters=(*typed, *query.self_parameters))
    return _answered(call, query, pairs)


def searchset(call: Call[Reader], query: SearchQuery, pairs: Pairs, path: str) -> InteractionResponse:
    """A page of what a query finds, with the links to the next one.

    pairs: the parameters that the links repeat; with the path (of the whole URL) and the caller they are what a
    cursor belongs to. The cursor itself is read from the request.
    """
    context = call.context
    cursor = [value for name, value in call.request.query if name == PARAMETER]
    question = (call.caller, path, pairs, call.request.prefer_handling)
    known_total: int | None = None
    if len(cursor) > 1:
        raise FhirError("invalid-search", f"{PARAMETER} is given more than once")
    if cursor:
        # The total of the first page travels in the cursor: later pages neither count again nor disagree.
        after, known_total = open_cursor(context.cursor_key, question, cursor[0])
        query = replace(query, after=tuple(after))
    if query.summary == "count" or query.count == 0:
        counted = _count(call, query, None)
        return _answer(call, query, SearchPage((), (), None), counted.value, path, [])
    page = call.unit.search(query, call.decision.visible, includes_maximum=context.limits.includes_maximum)
    total = known_total if cursor else _total(call, query, page)
    following: list[tuple[str, str]] = []
    if page.next_after is not None:
        sealed = seal_cursor(context.cursor_key, question, (page.next_after, total))
        following.append(("next", url_with(path, (*pairs, (PARAMETER, sealed)))))
    return _answer(call, query, page, total, path, following)


def _answered(call: Call[Reader], query: SearchQuery, pairs: Pairs) -> InteractionResponse:
    if wants_explanation(call.request.query):
        return explained(call, query)
    request = call.request
    member = request.resource_type or ("*" if request.compartment else "")
    path = "/".join(part for part in (call.context.base_url, request.compartment, member) if part)
    return searchset(call, query, pairs, path)


def _pairs(call: Call[Reader]) -> Pairs:
    return tuple(pair for pair in call.request.query if pair[0] not in _OWN)


def _reading(call: Call[Reader]) -> dict[str, Any]:
    """How the parser is to read the parameters of a call."""
    context = call.context
    return {
        "handling": call.request.prefer_handling or "strict",
        "time_zone": context.time_zone,
        "base_url": context.base_url,
        "count_default": context.limits.count_default,
        "count_maximum": context.limits.count_maximum,
        "now": context.clock(),
        "known": call.unit.custom_parameters,
    }


def _types(call: Call[Reader], named: tuple[str, ...]) -> tuple[str, ...]:
    compartment = call.request.compartment.partition("/")[0]
    members = COMPARTMENTS[compartment] if compartment else RESOURCE_TYPES
    for name in named:
        if name not in members:
            raise FhirError("invalid-search", f"{name} is in no {compartment} compartment", "http._type")
        if name in UNSTORED:
            raise FhirError("unsupported-search", f"{name} is searched on its own only", "http._type")
        call.decide("search-type", name)  # each on its own: one that may not be searched is said to be so
    types = named or tuple(name for name in sorted(members) if call.decision.visible.of(name))
    if not types:
        where = f"of a {compartment} compartment" if compartment else "of any type"
        raise FhirError("forbidden", f"The token's scopes allow no search {where}")
    return types


def _within(compartment: str, query: SearchQuery) -> SearchQuery:
    """The query, of what is in the compartment of `Type/id`; its type can be in one (`routes`)."""
    code, _, id = compartment.partition("/")
    condition = in_compartment(code, id, query.resource_type)
    assert condition is not None
    return replace(query, conditions=(condition, *query.conditions))


def _total(call: Call[Reader], query: SearchQuery, page: SearchPage) -> int | None:
    """The total a first page states, None where it states none. It is never wrong: where counting stopped at
    the published cap, only `_total=estimate` gets the number."""
    if query.total == "none":
        return None
    if page.next_after is None:
        return len(page.matches)
    cap = None if query.total == "accurate" else call.context.limits.total_cap
    counted = _count(call, query, cap)
    return counted.value if counted.exact or query.total == "estimate" else None


def _count(call: Call[Reader], query: SearchQuery, cap: int | None) -> Total:
    return call.unit.total(replace(query, after=None), call.decision.visible, cap)


def _expression(name: str) -> str:
    """The expression of a parameter, without its modifier and what it leads to, as refusals have it."""
    return "http." + name.partition(":")[0].partition(".")[0]


def _answer(
    call: Call[Reader],
    query: SearchQuery,
    page: SearchPage,
    total: int | None,
    path: str,
    following: list[tuple[str, str]],
) -> InteractionResponse:
    own = [pair for pair in call.request.query if pair[0] == PARAMETER]
    links = [("self", url_with(path, (*query.self_parameters, *own))), *following]
    entries: list[dict[str, Any]] = [_entry(call, query, version, "match") for version in page.matches]
    entries += [_entry(call, query, version, "include") for version in page.included]
    said = [
        Issue("not-supported", f"the search parameter {name} was ignored", _expression(name), "warning")
        for name in query.ignored
    ]
    if page.includes_truncated:
        most = call.context.limits.includes_maximum
        said.append(
            Issue(
                "too-costly",
                f"more than {most} resources are included; ask for fewer matches a page",
                severity="warning",
            )
        )
    if said:
        entries.append(outcome_entry(operation_outcome(said)))
    return InteractionResponse(
        200,
        bundle("searchset", entries, total=total, links=links),
        patients=patients_of((*page.matches, *page.included), call.context.base_url),
        results=len(page.matches) + len(page.included),
        detail=parameter_names(call.request.query, query.ignored),
    )


def _entry(call: Call[Reader], query: SearchQuery, version: StoredVersion, mode: str) -> dict[str, Any]:
    # _elements speaks of the matches' type; what is included comes whole.
    elements = query.elements if mode == "match" else ()
    body = version.body
    if query.summary or elements:
        body = subset(body, version.resource_type, query.summary, elements)
    return search_entry(call.context.base_url, version.resource_type, version.id, body, mode)
