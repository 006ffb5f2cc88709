"""Demonstration mode: logins for every role, their synthetic Practitioners, and the registered app.

All of it may be repeated: what is there already stays. Passwords are made at the first start and kept, mode
0600, in BATON_HOME/demo-logins.json as [{username, password, role, practitioner}].
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from server.app import make_context, now
from server.auth.clients import ASYMMETRIC, Registration, client_row
from server.auth.context import AuthContext, auth_context
from server.auth.credentials import hash_password
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.interactions.perform import perform
from server.interactions.request import InteractionRequest, InteractionResponse
from server.settings import Settings
from server.storage import open_store
from server.storage.authorization import UserRow

LOGINS_FILE = "demo-logins.json"
APP_KEYS_FILE = "app-jwks.json"  # the app's public keys; its own preparation writes them
APP_CLIENT = "baton-app"
WORKER_CLIENT = "baton-app-worker"
EXCHANGE_CLIENT = "baton-app-exchange"

_APP_TYPES = {
    "AllergyIntolerance": "rs",
    "Communication": "crus",
    "Condition": "rs",
    "DetectedIssue": "crus",
    "Encounter": "crus",
    "EpisodeOfCare": "crus",
    "List": "crus",
    "Location": "rs",
    "Medication": "rs",
    "MedicationDispense": "rs",
    "MedicationRequest": "rs",
    "MedicationStatement": "crus",
    "Observation": "rs",
    "Organization": "rs",
    "Patient": "rs",
    "Practitioner": "rs",
    "PractitionerRole": "rs",
    "Procedure": "crus",
    "Provenance": "crus",
    "Task": "crus",
}
_WORKER_TYPES = {
    "Encounter": "rs",
    "EpisodeOfCare": "crus",
    "Patient": "rs",
    "Practitioner": "rs",
    "Task": "crus",
}

_EXCHANGE_TYPES = {
    "Communication": "crus",
    "DetectedIssue": "crus",
    "List": "crus",
    "MedicationStatement": "crus",
    "Patient": "rs",
    "Practitioner": "rs",
    "Procedure": "crus",
    "Task": "crus",
}

_QUALIFICATIONS = "http://terminology.hl7.org/CodeSystem/v2-0360"

Perform = Callable[[Principal, InteractionRequest], InteractionResponse]


@dataclass(frozen=True, slots=True)
class _Person:
    username: str
    role: str
    given: str
    family: str
    qualification: tuple[str, str] | None  # code of HL7 table 0360 ("" where it has none) and its words

    @property
    def practitioner_id(self) -> str:
        return f"demo-{self.username}"

    @property
    def display(self) -> str:
        return f"{self.given} {self.family} (synthetic)"


_PEOPLE = (
    _Person("rn", "rn", "Demo", "Nurse", ("RN", "Registered Nurse")),
    _Person("pharmacist", "pharmacist", "Demo", "Pharmacist", ("RPH", "Registered Pharmacist")),
    _Person("ma", "ma", "Demo", "Assistant", ("MDA", "Medical Assistant")),
    _Person("supervisor", "supervisor", "Demo", "Supervisor", ("", "Care management supervisor")),
    _Person("prescriber", "prescriber", "Demo", "Prescriber", ("MD", "Doctor of Medicine")),
    _Person("engineer", "engineer", "Demo", "Engineer", None),
    _Person("visiting", "community", "Demo", "Visiting Nurse", ("RN", "Registered Nurse")),
)


def ensure_demo(settings: Settings) -> None:
    """Logins, Practitioners and clients of the demonstration. The database has this program's schema."""
    store = open_store(settings.database_url)
    context = auth_context(
        store.authorization,
        store,
        base_url=settings.base_url,
        home=settings.home,
        secret_key=settings.secret_key,
        clock=now,
        outbound=settings.outbound_allow,
    )
    fhir = make_context(settings, store)
    ensure_demo_accounts(context, settings.home, lambda who, what: perform(fhir, who, what))
    ensure_demo_clients(context, settings.home, settings.app_url)
    store.close()


def ensure_demo_accounts(context: AuthContext, home: Path, perform: Perform) -> None:
    """The logins and their Practitioners. perform: one FHIR interaction of a principal."""
    author = Principal("baton-demo", parse_scopes("system/Practitioner.crus"))
    for person in _PEOPLE:
        # An identical update makes no version, so this may be repeated.
        request = InteractionRequest(
            "update", "Practitioner", person.practitioner_id, body=_practitioner(person)
        )
        perform(author, request)
    logins, fresh = _logins(home)
    for person in _PEOPLE:
        if person.username not in logins:
            continue  # a demonstration of an older release has no password for it
        if fresh or context.rows.user(person.username) is None:
            context.rows.put_user(
                UserRow(
                    username=person.username,
                    password_hash=hash_password(logins[person.username]),
                    role=person.role,
                    practitioner_id=person.practitioner_id,
                    display=person.display,
                )
            )


def _practitioner(person: _Person) -> dict[str, Any]:
    practitioner: dict[str, Any] = {
        "resourceType": "Practitioner",
        "id": person.practitioner_id,
        "meta": {
            "tag": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                    "code": "HTEST",
                    "display": "test health data",
                }
            ]
        },
        "identifier": [{"system": "urn:baton:demo-login", "value": person.username}],
        "active": True,
        "name": [{"text": person.display, "family": person.family, "given": [person.given]}],
    }
    if person.qualification:
        code, words = person.qualification
        concept: dict[str, Any] = {"text": words}
        if code:
            concept["coding"] = [{"system": _QUALIFICATIONS, "code": code, "display": words}]
        practitioner["qualification"] = [{"code": concept}]
    return practitioner


def _logins(home: Path) -> tuple[dict[str, str], bool]:
    """User name -> password, and whether they have just been made."""
    path = home / LOGINS_FILE
    fresh = not path.exists()
    if fresh:
        rows = [
            {
                "username": person.username,
                "password": secrets.token_urlsafe(9),
                "role": person.role,
                "practitioner": f"Practitioner/{person.practitioner_id}",
            }
            for person in _PEOPLE
        ]
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(rows, stream, indent=2)
        # Another process of the same start may have been quicker: then its passwords count.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return {row["username"]: row["password"] for row in json.loads(path.read_text("utf-8"))}, fresh


def ensure_demo_clients(context: AuthContext, home: Path, app_url: str) -> None:
    """The app and its background worker, with the keys that the app keeps in BATON_HOME.

    Nothing is registered while those keys are missing.
    """
    path = home / APP_KEYS_FILE
    if not path.exists():
        return
    jwks = json.loads(path.read_text("utf-8"))
    app = Registration(
        client_id=APP_CLIENT,
        name="Baton care transitions",
        kind=ASYMMETRIC,
        scope=" ".join(
            ("launch", "launch/patient", "openid", "fhirUser", "offline_access", *_scopes("user", _APP_TYPES))
        ),
        redirect_uris=(f"{app_url}/callback",),
        launch_url=f"{app_url}/launch",
        frame_ancestors=(context.base_url,),
        jwks=jwks,
        trusted=True,
    )
    worker = Registration(
        client_id=WORKER_CLIENT,
        name="Baton care transitions, background worker",
        kind=ASYMMETRIC,
        scope=" ".join(_scopes("system", _WORKER_TYPES)),
        backend=True,
        jwks=jwks,
    )
    exchange = Registration(
        client_id=EXCHANGE_CLIENT,
        name="Baton care transitions, launched by another EHR",
        kind=ASYMMETRIC,
        scope=" ".join((*_scopes("patient", _EXCHANGE_TYPES), "user/Provenance.cu")),
        exchange=True,
        jwks=jwks,
    )
    for registration in (app, worker, exchange):
        row = client_row(registration, "", context.clock())
        known = context.rows.client(row.client_id)
        # Replacing a client ends cached tokens everywhere, so only a real change is written; one that an
        # operator disabled stays disabled.
        if known is not None:
            row = replace(row, created=known.created, disabled=known.disabled)
        if row != known:
            context.rows.put_client(row)


def _scopes(level: str, types: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{level}/{resource_type}.{permissions}" for resource_type, permissions in types.items())
