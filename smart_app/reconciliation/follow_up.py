"""Decisions that somebody else has to act on -> Tasks (domain 3.7)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from fhir.resources.R4B.task import Task

from smart_app.reconciliation.decide import clarify_due, has_high_alert, role_rule
from smart_app.reconciliation.draft import instant
from smart_app.reconciliation.identity import identifier, resource_id
from smart_app.reconciliation.records import Decision, DecisionKind, Group, Reconciliation, Signing
from smart_app.reconciliation.statements import Chart, concerned, newest
from terminology.systems import BATON

CLARIFY, CHANGE, RESUME, ADHERENCE = (
    "clarify-medication",
    "change-medication",
    "resume-medication",
    "support-adherence",
)
_WORDS = {
    CLARIFY: "Clarify a medication",
    CHANGE: "Change a medication order",
    RESUME: "Take up a held medication again",
    ADHERENCE: "Find out why a medication is not taken",
}


def tasks(
    signing: Signing, reconciliation: Reconciliation, group: Group, decision: Decision, chart: Chart
) -> list[dict[str, Any]]:
    """The Tasks of one decided line: a question, a change of order, a resumption, adherence."""
    high = has_high_alert(reconciliation, group)
    now = signing.signed_at
    name = " and ".join(dict.fromkeys(item.medication.name for item in concerned(group)))
    asked = (decision.reason or "").strip()
    match decision.kind:
        case DecisionKind.CLARIFY:
            words = f"{name}: {asked or group.reason}"
            return [
                _task(signing, group, CLARIFY, words, signing.prescriber, clarify_due(now, high), high, chart)
            ]
        case DecisionKind.DEFER:
            words = f"Decide about {name}: {asked}"
            return [_task(signing, group, CLARIFY, words, signing.author, clarify_due(now, high), high, chart)]
        case DecisionKind.HOLD:
            due = _end_of(decision, now) or clarify_due(now, high=False)
            words = f"Held: {name}. {asked}"
            return [_task(signing, group, RESUME, words, signing.author, due, high, chart)]
        case DecisionKind.NOT_TAKING:
            words, due = f"Not taking {name}: {asked}", clarify_due(now, high=False)
            return [_task(signing, group, ADHERENCE, words, signing.author, due, high, chart)]
        case DecisionKind.MODIFY | DecisionKind.STOP if not role_rule(signing.role).may_order:
            if decision.kind is DecisionKind.STOP and not group.after:
                return []
            target = f"{name}: {(decision.regimen or 'stop').strip()}. {asked}"
            due = clarify_due(now, high)
            return [_task(signing, group, CHANGE, target, signing.prescriber, due, high, chart)]
        case _:
            return []


def _end_of(decision: Decision, now: datetime) -> datetime | None:
    """The beginning of the day on which it is to be taken up again, never in the past."""
    if decision.resume is None:
        return None
    return max(datetime.combine(decision.resume, time(), now.tzinfo), now + timedelta(minutes=1))


def _task(
    signing: Signing,
    group: Group,
    code: str,
    words: str,
    owner: str | None,
    due: datetime,
    high: bool,
    chart: Chart,
) -> dict[str, Any]:
    focus = newest(group)[0].reference
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": resource_id(signing.session_id, f"task-{code}", group.key),
        "identifier": [identifier(signing.session_id, f"task-{code}", group.key)],
        "status": "requested",
        "intent": "order",
        "priority": "urgent" if high else "routine",
        "code": {"coding": [{"system": BATON, "code": code}], "text": _WORDS[code]},
        "description": words.strip(),
        "focus": {"reference": chart.reference(focus)},
        "for": {"reference": signing.patient},
        "authoredOn": instant(signing.signed_at),
        "requester": {"reference": signing.author},
        "restriction": {"period": {"end": instant(due)}},
    }
    if signing.encounter:
        task["encounter"] = {"reference": signing.encounter}
    if owner:
        task["owner"] = {"reference": owner}
    Task.model_validate(task)
    return task
