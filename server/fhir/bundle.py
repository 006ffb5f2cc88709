"""Bundles: their entries and links as FHIR writes them, and the order of a transaction (pure).

Stored bodies go in as bytes and are never parsed again. Sources: hl7.org/fhir/R4/bundle.html,
hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from server.fhir.json_codec import encode

# DELETE, then POST, then PUT and PATCH, then GET and HEAD (http.html#trules).
_RANK = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
METHODS = frozenset(_RANK)


def transaction_order(methods: Sequence[str]) -> list[int]:
    """Positions of the entries in the order in which they are processed; equal methods keep their order."""
    return sorted(range(len(methods)), key=lambda position: _RANK[methods[position]])


def bundle(
    type: str,
    entries: Iterable[Mapping[str, Any]] = (),
    *,
    total: int | None = None,
    links: Iterable[tuple[str, str]] = (),
) -> bytes:
    """An encoded Bundle. total: left out where it is None. links: (relation, url)."""
    content: dict[str, Any] = {"resourceType": "Bundle", "type": type}
    if total is not None:
        content["total"] = total
    linked = [{"relation": relation, "url": url} for relation, url in links]
    if linked:
        content["link"] = linked
    listed = list(entries)
    if listed:  # JSON knows no empty arrays in FHIR
        content["entry"] = listed
    return encode(content)


def search_entry(base_url: str, resource_type: str, id: str, body: bytes, mode: str) -> dict[str, Any]:
    """An entry of a searchset. mode: match or include."""
    return {
        "fullUrl": f"{base_url}/{resource_type}/{id}",
        "resource": msgspec.Raw(body),
        "search": {"mode": mode},
    }


def outcome_entry(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a searchset that says something about the search."""
    return {"resource": outcome, "search": {"mode": "outcome"}}


def url_with(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A URL with its query string; characters of search values that a query may hold as they are stay readable.

    Source: RFC 3986 section 3.4; `|` is not among them.
    """
    query = urlencode(list(pairs), safe=":,/$", quote_via=quote)
    return f"{path}?{query}" if query else path
