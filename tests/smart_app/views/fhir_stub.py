"""A FHIR server at the HTTP level for the pages' tests: enough of R4 for the app's own requests.

It stands behind `responses`, so the app's real HTTP client speaks to it. It is no model of a server's
behaviour: authorization, validation and search semantics are tested against the real one.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
import responses

Resource = dict[str, Any]
TYPES = [
    "Patient",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationDispense",
    "List",
    "AllergyIntolerance",
    "Encounter",
    "Condition",
    "Observation",
    "Practitioner",
    "PractitionerRole",
    "Task",
    "Communication",
    "EpisodeOfCare",
    "Provenance",
    "Procedure",
    "Medication",
]


class FhirStub:
    """Resources by `Type/id` with their versions. `failing`: types whose searches answer 503."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.versions: dict[str, list[Resource]] = {}
        self.failing: set[str] = set()
        self.down = False
        self._lock = threading.RLock()
        self._kept: dict[str, list[Resource]] = {}

    def install(self, mock: responses.RequestsMock) -> None:
        for method in ("GET", "PUT", "POST"):
            mock.add_callback(method, re.compile(re.escape(self.base) + r"(/.*)?$"), callback=self._answer)

    def keep(self) -> None:
        """Remember what is there now, for `reset`."""
        self._kept = copy.deepcopy(self.versions)

    def reset(self) -> None:
        self.versions = copy.deepcopy(self._kept)
        self.failing, self.down = set(), False

    def put(self, *resources: Resource) -> None:
        for resource in resources:
            history = self.versions.setdefault(f"{resource['resourceType']}/{resource['id']}", [])
            stored = copy.deepcopy(resource)
            stored["meta"] = {"versionId": str(len(history) + 1), "lastUpdated": "2026-11-27T19:00:00Z"}
            history.append(stored)

    def current(self, resource_type: str) -> list[Resource]:
        return [history[-1] for name, history in self.versions.items() if name.startswith(resource_type + "/")]

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        with self._lock:
            status, body = self._route(request) if not self.down else (503, _outcome("transient"))
        headers = {"Content-Type": "application/fhir+json"}
        return status, headers, json.dumps(body)

    def _route(self, request: requests.PreparedRequest) -> tuple[int, Resource]:
        parts = urlsplit(str(request.url))
        path = [unquote(part) for part in parts.path[len(urlsplit(self.base).path) :].split("/") if part]
        if path == ["metadata"]:
            return 200, self._capabilities()
        if request.method == "POST" and not path:
            return self._transaction(json.loads(request.body or b"{}"))
        if request.method == "PUT":
            return self._update(json.loads(request.body or b"{}"), request.headers)
        if len(path) == 1:
            return self._search(path[0], parse_qsl(parts.query))
        history = self.versions.get("/".join(path[:2]))
        if not history:
            return 404, _outcome("not-found")
        return 200, history[int(path[3]) - 1] if len(path) == 4 else history[-1]

    def _search(self, resource_type: str, parameters: list[tuple[str, str]]) -> tuple[int, Resource]:
        if resource_type in self.failing:
            return 503, _outcome("transient")
        found = [each for each in self.current(resource_type) if _matches(each, parameters)]
        entries = [{"resource": each, "search": {"mode": "match"}} for each in found]
        beside = [each for name, value in parameters for each in self._beside(name, value, found)]
        entries += [{"resource": each, "search": {"mode": "include"}} for each in beside]
        return 200, {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries}

    def _beside(self, name: str, value: str, found: list[Resource]) -> list[Resource]:
        """What `_include=Task:patient|encounter` and `_revinclude=Communication:part-of` bring."""
        if name == "_include":
            element = {"Task:patient": "for", "Task:encounter": "encounter"}.get(value, "")
            names = [each.get(element, {}).get("reference", "") for each in found]
            return [self.versions[each][-1] for each in names if each in self.versions]
        if name == "_revinclude":
            tasks = {f"Task/{each['id']}" for each in found}
            return [
                each
                for each in self.current("Communication")
                if tasks.intersection(part["reference"] for part in each.get("partOf", ()))
            ]
        return []

    def _update(self, resource: Resource, headers: Any) -> tuple[int, Resource]:
        history = self.versions.get(f"{resource['resourceType']}/{resource['id']}", [])
        wanted = (headers.get("If-Match") or "").removeprefix('W/"').removesuffix('"')
        if (wanted and (not history or history[-1]["meta"]["versionId"] != wanted)) or (
            headers.get("If-None-Match") == "*" and history
        ):
            return 412, _outcome("conflict")
        if history and not wanted and resource["resourceType"] in ("List", "Task"):
            return 428, _outcome("required")
        self.put(resource)
        return (200 if history else 201), self.versions[f"{resource['resourceType']}/{resource['id']}"][-1]

    def _transaction(self, bundle: Resource) -> tuple[int, Resource]:
        before = copy.deepcopy(self.versions)
        for entry in bundle["entry"]:
            asked = entry["request"]
            headers = {
                "If-Match": asked.get("ifMatch", ""),
                "If-None-Match": asked.get("ifNoneMatch", ""),
            }
            status, outcome = self._update(entry["resource"], headers)
            if status >= 400:
                self.versions = before
                return status, outcome
        return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": []}

    def _capabilities(self) -> Resource:
        interactions = [{"code": code} for code in ("read", "vread", "search-type", "create", "update")]
        rows = [{"type": name, "interaction": interactions} for name in TYPES]
        return {
            "resourceType": "CapabilityStatement",
            "rest": [{"mode": "server", "resource": rows, "interaction": [{"code": "transaction"}]}],
        }


def _matches(resource: Resource, parameters: list[tuple[str, str]]) -> bool:
    for name, value in parameters:
        if name == "patient":
            subject = resource.get("subject") or resource.get("patient") or resource.get("for") or {}
            ids = [each.removeprefix("Patient/") for each in value.split(",")]
            if str(subject.get("reference", "")).rpartition("Patient/")[2] not in ids:
                return False
        elif name == "_id":
            if resource["id"] not in value.split(","):
                return False
        elif name == "practitioner":
            if resource.get("practitioner", {}).get("reference") != value:
                return False
        elif name == "code":
            codings = resource.get("code", {}).get("coding", [])
            wanted = {tuple(each.rpartition("|")[::2]) for each in value.split(",")}
            if not any(coding.get("code") == code for coding in codings for _, code in wanted):
                return False
        elif name == "class":
            wanted = {each.rpartition("|")[2] for each in value.split(",")}
            if resource.get("class", {}).get("code") not in wanted:
                return False
        elif name == "status" and resource.get("status") not in value.split(","):
            return False
    return True


def _outcome(code: str) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
