"""Which scopes open the audit trail, and for whom, read from `audit_readers.json` (pure data)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Level:
    """opens: scopes of this level may open the trail. named: only those that name AuditEvent."""

    opens: bool
    named: bool


@dataclass(frozen=True, slots=True)
class AuditReaders:
    """levels: by level of a scope. organizations: partners whose tokens may read, as "Organization/id"."""

    levels: Mapping[str, Level]
    organizations: frozenset[str]


@cache
def audit_readers() -> AuditReaders:
    """The policy as it stands."""
    document = json.loads(files(__package__).joinpath("audit_readers.json").read_text("utf-8"))
    return AuditReaders(
        {name: Level(row["opens"], row["named"]) for name, row in document["levels"].items()},
        frozenset(document["organizations"]),
    )
