"""What the console shows of what applying a message again would change (no Flask).

Of stored resources only those are shown that the person may read through the door; of the others, and to those
who may not read patients, values by their shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.auth.principal import Principal
from server.console.messages import Row, row_of, shape
from server.console.resources import version_content
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import CurrentMaps
from server.hl7v2.preview import Preview, ResourceChange, preview
from server.hl7v2.preview_text import text_of
from server.hl7v2.sources import Sources
from server.interactions.request import Context

_TEXT_LIMIT = 2_000
SHOWN = 500  # elements of each table


@dataclass(frozen=True, slots=True)
class Difference:
    """A place that would differ. Texts: JSON, "" for nothing."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ResourceShown:
    """A version that would be written. version: the stored one, 0 for none. masked: values are shapes."""

    resource_type: str
    id: str
    version: int
    masked: bool
    differences: tuple[Difference, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreviewShown:
    """problems: why what the folder of overlays holds is not what is told of here."""

    row: Row
    preview: Preview
    said: tuple[Difference, ...]
    resources: tuple[ResourceShown, ...]
    others: tuple[tuple[str, str, str], ...]
    problems: tuple[str, ...]
    masked: bool


def preview_shown(
    context: Context, principal: Principal, maps: CurrentMaps, id: int, *, masked: bool
) -> PreviewShown:
    """What would become of a message. Raises: FhirError not-found, not-ready, unavailable."""
    message = context.store.hl7v2_messages.get(id)
    if message is None:
        raise FhirError("not-found", "There is no such message.")
    if message.duplicate_of is not None:
        raise FhirError("not-found", "a repeated message is not applied; the first one is")
    state = maps.state
    sources = Sources(context.store.hl7v2_sources, lambda: microseconds(context.clock()))
    made = preview(context.store, sources, state.maps, message)
    written = {f"{one.resource_type}/{one.id}" for one in made.resources}
    return PreviewShown(
        row_of(message, masked=masked),
        made,
        tuple(
            # What a further resource is called begins with its type and ends with what identifies it.
            _difference(
                f"{one.intent.partition(':')[0] if masked else one.intent}: {one.path}",
                one.before,
                one.after,
                masked=masked,
            )
            for one in made.said[:SHOWN]
        ),
        tuple(_resource(context, principal, one, masked=masked) for one in made.resources),
        tuple(
            (one.intent.partition(":")[0], one.outcome, one.reference)
            for one in made.outcomes
            if one.reference not in written
        ),
        tuple(map(str, state.problems)),
        masked,
    )


def _resource(context: Context, principal: Principal, change: ResourceChange, *, masked: bool) -> ResourceShown:
    hidden = masked or not _is_readable(context, principal, change)
    differences = tuple(
        _difference(one.path, one.before, one.after, masked=hidden) for one in change.changes[:SHOWN]
    )
    return ResourceShown(change.resource_type, change.id, change.version, hidden, differences, change.faults)


def _is_readable(context: Context, principal: Principal, change: ResourceChange) -> bool:
    if not change.version:
        return True  # made of the message alone
    try:
        version_content(context, principal, change.resource_type, change.id, str(change.version))
    except FhirError as error:
        if error.status >= 500:
            raise
        return False
    return True


def _difference(path: str, before: Any, after: Any, *, masked: bool) -> Difference:
    texts = (text_of(value) for value in (before, after))
    return Difference(path, *((shape(text) if masked else text)[:_TEXT_LIMIT] for text in texts))
