"""Types whose resources are nobody's chart, read from `open_types.json` (pure data)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def open_types() -> frozenset[str]:
    """The types of no compartment that a patient's token may read where its chart refers to them."""
    document = json.loads(files(__package__).joinpath("open_types.json").read_text("utf-8"))
    return frozenset(document["types"])
