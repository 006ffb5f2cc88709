"""Links between the entries of a transaction: they become references to what the entries write.

    fullUrl of an entry            -> Type/id of its resource
    Type?condition as a reference  -> Type/id of the one resource that fulfils it

Sources: hl7.org/fhir/R4/http.html#trules, hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.references import (
    MalformedReference,
    Query,
    iter_references,
    parse_reference,
    rewrite_references,
)
from server.interactions.call import Call
from server.interactions.condition import find_reference
from server.interactions.content import prepared
from server.interactions.entries import Entry, at_entry
from server.interactions.patch_formats import references_of, relinked
from server.interactions.request import Context, InteractionRequest
from server.storage.interface import Writer

_CONTENT = frozenset({"create", "update"})


def is_linked(entry: Entry) -> bool:
    """Whether others may refer to what the entry writes."""
    return entry.request.interaction in _CONTENT or entry.request.interaction == "patch"


def links_of(entries: Iterable[Entry]) -> dict[str, str]:
    """fullUrl -> `Type/id` for every entry that writes a resource."""
    return {
        entry.full_url: f"{entry.request.resource_type}/{entry.request.id}"
        for entry in entries
        if entry.full_url and is_linked(entry)
    }


def has_conditional_reference(entry: Entry) -> bool:
    """Whether the content of an entry refers to something by a condition."""
    return any(True for _ in _conditions(entry.request))


def conditional_references(
    entries: Iterable[Entry], open_call: Callable[[Entry], Call[Writer]]
) -> dict[str, str]:
    """`Type?condition` -> `Type/id` for every conditional reference in the Bundle.

    Raises: FhirError precondition-failed, multiple-matches, forbidden, invalid-search, naming the entry.
    """
    resolved: dict[str, str] = {}
    for entry in entries:
        for reference in _conditions(entry.request):
            if reference not in resolved:
                try:
                    resolved[reference] = find_reference(open_call(entry), reference)
                except FhirError as error:
                    raise at_entry(error, entry.position, "resource") from None
    return resolved


def with_content(context: Context, entry: Entry, links: Mapping[str, str]) -> Entry:
    """The entry with the references of its content rewritten, and a resource validated and indexed."""
    request = entry.request
    if request.patch is not None:
        return replace(entry, request=replace(request, patch=relinked(request.patch, links.get)))
    if request.interaction not in _CONTENT:
        return entry
    body = request.body
    if body is not None and links:
        body = rewrite_references(body, _resolver(entry.full_url, links))
    try:
        request = prepared(context, request, body)
    except FhirError as error:
        raise at_entry(error, entry.position, "resource") from None
    return Entry(entry.position, entry.full_url, entry.method, request)


def _conditions(request: InteractionRequest) -> Iterator[str]:
    """The conditional references in what a request writes, `Type?condition`."""
    for text in _references(request):
        if "?" in text:
            try:
                if isinstance(parse_reference(text), Query):
                    yield text
            except MalformedReference:
                continue  # validation names it


def _references(request: InteractionRequest) -> Iterator[str]:
    if request.patch is not None:
        yield from references_of(request.patch)
        return
    body: dict[str, Any] | None = request.body
    # Hardly any has a condition, and writing it is cheaper than walking it.
    if request.interaction not in _CONTENT or body is None or b"?" not in encode(body):
        return
    for _, element in iter_references(body):
        if isinstance(reference := element.get("reference"), str):
            yield reference


def _resolver(full_url: str, links: Mapping[str, str]) -> Callable[[str], str | None]:
    """How links in an entry's resource are replaced. In an entry that comes from a server, `Type/id` means a
    resource of that server (hl7.org/fhir/R4/bundle.html#references)."""
    parts = full_url.rsplit("/", 2)
    if len(parts) != 3 or not full_url.startswith(("http://", "https://")):
        return links.get
    root = parts[0]
    return lambda link: links.get(link) or links.get(f"{root}/{link}")
