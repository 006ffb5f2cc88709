"""Roles of staff: what each may do to which resource type, and whose charts it reaches (`roles.json`).

Pure data: a role that is not in the file, and a type that a role does not name, may do nothing. A site replaces
the file as a whole (BATON_POLICY); `use` puts another one in force where the parts of a process are joined.

The reach of a role says whose charts: `all`, `organization` (those to which the person, or an organization the
person works for, is related) or `related` (those to which the person is: itself, in a role or in a team).
Organizations can narrow the reach of their staff, whatever the role: of several, the narrowest counts. `*`
among them stands for whoever works for none that reaches further, so that who leaves a house loses what it
gave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES

# From the widest to the narrowest.
REACHES = ("all", "organization", "related")
SHIPPED = "shipped"
ANYBODY = "*"  # among the organizations: whoever works for none that reaches further
_LETTERS = re.compile(r"c?r?u?d?s?")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_ORGANIZATION = re.compile(r"Organization/[A-Za-z0-9\-.]{1,64}")
_EMERGENCY_MOST = 24 * 60
_FLAGS = ("console", "administers", "partner")
_ROLE_KEYS = frozenset({"title", "note", "types", "reach", "emergency_minutes", *_FLAGS})


class PolicyError(ValueError):
    """A policy cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Role:
    """types: resource type or "*" -> letters of "cruds". console: may use the engineer's console.

    reach: one of REACHES. emergency_minutes: how long a chart out of reach may be opened in an emergency, 0: it
    may not. administers: may change clients, partners and grants on the console. partner: for the people of
    partner organisations.
    """

    name: str
    title: str
    types: Mapping[str, str]
    console: bool = False
    reach: str = "related"
    emergency_minutes: int = 0
    administers: bool = False
    partner: bool = False

    def permissions(self, resource_type: str) -> str:
        """The letters this role has for a type."""
        return self.types.get(resource_type, self.types.get("*", ""))


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it. organizations: "Organization/id" or "*" -> the widest reach of its staff. reasons: code ->
    words, for emergencies. origin: SHIPPED, or the file it was read from."""

    version: str
    effective: str
    source: str
    roles: Mapping[str, Role]
    organizations: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    origin: str = SHIPPED


_NOBODY = Role("", "No role", {})
_in_force: list[Policy] = []


def policy() -> Policy:
    """The policy in force: the shipped one unless another was put there."""
    return _in_force[-1] if _in_force else shipped_policy()


def use(replacement: Policy | None) -> None:
    """Put a policy in force for this process, None for the shipped one."""
    _in_force[:] = [replacement] if replacement is not None else []


def roles() -> Mapping[str, Role]:
    """All roles by name."""
    return policy().roles


def role(name: str) -> Role:
    """The role of that name; an unknown name is a role that may do nothing."""
    return policy().roles.get(name, _NOBODY)


@cache
def shipped_policy() -> Policy:
    """The policy of this release."""
    return read_policy(files(__package__).joinpath("roles.json").read_text("utf-8"), SHIPPED)


def read_policy(text: str, origin: str) -> Policy:
    """The policy a file holds. origin: where the text comes from.

    Raises: PolicyError: it is not JSON, a part is missing, or says what nobody would understand: a type, a
    letter, a reach, a key of a role that is not known. A typing error is never a permission.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PolicyError(f"it is not JSON ({error})") from None
    for name in ("version", "effective", "source", "roles"):
        if not isinstance(document, dict) or not document.get(name):
            raise PolicyError(f"{name} is missing")
    rows, narrowed = document["roles"], document.get("organizations", {})
    reasons = document.get("emergency_reasons", {})
    for name, value in (("roles", rows), ("organizations", narrowed), ("emergency_reasons", reasons)):
        if not isinstance(value, dict):
            raise PolicyError(f"{name} is not an object")
    for name, reach in narrowed.items():
        if (name != ANYBODY and not _ORGANIZATION.fullmatch(name)) or reach not in REACHES:
            raise PolicyError(f"organizations: {name!r}: Organization/id or *, and one of {', '.join(REACHES)}")
    if any(not isinstance(words, str) or not words for words in reasons.values()):
        raise PolicyError("emergency_reasons: a code has no words")
    found = {name: _role(name, row) for name, row in rows.items()}
    if not reasons and any(each.emergency_minutes for each in found.values()):
        raise PolicyError("emergency_reasons is missing: a role may open charts in an emergency")
    return Policy(
        version=str(document["version"]),
        effective=str(document["effective"]),
        source=str(document["source"]),
        roles=found,
        organizations=narrowed,
        reasons=reasons,
        origin=origin,
    )


def _role(name: str, row: Any) -> Role:
    if not _NAME.fullmatch(name) or not isinstance(row, dict):
        raise PolicyError(f"roles: {name!r} is no role: small letters, digits and hyphens, and an object")
    if unknown := sorted(row.keys() - _ROLE_KEYS):
        raise PolicyError(f"role {name}: {', '.join(unknown)}: there is no such key")
    title, types, minutes = row.get("title"), row.get("types"), row.get("emergency_minutes", 0)
    if not isinstance(title, str) or not title or not isinstance(types, dict):
        raise PolicyError(f"role {name}: title or types is missing")
    for resource_type, letters in types.items():
        if resource_type != "*" and resource_type not in RESOURCE_TYPES:
            raise PolicyError(f"role {name}: {resource_type!r} is not a resource type of FHIR R4")
        if not isinstance(letters, str) or not _LETTERS.fullmatch(letters):
            raise PolicyError(f"role {name}: {resource_type}: letters of cruds, in this order")
    if row.get("reach") not in REACHES:
        raise PolicyError(f"role {name}: reach is one of {', '.join(REACHES)}")
    flags = {flag: row.get(flag, False) for flag in _FLAGS}
    for flag, value in flags.items():
        if not isinstance(value, bool):
            raise PolicyError(f"role {name}: {flag} is true or false")
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= _EMERGENCY_MOST:
        raise PolicyError(f"role {name}: emergency_minutes is a number from 0 to {_EMERGENCY_MOST}")
    return Role(name, title, types, reach=row["reach"], emergency_minutes=minutes, **flags)
