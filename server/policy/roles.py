"""Roles of staff and what each may do to which resource type, read from `roles.json`.

Pure data: a role that is not in the file, and a type that a role does not name, may do nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Role:
    """types: resource type or "*" -> letters of "cruds". console: may use the engineer's console. administers:
    may change clients, partners and grants there. partner: for the people of partner organisations.
    """

    name: str
    title: str
    types: Mapping[str, str]
    console: bool = False
    administers: bool = False
    partner: bool = False

    def permissions(self, resource_type: str) -> str:
        """The letters this role has for a type."""
        return self.types.get(resource_type, self.types.get("*", ""))


_NOBODY = Role("", "No role", {})


@cache
def roles() -> Mapping[str, Role]:
    """All roles by name."""
    document = json.loads(files(__package__).joinpath("roles.json").read_text("utf-8"))
    return {
        name: Role(
            name,
            row["title"],
            row["types"],
            console=row.get("console", False),
            administers=row.get("administers", False),
            partner=row.get("partner", False),
        )
        for name, row in document["roles"].items()
    }


def role(name: str) -> Role:
    """The role of that name; an unknown name is a role that may do nothing."""
    return roles().get(name, _NOBODY)
