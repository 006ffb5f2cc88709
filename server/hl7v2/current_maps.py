"""The maps in force: those that ship and a site's own folder of overlays, kept up with its changes.

A folder that cannot be read as maps changes nothing: the last good set stays in force, and why is told once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from mappings.engine import MappingErrors, MapSet, load

_EVERY_SECONDS = 2.0


class CurrentMaps:
    """folder: need not be there. failed: is told of a folder that cannot be used, once for each state of it.

    Safe to share between threads.
    """

    def __init__(
        self,
        folder: Path,
        failed: Callable[[str, Exception], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._failed, self._monotonic = folder, failed, monotonic
        self._lock = Lock()
        self._looked_at, self._seen = -_EVERY_SECONDS, None  # type: float, object
        self._maps: MapSet | None = None

    def __call__(self) -> MapSet:
        """The maps, at most two seconds old."""
        with self._lock:
            if self._maps is None or self._monotonic() - self._looked_at >= _EVERY_SECONDS:
                self._look()
            assert self._maps is not None
            return self._maps

    def _look(self) -> None:
        self._looked_at = self._monotonic()
        try:
            seen = _signature(self._folder)
            if self._maps is not None and seen == self._seen:
                return
            self._seen = seen
            self._maps = load(self._folder if self._folder.is_dir() else None)
        except (MappingErrors, OSError, ValueError) as error:
            self._failed("hl7v2-maps", error)
            if self._maps is None:
                self._maps = load()


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes with any file of the folder."""
    if not folder.is_dir():
        return ()
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in found)
