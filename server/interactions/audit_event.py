"""A sealed audit row as a FHIR AuditEvent, shaped by IHE's Basic Audit Log Patterns (BALP 1.1.4).

What kind of event an interaction is stands in `policy/audit_events.json`. A profile is claimed only where all
it asks for is there. One row is one event, whoever many patients it names; BALP would have one for each
patient.
Sources: profiles.ihe.net/ITI/BALP, hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

from server.interactions.version import instant
from server.policy.audit_events import OWN_SYSTEM, Code, Kind, denied, kind, kinds
from server.storage.audit_values import AuditRow

BALP = "https://profiles.ihe.net/ITI/BALP/"
TYPE = "AuditEvent"
# Systems of the identifiers by which events name whom and what no resource stands for.
SERVER_SYSTEM, CLIENT_SYSTEM, USER_SYSTEM = "urn:ietf:rfc:3986", "urn:baton:client", "urn:baton:user"
TOKEN_PREFIX = "urn:ietf:params:oauth:jti:"  # noqa: S105 - of the name of one
PURPOSE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

# HTTP status, from which on -> outcome. Source: hl7.org/fhir/R4/valueset-audit-event-outcome.html
OUTCOMES = ((500, "8"), (400, "4"), (0, "0"))
DENIALS = (401, 403)

_PERSON = {
    "system": "http://terminology.hl7.org/CodeSystem/audit-entity-type",
    "code": "1",
    "display": "Person",
}
_OBJECT = {**_PERSON, "code": "2", "display": "System Object"}
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_PATIENT_ROLE = {"system": _ROLES, "code": "1", "display": "Patient"}
_RESOURCE_ROLE = {"system": _ROLES, "code": "4", "display": "Domain Resource"}
_QUERY_ROLE = {"system": _ROLES, "code": "24", "display": "Query"}
_REQUEST = {"system": f"{BALP}CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
_DETAIL = {"system": "urn:baton:audit-entity", "code": "detail"}
_TOKEN_AGENT = {"system": f"{BALP}CodeSystem/UserAgentTypes", "code": "UserOauthAgent"}
_SERVER_SOURCE = {
    "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
    "code": "4",
    "display": "Application Server",
}
_IP, _URI = "2", "5"  # hl7.org/fhir/R4/valueset-network-type.html
_ACTORS = ("Practitioner/", "PractitionerRole/", "Patient/", "RelatedPerson/", "Device/", "Organization/")


def audit_event(sequence: int, row: AuditRow, base_url: str) -> dict[str, Any]:
    """The AuditEvent of a row. sequence: its number in the chain, which is the id. base_url: the FHIR base."""
    of = kind(row.interaction)
    event: dict[str, Any] = {
        "resourceType": TYPE,
        "id": str(sequence),
        "meta": {"versionId": "1", "lastUpdated": instant(row.recorded)},
        "type": _coding(of.type),
        "subtype": [_coding(code) for code in _subtypes(of, row)],
        "action": of.action,
        "recorded": instant(row.recorded),
        "outcome": next(code for least, code in OUTCOMES if row.outcome >= least),
        "outcomeDesc": f"HTTP {row.outcome}",
        "agent": _agents(of, row, base_url),
        "source": {"site": base_url, "observer": _server(base_url), "type": [_SERVER_SOURCE]},
        "entity": _entities(of, row),
    }
    if row.purpose:
        event["purposeOfEvent"] = [_purpose(row)]
    if not event["entity"]:
        del event["entity"]
    profiles = _profiles(of, row, event)
    if profiles:
        event["meta"]["profile"] = [f"{BALP}StructureDefinition/IHE.BasicAudit.{name}" for name in profiles]
    return event


def _subtypes(of: Kind, row: AuditRow) -> tuple[Code, ...]:
    own = () if row.interaction in kinds() else (Code(OWN_SYSTEM, row.interaction),)
    refused = (denied(),) if is_denial(of, row.outcome) else ()
    return (*of.subtypes, *own, *refused)


def is_denial(of: Kind, outcome: int) -> bool:
    """Whether an event was refused because of who asked."""
    return of.type.code == "rest" and outcome in DENIALS


def _agents(of: Kind, row: AuditRow, base_url: str) -> list[dict[str, Any]]:
    agents = []
    if row.principal or row.username or row.token_id:
        types = [_coding(of.user)] + ([_TOKEN_AGENT] if row.token_id else [])
        user: dict[str, Any] = {"type": {"coding": types}, "requestor": True}
        who = _who(row)
        if who:
            user["who"] = who
        if row.token_id:
            user["policy"] = [TOKEN_PREFIX + row.token_id]
        if row.purpose:
            user["purposeOfUse"] = [_purpose(row)]
        agents.append(user)
    if row.client_id:
        client: dict[str, Any] = {
            "type": {"coding": [_coding(of.client)]},
            "who": _identified(CLIENT_SYSTEM, row.client_id),
            "requestor": not agents,
        }
        agents.append(client)
    elif row.address:
        agents.append({"type": {"coding": [_coding(of.client)]}, "requestor": not agents})
    if row.address:
        agents[-1]["network"] = {"address": row.address, "type": _IP}
    if row.organization:
        agents.append({"who": {"reference": row.organization}, "requestor": not agents})
    agents.append(
        {
            "type": {"coding": [_coding(of.server)]},
            "who": _server(base_url),
            "requestor": not agents,
            "network": {"address": base_url, "type": _URI},
        }
    )
    return agents


def _who(row: AuditRow) -> dict[str, Any]:
    """The person, or the backend client that acts for itself; commands on the host are named by a text."""
    who: dict[str, Any] = {}
    if row.principal.startswith(_ACTORS):
        who["reference"] = row.principal
    if row.username:
        who |= _identified(USER_SYSTEM, row.username)
    elif row.principal == f"Client/{row.client_id}":
        who |= _identified(CLIENT_SYSTEM, row.client_id)
    elif not who and row.principal:
        who["display"] = row.principal
    return who


def _entities(of: Kind, row: AuditRow) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = [
        {"what": {"reference": f"Patient/{id}"}, "type": _PERSON, "role": _PATIENT_ROLE}
        for id in row.patient.split()
    ]
    if row.resource_type and row.id:
        version = f"/_history/{row.version_id}" if row.version_id else ""
        what = f"{row.resource_type}/{row.id}{version}"
        entities.append({"what": {"reference": what}, "type": _OBJECT, "role": _RESOURCE_ROLE})
    if row.interaction.startswith("search-"):
        # The names of the parameters that were understood; their values are never kept.
        asked = f"{row.resource_type}?{'&'.join(quote(name, safe=':') for name in row.detail.split())}"
        query = b64encode(asked.encode()).decode()
        entities.append({"type": _OBJECT, "role": _QUERY_ROLE, "query": query, **_results(row)})
    elif row.detail.strip() or (not row.id and (row.results or row.resource_type)):
        said: dict[str, Any] = {"type": _DETAIL, **_results(row)}
        if row.resource_type and not row.id:
            said["name"] = row.resource_type
        if row.detail.strip():
            said["description"] = row.detail
        entities.append(said)
    if row.request_id:
        entities.append({"what": {"identifier": {"value": row.request_id}}, "type": _REQUEST})
    return entities


def _results(row: AuditRow) -> dict[str, Any]:
    """How many resources went out."""
    return {"detail": [{"type": "results", "valueString": str(row.results)}]} if row.results else {}


def _profiles(of: Kind, row: AuditRow, event: dict[str, Any]) -> list[str]:
    """The BALP profiles that an event conforms to."""
    names = []
    complete = row.outcome < 400 and row.client_id and row.address and row.id and row.request_id
    patients = len(row.patient.split())
    if of.profiles and complete and patients < 2 and (not row.token_id or "who" in event["agent"][0]):
        names.append(of.profiles[patients])
    if row.token_id:
        names.append("OAUTHaccessTokenUse.Minimal")
    return names


def _server(base_url: str) -> dict[str, Any]:
    return _identified(SERVER_SYSTEM, base_url)


def _identified(system: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


def _purpose(row: AuditRow) -> dict[str, Any]:
    return {"coding": [{"system": PURPOSE_SYSTEM, "code": row.purpose}]}


def _coding(code: Code) -> dict[str, str]:
    coding = {"system": code.system, "code": code.code}
    return {**coding, "display": code.display} if code.display else coding
