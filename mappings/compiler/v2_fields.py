"""Which datatype stands at a path, so that a map is told of fields and components that do not exist."""

from __future__ import annotations

from mappings.running.source_path import SourcePath


class NoField(Exception):
    """The segment or datatype has no such part; the text says which."""


def datatype_of(path: SourcePath, around: str) -> str:
    return ""
