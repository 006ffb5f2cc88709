"""How failed attempts slow down whoever makes them, read from `throttling.json`: a leaky count with a growing
wait.

Pure rules: the clock is an argument.
Source: see the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

ONE = 1_000  # an attempt, in the unit of levels
_DOUBLINGS = 30  # beyond any `most_seconds`


@dataclass(frozen=True, slots=True)
class ThrottleRule:
    """free: failures without a wait. first, most: the shortest and the longest wait. leak: after which one
    failure is forgotten."""

    name: str
    free: int
    first: timedelta
    most: timedelta
    leak: timedelta

    def level(self, level: int, counted: datetime, now: datetime) -> int:
        """A level as it has leaked since it was counted; in thousandths of an attempt."""
        gone = max(now - counted, timedelta(0)) * ONE // self.leak
        return max(level - gone, 0)

    def wait(self, level: int) -> timedelta:
        """For how long a key of that level is closed after a failure."""
        over = -(-level // ONE) - self.free
        if over <= 0:
            return timedelta(0)
        return min(self.first * 2 ** min(over - 1, _DOUBLINGS), self.most)

    def forgotten(self, level: int, now: datetime) -> datetime:
        """When a key of that level counts for nothing any more."""
        return now + max(self.leak * level / ONE, self.wait(level))


@cache
def throttle_rules() -> Mapping[str, ThrottleRule]:
    """All rules by name."""
    document = json.loads(files(__package__).joinpath("throttling.json").read_text("utf-8"))
    return {
        name: ThrottleRule(
            name,
            row["free"],
            timedelta(seconds=row["first_seconds"]),
            timedelta(seconds=row["most_seconds"]),
            timedelta(seconds=row["leak_seconds"]),
        )
        for name, row in document["rules"].items()
    }
