"""A message made ready to be written, and what it has to do with other ones (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.fhir.compartments import in_patient_compartment
from server.hl7v2.draft import Draft, Outcome
from server.hl7v2.drafts import Drafts
from server.hl7v2.merging import Ended
from server.interactions.request import InteractionRequest
from server.interactions.transaction import Ready


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is applied. id: its number in the log. source: the name of its sender. type: MSH-9.1."""

    id: int
    source: str
    type: str


@dataclass(frozen=True, slots=True)
class Applied:
    """written: Type/id/_history/version, in the order of the map. outcomes: what became of each intent."""

    written: tuple[str, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message made ready to be written, as long as what it was made ready from stays as it is. changed: what
    it writes. touched: of which it is kept what moment it is of from now on. request: writes it, None for
    nothing. ready: the same made ready, None where that is for the door to do."""

    drafts: Drafts
    changed: tuple[Draft, ...]
    touched: tuple[Draft, ...]
    ended: tuple[Ended, ...]
    request: InteractionRequest | None
    ready: Ready | None
    applied: Applied

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it is left for the door to read."""
        return self.request is None or self.ready is not None

    @property
    def changes(self) -> set[str]:
        """What is something else once it is written, as Type/id."""
        return {draft.reference for draft in (*self.changed, *self.touched)}

    @property
    def makes(self) -> set[int]:
        """The identities that mean something once it is written."""
        return {hash for draft in self.drafts for hash in draft.hashes}

    def follows(self, changed: set[str], made: set[int]) -> bool:
        """Whether it would be another one, had earlier ones been written: they change what it speaks of, or
        make what it would make."""
        return any(draft.reference in changed or not made.isdisjoint(draft.hashes) for draft in self.drafts)


def touched(drafts: Iterable[Draft], changed: Iterable[Draft]) -> tuple[Draft, ...]:
    """Of what something was applied to: what many messages name at the same time only where it was changed."""
    written = {draft.reference for draft in changed}
    return tuple(
        draft
        for draft in drafts
        if draft.touched
        and draft.current.version
        and (draft.reference in written or in_patient_compartment(draft.resource_type))
    )
