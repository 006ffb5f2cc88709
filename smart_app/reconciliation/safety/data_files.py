"""Reads the rule files beside this module, once."""

from __future__ import annotations

import csv
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

_DATA = files("smart_app.reconciliation.safety") / "data"


@cache
def table(name: str) -> dict[str, Any]:
    """A TOML file of `data/`."""
    return tomllib.loads((_DATA / name).read_text(encoding="utf-8"))


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a TSV file of `data/`."""
    text = (_DATA / name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines(), delimiter="\t"))


def rules_version() -> str:
    """Version of all rules together, part of every result."""
    return str(table("checks.toml")["version"])
