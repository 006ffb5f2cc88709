"""Apps and services made with other people's libraries, unchanged: launched alone, from an EHR, and as
services.

PyPI fhirclient (its own OAuth; as a service: test_fhirclient.py), Authlib (public and confidential apps,
private_key_jwt), and fhirpy with tokens that Authlib gets. The steps are those of
docs/how-to/connect-other-clients.md. Sources: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html,
hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from asking.pages import Choices, Page, Person
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from fhirclient.client import FHIRClient
from fhirclient.models.condition import Condition
from fhirpy import SyncFHIRClient
from joserfc.jwk import RSAKey

pytestmark = pytest.mark.network

CALLBACK = "http://127.0.0.1:9/callback"
LAUNCH = "http://127.0.0.1:9/launch"
SCOPE = (
    "launch launch/patient openid fhirUser offline_access patient/Patient.rs patient/Condition.rs"
    " user/Practitioner.rs"
)


@dataclass(frozen=True, slots=True)
class Clinic:
    """A synthetic patient with a doctor who has an account. login: user name and password."""

    patient: str
    family: str
    login: tuple[str, str]


@pytest.fixture(scope="module")
def clinic(running: Any) -> Clinic:
    name = f"smart{secrets.token_hex(4)}"
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/fhir+json"}
    doctor = {"reference": f"Practitioner/{name}"}
    subject = {"reference": f"Patient/{name}"}
    resources: list[dict[str, Any]] = [
        {"resourceType": "Practitioner", "id": name, "name": [{"family": "Doctor"}]},
        {
            "resourceType": "Patient",
            "id": name,
            "name": [{"family": name.title(), "given": ["Synthetic"]}],
            "generalPractitioner": [doctor],
        },
        {
            "resourceType": "CareTeam",
            "id": name,
            "status": "active",
            "subject": subject,
            "participant": [{"member": doctor}],
        },
        {"resourceType": "Condition", "id": name, "code": {"text": "Synthetic asthma"}, "subject": subject},
    ]
    for resource in resources:
        url = f"{running.base}/{resource['resourceType']}/{name}"
        assert requests.put(url, json=resource, headers=headers, timeout=30).status_code == 201
    password = secrets.token_urlsafe(20)
    running.baton(
        *("user", "add", name, "--role", "prescriber", "--practitioner", f"Practitioner/{name}"),
        *("--name", "Synthetic Doctor", "--password-file", "-"),
        typed=password + "\n",
    )
    return Clinic(name, name.title(), (name, password))


@pytest.fixture
def person(running: Any, clinic: Clinic) -> Person:
    return Person(running.base.removesuffix("/fhir"), *clinic.login)


def register(running: Any, *options: str) -> dict[str, Any]:
    """`baton client add` of an app of these people."""
    made = running.baton(
        *("client", "add", "--name", "Other people's app", "--redirect-uri", CALLBACK, "--scope", SCOPE),
        *options,
    )
    return dict(json.loads(made))


def allow(person: Person, clinic: Clinic, url: str) -> str:
    """Where a person's answers to the pages lead."""
    left = person.decide(url, Choices((clinic.patient, clinic.family)))
    assert left.startswith(CALLBACK)
    return left


def launch(running: Any, person: Person, clinic: Clinic, client_id: str) -> dict[str, str]:
    """iss and launch that the EHR gives when the person opens the app on the chart."""
    address = f"{person.origin}/ehr/patients/{clinic.patient}/apps/{client_id}"
    page = person.open(address)
    assert isinstance(page, Page)
    if any(form.named("password") for form in page.forms):
        page = person.sign_in(page)
    if isinstance(page, Page) and not page.frames:
        page = person.open(address)
    assert isinstance(page, Page)
    left = person.open(page.frames[0])
    assert isinstance(left, str)
    return dict(parse_qsl(urlsplit(left).query))


# PyPI fhirclient ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["--public", "--confidential"])
def test_fhirclient_alone(running: Any, person: Person, clinic: Clinic, kind: str) -> None:
    told = register(running, kind)
    settings = {
        "app_id": told["client_id"],
        "app_secret": told.get("client_secret"),
        "api_base": running.base,
        "redirect_uri": CALLBACK,
        "scope": "openid fhirUser offline_access patient/Patient.rs patient/Condition.rs",
    }
    app = FHIRClient(settings=settings)
    assert app.prepare() is False
    app.handle_callback(allow(person, clinic, app.authorize_url))
    assert app.ready
    assert app.patient.name[0].family == clinic.family
    (condition,) = Condition.where({"patient": clinic.patient}).perform_resources(app.server)
    assert condition.code.text == "Synthetic asthma"
    assert app.reauthorize()
    assert app.patient_id == clinic.patient


def test_fhirclient_from_an_ehr(running: Any, person: Person, clinic: Clinic) -> None:
    told = register(running, "--public", "--launch-url", LAUNCH)
    given = launch(running, person, clinic, told["client_id"])
    settings = {
        "app_id": told["client_id"],
        "api_base": given["iss"],
        "redirect_uri": CALLBACK,
        "launch_token": given["launch"],
        "scope": "openid fhirUser patient/Patient.rs patient/Condition.rs",
    }
    app = FHIRClient(settings=settings)
    app.prepare()
    app.handle_callback(allow(person, clinic, app.authorize_url))
    assert app.patient_id == clinic.patient
    assert app.patient.name[0].family == clinic.family


# Authlib ------------------------------------------------------------------------------------------------------


def session(running: Any, told: dict[str, Any], **more: Any) -> tuple[OAuth2Session, dict[str, Any]]:
    discovery = requests.get(f"{running.base}/.well-known/smart-configuration", timeout=30).json()
    made = OAuth2Session(
        told["client_id"],
        told.get("client_secret"),
        redirect_uri=CALLBACK,
        token_endpoint=discovery["token_endpoint"],
        revocation_endpoint=discovery["revocation_endpoint"],
        code_challenge_method="S256",
        **more,
    )
    return made, discovery


@pytest.mark.parametrize(("kind", "method"), [("--public", "none"), ("--confidential", "client_secret_basic")])
def test_authlib_alone(running: Any, person: Person, clinic: Clinic, kind: str, method: str) -> None:
    told = register(running, kind)
    scope = "launch/patient offline_access patient/Patient.rs"
    app, discovery = session(running, told, scope=scope, token_endpoint_auth_method=method)
    verifier = generate_token(64)
    url, _ = app.create_authorization_url(
        discovery["authorization_endpoint"], code_verifier=verifier, aud=running.base
    )
    token = app.fetch_token(authorization_response=allow(person, clinic, url), code_verifier=verifier)
    assert token["patient"] == clinic.patient
    assert app.get(f"{running.base}/Patient/{clinic.patient}").json()["id"] == clinic.patient
    app.refresh_token()
    assert app.get(f"{running.base}/Patient/{clinic.patient}").status_code == 200
    app.revoke_token(discovery["revocation_endpoint"], token=app.token["refresh_token"])
    assert app.get(f"{running.base}/Patient/{clinic.patient}").status_code == 401


def test_authlib_from_an_ehr(running: Any, person: Person, clinic: Clinic) -> None:
    told = register(running, "--confidential", "--launch-url", LAUNCH)
    given = launch(running, person, clinic, told["client_id"])
    app, discovery = session(running, told, scope="launch openid fhirUser patient/Patient.rs")
    verifier = generate_token(64)
    url, _ = app.create_authorization_url(
        discovery["authorization_endpoint"], code_verifier=verifier, aud=given["iss"], launch=given["launch"]
    )
    token = app.fetch_token(authorization_response=allow(person, clinic, url), code_verifier=verifier)
    assert token["patient"] == clinic.patient
    assert "need_patient_banner" in token
    assert app.get(f"{running.base}/Patient/{clinic.patient}").status_code == 200


@pytest.fixture(scope="module")
def service(running: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, RSAKey]:
    """A registered backend service: its id and its key."""
    key = RSAKey.generate_key(2048, {"kid": "service-key"})
    path: Path = tmp_path_factory.mktemp("service") / "jwks.json"
    path.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    told = json.loads(
        running.baton(
            *(
                "client",
                "add",
                "--name",
                "A service",
                "--backend",
                "--jwks",
                str(path),
                "--scope",
                "system/*.rs",
            )
        )
    )
    return told["client_id"], key


def service_token(running: Any, service: tuple[str, RSAKey]) -> dict[str, Any]:
    """A token by Authlib's private_key_jwt. SMART wants another algorithm, the key's id, and an assertion of at
    most five minutes; each assertion is good once."""
    client_id, key = service
    discovery = requests.get(f"{running.base}/.well-known/smart-configuration", timeout=30).json()
    token_url = discovery["token_endpoint"]
    app = OAuth2Session(client_id, key, scope="system/Patient.rs", token_endpoint_auth_method="private_key_jwt")
    how = {"headers": {"kid": key.kid}, "claims": {"exp": int(time.time()) + 240}}
    app.register_client_auth_method(PrivateKeyJWT(token_url, alg="RS384", **how))
    return dict(app.fetch_token(token_url, grant_type="client_credentials"))


def test_authlib_as_a_service(running: Any, clinic: Clinic, service: tuple[str, RSAKey]) -> None:
    token = service_token(running, service)
    assert token["scope"] == "system/Patient.rs"
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (
        requests.get(f"{running.base}/Patient/{clinic.patient}", headers=headers, timeout=30).status_code == 200
    )
    refused = requests.get(f"{running.base}/Condition?patient={clinic.patient}", headers=headers, timeout=30)
    assert refused.status_code == 403


# fhirpy -------------------------------------------------------------------------------------------------------


def test_fhirpy_as_a_service(running: Any, clinic: Clinic, service: tuple[str, RSAKey]) -> None:
    token = service_token(running, service)["access_token"]
    client = SyncFHIRClient(running.base, authorization=f"Bearer {token}")
    patients = client.resources("Patient").search(_id=clinic.patient).fetch_all()
    assert [patient.id for patient in patients] == [clinic.patient]


def test_fhirpy_as_an_app(running: Any, person: Person, clinic: Clinic) -> None:
    """fhirpy has no OAuth of its own; with the token of an app it sees the app's patient and nobody else."""
    told = register(running, "--public")
    app, discovery = session(
        running, told, scope="launch/patient patient/Patient.rs", token_endpoint_auth_method="none"
    )
    verifier = generate_token(64)
    url, _ = app.create_authorization_url(
        discovery["authorization_endpoint"], code_verifier=verifier, aud=running.base
    )
    token = app.fetch_token(authorization_response=allow(person, clinic, url), code_verifier=verifier)
    client = SyncFHIRClient(running.base, authorization=f"Bearer {token['access_token']}")
    assert [patient.id for patient in client.resources("Patient").fetch_all()] == [clinic.patient]
