"""When emergency accesses are to be reviewed and by whom, read from `emergency_review.json` (pure data)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class EmergencyReview:
    """due: after the opening. reviewers: names of roles."""

    due: timedelta
    reviewers: frozenset[str]


@cache
def emergency_review() -> EmergencyReview:
    """The policy as it stands."""
    document = json.loads(files(__package__).joinpath("emergency_review.json").read_text("utf-8"))
    return EmergencyReview(timedelta(hours=document["due_hours"]), frozenset(document["reviewers"]))
