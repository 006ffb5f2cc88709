"""Decisions <-> the autosaved draft: a List coded `reconciliation-draft`, mode `working`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from fhir.resources.R4B.list import List as FhirList

from smart_app.reconciliation.identity import identifier, resource_id
from smart_app.reconciliation.records import Decision, DecisionKind
from terminology.systems import BATON

DRAFT_CODE = "reconciliation-draft"
_TITLE = "Draft of a medication reconciliation"
_LINE = "urn:baton:reconciliation-line"
_EXTENSION = "urn:baton:StructureDefinition:decision-"


def draft_id(session_id: str) -> str:
    """Id of the one draft List of a session (UUIDv5)."""
    return resource_id(session_id, "draft")


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
    opens it finds the same draft. `patient`, `author`, `encounter` are references. Same arguments,
    same bytes. Blank texts are not kept.
    """
    resource: dict[str, Any] = {
        "resourceType": "List",
        "id": draft_id(session_id),
        "identifier": [identifier(session_id, "draft")],
        "status": "current",
        "mode": "working",
        "title": "Draft of a medication reconciliation",
        "code": {
            "coding": [{"system": BATON, "code": DRAFT_CODE}],
            "text": "Draft of a medication reconciliation",
        },
        "subject": {"reference": patient},
        "date": instant(saved_at),
    }
    if encounter:
        resource["encounter"] = {"reference": encounter}
    if author:
        resource["source"] = {"reference": author}
    if decisions:
        resource["entry"] = [_entry(decision) for decision in decisions]
    FhirList.model_validate(resource)
    return resource


def instant(moment: datetime) -> str:
    """A FHIR instant in UTC to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(decision: Decision) -> dict[str, Any]:
    values: list[tuple[str, str, object]] = [
        ("reason", "valueString", decision.reason),
        ("regimen", "valueString", decision.regimen),
        ("resume", "valueDate", decision.resume.isoformat() if decision.resume else None),
        ("survivor", "valueString", decision.survivor),
        ("bulk", "valueBoolean", True if decision.bulk else None),
    ]
    entry: dict[str, Any] = {
        "flag": {"coding": [{"system": BATON, "code": decision.kind.value}]},
        "item": {"identifier": {"system": _LINE, "value": decision.group_key}},
    }
    extensions = [
        {"url": _EXTENSION + name, kind: value}
        for name, kind, value in values
        if value is not None and not (isinstance(value, str) and not value.strip())
    ]
    return {"extension": extensions, **entry} if extensions else entry


def is_draft(resource: Mapping[str, Any]) -> bool:
    """Whether a resource is a draft List of ours."""
    codings = (resource.get("code") or {}).get("coding") or ()
    return resource.get("resourceType") == "List" and any(
        coding.get("system") == BATON and coding.get("code") == DRAFT_CODE for coding in codings
    )


def read_draft(resource: Mapping[str, Any]) -> tuple[Decision, ...]:
    """The decisions of a draft List, `read_draft(draft_list(d)) == d`.

    Raises: ValueError if the List is not a draft of ours.
    """
    if not is_draft(resource):
        raise ValueError("This List is not a draft of a reconciliation.")
    try:
        return tuple(_decision(entry) for entry in resource.get("entry") or ())
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("The draft has an entry that is no decision.") from None


def _decision(entry: Mapping[str, Any]) -> Decision:
    values = {
        str(extension["url"]).removeprefix(_EXTENSION): extension for extension in entry.get("extension") or ()
    }
    resume = values.get("resume", {}).get("valueDate")
    return Decision(
        group_key=str(entry["item"]["identifier"]["value"]),
        kind=DecisionKind(entry["flag"]["coding"][0]["code"]),
        reason=values.get("reason", {}).get("valueString"),
        regimen=values.get("regimen", {}).get("valueString"),
        resume=date.fromisoformat(resume) if resume else None,
        survivor=values.get("survivor", {}).get("valueString"),
        bulk=values.get("bulk", {}).get("valueBoolean", False),
    )
