"""From the stored bytes of a message to what its map says: parsed, with the settings of its source."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mappings.engine import MapSet
from mappings.hl7v2.message import Hl7Error, parse
from mappings.result import Mapped, Source
from server.errors import FhirError
from server.hl7v2.refusal import Refused
from server.hl7v2.sources import KnownSource, Sources
from server.storage.hl7v2_work import Received

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Mapping:
    """sources: of the thread that maps. maps: the set in force."""

    def __init__(self, sources: Sources, maps: Callable[[], MapSet]) -> None:
        self._sources, self._maps = sources, maps
        # As maps see them; the same object as long as nothing of the source changes, which maps remember it by.
        self._seen: dict[str, tuple[KnownSource | None, Source]] = {}

    def __call__(self, received: Received) -> Mapped:
        """What the map of a message says. Raises: Refused unreadable; FhirError not-ready while the settings of
        its source cannot be used, unavailable."""
        source = self._source(received.source)
        if source is not None and source.broken:
            raise FhirError("not-ready", "the settings of the source cannot be used")
        return run(self._maps(), self._as_seen(received.source, source), received)

    def parks(self, source: str) -> bool:
        """Whether a message of the source that is given up holds its keys."""
        known = self._source(source)
        return known is not None and known.settings.on_error == "park"

    def _as_seen(self, name: str, source: KnownSource | None) -> Source:
        before = self._seen.get(name)
        if before is not None and (before[0] is source or before[0] == source):
            return before[1]
        seen = source.mapping if source is not None else Source(name)
        self._seen[name] = (source, seen)
        return seen

    def _source(self, name: str) -> KnownSource | None:
        self._sources.refresh()
        return self._sources.named(name)


def run(maps: MapSet, source: Source, received: Received) -> Mapped:
    """What maps say of a stored message. Raises: Refused unreadable."""
    try:
        message = parse(received.raw)
    except Hl7Error as error:
        raise Refused("unreadable", error.location) from None
    return maps.run(message, source, received=_EPOCH + timedelta(microseconds=received.received))
