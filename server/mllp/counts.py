"""What the listener counts, for operators: written to a file of BATON_HOME, which `/metrics` of web reads.

Numbers by kinds that are named here, never anything of a message.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "listener"  # in BATON_HOME
STALE_SECONDS = 30.0
# Upper ends of the seconds from the last byte of a message to its answer.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


@dataclass(slots=True)
class Counts:
    """Since the start of the process, but for `connections`: those that are open.

    messages: by outcome (`hl7v2.intake.Receipt`). refused: connections by reason (network, full, source-full,
    handshake). closed: connections that were ended here, by reason. seconds: answers by bucket.
    """

    connections: int = 0
    accepted: int = 0
    received_bytes: int = 0
    noise_bytes: int = 0
    commits: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds_sum: float = 0.0

    def answered(self, seconds: float) -> None:
        """Count one answer."""
        self.seconds_sum += seconds
        for place, most in enumerate(BUCKETS):
            if seconds <= most:
                self.seconds[place] += 1
                return
        self.seconds[-1] += 1

    def write(self, home: Path) -> None:
        """Leave the numbers for `read`. Raises: OSError."""
        folder = home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{os.getpid()}.json"
        content = {name: getattr(self, name) for name in self.__slots__}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(content))
        fresh.replace(path)

    @staticmethod
    def withdraw(home: Path) -> None:
        """The process ends. Raises: OSError."""
        (home / FOLDER / f"{os.getpid()}.json").unlink(missing_ok=True)


def read(home: Path) -> list[Counts]:
    """The numbers of the listeners that run."""
    found = []
    for path in sorted((home / FOLDER).glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink(missing_ok=True)
                continue
            given = json.loads(path.read_text())
            for name in ("messages", "refused", "closed"):
                given[name] = Counter(given[name])
            found.append(Counts(**given))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found
