"""SMART scopes as values: parse, compare, negotiate (pure).

The resource scopes form a lattice: `meet` of two scopes is what both allow, and a negotiated scope is the
meet of what was asked and what the client may have. Version 1 forms (`read`, `write`, `*`) are read as
their version 2 meaning and echoed as they were written.
Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote, unquote

Level = Literal["patient", "user", "system"]
LEVELS: tuple[Level, ...] = get_args(Level)
PERMISSIONS = "cruds"
VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
CONTEXT_SCOPES = (
    "launch",
    "launch/patient",
    "launch/encounter",
    "openid",
    "fhirUser",
    "offline_access",
    "online_access",
)

_RESOURCE_SCOPE = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})"
    r"\.(?P<permissions>read|write|\*|(?=[cruds])c?r?u?d?s?)(?:\?(?P<criteria>\S+))?"
)
# To send HL7 v2 messages in (`POST /hl7v2`). They are no resources, so `*` does not cover them.
HL7V2 = "hl7v2"
HL7V2_SCOPE = f"system/{HL7V2}.c"
# A criterion is a search parameter with at most a modifier, then its value; chains and _has cannot stand here.
_CRITERION = re.compile(r"(?P<name>_?[A-Za-z][A-Za-z0-9-]*(?::[A-Za-z-]+)?)=(?P<value>[^&=\s]+)")
# RFC 6749 section 3.3: the characters of a scope token.
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource scope. `patient/Observation.rs?category=lab` -> level, resource_type, permissions, criteria.

    resource_type: a type or "*". permissions: subset of "cruds" in that order (v1 read = "rs",
    write = "cud", * = "cruds"). criteria: (parameter, value) pairs of a granular scope, all of which must
    hold, sorted. written: the scope as requested, for echoing.
    """

    level: Level
    resource_type: str
    permissions: str
    criteria: tuple[tuple[str, str], ...]
    written: str

    def allows(self, resource_type: str, permission: str) -> bool:
        """Whether the scope speaks of the type and carries the permission (one letter of "cruds")."""
        return _reaches(self.resource_type, resource_type) and permission in self.permissions

    def covers(self, other: Scope) -> bool:
        """Whether everything `other` allows is allowed by this scope too."""
        return (
            self.level == other.level
            and _reaches(self.resource_type, other.resource_type)
            and set(other.permissions) <= set(self.permissions)
            and set(self.criteria) <= set(other.criteria)
        )


def _reaches(kind: str, resource_type: str) -> bool:
    return kind == resource_type or (kind == "*" and resource_type != HL7V2)


def parse_scope(written: str) -> Scope | None:
    """The resource scope a word stands for; None for anything else (context scopes, malformed words)."""
    if written == HL7V2_SCOPE:
        return Scope("system", HL7V2, "c", (), written)
    match = _RESOURCE_SCOPE.fullmatch(written)
    if match is None or not _SCOPE_TOKEN.fullmatch(written):
        return None
    permissions = VERSION_1.get(match["permissions"], match["permissions"])
    criteria: list[tuple[str, str]] = []
    if match["criteria"] is not None:
        if match["permissions"] in VERSION_1:
            return None  # granular scopes came with version 2
        for part in match["criteria"].split("&"):
            criterion = _CRITERION.fullmatch(part)
            if criterion is None:
                return None
            criteria.append((criterion["name"], unquote(criterion["value"])))
    level: Level = match["level"]  # type: ignore[assignment]
    return Scope(level, match["type"], permissions, tuple(sorted(set(criteria))), written)


def format_scope(level: str, resource_type: str, permissions: str, criteria: Iterable[tuple[str, str]]) -> str:
    """The version 2 form. Parsing it gives the parts back."""
    query = "&".join(f"{name}={quote(value, safe=':/|,.-_~$')}" for name, value in criteria)
    return f"{level}/{resource_type}.{permissions}" + (f"?{query}" if query else "")


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """The resource scopes of a space-separated string, in order; other words are passed over."""
    return tuple(scope for word in text.split() if (scope := parse_scope(word)) is not None)


def is_known(word: str, resource_types: Collection[str]) -> bool:
    """Whether the word is a context scope, or a well-formed resource scope of "*" or a known type."""
    if word in CONTEXT_SCOPES:
        return True
    scope = parse_scope(word)
    return scope is not None and (scope.resource_type in ("*", HL7V2) or scope.resource_type in resource_types)


def meet(one: Scope, other: Scope) -> Scope | None:
    """What both scopes allow, None where that is nothing. Keeps the writing of an argument that is the meet."""
    if one.level != other.level:
        return None
    if not (
        _reaches(one.resource_type, other.resource_type) or _reaches(other.resource_type, one.resource_type)
    ):
        return None
    permissions = "".join(letter for letter in one.permissions if letter in other.permissions)
    if not permissions:
        return None
    for narrow, wide in ((one, other), (other, one)):
        if wide.covers(narrow):
            return narrow
    resource_type = other.resource_type if one.resource_type == "*" else one.resource_type
    criteria = tuple(sorted({*one.criteria, *other.criteria}))
    written = format_scope(one.level, resource_type, permissions, criteria)
    return Scope(one.level, resource_type, permissions, criteria, written)


def negotiate(requested: str, allowed: str, levels: Collection[str], resource_types: Collection[str]) -> str:
    """The part of the requested scopes that a client may have, in the order asked; "" when nothing is left.

    requested, allowed: space-separated scopes. levels: which of patient, user, system the grant can carry; a
    grant without "patient" or "user" (client credentials) carries no context scopes either. Words that are
    unknown, malformed or of no known resource type are dropped.
    """
    allowed_words = set(allowed.split())
    allowed_scopes = parse_scopes(allowed)
    with_context = "patient" in levels or "user" in levels
    granted: list[Scope | str] = []
    for word in dict.fromkeys(requested.split()):
        if not is_known(word, resource_types):
            continue
        scope = parse_scope(word)
        if scope is None:
            if with_context and word in allowed_words:
                granted.append(word)
        elif scope.level in levels:
            granted.extend(_narrowed(scope, allowed_scopes))
    return " ".join(dict.fromkeys(item if isinstance(item, str) else item.written for item in granted))


def _narrowed(scope: Scope, allowed: Iterable[Scope]) -> list[Scope]:
    """The meets of one scope with each allowed one, without those another meet already covers."""
    meets = [found for other in allowed if (found := meet(scope, other)) is not None]
    kept: list[Scope] = []
    for candidate in meets:
        if any(known.covers(candidate) for known in kept):
            continue
        kept = [known for known in kept if not candidate.covers(known)] + [candidate]
    return kept
