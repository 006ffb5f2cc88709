"""Applying what a map made of a message: one transaction with all it writes, its place in the log included.

What is stored is read first, in one snapshot, and what is to be written is made ready, while nobody is held up;
a transaction Bundle then goes through the one door. It names the version of everything it replaces and creates
only what is not there, so that whatever others have changed in between refuses it; then it is all done again.
So a message has its effect once, whenever a process ends, and several workers do no harm to each other.

A merge first points what refers to the resource that ends at the survivor, some hundred resources a
transaction: long charts hold nobody up, and a worker that ends leaves less to do for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial

from mappings.result import Mapped
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.errors import FhirError
from server.hl7v2.draft import Draft
from server.hl7v2.drafts import Drafts, numbered
from server.hl7v2.finding import Finder, Looked, identifier_query, identifier_token
from server.hl7v2.joining import Json
from server.hl7v2.merging import Ended, merge, moved, pointed
from server.hl7v2.prepared import Applied, Event, Prepared, touched
from server.hl7v2.provenance import Origin, provenance
from server.hl7v2.resolving import Repetitions
from server.interactions.condition import claim_key
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.interactions.transaction import Ready, made_ready
from server.storage.hl7v2_identities import Hl7v2Identities
from server.storage.interface import Reader
from server.storage.versions import VersionConflict

ATTEMPTS = 5  # of a message whose resources others change at the same moment
MOVED_AT_ONCE = 250  # resources of a merge in one transaction
_OVERTAKEN = frozenset({"conflict", "precondition-failed"})


# Called within the transaction, before it is committed; what it raises undoes everything.
Settle = Callable[[Applied], None]


class Applier:
    """Applies messages, as `baton-hl7v2` in the audit trail. context: the server's. For one thread."""

    def __init__(self, context: Context, identities: Hl7v2Identities) -> None:
        limits = replace(context.limits, bundle_entries=2 * MOVED_AT_ONCE + context.limits.bundle_entries)
        self._context = replace(context, limits=limits, blind_writes=True, of_record=True, compared=True)
        self._identities = identities
        self._repetitions = Repetitions()
        self._principal = Principal(client_id="baton-hl7v2", scopes=parse_scopes("system/*.cruds"))

    def prepare(self, event: Event, mapped: Mapped, progress: Callable[[], None] = lambda: None) -> Prepared:
        """Read what is stored, and make ready what is to be written; nobody is held up by it.

        A long merge writes in transactions of its own meanwhile, with a call of progress between them.
        Raises: as `apply`.
        """
        while True:
            with self._context.store.reading() as reader:
                drafts = self._drafts(reader, event, mapped, Looked(self._identities, mapped.intents))
                ended = merge(drafts, mapped.merges)
                followers = _followers(reader, drafts, ended)
            if len(followers) <= MOVED_AT_ONCE:
                break
            self._move(event, mapped, drafts, followers[:MOVED_AT_ONCE])
            progress()
        for one in ended:
            _follow(drafts, one)
        return self._prepared(event, mapped, drafts, ended, followers)

    def prepare_together(self, messages: Sequence[tuple[Event, Mapped]]) -> tuple[Prepared, ...]:
        """Make ready the first ones of messages that may be applied together, as many as that is: none follows
        an earlier one. The next one may be anything, also one that cannot be applied. None of them merges."""
        found: list[Prepared] = []
        changed: set[str] = set()
        made: set[int] = set()
        with suppress(Exception), self._context.store.reading() as reader:  # each meets it again by itself
            looked = Looked(self._identities, [one for _, mapped in messages for one in mapped.intents])
            for event, mapped in messages if looked.is_whole else ():
                prepared = self._prepared(event, mapped, self._drafts(reader, event, mapped, looked))
                if not prepared.is_whole or prepared.follows(changed, made):
                    break
                found.append(prepared)
                changed |= prepared.changes
                made |= prepared.makes
        return tuple(found)

    def _drafts(self, reader: Reader, event: Event, mapped: Mapped, looked: Looked) -> Drafts:
        """What a message says, joined with what is stored. Raises: Refused."""
        finder = Finder(reader, self._identities, mapped.intents, looked)
        by_number = partial(numbered, event.id)
        drafts = Drafts(finder, mapped, event.type, self._context.new_id, by_number, self._repetitions)
        drafts.apply()
        return drafts

    def _prepared(
        self,
        event: Event,
        mapped: Mapped,
        drafts: Drafts,
        ended: Sequence[Ended] = (),
        followers: Sequence[tuple[int, Json]] = (),
    ) -> Prepared:
        """Make ready to be written what a message changes. followers: what else its merges change."""
        changed = drafts.changed()
        written = tuple(draft.written for draft in changed)
        entries = [_entry(draft.content, draft.version) for draft in changed]
        entries += [_entry(resource, version) for version, resource in followers]
        targets = (*written, *(_written(resource, version) for version, resource in followers))
        request: InteractionRequest | None = None
        ready: Ready | None = None
        if entries:
            entries.append(self._provenance(event, mapped, drafts, targets))
            request = _transaction(event, entries)
            standing = {(draft.resource_type, draft.id): draft.current.stored for draft in changed}
            standing["Provenance", entries[-1]["resource"]["id"]] = None
            with suppress(FhirError):  # what is wrong with it is for the door to say
                ready = made_ready(self._context, request, standing)
        applied = Applied(written, tuple(drafts.outcomes))
        return Prepared(drafts, tuple(changed), touched(drafts, changed), tuple(ended), request, ready, applied)

    def apply(
        self,
        event: Event,
        mapped: Mapped,
        settle: Settle,
        progress: Callable[[], None] = lambda: None,
        prepared: Prepared | None = None,
    ) -> Applied:
        """Apply a message and settle it in the same transaction.

        progress: called between the transactions of a long merge; what it raises ends the work there.
        prepared: the message, made ready before.
        Raises: Refused; FhirError for what the door refuses and for a database that is away; VersionConflict
        where others were faster every time.
        """
        for attempt in range(1, ATTEMPTS + 1):
            # Who was overtaken reads it all again within the transaction: where there is one writer at a time,
            # that does not happen twice then. A merge may be long, and holds nobody up.
            again = attempt > 1 and not mapped.merges
            try:
                with self._context.store.writing() if again else nullcontext():
                    return self._write(prepared or self.prepare(event, mapped, progress), settle)
            except VersionConflict:
                if attempt == ATTEMPTS:
                    raise
            except FhirError as error:
                if error.kind not in _OVERTAKEN:
                    raise
                if attempt == ATTEMPTS:
                    raise VersionConflict from None
            prepared = None
        raise AssertionError("unreachable")

    def _move(
        self, event: Event, mapped: Mapped, drafts: Drafts, followers: Sequence[tuple[int, Json]]
    ) -> None:
        """A transaction of its own for a part of what a merge moves."""
        entries = [_entry(resource, version) for version, resource in followers]
        written = [_written(resource, version) for version, resource in followers]
        entries.append(self._provenance(event, mapped, drafts, written))
        with self._context.store.writing():
            perform(self._context, self._principal, _transaction(event, entries))

    def apply_together(self, messages: Sequence[tuple[Prepared, Settle]]) -> None:
        """Apply messages, of which none follows another one, and settle them in one transaction.

        Raises: as `apply`, of any of them; then none is applied.
        """
        every = [prepared for prepared, _ in messages]
        parts = [prepared.ready for prepared in every if prepared.ready]
        entries = enumerate(entry for part in parts for entry in part.entries)
        ready = Ready(
            tuple(replace(entry, position=number) for number, entry in entries),
            {identity: version for part in parts for identity, version in part.standing.items()},
        )
        with self._context.store.writing() as writer:
            self._refuse_twins([draft for prepared in every for draft in prepared.changed])
            if parts:
                perform(self._context, self._principal, InteractionRequest("transaction"), ready, writer)
            self._remember(every)
            for prepared, settle in messages:
                settle(prepared.applied)

    def _write(self, prepared: Prepared, settle: Settle) -> Applied:
        with self._context.store.writing() as writer:
            self._refuse_twins(prepared.changed)
            if prepared.request is not None:
                perform(self._context, self._principal, prepared.request, prepared.ready, writer)
            self._remember((prepared,))
            settle(prepared.applied)
        return prepared.applied

    def _refuse_twins(self, changed: Iterable[Draft]) -> None:
        """Nobody has made a Patient that is about to be made, since it was looked for: as a conditional create
        has it, the claims first and then the search. Raises: VersionConflict."""
        identities = [
            identity
            for draft in changed
            if draft.resource_type == "Patient" and not draft.current.version and draft.asked is not None
            for identity in draft.asked.identities
        ]
        queries = [identifier_query("Patient", identity) for identity in identities]
        tokens = {identifier_token("Patient", identity) for identity in identities} - {None}
        if tokens:
            keys = {claim_key(query) for query in queries if query is not None}
            self._identities.expect_none(keys, [token for token in tokens if token is not None])

    def _remember(self, every: Sequence[Prepared]) -> None:
        """What the identities mean from now on, and of what moment what they mean is."""
        ended = [one for prepared in every for one in prepared.ended if one.resource_type != "Patient"]
        self._identities.remember(
            [(hash, draft.known) for prepared in every for draft in prepared.drafts for hash in draft.hashes],
            [draft.known for prepared in every for draft in prepared.touched],
            [(one.resource_type, one.before, one.after) for one in ended],
        )

    def _provenance(self, event: Event, mapped: Mapped, drafts: Drafts, targets: Iterable[str]) -> Json:
        origin = Origin(event.id, event.source, mapped.version, mapped.moment)
        said = drafts.said_of_provenance()
        return _entry(provenance(self._context.new_id(), origin, targets, said, self._context.clock()), 0)


def _transaction(event: Event, entries: Sequence[Json]) -> InteractionRequest:
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
    return InteractionRequest("transaction", body=bundle, request_id=f"hl7v2-{event.id}")


def _entry(resource: Json, version: int) -> Json:
    """The entry that writes a resource instead of this version of it, or as a new one for 0."""
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    request |= {"ifMatch": f'W/"{version}"'} if version else {"ifNoneMatch": "*"}
    return {"resource": resource, "request": request}


def _written(resource: Json, version: int) -> str:
    return f"{resource['resourceType']}/{resource['id']}/_history/{version + 1}"


def _followers(reader: Reader, drafts: Drafts, ended: Iterable[Ended]) -> list[tuple[int, Json]]:
    """What refers to what ended and is not of the message itself, pointed at the survivors: version and
    content. Each once, also where it refers to several of them.
    """
    own = {draft.reference for draft in drafts}
    found: dict[str, tuple[int, Json]] = {}
    for one in ended:
        for version, resource in moved(reader, one, MOVED_AT_ONCE + len(own) + 1):
            reference = f"{resource['resourceType']}/{resource['id']}"
            if reference in own:
                continue
            _, standing = found.get(reference, (0, None))
            found[reference] = (version, resource if standing is None else pointed(standing, one))
    return list(found.values())


def _follow(drafts: Drafts, ended: Ended) -> None:
    """Point what the message itself writes at the survivor; the links of the two that were merged stay."""
    for draft in drafts:
        if draft.there and draft.resource_type != ended.resource_type:
            following = pointed(draft.content, ended)
            if following is not draft.content:
                draft.said = following
