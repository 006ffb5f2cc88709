"""How a resource is marked that was entered in error or is out of use, read from `retirement.json` (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _types() -> Mapping[str, Mapping[str, Any]]:
    text = files(__package__).joinpath("retirement.json").read_text("utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)["types"]
    return found


def can_retire(resource_type: str) -> bool:
    """Whether there is a mark for resources of the type."""
    return resource_type in _types()


def retired(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource, marked. Raises: KeyError for a type that cannot be (`can_retire`)."""
    mark = _types()[str(resource["resourceType"])]
    removed = mark.get("removed", ())
    return {name: value for name, value in resource.items() if name not in removed} | mark["set"]
