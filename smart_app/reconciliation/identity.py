"""Ids of what a reconciliation writes.

They follow from session, role and line, so that sending the same decisions again changes nothing.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from terminology.systems import BATON_RECONCILIATION

_NAMESPACE: UUID = uuid5(NAMESPACE_URL, BATON_RECONCILIATION)


def resource_id(session_id: str, role: str, line: str = "") -> str:
    """UUIDv5 of (session, role, line), in lower case: a valid FHIR id."""
    return str(uuid5(_NAMESPACE, "\x1f".join((session_id, role, line))))


def identifier(session_id: str, role: str, line: str = "") -> dict[str, Any]:
    """The same three as a business identifier, by which our own writings are known again."""
    return {
        "system": BATON_RECONCILIATION,
        "value": "/".join(part for part in (session_id, role, line) if part),
    }
