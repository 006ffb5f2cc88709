"""Maps of a folder that may change while they are used: the last good set stays, and it is said why."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mappings.engine import MappingErrors, MapSet, Problem, load

_logger = logging.getLogger(__name__)
_EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class State:
    """maps: in use. problems: why what the folder holds now is not in use; none while it is."""

    maps: MapSet
    problems: tuple[Problem, ...] = ()


class LiveMaps:
    """The shipped maps with a folder of overlays, read again when a file of it changes.

    Raises MappingErrors at first, when there is no last good set yet.
    """

    def __init__(
        self,
        overlays: Path | None,
        *,
        every_seconds: float = _EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._overlays = overlays
        self._every = every_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._signature = self._signed()
        self._state = State(load(overlays))
        self._looked = clock()

    @property
    def state(self) -> State:
        """What is in use now. Looks at the folder at most every few seconds."""
        if self._clock() - self._looked >= self._every and self._lock.acquire(blocking=False):
            try:
                self.refresh()
            finally:
                self._lock.release()
        return self._state

    @property
    def maps(self) -> MapSet:
        return self.state.maps

    def refresh(self) -> State:
        """Look at the folder now; a set that compiles takes the place of the one in use, as a whole."""
        self._looked = self._clock()
        signature = self._signed()
        if signature == self._signature:
            return self._state
        self._signature = signature
        try:
            self._state = State(load(self._overlays))
            _logger.info("maps %s are in use", self._state.maps.version)
        except (MappingErrors, OSError) as error:
            problems = (
                error.problems
                if isinstance(error, MappingErrors)
                else (Problem("", 1, 1, str(error.strerror)),)
            )
            self._state = State(self._state.maps, problems)
            _logger.error("maps %s stay in use: %s", self._state.maps.version, "; ".join(map(str, problems)))
        return self._state

    def _signed(self) -> tuple[tuple[str, int, int], ...]:
        """Names, sizes and times of all files of the folder: changes when one of them does."""
        if self._overlays is None or not self._overlays.is_dir():
            return ()
        found = []
        for path in sorted(self._overlays.rglob("*")):
            try:
                status = path.stat()
            except OSError:
                continue  # gone between the listing and now; the next look sees it
            if path.suffix in (".yaml", ".csv"):
                found.append((path.as_posix(), status.st_size, status.st_mtime_ns))
        return tuple(found)
