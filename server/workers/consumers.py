"""Consumers of events: functions that installed packages offer in the entry point group `baton.consumers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points

from server.storage.outbox import OutboxEvent

GROUP = "baton.consumers"

# Told of versions that were written, in the order of each chart, at least once each, from several threads and
# processes at a time but never twice at a time of one chart. It raises if any of them could not be handled.
Consumer = Callable[[Sequence[OutboxEvent]], None]


def installed_consumers() -> Mapping[str, Consumer]:
    """Every installed consumer by name. Raises: whatever importing one raises."""
    return {point.name: point.load() for point in entry_points(group=GROUP)}
