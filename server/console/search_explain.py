"""The console's page that explains a search: how it was understood, what drove it, its statements and plans.

What it shows is the API's own `_explain=true`, asked through the same door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.fhir.validation import RESOURCE_TYPES
from server.interactions.explain import EXPLAIN
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.staff_area import page, sentences, staff_principal

CLIENT_ID = "console"
ALL_TYPES = "all types"
_WAYS = {
    "driven": "driven from the list below that was chosen",
    "window": "the first rows of the type, in the order asked for",
    "whole type": "all rows of the type",
    "": "nothing of the type may be seen",
}


@dataclass(frozen=True, slots=True)
class List:
    """A list the search could have been driven from. length: with "more than" where counting stopped."""

    of: str
    length: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Searched:
    """How the matches of one type were found."""

    resource_type: str
    way: str
    conditions: tuple[str, ...]
    lists: tuple[List, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and the steps of its plan, a line each."""

    sql: str
    plan: str
    milliseconds: str
    rows: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `_explain` told. milliseconds: of all statements together."""

    milliseconds: str
    searched: tuple[Searched, ...]
    statements: tuple[Statement, ...]


def explanation(context: Context, principal: Principal, resource_type: str, query: str) -> Explanation:
    """Explain a search of a type, or of all types (`ALL_TYPES`), with this query string.

    Raises: FhirError as the search itself would, and forbidden.
    """
    if resource_type not in (ALL_TYPES, *RESOURCE_TYPES):
        raise FhirError("unknown-type", "There is no such resource type.")
    pairs = (*parse_qsl(query, keep_blank_values=True), (EXPLAIN, "true"))
    asked = InteractionRequest("search-type", resource_type, query=pairs)
    if resource_type == ALL_TYPES:
        asked = InteractionRequest("search-system", query=pairs)
    told = decode(perform(context, principal, asked).body)["parameter"]
    (total,) = _values(told, "milliseconds")
    return Explanation(
        f"{total:.1f}",
        tuple(_searched(one["part"]) for one in told if one["name"] == "searched"),
        tuple(_statement(one["part"]) for one in told if one["name"] == "statement"),
    )


def _searched(parts: Sequence[Mapping[str, Any]]) -> Searched:
    way = "".join(_values(parts, "way"))
    return Searched(
        "".join(_values(parts, "type")),
        _WAYS.get(way, way),
        tuple(_values(parts, "condition")),
        tuple(_list(one["part"]) for one in parts if one["name"] == "list"),
    )


def _list(parts: Sequence[Mapping[str, Any]]) -> List:
    (of,), (length,) = _values(parts, "of"), _values(parts, "length")
    (longer,), (chosen,) = _values(parts, "longer"), _values(parts, "chosen")
    return List(of, f"more than {length}" if longer else str(length), chosen)


def _statement(parts: Sequence[Mapping[str, Any]]) -> Statement:
    (sql,), (milliseconds,), (rows,) = (_values(parts, name) for name in ("sql", "milliseconds", "rows"))
    return Statement(sql, "\n".join(_values(parts, "plan")), f"{milliseconds:.2f}", rows)


def _values(parts: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """The values of the parameters of a name, whatever their type."""
    return [
        value
        for part in parts
        if part["name"] == name
        for key, value in part.items()
        if key.startswith("value")
    ]


def add_search_explain_pages(pages: Blueprint, context: Context) -> None:
    """Add the page below /console/explain."""

    @pages.get("/explain")
    def search_explain() -> Response:
        resource_type = request.args.get("type", "Patient")
        query = request.args.get("query", "").strip().removeprefix("?")
        shown, problem, status = None, "", 200
        if "type" in request.args:
            try:
                shown = explanation(context, staff_principal(CLIENT_ID), resource_type, query)
            except FhirError as error:
                problem, status = sentences(error), error.status
        return page(
            "console/search_explain.html",
            status,
            types=(ALL_TYPES, *sorted(RESOURCE_TYPES)),
            resource_type=resource_type,
            query=query,
            shown=shown,
            problem=problem,
        )
