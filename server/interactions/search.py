"""search-type, by GET and by POST.

Sources: hl7.org/fhir/R4/search.html, hl7.org/fhir/R4/http.html#search, #paging
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import bundle, outcome_entry, search_entry, url_with
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import SearchQuery
from server.interactions.audit import parameter_names
from server.interactions.call import Call
from server.interactions.cursor import PARAMETER, open_cursor, seal_cursor
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.interactions.subset import subset
from server.storage.interface import Reader, SearchPage, StoredVersion, Total


def search(call: Call[Reader]) -> InteractionResponse:
    """A page of a searchset Bundle: matches, what they include, and what was ignored (lenient handling).

    Raises: FhirError invalid-search, unsupported-search, too-costly.
    """
    context, request = call.context, call.request
    cursor = [value for name, value in request.query if name == PARAMETER]
    pairs = tuple(pair for pair in request.query if pair[0] != PARAMETER)
    query = parse_search(
        request.resource_type,
        pairs,
        handling=request.prefer_handling or "strict",
        time_zone=context.time_zone,
        base_url=context.base_url,
        count_default=context.limits.count_default,
        count_maximum=context.limits.count_maximum,
    )
    question = (call.caller, request.resource_type, pairs, request.prefer_handling)
    known_total: int | None = None
    if len(cursor) > 1:
        raise FhirError("invalid-search", f"{PARAMETER} is given more than once")
    if cursor:
        # The total of the first page travels in the cursor: later pages neither count again nor disagree.
        after, known_total = open_cursor(context.cursor_key, question, cursor[0])
        query = replace(query, after=tuple(after))
    if query.summary == "count" or query.count == 0:
        counted = _count(call, query, None)
        return _answer(call, query, SearchPage((), (), None), counted.value, [])
    page = call.unit.search(query, call.decision.visible, includes_maximum=context.limits.includes_maximum)
    total = known_total if cursor else _total(call, query, page)
    following: list[tuple[str, str]] = []
    if page.next_after is not None:
        sealed = seal_cursor(context.cursor_key, question, (page.next_after, total))
        following.append(("next", url_with(_path(call), (*pairs, (PARAMETER, sealed)))))
    return _answer(call, query, page, total, following)


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


def _path(call: Call[Reader]) -> str:
    return f"{call.context.base_url}/{call.request.resource_type}"


def _answer(
    call: Call[Reader],
    query: SearchQuery,
    page: SearchPage,
    total: int | None,
    following: list[tuple[str, str]],
) -> InteractionResponse:
    own = [pair for pair in call.request.query if pair[0] == PARAMETER]
    links = [("self", url_with(_path(call), (*query.self_parameters, *own))), *following]
    entries: list[dict[str, Any]] = [_entry(call, query, version, "match") for version in page.matches]
    entries += [_entry(call, query, version, "include") for version in page.included]
    said = [
        Issue("not-supported", f"the search parameter {name} was ignored", severity="warning")
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
