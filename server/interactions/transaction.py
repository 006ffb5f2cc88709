"""transaction: all entries in one write transaction, or none.

Entries are processed in FHIR's order: deletions first, then the identities of conditional creates are decided
and references between entries become real ones, then creates, updates, reads. Two entries of one resource
refuse the whole Bundle, naming both: one of them would be lost silently otherwise.
Sources: hl7.org/fhir/R4/http.html#trules, #ccreate
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.fhir.bundle import bundle, transaction_order
from server.fhir.json_codec import encode
from server.fhir.references import (
    MalformedReference,
    Query,
    iter_references,
    parse_reference,
    rewrite_references,
)
from server.interactions.call import Call
from server.interactions.condition import find_by_condition, find_reference
from server.interactions.content import prepared
from server.interactions.entries import Entry, at_entry, entries_of, read_entry, row
from server.interactions.operations import affects_state
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.storage.interface import Writer

# How the door opens a call on the running transaction, and how it runs one there (authorised and audited).
Open = Callable[[Writer, InteractionRequest], Call[Writer]]
Run = Callable[[Writer, InteractionRequest], InteractionResponse]

_CONTENT = ("create", "update")


def transaction(
    context: Context, request: InteractionRequest, open_call: Open, run: Run
) -> InteractionResponse:
    """A transaction-response whose rows stand in the order of the entries.

    Raises: FhirError of the first entry that cannot be done, its expressions starting with
    `Bundle.entry[position]`; nothing is kept then.
    """
    entries = [
        read_entry(context, request, position, raw) for position, raw in enumerate(entries_of(context, request))
    ]
    _refuse_overlap(entries)
    searches = any(_is_conditional(entry) for entry in entries)
    if not searches:  # the usual case: nobody is held up by rewriting, validating and indexing
        links = _links(entries)
        entries = [_with_content(context, entry, links) for entry in entries]
    rows: dict[int, dict[str, Any]] = {}
    with context.store.writing() as writer:
        ordered = _in_turn(entries)
        for entry in ordered:
            if entry.request.interaction == "delete":
                rows[entry.position] = _run(context, writer, entry, run)
        if searches:
            by_condition = sorted(entries, key=lambda entry: entry.request.if_none_exist or "")
            decided = [_decide_identity(writer, entry, open_call) for entry in by_condition]
            decided.sort(key=lambda entry: entry.position)
            _refuse_overlap(decided)
            links = _links(decided) | _conditional_references(writer, decided, open_call)
            entries = [_with_content(context, entry, links) for entry in decided]
            ordered = [entries[entry.position] for entry in ordered]
        for entry in ordered:
            if entry.position not in rows:
                rows[entry.position] = _run(context, writer, entry, run)
    return InteractionResponse(
        200, bundle("transaction-response", (rows[position] for position in range(len(entries))))
    )


def _in_turn(entries: list[Entry]) -> list[Entry]:
    """The entries in FHIR's order, those that name a resource by its identity within it.

    Transactions that write the same resources take hold of them in one order, so that none waits for another
    that waits for it. The same is why conditions are decided in the order of their text.
    """

    def identity(entry: Entry) -> tuple[str, ...]:
        request = entry.request
        return () if request.interaction == "create" else (request.resource_type, request.id)

    ordered = sorted(entries, key=identity)
    return [ordered[position] for position in transaction_order([entry.method for entry in ordered])]


def _run(context: Context, writer: Writer, entry: Entry, run: Run) -> dict[str, Any]:
    request = entry.request
    try:
        response = run(writer, request)
    except FhirError as error:
        raise at_entry(error, entry.position) from None
    if request.interaction == "create" and response.id != request.id:
        # Its references were rewritten to an id of its own, but an entry before it fulfils its condition.
        raise FhirError(
            "invalid-request",
            "an earlier entry of the Bundle creates what fulfils this entry's ifNoneExist",
            f"Bundle.entry[{entry.position}]",
        )
    return row(context, request, response)


def _decide_identity(writer: Writer, entry: Entry, open_call: Open) -> Entry:
    request = entry.request
    if request.interaction != "create" or request.if_none_exist is None:
        return entry
    try:
        call = open_call(writer, request)
        found = find_by_condition(call, request.resource_type, request.if_none_exist)
    except FhirError as error:
        raise at_entry(error, entry.position, "request.ifNoneExist") from None
    return replace(entry, request=replace(request, id=found.id if found else call.context.new_id()))


def _refuse_overlap(entries: Iterable[Entry]) -> None:
    """No two writing entries are of one resource, and no two entries have one fullUrl.

    Raises: FhirError invalid-request naming both entries.
    """
    seen: dict[object, int] = {}
    for entry in entries:
        request = entry.request
        keys: list[object] = []
        if request.interaction in ("create", "update", "delete") or affects_state(request):
            if request.id:
                keys.append((request.resource_type, request.id))
            elif request.if_none_exist is not None:
                keys.append((request.resource_type, "?", request.if_none_exist))
            if entry.full_url and request.interaction in _CONTENT:
                keys.append(entry.full_url)
        for key in keys:
            other = seen.setdefault(key, entry.position)
            if other != entry.position:
                raise FhirError(
                    "invalid-request",
                    f"entries {other} and {entry.position} of the Bundle are of one resource",
                    f"Bundle.entry[{entry.position}]",
                )


def _links(entries: Iterable[Entry]) -> dict[str, str]:
    """fullUrl -> `Type/id` for every entry that writes a resource."""
    return {
        entry.full_url: f"{entry.request.resource_type}/{entry.request.id}"
        for entry in entries
        if entry.full_url and entry.request.interaction in _CONTENT
    }


def _is_conditional(entry: Entry) -> bool:
    request = entry.request
    if request.interaction not in _CONTENT or request.body is None:
        return False
    return request.if_none_exist is not None or any(True for _ in _conditions(request.body))


def _conditions(resource: dict[str, Any]) -> Iterator[str]:
    """The conditional references of a resource, `Type?condition`."""
    if b"?" not in encode(resource):  # hardly any has one, and writing it is cheaper than walking it
        return
    for _, element in iter_references(resource):
        reference = element.get("reference")
        if isinstance(reference, str) and "?" in reference:
            try:
                if isinstance(parse_reference(reference), Query):
                    yield reference
            except MalformedReference:
                continue  # validation names it


def _conditional_references(writer: Writer, entries: Iterable[Entry], open_call: Open) -> dict[str, str]:
    """`Type?condition` -> `Type/id` for every conditional reference in the Bundle."""
    resolved: dict[str, str] = {}
    for entry in entries:
        if entry.request.interaction not in _CONTENT or entry.request.body is None:
            continue
        for reference in _conditions(entry.request.body):
            if reference not in resolved:
                try:
                    call = open_call(writer, entry.request)
                    resolved[reference] = find_reference(call, reference)
                except FhirError as error:
                    raise at_entry(error, entry.position, "resource") from None
    return resolved


def _resolver(full_url: str, links: Mapping[str, str]) -> Callable[[str], str | None]:
    """How links in an entry's resource are replaced. In an entry that comes from a server, `Type/id` means a
    resource of that server (hl7.org/fhir/R4/bundle.html#references)."""
    parts = full_url.rsplit("/", 2)
    if len(parts) != 3 or not full_url.startswith(("http://", "https://")):
        return links.get
    root = parts[0]
    return lambda link: links.get(link) or links.get(f"{root}/{link}")


def _with_content(context: Context, entry: Entry, links: Mapping[str, str]) -> Entry:
    """The entry with the references of its resource rewritten, and the resource validated and indexed."""
    request = entry.request
    if request.interaction not in _CONTENT:
        return entry
    body = request.body
    if body is not None:
        body = rewrite_references(body, _resolver(entry.full_url, links))
    try:
        request = prepared(context, request, body)
    except FhirError as error:
        raise at_entry(error, entry.position, "resource") from None
    return replace(entry, request=request)
