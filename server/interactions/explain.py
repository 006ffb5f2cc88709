"""`_explain=true` of a search: how it was understood and answered instead of what it found, as Parameters.

For people whose role has the console, and where they may see every resource of all types the search looks at:
how long a list is would tell others of resources that are hidden from them. No value goes out, neither stored
nor asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.search_query import Chained, Condition, Has, SearchQuery
from server.interactions.audit import parameter_names
from server.interactions.call import Call
from server.interactions.request import InteractionResponse
from server.storage.answers import CandidateList, Statement, TypeSearched
from server.storage.interface import Reader

EXPLAIN = "_explain"


def wants_explanation(query: Iterable[tuple[str, str]]) -> bool:
    """Whether a query string asks for it. Raises: FhirError invalid-search."""
    given = [value for name, value in query if name == EXPLAIN]
    if len(given) > 1 or not {"true", "false"}.issuperset(given):
        raise FhirError("invalid-search", f"{EXPLAIN} is true or false", f"http.{EXPLAIN}")
    return given == ["true"]


def explained(call: Call[Reader], query: SearchQuery) -> InteractionResponse:
    """A Parameters resource; docs/reference/search.md tells of its parts.

    Raises: FhirError forbidden; else as the search itself.
    """
    visible = call.decision.visible
    if not call.decision.diagnostics or not all(visible.whole(name) for name in _types(query)):
        raise FhirError(
            "forbidden",
            "searches are explained to roles with the console, of types that they may see all resources of",
        )
    found = call.unit.explain(query, visible, includes_maximum=call.context.limits.includes_maximum)
    parameters = [
        _value("milliseconds", valueDecimal=found.milliseconds),
        *(_type(searched) for searched in found.types),
        *(_statement(statement) for statement in found.statements),
    ]
    body = encode({"resourceType": "Parameters", "parameter": parameters})
    detail = parameter_names(call.request.query, query.ignored)
    return InteractionResponse(200, body, detail=detail)


def _types(query: SearchQuery) -> Iterable[str]:
    """Every type a search looks at; of includes only the rows that it was counted for."""
    for part in query.parts or (query,):
        yield part.resource_type
        for condition in part.conditions:
            yield from _asked(condition)


def _asked(condition: Condition) -> Iterable[str]:
    if isinstance(condition, Chained):
        for name, inner in condition.targets:
            yield name
            yield from _asked(inner)
    elif isinstance(condition, Has):
        yield condition.resource_type
        yield from _asked(condition.condition)


def _value(name: str, **value: Any) -> dict[str, Any]:
    return {"name": name, **value}


def _type(searched: TypeSearched) -> dict[str, Any]:
    part = [_value("type", valueCode=searched.resource_type)]
    if searched.way:
        part.append(_value("way", valueString=searched.way))
    part += [_value("condition", valueString=words) for words in searched.conditions]
    part += [_list(candidates) for candidates in searched.lists]
    return {"name": "searched", "part": part}


def _list(candidates: CandidateList) -> dict[str, Any]:
    longer = candidates.length > candidates.cap
    part = [
        _value("of", valueString=candidates.of),
        _value("length", valueInteger=min(candidates.length, candidates.cap)),
        _value("longer", valueBoolean=longer),
        _value("chosen", valueBoolean=candidates.chosen),
    ]
    return {"name": "list", "part": part}


def _statement(statement: Statement) -> dict[str, Any]:
    part = [
        _value("sql", valueString=statement.sql),
        *(_value("plan", valueString=step) for step in statement.plan),
        _value("milliseconds", valueDecimal=statement.milliseconds),
        _value("rows", valueInteger=statement.rows),
    ]
    return {"name": "statement", "part": part}
