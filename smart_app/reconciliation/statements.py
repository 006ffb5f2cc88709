"""One decided line -> the MedicationStatements it writes and how the two Lists show them (domain 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir.resources.R4B.dosage import Dosage
from fhir.resources.R4B.medicationstatement import MedicationStatement
from pydantic import ValidationError

from smart_app.reconciliation.compare import different_drugs
from smart_app.reconciliation.draft import instant
from smart_app.reconciliation.identity import identifier, resource_id
from smart_app.reconciliation.items import spoken_dosages
from smart_app.reconciliation.records import (
    Decision,
    DecisionKind,
    DifferenceKind,
    Group,
    GroupKind,
    Item,
    Signing,
)
from smart_app.reconciliation.words import item_words
from terminology.names import fold
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
class Outcome:
    """What one decision makes of some items of a line: their status, flag and place."""

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


def newest(group: Group) -> tuple[Item, ...]:
    """The items after, else those before."""
    return group.after or group.before


def concerned(group: Group) -> tuple[Item, ...]:
    """The items a decision about the whole line speaks of: both sides where they are different drugs."""
    return (*group.before, *group.after) if different_drugs(group) else newest(group)


def outcomes(group: Group, decision: Decision) -> list[Outcome]:
    """What a decision writes of a group, so also what the pages say it will."""
    match decision.kind:
        case DecisionKind.CONTINUE if different_drugs(group):
            if group.kind is GroupKind.CHANGED:  # linked records: the one replaces the other
                return _replaced(group)
            return [
                Outcome(group.before, "active", UNCHANGED, True),
                Outcome(group.after, "active", PRESCRIBED, True),
            ]
        case DecisionKind.CONTINUE:
            return [Outcome(newest(group), "active", UNCHANGED if _as_before(group) else CHANGED, True)]
        case DecisionKind.NEW:
            return [Outcome(group.after, "active", PRESCRIBED, True)]
        case DecisionKind.MODIFY:
            old = Outcome(group.before or group.after, "stopped", CEASED, False, "old", True)
            return [Outcome(newest(group), "active", CHANGED, True), old]
        case DecisionKind.SUBSTITUTE:
            return _replaced(group)
        case DecisionKind.STOP | DecisionKind.DUPLICATE_MERGE:
            return [Outcome(concerned(group), "stopped", CEASED, False, reason=True)]
        case DecisionKind.NOT_TAKING:
            return [Outcome(concerned(group), "not-taken", CEASED, False, reason=True)]
        case DecisionKind.HOLD:
            return [Outcome(concerned(group), "on-hold", SUSPENDED, True, reason=True)]
        case _:
            return _open(group)


def _replaced(group: Group) -> list[Outcome]:
    return [
        Outcome(group.after, "active", PRESCRIBED, True),
        Outcome(group.before, "stopped", CEASED, False, "old", True),
    ]


def _open(group: Group) -> list[Outcome]:
    """Until the answer: what was taken before stays as it was; what was not is only intended."""
    found = [Outcome(group.before, "unknown", None, True)] if group.before else []
    if not group.before or different_drugs(group):
        found.append(Outcome(group.after, "intended", None, True))
    return found


def _as_before(group: Group) -> bool:
    """Whether a line that goes on is told as unchanged: known to be the same, or the same to the word."""
    if group.kind in (GroupKind.IDENTICAL, GroupKind.ONLY_BEFORE):
        return True
    lines = {(fold(item.medication.original), fold(item.sig.text)) for item in (*group.before, *group.after)}
    unknown = {difference.kind for difference in group.differences} <= {DifferenceKind.INCOMPLETE}
    return unknown and len(lines) == 1 and all(all(words) for words in lines)


def statements(
    signing: Signing, group: Group, decision: Decision, merged: Sequence[Item], chart: Chart
) -> list[Statement]:
    """The MedicationStatements of one decided line.

    merged: items of other lines that were decided to be the same as this one.
    """
    found = []
    for plan in outcomes(group, decision):
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
    signing: Signing, group: Group, decision: Decision, plan: Outcome, item: Item, chart: Chart
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
        notes[:0] = ["Open: a question about this line has not been answered yet.", *_other_side(group, item)]
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


def _other_side(group: Group, item: Item) -> list[str]:
    """What an open line says after the discharge, where it is written as it was before."""
    if item not in group.before or different_drugs(group):
        return []
    return [f"After the discharge: {item_words(other)}" for other in group.after]


def medication_concept(item: Item) -> dict[str, Any]:
    """The medicine as its source has it, else (a Medication elsewhere) as it was understood.

    Codes without any words get the name they were understood by: a list is for people.
    """
    concept = item.resource.get("medicationCodeableConcept")
    if isinstance(concept, Mapping) and concept:
        codings = concept.get("coding")
        named = concept.get("text") or any(coding.get("display") for coding in codings or ())
        return dict(concept) if named else {**concept, "text": item.medication.name}
    found: dict[str, Any] = {"text": item.medication.original or item.medication.name}
    if item.medication.rxcui:
        found["coding"] = [{"system": RXNORM, "code": item.medication.rxcui, "display": item.medication.name}]
    return found


def _dosages(item: Item) -> list[dict[str, Any]]:
    """The dosages of the source as they stand, coded ones with their words added; one that is not valid R4 is
    kept by its text alone.

    People read the signed list, the patient among them: it says in words what the source only coded.
    """
    found = []
    for dosage, words in spoken_dosages(item.resource, item.medication):
        try:
            Dosage.model_validate(dosage)
            kept = dict(dosage)
        except ValidationError:
            kept = {}
        if kept or words:
            found.append({"text": words} | kept | {"text": words} if words else kept)
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
