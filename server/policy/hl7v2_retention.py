"""How long received HL7 v2 messages stay in the log, read from `hl7v2_retention.json` (pure data)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files


@cache
def retention_days() -> Mapping[str, int]:
    """By state of a message, for how many days it stays; a state that is not among them stays for good."""
    text = files(__package__).joinpath("hl7v2_retention.json").read_text("utf-8")
    return {str(state): int(days) for state, days in json.loads(text)["days"].items()}


def kept_since(now: datetime) -> dict[str, datetime]:
    """By state, the moment since when messages stay that were received at or after it."""
    return {state: now - timedelta(days=days) for state, days in retention_days().items()}
