"""The maps in force: those that ship, with a site's own folder of overlays, kept up with its changes.

A change that cannot be used leaves the last good set in force (`mappings.reload`). Where there was none yet,
messages wait: the shipped maps alone would say something else of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from mappings.engine import MappingErrors, MapSet
from mappings.reload import LiveMaps, State
from server.errors import FhirError
from server.process import settle


def overlays_of(home: Path) -> Path:
    """The folder of a deployment's own overlays. home: BATON_HOME."""
    return home / "maps"


class CurrentMaps:
    """folder: is made where it is missing. failed: is told why the maps cannot be used.

    Safe to share between threads.
    """

    def __init__(self, folder: Path, failed: Callable[[str, Exception], None]) -> None:
        self._folder, self._failed = folder, failed
        self._lock = Lock()
        self._live: LiveMaps | None = None

    def __call__(self) -> MapSet:
        """The maps, read when they are first asked for. Raises: FhirError unavailable."""
        return self.state.maps

    @property
    def state(self) -> State:
        """The maps, and why what the folder holds now is not in force. Raises: FhirError unavailable."""
        live = self._live
        if live is None:
            with self._lock:
                live = self._live = self._live or self._read()
                settle()
        return live.state

    def _read(self) -> LiveMaps:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return LiveMaps(self._folder)
        except (MappingErrors, OSError) as error:
            self._failed("hl7v2-maps", error)
            raise FhirError(
                "unavailable", "the maps of the site cannot be used; baton map lint says why"
            ) from None
