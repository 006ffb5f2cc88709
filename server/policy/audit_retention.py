"""How long audit rows stay in the database, read from `audit_retention.json` (pure data)."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from importlib.resources import files


@cache
def retention_years() -> int:
    """How many years a row stays at least."""
    return int(json.loads(files(__package__).joinpath("audit_retention.json").read_text("utf-8"))["years"])


def kept_since(now: datetime) -> datetime:
    """Rows recorded at or after this moment stay."""
    try:
        return now.replace(year=now.year - retention_years())
    except ValueError:  # a leap day
        return now.replace(year=now.year - retention_years(), day=28)
