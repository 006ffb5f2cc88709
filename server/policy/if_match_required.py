"""Types that are written only with If-Match once they exist, read from `if_match_required.json` (pure data)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def if_match_required() -> frozenset[str]:
    """The types whose existing resources are changed or deleted only by whoever names the current version."""
    document = json.loads(files(__package__).joinpath("if_match_required.json").read_text("utf-8"))
    return frozenset(document["types"])
