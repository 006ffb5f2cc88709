"""Decisions -> one FHIR transaction Bundle: the signed list and its trail (domain 3.7).

Resources are plain dicts, so that amounts copied from the chart keep every digit; each is checked
against its fhir.resources model before it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir.resources.R4B.list import List as FhirList
from fhir.resources.R4B.procedure import Procedure
from fhir.resources.R4B.provenance import Provenance

from smart_app.reconciliation.collect import RECONCILED_LIST
from smart_app.reconciliation.decide import completeness, role_rule
from smart_app.reconciliation.draft import instant
from smart_app.reconciliation.follow_up import tasks
from smart_app.reconciliation.identity import identifier, resource_id
from smart_app.reconciliation.records import (
    Collected,
    Decision,
    DecisionKind,
    Item,
    Reconciliation,
    Signing,
    SourceVersion,
)
from smart_app.reconciliation.statements import CEASED, Chart, Statement, statements
from terminology.systems import (
    BATON,
    LOINC,
    MEDICATION_LIST_FLAG,
    PROVENANCE_PARTICIPANT,
    SNOMED_CT,
    V3_DATA_OPERATION,
)

CHANGES_CODE = "reconciliation-changes"
MEDICATION_RECONCILIATION = "430193006"
"""SNOMED CT: Medication reconciliation (procedure)."""
_WORKED_ON = ("List", "Task")
_LIST_DISPLAY = "History of Medication use Narrative"

_FLAGS = {
    "01": "Unchanged",
    "02": "Changed",
    "04": "Prescribed",
    "05": "Ceased",
    "06": "Suspended",
}


def source_versions(collected: Collected) -> tuple[SourceVersion, ...]:
    """Every resource the reconciliation rests on, with the version that was read; sorted, no repeats.

    Signing reads them again and goes back to the board when one has changed.
    """
    lines = (*collected.before, *collected.after, *collected.evidence)
    found = {line.reference: line.version for line in lines}
    found.update((allergy.reference, allergy.version) for allergy in collected.allergies)
    return tuple(SourceVersion(reference, found[reference]) for reference in sorted(found))


def write_back(
    signing: Signing,
    collected: Collected,
    reconciliation: Reconciliation,
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    """The transaction that signs a reconciliation.

    MedicationStatements, the snapshot List (10160-0) and the List of changes, Tasks, Procedure,
    Provenance: each by PUT to an id that follows from session, role and line, so that sending it
    again changes nothing: Lists and Tasks, which others work on as soon as they are there, are only
    created (If-None-Match). The previous snapshot is retired under If-Match. Same arguments, same bytes.

    Raises: PermissionError if the role may not sign; ValueError if a line is open or a decision
    does not stand (the messages of `decide.completeness`).
    """
    role = role_rule(signing.role)
    if not role.may_sign:
        raise PermissionError(f"{role.label} may not sign a reconciliation.")
    state = completeness(reconciliation, decisions)
    if not state.is_complete:
        faults = [fault for _, fault in state.faults]
        raise ValueError(" ".join([f"{len(state.open)} lines are open.", *faults]))
    chart = Chart(signing.chart_base)
    by_group = {decision.group_key: decision for decision in decisions}
    merged = _merged(reconciliation, by_group)
    written: list[Statement] = []
    follow_up: list[dict[str, Any]] = []
    for group in reconciliation.groups:
        decision = by_group[group.key]
        own = [item.reference for item in (*group.before, *group.after)]
        joined = [item for reference in own for item in merged.get(reference, ())]
        written += statements(signing, group, decision, joined, chart)
        follow_up += tasks(signing, reconciliation, group, decision, chart)
    snapshot, changes = _snapshot(signing, written), _changes(signing, written)
    resources = [*(each.resource for each in written), snapshot, changes, *follow_up, _procedure(signing)]
    resources.append(_provenance(signing, collected, resources, chart))
    entries = [_created(resource) for resource in resources]
    if retired := _retired(signing, str(snapshot["id"])):
        entries.append(retired)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _merged(reconciliation: Reconciliation, decisions: dict[str, Decision]) -> dict[str, list[Item]]:
    """Items of merged lines by the reference of the line that stays."""
    found: dict[str, list[Item]] = {}
    for group in reconciliation.groups:
        decision = decisions[group.key]
        if decision.kind is DecisionKind.DUPLICATE_MERGE and decision.survivor:
            found.setdefault(decision.survivor, []).extend((*group.before, *group.after))
    return found


def _created(resource: dict[str, Any]) -> dict[str, Any]:
    entry = _put(resource)
    if resource["resourceType"] in _WORKED_ON:
        entry["request"]["ifNoneMatch"] = "*"
    return entry


def _put(resource: dict[str, Any]) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def _list(signing: Signing, role: str, mode: str, title: str, code: dict[str, Any]) -> dict[str, Any]:
    source = {"reference": signing.author}
    if signing.author_display:
        source["display"] = signing.author_display
    resource: dict[str, Any] = {
        "resourceType": "List",
        "id": resource_id(signing.session_id, role),
        "identifier": [identifier(signing.session_id, role)],
        "status": "current",
        "mode": mode,
        "title": title,
        "code": code,
        "subject": {"reference": signing.patient},
        "date": instant(signing.signed_at),
        "source": source,
    }
    if signing.encounter:
        resource["encounter"] = {"reference": signing.encounter}
    return resource


def _flag(code: str) -> dict[str, Any]:
    return {"coding": [{"system": MEDICATION_LIST_FLAG, "code": code, "display": _FLAGS[code]}]}


def _entry(statement: Statement) -> dict[str, Any]:
    """Without a date, which only a working list may have (lst-3)."""
    entry: dict[str, Any] = {"flag": _flag(statement.flag)} if statement.flag else {}
    return entry | {"item": {"reference": statement.reference}}


def _snapshot(signing: Signing, written: Sequence[Statement]) -> dict[str, Any]:
    """What to take now: ceased lines are not on it, open questions are, without a flag."""
    code = {
        "coding": [
            {"system": LOINC, "code": RECONCILED_LIST, "display": "History of Medication use Narrative"}
        ],
        "text": "Reconciled medication list",
    }
    resource = _list(signing, "snapshot", "snapshot", "Reconciled medication list", code)
    entries = [_entry(statement) for statement in written if statement.taken]
    if entries:
        resource["entry"] = entries
    else:
        resource["emptyReason"] = {"text": "No medication is to be taken"}
    FhirList.model_validate(resource)
    return resource


def _changes(signing: Signing, written: Sequence[Statement]) -> dict[str, Any]:
    """Every line of the session, the ceased ones marked deleted (legal in mode `changes` only)."""
    code = {"coding": [{"system": BATON, "code": CHANGES_CODE}], "text": "Changes to the medication list"}
    resource = _list(signing, "changes", "changes", "Changes to the medication list", code)
    entries = []
    for statement in written:
        entry = _entry(statement)
        if statement.flag == CEASED:
            entry = {"flag": entry["flag"], "deleted": True, "item": entry["item"]}
        entries.append(entry)
    if entries:
        resource["entry"] = entries
    else:
        resource["emptyReason"] = {"text": "Neither list had a line"}
    FhirList.model_validate(resource)
    return resource


def _procedure(signing: Signing) -> dict[str, Any]:
    performer: dict[str, Any] = {
        "function": {"text": role_rule(signing.role).label},
        "actor": {"reference": signing.author},
    }
    resource: dict[str, Any] = {
        "resourceType": "Procedure",
        "id": resource_id(signing.session_id, "procedure"),
        "identifier": [identifier(signing.session_id, "procedure")],
        "status": "completed",
        "code": {
            "coding": [{"system": SNOMED_CT, "code": MEDICATION_RECONCILIATION}],
            "text": "Medication reconciliation",
        },
        "subject": {"reference": signing.patient},
        "performedDateTime": instant(signing.signed_at),
        "performer": [performer],
    }
    if signing.encounter:
        resource["encounter"] = {"reference": signing.encounter}
    Procedure.model_validate(resource)
    return resource


def _provenance(
    signing: Signing, collected: Collected, resources: Sequence[dict[str, Any]], chart: Chart
) -> dict[str, Any]:
    """Who signed what, from which versions of which records."""
    agents = [
        {
            "type": {"coding": [{"system": PROVENANCE_PARTICIPANT, "code": code}]},
            "who": {"reference": signing.author},
        }
        for code in ("author", "verifier")
    ]
    resource: dict[str, Any] = {
        "resourceType": "Provenance",
        "id": resource_id(signing.session_id, "provenance"),
        "target": [{"reference": f"{each['resourceType']}/{each['id']}"} for each in resources],
        "occurredDateTime": instant(signing.signed_at),
        "recorded": instant(signing.signed_at),
        "activity": {
            "coding": [{"system": V3_DATA_OPERATION, "code": "CREATE"}],
            "text": "Medication reconciliation",
        },
        "agent": agents,
    }
    entities = [
        {"role": "source", "what": {"reference": chart.reference(source.reference, source.version)}}
        for source in source_versions(collected)
    ]
    if entities:
        resource["entity"] = entities
    Provenance.model_validate(resource)
    return resource


def _retired(signing: Signing, snapshot_id: str) -> dict[str, Any] | None:
    """The previous snapshot, retired; none when there is none or when this signing is sent again."""
    previous = signing.previous_list
    if previous is None or previous.get("id") == snapshot_id or previous.get("status") == "retired":
        return None
    entry = _put({**previous, "status": "retired"})
    meta = previous.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    if not version:
        raise ValueError("The previous list has no version to retire.")
    entry["request"]["ifMatch"] = f'W/"{version}"'
    return entry
