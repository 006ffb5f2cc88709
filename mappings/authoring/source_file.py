"""A source as a TOML file or table, for commands and tests that run without a server."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mappings.compiler.problems import did_you_mean
from mappings.result import Source

_TYPES: dict[str, type] = {
    "name": str,
    "time_zone": str,
    "systems": dict,
    "authorities": list,
    "production": bool,
    "medication_list": bool,
    "switches": dict,
    "overlay": str,
}


class SourceError(ValueError):
    """No source; the text says why."""


def source_of(said: Mapping[str, Any]) -> Source:
    """The source that a table describes. Raises SourceError."""
    known = {field.name for field in fields(Source)}
    for name, value in said.items():
        if name not in known:
            raise SourceError(f"a source has no {name!r}{did_you_mean(name, known)}")
        if not isinstance(value, _TYPES[name]):
            raise SourceError(f"{name!r} of a source is a {_TYPES[name].__name__}")
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not all(isinstance(member, str) for member in members):
            raise SourceError(f"{name!r} of a source holds texts")
    if not said.get("name"):
        raise SourceError("a source has a name")
    return Source(**{**said, "authorities": tuple(said.get("authorities", ()))})


def read_source(path: Path | None) -> Source:
    """The source of a file; without one a source called `test` that takes training messages. Raises
    SourceError.
    """
    if path is None:
        return Source("test", production=False)
    try:
        return source_of(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{path}: {error}") from error
