"""Decisions <-> the autosaved draft: a List coded `reconciliation-draft`, mode `working`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from smart_app.reconciliation.records import Decision


def draft_id(session_id: str) -> str:
    """Id of the one draft List of a session (UUIDv5)."""
    raise NotImplementedError


def draft_list(
    decisions: Sequence[Decision],
    *,
    session_id: str,
    patient: str,
    saved_at: datetime,
    author: str | None = None,
    encounter: str | None = None,
) -> dict[str, Any]:
    """The draft as a FHIR R4 List to be PUT with If-Match; one entry a decision.

    `session_id` names the reconciliation (by convention `patient/encounter`), so that everyone who
    opens it finds the same draft. Same arguments, same bytes.
    """
    raise NotImplementedError


def read_draft(resource: Mapping[str, Any]) -> tuple[Decision, ...]:
    """The decisions of a draft List, `read_draft(draft_list(d)) == d`.

    Raises: ValueError if the List is not a draft of ours.
    """
    raise NotImplementedError
