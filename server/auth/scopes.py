"""SMART scopes as values: parse, negotiate, compare (pure).

Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource scope. `patient/Observation.rs?category=lab` -> level, resource_type, permissions, criteria.

    resource_type: a type or "*". permissions: subset of "cruds" in that order (v1 read = "rs",
    write = "cud", * = "cruds"). criteria: (parameter, value) pairs of a granular scope.
    written: the scope as requested, for echoing.
    """

    level: Literal["patient", "user", "system"]
    resource_type: str
    permissions: str
    criteria: tuple[tuple[str, str], ...]
    written: str
