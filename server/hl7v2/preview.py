"""What applying a message now would bring about, without doing it.

Two differences: between what its map said when it was last mapped and what the maps in force say, and between
what is stored and what would be. The second is made by what applies messages (`finding`, `drafts`, `merging`),
in one snapshot that nothing is written in. Several messages are each told of by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mappings.authoring.explain import leaves
from mappings.engine import MapSet
from mappings.result import Mapped, Source
from server.errors import FhirError
from server.fhir.changed_elements import Change, canonical, changes
from server.fhir.validation import validate
from server.hl7v2.draft import Draft, Outcome
from server.hl7v2.drafts import Drafts, numbered
from server.hl7v2.finding import Finder, Looked
from server.hl7v2.mapping import run
from server.hl7v2.merging import merge, moved
from server.hl7v2.refusal import Refused
from server.hl7v2.sources import Sources
from server.hl7v2.trace import read_trace, trace
from server.storage.hl7v2_messages import LoggedMessage
from server.storage.hl7v2_work import Received
from server.storage.interface import Reader, Store

_MOST_MOVED = 1_000  # resources that a merge would move, beyond which they are not counted


@dataclass(frozen=True, slots=True)
class Said:
    """An element that the map says otherwise than before. before, after: FHIR JSON, None for nothing."""

    intent: str
    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Finding:
    """code, position, text: of `mappings.result.Finding`. is_new: now and not before; else the reverse."""

    code: str
    position: str
    text: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A version that would be written. version: the stored one, 0 for none. faults: why it would be refused."""

    resource_type: str
    id: str
    version: int
    changes: tuple[Change, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """message: as it stands in the log. version: of the maps. refused: code and words, "" where it can be
    applied. is_compared: how it was mapped before is kept, so that `said` and `findings` tell of it.

    moved: resources that a merge would point at the survivor.
    """

    message: LoggedMessage
    version: str
    refused: str = ""
    is_compared: bool = False
    said: tuple[Said, ...] = ()
    findings: tuple[Finding, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    resources: tuple[ResourceChange, ...] = ()
    moved: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether it would not be applied, as far as can be told without doing it."""
        return bool(self.refused) or any(one.faults for one in self.resources)


def preview(store: Store, sources: Sources, maps: MapSet, message: LoggedMessage) -> Preview:
    """What would become of a message. Raises: FhirError not-ready, unavailable, too-costly."""
    sources.refresh()
    known = sources.named(message.source)
    if known is not None and known.broken:
        raise FhirError("not-ready", "the settings of the source cannot be used")
    received = Received(
        message.id,
        message.source,
        message.received,
        store.hl7v2_messages.raw(message.id),
        message.type,
        message.trigger,
    )
    shown = Preview(message, maps.version)
    try:
        mapped = run(maps, known.mapping if known is not None else Source(message.source), received)
        shown = _compared(store, shown, mapped)
        if mapped.refused is not None:
            finding = mapped.refused
            raise Refused(finding.code, finding.position, finding.text)
        with store.reading() as reader:
            return _planned(store, reader, shown, mapped)
    except Refused as refused:
        return replace(shown, refused=str(refused))


def _compared(store: Store, shown: Preview, mapped: Mapped) -> Preview:
    """With what the map says otherwise than when the message was last mapped, where that is kept."""
    text = store.hl7v2_traces.get(shown.message.id, shown.message.mapping_version)
    if text is None:
        return shown
    before, after = read_trace(text), read_trace(trace(mapped))
    said, findings = tuple(_said(before, after)), tuple(_findings(before, after))
    return replace(shown, is_compared=True, said=said, findings=findings)


def _planned(store: Store, reader: Reader, shown: Preview, mapped: Mapped) -> Preview:
    """With what would be written. Raises: Refused."""
    identities, intents = store.hl7v2_identities, mapped.intents
    finder = Finder(reader, identities, intents, Looked(identities, intents))
    drafts = Drafts(finder, mapped, shown.message.type, _new_id, partial(numbered, shown.message.id))
    drafts.apply()
    ended = merge(drafts, mapped.merges)
    changed = drafts.changed()
    return replace(
        shown,
        outcomes=tuple(drafts.outcomes),
        resources=tuple(map(_change, changed)),
        moved=sum(len(moved(reader, one, _MOST_MOVED)) for one in ended),
    )


def _new_id() -> str:
    return str(uuid.uuid4())


def _change(draft: Draft) -> ResourceChange:
    nothing = {"resourceType": draft.resource_type, "id": draft.id}
    faults = [
        f"{issue.diagnostics.rstrip('.')} ({issue.expression})"
        for issue in validate(draft.content)
        if issue.severity in ("error", "fatal")
    ]
    stored = draft.current.content or nothing
    return ResourceChange(
        draft.resource_type, draft.id, draft.version, changes(stored, draft.content), tuple(faults)
    )


def _said(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Said]:
    first, second = _elements(before), _elements(after)
    for intent, path in dict.fromkeys((*second, *first)):
        values = first.get((intent, path)), second.get((intent, path))
        if canonical(values[0]) != canonical(values[1]):
            yield Said(intent, path, *values)


def _elements(told: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for step in told.get("steps", ()):
        if step.get("path") and step.get("value") is not None:
            for path, value in leaves(step["value"], str(step["path"])):
                found.setdefault((str(step["intent"]), path), value)
    return found


def _findings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    first, second = (
        dict.fromkeys((one["code"], one["position"], one["text"]) for one in told.get("findings", ()))
        for told in (before, after)
    )
    yield from (Finding(*one, is_new=False) for one in first if one not in second)
    yield from (Finding(*one, is_new=True) for one in second if one not in first)
