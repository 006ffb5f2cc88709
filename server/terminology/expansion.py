"""The codes of a value set: all of them, as a search uses them, or a page, as a person looks at them.

Source: hl7.org/fhir/R4/valueset.html#expansion, hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

from dataclasses import dataclass

from server.terminology.code_sets import CodeSet
from server.terminology.components import Member
from server.terminology.composition import Composer, Composition
from server.terminology.concepts import Concept
from server.terminology.definitions import Budget, Definitions, NotExpandable, TooCostly
from server.terminology.value_sets import ValueSet
from server.terminology.words import Words

# Published (docs/reference/limits.md): codes of an expansion.
CODES_MAXIMUM = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A member with its concept, None where its code system is not known or lacks the code."""

    member: Member
    concept: Concept | None

    @property
    def is_inactive(self) -> bool:
        return self.concept is not None and self.concept.inactive

    @property
    def is_abstract(self) -> bool:
        return self.concept is not None and self.concept.abstract


@dataclass(frozen=True, slots=True)
class Page:
    """total: of all pages, None where there are more than are counted."""

    entries: tuple[Entry, ...]
    total: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of an expansion. count: None for all. active, selectable: only concepts in use, only such
    as may be chosen."""

    words: Words | None = None
    offset: int = 0
    count: int | None = None
    active: bool = False
    selectable: bool = False


def expand(value_set: ValueSet, definitions: Definitions, budget: Budget | None = None) -> CodeSet:
    """All codes of a value set; of a system that is known in part, all or none.

    Raises: NotExpandable, TooCostly.
    """
    composed = Composer(definitions, budget).compose(value_set)
    codes: dict[str, dict[str, None]] = {}
    for number, member in enumerate(composed.members()):
        if number == CODES_MAXIMUM:
            raise TooCostly(f"more than {CODES_MAXIMUM} codes")
        codes.setdefault(member.system, {})[member.code] = None
    return CodeSet(codes, composed.whole)


def page(composer: Composer, composed: Composition, wanted: Wanted) -> Page:
    """Some of the members, in the order of the definition.

    Raises: NotExpandable where codes of a system cannot be listed, TooCostly beyond the limit.
    """
    for system in sorted(composed.whole):
        raise NotExpandable(f"the codes of the code system {system} cannot be listed here")
    end = CODES_MAXIMUM if wanted.count is None else wanted.offset + wanted.count
    kept: list[Entry] = []
    number = 0
    for member in composed.members(wanted.words):
        entry = None
        if wanted.active or wanted.selectable:
            entry = entry_of(composer, member)
            if (wanted.active and entry.is_inactive) or (wanted.selectable and entry.is_abstract):
                continue
        if number == CODES_MAXIMUM:
            if wanted.count is None or end > CODES_MAXIMUM:
                raise TooCostly(f"more than {CODES_MAXIMUM} codes; ask with a filter, or for a first page")
            return Page(tuple(kept), None)
        if wanted.offset <= number < end:
            kept.append(entry or entry_of(composer, member))
        number += 1
    return Page(tuple(kept), number)


def entry_of(composer: Composer, member: Member) -> Entry:
    """The member with what its code system says of it."""
    source = composer.system(member.system, member.version)
    if source is None:
        return Entry(member, None)
    composer.spend(source.cost)
    return Entry(member, source.concept(member.code))
