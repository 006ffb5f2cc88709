"""One decided line -> the MedicationStatements it writes and how the two Lists show them (domain 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir.resources.R4B.dosage import Dosage
from fhir.resources.R4B.medicationstatement import MedicationStatement
from pydantic import ValidationError

from smart_app.reconciliation.draft import instant
from smart_app.reconciliation.identity import identifier, resource_id
from smart_app.reconciliation.records import Decision, DecisionKind, Group, GroupKind, Item, Signing
from terminology.systems import RXNORM

UNCHANGED, CHANGED, PRESCRIBED, CEASED, SUSPENDED = "01", "02", "04", "05", "06"
"""Change types of List.entry.flag (systems.MEDICATION_LIST_FLAG)."""
HOLD_UNTIL = "urn:baton:StructureDefinition:hold-until"

_OPEN = (DecisionKind.CLARIFY, DecisionKind.DEFER)


@dataclass(frozen=True, slots=True)
class Statement:
    """A MedicationStatement and its place: `flag` None for an open question, `taken` on the snapshot."""

    resource: dict[str, Any]
    flag: str | None
    taken: bool

    @property
    def reference(self) -> str:
        return f"MedicationStatement/{self.resource['id']}"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one decision writes of a line: which items, with which status and flag."""

    items: Sequence[Item]
    status: str
    flag: str | None
    taken: bool
    role: str = "line"
    reason: bool = False
    """The decision's reason is the status reason, not a note."""


@dataclass(frozen=True, slots=True)
class Chart:
    """How to refer to resources of the chart from the store."""

    base: str | None = field(default=None)

    def reference(self, name: str, version: str | None = None) -> str:
        """Relative where chart and store are one server, else absolute; with the version where asked."""
        history = f"/_history/{version}" if version else ""
        return f"{self.base.rstrip('/')}/{name}{history}" if self.base else f"{name}{history}"


def chosen(group: Group) -> tuple[Item, ...]:
    """The items that speak for the line from now on: those after, else those before."""
    return group.after or group.before


def _plans(group: Group, decision: Decision) -> list[_Plan]:
    current = chosen(group)
    match decision.kind:
        case DecisionKind.CONTINUE:
            same = group.kind in (GroupKind.IDENTICAL, GroupKind.ONLY_BEFORE)
            return [_Plan(current, "active", UNCHANGED if same else CHANGED, True)]
        case DecisionKind.NEW:
            return [_Plan(current, "active", PRESCRIBED, True)]
        case DecisionKind.MODIFY:
            old = _Plan(group.before or current, "stopped", CEASED, False, "old", True)
            return [_Plan(current[:1], "active", CHANGED, True), old]
        case DecisionKind.SUBSTITUTE:
            old = _Plan(group.before, "stopped", CEASED, False, "old", True)
            return [_Plan(group.after, "active", PRESCRIBED, True), old]
        case DecisionKind.STOP:
            return [_Plan(current, "stopped", CEASED, False, reason=True)]
        case DecisionKind.NOT_TAKING:
            return [_Plan(current, "not-taken", CEASED, False, reason=True)]
        case DecisionKind.HOLD:
            return [_Plan(current, "on-hold", SUSPENDED, True, reason=True)]
        case DecisionKind.DUPLICATE_MERGE:
            return [_Plan(current, "stopped", CEASED, False, reason=True)]
        case _:
            return [_Plan(current, "unknown", None, True)]


def statements(
    signing: Signing, group: Group, decision: Decision, merged: Sequence[Item], chart: Chart
) -> list[Statement]:
    """The MedicationStatements of one decided line.

    merged: items of other lines that were decided to be the same as this one.
    """
    found = []
    for plan in _plans(group, decision):
        for item in plan.items:
            line = item.reference
            resource = _resource(signing, group, decision, plan, item, chart)
            sources = sorted({each.reference for each in (*group.before, *group.after, *merged)})
            resource["derivedFrom"] = [{"reference": chart.reference(source)} for source in sources]
            resource["id"] = resource_id(signing.session_id, plan.role, line)
            MedicationStatement.model_validate(resource)
            found.append(Statement(_ordered(resource), plan.flag, plan.taken))
    return found


def _resource(
    signing: Signing, group: Group, decision: Decision, plan: _Plan, item: Item, chart: Chart
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "MedicationStatement",
        "identifier": [identifier(signing.session_id, plan.role, item.reference)],
        "status": plan.status,
        "medicationCodeableConcept": medication_concept(item),
        "subject": {"reference": signing.patient},
        "dateAsserted": instant(signing.signed_at),
        "informationSource": {"reference": signing.author},
    }
    if signing.encounter:
        resource["context"] = {"reference": signing.encounter}
    if item.reference.startswith("MedicationRequest/"):
        resource["basedOn"] = [{"reference": chart.reference(item.reference)}]
    period = {"start": item.start} if item.start else {}
    if plan.status in ("stopped", "not-taken"):
        period["end"] = instant(signing.signed_at)
    if period:
        resource["effectivePeriod"] = period
    words = "The same as another line." if decision.kind is DecisionKind.DUPLICATE_MERGE else None
    reason = (decision.reason or "").strip() or words
    if reason and plan.reason:
        resource["statusReason"] = [{"text": reason}]
    notes = [] if plan.reason or not reason else [reason]
    if decision.kind in _OPEN:
        notes.insert(0, "Open: a question about this line has not been answered yet.")
    if notes:
        resource["note"] = [
            {
                "authorReference": {"reference": signing.author},
                "time": instant(signing.signed_at),
                "text": text,
            }
            for text in notes
        ]
    if decision.kind is DecisionKind.HOLD and decision.resume:
        resource["extension"] = [{"url": HOLD_UNTIL, "valueDate": decision.resume.isoformat()}]
    if decision.kind is DecisionKind.MODIFY and plan.role == "line":
        resource["dosage"] = [{"text": (decision.regimen or "").strip()}]
    elif dosages := _dosages(item):
        resource["dosage"] = dosages
    return resource


def medication_concept(item: Item) -> dict[str, Any]:
    """The medicine as its source has it, else (a Medication elsewhere) as it was understood."""
    concept = item.resource.get("medicationCodeableConcept")
    if isinstance(concept, Mapping) and concept:
        return dict(concept)
    found: dict[str, Any] = {"text": item.medication.original or item.medication.name}
    if item.medication.rxcui:
        found["coding"] = [{"system": RXNORM, "code": item.medication.rxcui, "display": item.medication.name}]
    return found


def _dosages(item: Item) -> list[dict[str, Any]]:
    """The dosages of the source as they stand, a coded one with its words added; one that is not valid R4 is
    kept by its text alone."""
    raw = item.resource.get("dosageInstruction") or item.resource.get("dosage")
    found = []
    for dosage in raw if isinstance(raw, list) else []:
        try:
            Dosage.model_validate(dosage)
        except ValidationError:
            dosage = {"text": item.sig.text} if item.sig.text else {}
        if dosage:
            found.append(dict(dosage))
    if len(found) == 1 and not found[0].get("text") and item.sig.text:
        # People read the signed list, the patient among them: say in words what the source only coded.
        found[0] = {"text": item.sig.text, **found[0]}
    return found


_ORDER = (
    "resourceType",
    "id",
    "extension",
    "identifier",
    "basedOn",
    "status",
    "statusReason",
    "medicationCodeableConcept",
    "subject",
    "context",
    "effectivePeriod",
    "dateAsserted",
    "informationSource",
    "derivedFrom",
    "note",
    "dosage",
)


def _ordered(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: resource[name] for name in _ORDER if name in resource}
