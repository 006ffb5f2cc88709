"""$everything of a Patient or an Encounter: the record, and what it refers to.

First the resource itself, then the members of the record, then what these refer to and is nobody's chart or
the same one: each once over all pages. Every row source applies the caller's visibility in SQL.
Source: hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.auth.access import referred_to
from server.errors import FhirError
from server.fhir.bundle import bundle, search_entry, url_with
from server.fhir.compartments import RESOURCE_TYPES, compartment_patients
from server.fhir.dates import EARLIEST, LATEST
from server.fhir.json_codec import decode
from server.interactions.answer import absent, gone
from server.interactions.call import Call
from server.interactions.cursor import PARAMETER, open_cursor, seal_cursor
from server.interactions.operations.definition import Arguments
from server.interactions.operations.parameters import place_of
from server.interactions.operations.references import references_of
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.storage.answers import Position, Record
from server.storage.interface import Reader
from server.storage.versions import StoredVersion

_SCANNED = 500  # members whose references are looked at by one statement


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: among the members, or (members None) among what they refer to, behind a rid."""

    members: Position | None
    referred: int = 0


def everything(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """A page of a searchset Bundle: members are matches, what they refer to is included.

    Raises: FhirError not-found, deleted, invalid-search (a type, a range, a cursor).
    """
    context, request = call.context, call.request
    focus = call.unit.read(request.resource_type, request.id, call.decision.visible)
    if focus is None:
        raise absent(request.resource_type)
    if focus.deleted:
        raise gone(context, focus)
    record = _record(call, arguments, focus)
    pairs = tuple(pair for pair in arguments.written if pair[0] != PARAMETER)
    question = (call.caller, request.resource_type, request.id, pairs)
    cursor = arguments.one(PARAMETER)
    place = _opened(context.cursor_key, question, cursor) if cursor else None
    count = min(arguments.one("_count") or context.limits.count_maximum, context.limits.count_maximum)
    shown, included, following = _page(call, record, focus, count, place)
    path = f"{context.base_url}/{request.resource_type}/{request.id}/$everything"
    own = (*pairs, (PARAMETER, cursor)) if cursor else pairs
    links = [("self", url_with(path, own))]
    if following is not None:
        position = (following.members, following.referred)
        sealed = seal_cursor(context.cursor_key, question, position)
        links.append(("next", url_with(path, (*pairs, (PARAMETER, sealed)))))
    entries = [_entry(context.base_url, version, "match") for version in shown]
    entries += [_entry(context.base_url, version, "include") for version in included]
    total = len(shown) if following is None and not cursor else None
    return InteractionResponse(
        200,
        bundle("searchset", entries, total=total, links=links),
        id=request.id,
        patients=patients_of((*shown, *included), context.base_url),
        results=len(entries),
    )


def _page(
    call: Call[Reader], record: Record, focus: StoredVersion, count: int, place: _Place | None
) -> tuple[list[StoredVersion], list[StoredVersion], _Place | None]:
    """Members, what they refer to, and where the next page begins."""
    reader, visible = call.unit, call.decision.visible
    shown: list[StoredVersion] = []
    if place is None:
        place = _Place(())
        if _shows_focus(record, focus):
            shown.append(focus)
            if count == 1:
                return shown, [], place
    if place.members is not None:
        page = reader.members(record, visible, count - len(shown), place.members or None)
        shown += page.versions
        if page.next_after is not None:
            return shown, [], _Place(page.next_after)
        if len(shown) == count:
            return shown, [], _Place(None)
    targets, older = _targets(call, record, focus)
    room = count - len(shown)
    page = reader.referred(record, targets, older, referred_to(visible), room, place.referred)
    following = _Place(None, int(page.next_after[-1])) if page.next_after is not None else None
    return shown, list(page.versions), following


def _shows_focus(record: Record, focus: StoredVersion) -> bool:
    return _is_new(record, focus) and (not record.types or focus.resource_type in record.types)


def _is_new(record: Record, version: StoredVersion) -> bool:
    return record.since is None or version.last_updated >= record.since


def _targets(call: Call[Reader], record: Record, focus: StoredVersion) -> tuple[frozenset[str], frozenset[str]]:
    """`Type/id` of everything the record refers to: what shows whatever its age, and what only if it is new.

    A resource that is new in the record may refer to what the client never got, however old that is.
    """
    base_url = call.context.base_url
    always, if_new = set[str](), set[str]()
    for versions in _pages(call, record, focus):
        new = [version for version in versions if _is_new(record, version)]
        always.update(references_of(new, base_url))
        if len(new) < len(versions):
            if_new.update(references_of(versions, base_url))
    return frozenset(always), frozenset(if_new)


def _pages(call: Call[Reader], record: Record, focus: StoredVersion) -> Iterator[Sequence[StoredVersion]]:
    """The focus, then all members of any type and age."""
    yield (focus,)
    # Of which types the referring resources are is no matter: a client may ask for Practitioners alone.
    every = replace(record, types=frozenset(), since=None)
    page = call.unit.members(every, call.decision.visible, _SCANNED, None)
    while page.next_after is not None:
        yield page.versions
        page = call.unit.members(every, call.decision.visible, _SCANNED, page.next_after)
    yield page.versions


def _record(call: Call[Reader], arguments: Arguments, focus: StoredVersion) -> Record:
    types: set[str] = set()
    for words in arguments.every("_type"):
        types.update(word.strip() for word in words.split(","))
    if not types <= set(RESOURCE_TYPES):
        raise FhirError(
            "invalid-search", "_type names what is no resource type of FHIR R4", place_of(call.request, "_type")
        )
    start, end = arguments.one("start"), arguments.one("end")
    care = None
    if start is not None or end is not None:
        care = (start[0] if start else EARLIEST, end[1] if end else LATEST)
        if care[0] >= care[1]:
            raise FhirError("invalid-search", "end is before start", place_of(call.request, "end"))
    return Record(
        resource_type=focus.resource_type,
        id=focus.id,
        patients=_patients(call, focus),
        types=frozenset(types),
        since=arguments.one("_since"),
        care=care,
    )


def _patients(call: Call[Reader], focus: StoredVersion) -> tuple[str, ...]:
    """Whose record it is. A Patient's own alone, though it may be in the compartments of others it links to."""
    if focus.resource_type == "Patient":
        return (focus.id,)
    return compartment_patients(decode(focus.body), base_url=call.context.base_url)


def _opened(key: bytes, question: object, cursor: str) -> _Place:
    members, after = open_cursor(key, question, cursor)
    return _Place(None if members is None else tuple(members), after)


def _entry(base_url: str, version: StoredVersion, mode: str) -> dict[str, Any]:
    return search_entry(base_url, version.resource_type, version.id, version.body, mode)
