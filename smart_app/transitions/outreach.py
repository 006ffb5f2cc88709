"""The EpisodeOfCare and the outreach Task of a discharge, created once however often one tries (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

from smart_app.fhir_time import fhir_instant
from smart_app.transitions.discharges import Discharge
from smart_app.transitions.tcm import Deadlines, TcmRule
from terminology.systems import BATON

IDENTIFIER_SYSTEM = "urn:baton:transition"
"""Identifier system of what a discharge opens: `episode/<encounter id>`, `outreach/<encounter id>`."""
PROGRAM = "tcm"
OUTREACH = "post-discharge-outreach"
DISCHARGE_TIME, CONTACT_DUE, SERVICE_DUE = "discharge-time", "contact-due", "service-due"


def opening(discharge: Discharge, limits: Deadlines, rule: TcmRule, *, now: datetime) -> dict[str, Any]:
    """One transaction: EpisodeOfCare and Task, each only where none of its identifier exists."""
    episode = _identifier("episode", discharge)
    task = _identifier("outreach", discharge)
    episode_url = f"urn:uuid:{uuid5(NAMESPACE_URL, episode['value'])}"
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            _create(_episode(discharge, limits, episode), episode, episode_url),
            _create(
                _task(discharge, limits, rule, task, episode_url, now),
                task,
                f"urn:uuid:{uuid5(NAMESPACE_URL, task['value'])}",
            ),
        ],
    }


def _identifier(kind: str, discharge: Discharge) -> dict[str, str]:
    return {"system": IDENTIFIER_SYSTEM, "value": f"{kind}/{discharge.encounter}"}


def _create(resource: dict[str, Any], identifier: dict[str, str], full_url: str) -> dict[str, Any]:
    condition = urlencode({"identifier": f"{identifier['system']}|{identifier['value']}"})
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"], "ifNoneExist": condition},
    }


def _concept(code: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": BATON, "code": code}], "text": text}


def _episode(discharge: Discharge, limits: Deadlines, identifier: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "EpisodeOfCare",
        "identifier": [identifier],
        "status": "active",
        "type": [_concept(PROGRAM, "Transition of care")],
        "patient": {"reference": discharge.patient},
        "period": {"start": limits.discharge_date.isoformat()},
    }


def _task(
    discharge: Discharge,
    limits: Deadlines,
    rule: TcmRule,
    identifier: dict[str, str],
    episode_url: str,
    now: datetime,
) -> dict[str, Any]:
    encounter = {"reference": f"Encounter/{discharge.encounter}"}
    inputs = [
        (DISCHARGE_TIME, "Discharged", discharge.discharged_at),
        (SERVICE_DUE, "48 hours", limits.service),
    ]
    if limits.contact is not None:
        inputs.append((CONTACT_DUE, "Two business days", limits.contact))
    last = limits.contact or limits.service
    return {
        "resourceType": "Task",
        "identifier": [identifier],
        "basedOn": [{"reference": episode_url}],
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": _concept(OUTREACH, "First contact after a discharge"),
        "focus": encounter,
        "for": {"reference": discharge.patient},
        "encounter": encounter,
        "authoredOn": fhir_instant(now),
        "lastModified": fhir_instant(now),
        "restriction": {"period": {"start": fhir_instant(discharge.discharged_at), "end": fhir_instant(last)}},
        "input": [
            {"type": _concept(code, text), "valueDateTime": fhir_instant(moment)}
            for code, text, moment in inputs
        ],
        "note": [{"text": f"Limits after rule version {rule.version}, in force from {rule.effective_from}"}],
    }
