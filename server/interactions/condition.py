"""The one resource that a condition names: conditional interactions and conditional references.

Sources: hl7.org/fhir/R4/http.html#ccreate, #cond-update, #3.1.0.7.1 (conditional deletes), #trules (conditional
references)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import parse_qsl

from server.errors import FhirError
from server.fhir.compartments import RESOURCE_TYPES
from server.fhir.custom_parameters import Known
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Clause, SearchQuery
from server.fhir.visibility import EVERYTHING, Visibility
from server.interactions.call import Call
from server.interactions.request import Context
from server.storage.interface import Writer
from server.storage.versions import StoredVersion


def find_by_condition(call: Call[Writer], resource_type: str, condition: str) -> StoredVersion | None:
    """The resource that fulfils the condition of a conditional create, None where none does.

    Raises: FhirError multiple-matches (two or more match, or a hidden resource has the identifier),
    invalid-search, unsupported-search.
    """
    query = parse_condition(call.context, resource_type, condition, call.unit.custom_parameters)
    found = find_one(call, query, call.decision.visible)
    if found is None:
        refuse_hidden_identifier(call, query, call.decision.visible)
    return found


def find_one(call: Call[Writer], query: SearchQuery, visible: Visibility) -> StoredVersion | None:
    """The one visible resource that fulfils a condition, None where none does.

    The claim comes before the search, in the same transaction: whoever acts under the same condition at the
    same moment waits here and then finds what the other has written.
    Raises: FhirError multiple-matches.
    """
    call.unit.claim(claim_key(query))
    matches = call.unit.search(query, visible).matches
    if len(matches) > 1:
        raise FhirError("multiple-matches", "several resources fulfil the condition")
    return matches[0] if matches else None


def refuse_hidden_identifier(call: Call[Writer], query: SearchQuery, visible: Visibility) -> None:
    """No identifier of the condition is one of a resource hidden from the caller: none is given twice.

    Only that an identifier is taken is ever told of what is hidden. Were the whole condition asked of it, every
    conditional create would be a question about somebody else's chart.
    Raises: FhirError multiple-matches.
    """
    identifiers = tuple(
        condition
        for condition in query.conditions
        if isinstance(condition, Clause) and condition.parameter.code == "identifier" and not condition.modifier
    )
    if not identifiers:
        return
    for match in call.unit.search(replace(query, conditions=identifiers), EVERYTHING).matches:
        if call.unit.read(match.resource_type, match.id, visible) is None:
            raise FhirError("multiple-matches", "the condition cannot be decided with what this token may see")


def find_reference(call: Call[Writer], reference: str) -> str:
    """`Type/id` of the one visible resource that a conditional reference `Type?condition` names.

    Raises: FhirError unknown-type, precondition-failed (none matches), multiple-matches.
    """
    resource_type, _, condition = reference.partition("?")
    if resource_type not in RESOURCE_TYPES:
        raise FhirError("unknown-type", "a conditional reference starts with no resource type of FHIR R4")
    query = parse_condition(call.context, resource_type, condition, call.unit.custom_parameters)
    matches = call.unit.search(query, call.decide("search-type", resource_type).visible).matches
    if not matches:
        raise FhirError("precondition-failed", "no resource fulfils a conditional reference")
    if len(matches) > 1:
        raise FhirError("multiple-matches", "several resources fulfil a conditional reference")
    return f"{resource_type}/{matches[0].id}"


def parse_condition(
    context: Context, resource_type: str, condition: str | Iterable[tuple[str, str]], known: Known
) -> SearchQuery:
    """A condition as a query for at most two matches; a condition that filters nothing is refused.

    condition: a query string, or its decoded pairs. known: the site's own search parameters. Raises: FhirError
    invalid-search, unsupported-search, too-costly.
    """
    if isinstance(condition, str):
        try:
            condition = parse_qsl(condition, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise FhirError("invalid-search", "the condition is not a well-formed query string") from None
    query = parse_search(
        resource_type,
        condition,
        handling="strict",
        time_zone=context.time_zone,
        base_url=context.base_url,
        count_default=2,
        count_maximum=2,
        now=context.clock(),
        known=known,
    )
    if not query.conditions:
        raise FhirError("invalid-search", "the condition names no search parameter")
    # Whatever else the string asks (_count, _sort, _include) does not change which resources fulfil it.
    return SearchQuery(resource_type, query.conditions, count=2, total="none")


def claim_key(query: SearchQuery) -> bytes:
    """One key for one condition, whatever the order it was written in."""
    parts = sorted(repr(condition) for condition in query.conditions)
    return hashlib.blake2b("\0".join((query.resource_type, *parts)).encode(), digest_size=16).digest()
