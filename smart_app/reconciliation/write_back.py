"""Decisions -> one FHIR transaction Bundle: the signed list and its trail (domain 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smart_app.reconciliation.records import Collected, Decision, Reconciliation, Signing, SourceVersion


def source_versions(collected: Collected) -> tuple[SourceVersion, ...]:
    """Every resource the reconciliation rests on, with the version that was read; sorted, no repeats.

    Signing reads them again and goes back to the board when one has changed.
    """
    raise NotImplementedError


def write_back(
    signing: Signing,
    collected: Collected,
    reconciliation: Reconciliation,
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    """The transaction that signs a reconciliation; entries in the order of domain 3.7.

    MedicationStatements, the snapshot List (10160-0) and the List of changes, Tasks, Procedure,
    Provenance: each by PUT to an id that follows from session, role and line, so that sending it
    again changes nothing. The previous snapshot is retired under If-Match. Same arguments, same bytes.

    Raises: PermissionError if the role may not sign; ValueError if a line is open or a decision
    does not stand (the messages of `decide.completeness`).
    """
    raise NotImplementedError
