"""Supervisors learn of an emergency access within seconds: a Task for each that nobody has reviewed."""

from __future__ import annotations

from server.emergencies import EmergencyAccesses, announce
from server.interactions.request import Context
from server.workers.housekeeping import Task


class EmergencyNotices:
    """Announces each access once; what another worker announced, or this one before it was started, stays."""

    def __init__(self, context: Context, accesses: EmergencyAccesses) -> None:
        self._context = context
        self._accesses = accesses
        self._known: frozenset[int] = frozenset()

    @property
    def task(self) -> Task:
        """Costs one look-up of nothing where nothing is open."""
        return Task("emergency-notices", 2.0, self.run)

    def run(self) -> int:
        """Announce what is new; how many. Raises: FhirError; what is left then is announced the next time."""
        waiting = {access.number: access for access in self._accesses.list(unreviewed=True)}
        self._known &= waiting.keys()
        announced = 0
        for number in sorted(waiting.keys() - self._known):
            announced += announce(self._context, waiting[number])
            self._known |= {number}
        return announced
