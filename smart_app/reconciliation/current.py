"""Which records are lines of a current medication list, by status and intent: stated rules, no guess.

Source: hl7.org/fhir/R4/valueset-medicationrequest-status.html and its siblings; docs/reconciliation.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOT_CURRENT = {
    "entered-in-error": "It was entered in error.",
    "cancelled": "It was cancelled.",
    "stopped": "It was stopped.",
    "completed": "It is completed.",
    "draft": "It is a draft.",
    "on-hold": "It is on hold: not to be taken now.",
    "not-taken": "The patient does not take it.",
    "declined": "It was declined.",
    "preparation": "It was not handed over yet.",
}
_DISPENSED = {"completed", "in-progress", "unknown"}
_NO_ORDER = {"proposal": "It is a proposal, not an order.", "option": "It is one of several options."}


def why_not_current(resource: Mapping[str, Any]) -> str | None:
    """The rule that keeps a record off a list; None if it is a line. An unknown status stays a line."""
    status = str(resource.get("status") or "unknown")
    if resource.get("resourceType") == "MedicationDispense":
        return None if status in _DISPENSED else _NOT_CURRENT.get(status, f"Its status is {status}.")
    if resource.get("doNotPerform") is True:
        return "It says that the medicine is not to be given."
    if resource.get("resourceType") == "MedicationRequest" and resource.get("intent") in _NO_ORDER:
        return _NO_ORDER[str(resource["intent"])]
    return _NOT_CURRENT.get(status)
