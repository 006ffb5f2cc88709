"""transaction: all entries in one write transaction, or none.

Entries are processed in FHIR's order. First what conditional deletions delete is decided, and deleted; then the
identities of the other conditional entries are decided, and references between entries become real ones; then
creates, updates and patches, reads. Two entries of one resource refuse the whole Bundle, naming both: one of
them would be lost silently otherwise.

Transactions that write side by side take hold of what they need in one order, so that none waits for another
that waits for it: first their conditions, by claim key, then resources by identity.
Sources: hl7.org/fhir/R4/http.html#trules, #ccreate, #cond-update
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from server.auth.access import is_limited
from server.errors import FhirError
from server.fhir.bundle import bundle, transaction_order
from server.interactions.basis import check_basis
from server.interactions.call import Call
from server.interactions.condition import claim_key, find_by_condition, parse_condition
from server.interactions.conditional import Decided, decide_identity, is_conditional, still_so
from server.interactions.entries import Entry, at_entry, entries_of, read_entry, row
from server.interactions.links import conditional_references, has_conditional_reference, links_of, with_content
from server.interactions.overlap import refuse_overlap
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.storage.interface import Writer
from server.storage.versions import StoredVersion

# How the door opens a call on the running transaction, and how it runs one there (authorised and audited).
Open = Callable[[Writer, InteractionRequest], Call[Writer]]
Run = Callable[[Writer, InteractionRequest], InteractionResponse]


@dataclass(frozen=True, slots=True)
class Ready:
    """A transaction that was made ready before. entries: read, linked, found valid and indexed. standing: what
    its updates replace, by type and id, None for what was not there; it may be something else by now."""

    entries: tuple[Entry, ...]
    standing: Mapping[tuple[str, str], StoredVersion | None]


def made_ready(
    context: Context, request: InteractionRequest, standing: Mapping[tuple[str, str], StoredVersion | None]
) -> Ready | None:
    """All of a transaction that needs nothing of the store, and holds nobody up; None where conditions first
    have to say what it writes.

    Raises: as `transaction`.
    """
    entries, searches = _read(context, request)
    return None if searches else Ready(tuple(entries), standing)


def transaction(
    context: Context,
    request: InteractionRequest,
    open_call: Open,
    run: Run,
    ready: Ready | None = None,
    within: Writer | None = None,
) -> InteractionResponse:
    """A transaction-response whose rows stand in the order of the entries.

    ready: itself, where it was made ready before. within: the open transaction that it is a part of.
    Raises: FhirError of the first entry that cannot be done, its expressions starting with
    `Bundle.entry[position]`; nothing is kept then.
    """
    entries, searches = ([*ready.entries], False) if ready else _read(context, request)
    with context.store.writing() if within is None else nullcontext(within) as writer:
        work = _Work(context, writer, open_call, run)
        if searches:
            work.claim(entries)
            entries = work.decide(entries, "delete")
            refuse_overlap(entries)
        work.do(_in_turn(entry for entry in entries if entry.request.interaction == "delete"))
        if searches:
            entries = work.decide(entries, "create", "update", "patch")
            refuse_overlap(entries)
            links = links_of(entries) | conditional_references(entries, work.open)
            entries = [with_content(context, entry, links) for entry in entries]
        work.begin_charts(entries)
        if ready is not None:
            writer.expect(ready.standing)
        elif not searches:
            work.read_ahead(entries)
        work.do(_in_turn(entry for entry in entries if entry.request.interaction != "delete"))
    rows = (work.rows[position] for position in range(len(entries)))
    return InteractionResponse(200, bundle("transaction-response", rows))


def _read(context: Context, request: InteractionRequest) -> tuple[list[Entry], bool]:
    """The entries, and whether anything has to be searched for; where nothing has, which is usual, they are
    rewritten, validated and indexed as well."""
    entries = [
        read_entry(context, request, position, raw) for position, raw in enumerate(entries_of(context, request))
    ]
    refuse_overlap(entries)
    if any(_has_condition(entry) or has_conditional_reference(entry) for entry in entries):
        return entries, True
    links = links_of(entries)
    return [with_content(context, entry, links) for entry in entries], False


class _Work:
    """A transaction under way. rows: position -> the response entry of an entry that was done."""

    def __init__(self, context: Context, writer: Writer, open_call: Open, run: Run) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self._context, self._writer, self._open, self._run = context, writer, open_call, run
        self._decided: dict[int, Decided] = {}

    def open(self, entry: Entry) -> Call[Writer]:
        """A call for an entry on the running transaction. Raises: FhirError forbidden."""
        return self._open(self._writer, entry.request)

    def claim(self, entries: list[Entry]) -> None:
        """Claim the conditions of all entries, in one order for all transactions."""
        keys = set()
        for entry in filter(_has_condition, entries):
            request = entry.request
            condition = request.query if request.if_none_exist is None else request.if_none_exist
            try:
                known = self._writer.custom_parameters
                query = parse_condition(self._context, request.resource_type, condition, known)
                keys.add(claim_key(query))
            except FhirError as error:
                raise at_entry(error, entry.position, _condition_of(entry)) from None
        for key in sorted(keys):
            self._writer.claim(key)

    def begin_charts(self, entries: list[Entry]) -> None:
        """Bring the charts that Patients of the Bundle begin into the reach of its other entries, in whatever
        order they are done: if a Patient is refused, nothing of the Bundle is kept."""
        for entry in entries:
            request = entry.request
            if request.resource_type == "Patient" and request.interaction in ("create", "update"):
                try:
                    limited = is_limited(self.open(entry).principal)
                except FhirError as error:
                    raise at_entry(error, entry.position) from None
                if limited:
                    self._writer.begins_chart(request.id)

    def read_ahead(self, entries: list[Entry]) -> None:
        """Have what updates replace read by one statement. No two entries are of one resource."""
        requests = (entry.request for entry in entries)
        self._writer.read_ahead(
            [(one.resource_type, one.id) for one in requests if one.interaction == "update"]
        )

    def decide(self, entries: list[Entry], *interactions: str) -> list[Entry]:
        """The entries, with the ids their conditions lead to where they are such interactions."""
        return [
            self._decide(entry)
            if entry.request.interaction in interactions and _has_condition(entry)
            else entry
            for entry in entries
        ]

    def do(self, entries: list[Entry]) -> None:
        """Do the entries, one after the other."""
        for entry in entries:
            self.rows[entry.position] = self._do(entry)

    def _decide(self, entry: Entry) -> Entry:
        request = entry.request
        try:
            call = self.open(entry)
            if request.if_none_exist is not None:
                found = find_by_condition(call, request.resource_type, request.if_none_exist)
                return replace(entry, request=replace(request, id=found.id if found else call.context.new_id()))
            decided = self._decided[entry.position] = decide_identity(call)
        except FhirError as error:
            raise at_entry(error, entry.position, _condition_of(entry)) from None
        return replace(entry, request=decided.request)

    def _do(self, entry: Entry) -> dict[str, Any]:
        request, decided = entry.request, self._decided.get(entry.position)
        try:
            met = request.interaction != "delete" and decided and not still_so(self.open(entry), decided)
            response = None if met else self._run(self._writer, request)
        except FhirError as error:
            raise at_entry(error, entry.position, of_patch=request.patch is not None) from None
        if response is None or (request.interaction == "create" and response.id != request.id):
            # References to it were rewritten to an id of its own, but an entry before it changed what is so.
            raise FhirError(
                "invalid-request",
                f"an earlier entry of the Bundle changes what fulfils this entry's {_condition_of(entry)}",
                f"Bundle.entry[{entry.position}]",
            )
        if decided is not None and decided.found is not None:
            check_basis(decided.found, response.version_id)
        return row(self._context, request, response)


def _in_turn(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in FHIR's order, those that name a resource by its identity within it."""

    def identity(entry: Entry) -> tuple[str, ...]:
        request = entry.request
        return () if request.interaction == "create" else (request.resource_type, request.id)

    ordered = sorted(entries, key=identity)
    return [ordered[position] for position in transaction_order([entry.method for entry in ordered])]


def _has_condition(entry: Entry) -> bool:
    return is_conditional(entry.request) or (
        entry.request.interaction == "create" and entry.request.if_none_exist is not None
    )


def _condition_of(entry: Entry) -> str:
    """The element of an entry that holds its condition."""
    return "request.url" if entry.request.if_none_exist is None else "request.ifNoneExist"
