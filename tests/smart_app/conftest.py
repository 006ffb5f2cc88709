"""Somebody else's EHR at the HTTP level: SMART authorization and as much FHIR as the app asks for.

It stands behind `responses`, so the app's own HTTP client speaks to it. Behaviour can be changed by
its fields, one fault at a time. Patients are synthetic.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import psycopg
import pytest
import requests
import responses
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.test import TestResponse

from smart_app.app import create_app
from smart_app.fhir_client import FhirClient
from smart_app.grant import Grant, User
from smart_app.issuers import Issuer, Issuers
from smart_app.joining import Joined, join, outside
from smart_app.keys import AppKeys, prepare_keys
from smart_app.outbound_http import OutboundHttp
from smart_app.session import Chart, ChartContext
from smart_app.session_store_sqlite import FILE_NAME
from smart_app.settings import Settings
from smart_app.worker import BackendToken, DischargeWatch
from terminology.rxnorm import RxNorm, open_rxnorm

Resource = dict[str, Any]
NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
"""Fri 27 Nov 2026, 10:00 in New York."""
ISS = "https://ehr.example/r4"
STORE = "https://store.example/fhir"
SCOPE = "launch openid fhirUser offline_access user/*.cruds"

NURSE = {
    "resourceType": "Practitioner",
    "id": "nurse",
    "name": [{"family": "Example", "given": ["Nora"]}],
    "qualification": [
        {"code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "RN"}]}}
    ],
}
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"use": "official", "family": "Testfall", "given": ["Anna"]}],
    "gender": "female",
    "birthDate": "1950-03-02",
    "identifier": [
        {"value": "999-00-1111", "type": {"coding": [{"code": "SS"}]}},
        {"value": "A-1", "type": {"text": "Record", "coding": [{"code": "MR"}]}},
    ],
}
DISCHARGE = {
    "resourceType": "Encounter",
    "id": "stay",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": {"reference": "Patient/p1"},
    "period": {"start": "2026-11-20T09:00:00-05:00", "end": "2026-11-25T14:00:00-05:00"},
    "serviceProvider": {"reference": "Organization/mercy"},
    "reasonCode": [{"text": "Heart failure"}],
}
MERCY = {"resourceType": "Organization", "id": "mercy", "name": "Mercy General"}


def order(order_id: str, rxcui: str, text: str, **more: Any) -> Resource:
    """An active MedicationRequest of the patient p1."""
    return {
        "resourceType": "MedicationRequest",
        "id": order_id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": rxcui}],
            "text": text,
        },
        "authoredOn": "2026-09-01T10:00:00-05:00",
        "dosageInstruction": [{"text": "1 tablet by mouth once daily"}],
    } | more


@dataclass
class Ehr:
    """One FHIR server with SMART. Every field may be changed by a test before the app asks."""

    base: str
    now: Callable[[], datetime]
    store: dict[str, list[Resource]] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=lambda: {"patient": "p1", "need_patient_banner": True})
    scope: str = SCOPE
    claims: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    token_error: str = ""
    token_life: int = 3600
    failing: dict[str, int] = field(default_factory=dict)
    """Resource type -> status that its searches answer."""
    refused: set[str] = field(default_factory=set)
    """Access tokens that are no longer good."""
    lose_answers: int = 0
    """So many transactions are done while their answer is lost."""
    ignore_parameters: bool = False
    token_requests: list[dict[str, str]] = field(default_factory=list)
    requests: list[requests.PreparedRequest] = field(default_factory=list)
    nonce: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}))
    signing_key: RSAKey | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def origin(self) -> str:
        return "https://" + urlsplit(self.base).netloc

    def put(self, *resources_: Resource) -> None:
        with self.lock:
            for resource in resources_:
                history = self.store.setdefault(f"{resource['resourceType']}/{resource['id']}", [])
                meta = {"versionId": str(len(history) + 1), "lastUpdated": self.now().isoformat()}
                history.append({**resource, "meta": meta})

    def all(self, resource_type: str) -> list[Resource]:
        return [h[-1] for name, h in self.store.items() if name.startswith(resource_type + "/")]

    def install(self, mock: responses.RequestsMock) -> None:
        for method in ("GET", "PUT", "POST"):
            mock.add_callback(method, re.compile(re.escape(self.origin) + "/.*"), callback=self._answer)

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        with self.lock:
            self.requests.append(request)
            path = urlsplit(str(request.url)).path
            if path == "/token":
                status, body = self._token(dict(parse_qsl(str(_text(request.body)))))
            elif path == "/jwks":
                status, body = 200, KeySet([self.key]).as_dict(private=False)
            elif path.endswith("/.well-known/smart-configuration"):
                status, body = self._configuration()
            elif path == "/revoke":
                status, body = 200, {}
            else:
                status, body = self._fhir(request, path)
        if isinstance(body, requests.exceptions.RequestException):
            raise body
        return status, {"Content-Type": "application/fhir+json"}, json.dumps(body)

    def _configuration(self) -> tuple[int, Resource]:
        if "smart" in self.failing:
            return self.failing["smart"], {}
        return 200, {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "revocation_endpoint": f"{self.origin}/revoke",
            "jwks_uri": f"{self.origin}/jwks",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "capabilities": ["launch-ehr", "launch-standalone"],
        }

    def _token(self, form: dict[str, str]) -> tuple[int, Resource]:
        self.token_requests.append(form)
        if self.token_status != 200:
            return self.token_status, {"error": self.token_error}
        number = len(self.token_requests)
        answer = {
            "access_token": f"access-{number}",
            "token_type": "Bearer",
            "expires_in": self.token_life,
            "scope": self.scope,
        }
        if form["grant_type"] == "client_credentials":
            return 200, answer
        seconds = int(self.now().timestamp())
        claims = {
            "iss": self.origin,
            "aud": "app-there",
            "sub": "user-1",
            "iat": seconds,
            "exp": seconds + 300,
            "nonce": self.nonce,
            "fhirUser": f"{self.base}/Practitioner/nurse",
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.signing_key or self.key
        token = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)
        return 200, {**answer, "refresh_token": f"refresh-{number}", "id_token": token, **self.context}

    def _fhir(self, request: requests.PreparedRequest, path: str) -> tuple[int, Any]:
        parts = [unquote(part) for part in path[len(urlsplit(self.base).path) :].split("/") if part]
        if parts == ["metadata"]:
            return 404, {}
        authorization = str(request.headers.get("Authorization", ""))
        if not authorization.startswith("Bearer access-") or authorization[7:] in self.refused:
            return 401, {}
        if request.method == "POST" and not parts:
            status, body = self._transaction(json.loads(_text(request.body)))
            if self.lose_answers:
                self.lose_answers -= 1
                return 0, requests.exceptions.ConnectionError()
            return status, body
        if request.method == "PUT":
            return self._update(json.loads(_text(request.body)), request.headers.get("If-Match"))
        if request.method == "GET" and len(parts) == 1:
            return self._search(parts[0], parse_qsl(urlsplit(str(request.url)).query))
        history = self.store.get("/".join(parts[:2]), [])
        if len(parts) == 4 and parts[2] == "_history":
            history = history[: int(parts[3])]
        if parts[0] in self.failing and len(parts) > 1:
            return self.failing[parts[0]], {}
        return (200, history[-1]) if history else (404, {})

    def _update(self, resource: Resource, if_match: str | None) -> tuple[int, Resource]:
        history = self.store.get(f"{resource['resourceType']}/{resource['id']}", [])
        current = history[-1]["meta"]["versionId"] if history else None
        if (if_match is None) == bool(history) or (if_match and if_match != f'W/"{current}"'):
            return 412, {
                "resourceType": "OperationOutcome",
                "issue": [{"severity": "error", "code": "conflict"}],
            }
        self.put(resource)
        return (200 if history else 201), self.all(resource["resourceType"])[-1] if not history else history[-1]

    def _transaction(self, bundle: Resource) -> tuple[int, Resource]:
        before = {name: list(history) for name, history in self.store.items()}
        links: dict[str, str] = {}
        for number, entry in enumerate(bundle["entry"]):
            asked, resource = entry["request"], entry["resource"]
            if asked["method"] == "POST":
                system, _, value = parse_qs(asked["ifNoneExist"])["identifier"][0].partition("|")
                known = [
                    r
                    for r in self.all(resource["resourceType"])
                    if {"system": system, "value": value} in r.get("identifier", [])
                ]
                new_id = known[0]["id"] if known else f"made-{len(self.store)}-{number}"
                links[entry["fullUrl"]] = f"{resource['resourceType']}/{new_id}"
                if not known:
                    text = json.dumps({**resource, "id": new_id})
                    for url, reference in links.items():
                        text = text.replace(url, reference)
                    self.put(json.loads(text))
                continue
            status = self._precondition(asked, self.store.get(asked["url"], []), resource["resourceType"])
            if status:
                self.store = before
                return status, {}
            self.put(resource)
        return 200, {"resourceType": "Bundle", "type": "transaction-response"}

    def _precondition(self, asked: Resource, history: list[Resource], resource_type: str) -> int:
        """The status of a refusal, 0 where the entry may be written. Tasks and Lists want an If-Match."""
        if_match = asked.get("ifMatch")
        current = f'W/"{history[-1]["meta"]["versionId"]}"' if history else None
        if (if_match and if_match != current) or (history and asked.get("ifNoneMatch") == "*"):
            return 412
        return 428 if history and not if_match and resource_type in ("List", "Task") else 0

    def _search(self, resource_type: str, pairs: list[tuple[str, str]]) -> tuple[int, Resource]:
        if resource_type in self.failing:
            return self.failing[resource_type], {}
        asked = dict(pairs)
        matches = [r for r in self.all(resource_type) if self.ignore_parameters or _matches(r, asked)]
        included = []
        for name, value in pairs:
            if name in ("_include", "_revinclude"):
                included += self._included(matches, value, reverse=name == "_revinclude")
        return 200, {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [
                *({"resource": r, "search": {"mode": "match"}} for r in matches),
                *({"resource": r, "search": {"mode": "include"}} for r in included),
            ],
        }

    def _included(self, matches: list[Resource], value: str, *, reverse: bool) -> list[Resource]:
        source, name = value.split(":")
        if reverse:
            mine = {f"{r['resourceType']}/{r['id']}" for r in matches}
            return [r for r in self.all(source) if mine & {p["reference"] for p in r.get("partOf", [])}]
        element = {"service-provider": "serviceProvider", "patient": "for", "medication": "medicationReference"}
        references = [r.get(element.get(name, name), {}) for r in matches]
        names = {each.get("reference", "") for each in references if isinstance(each, dict)}
        return [self.store[name][-1] for name in sorted(names) if name in self.store]


def _text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else str(body or "")


def _matches(resource: Resource, asked: dict[str, str]) -> bool:
    """The few parameters the app uses, as a test needs them."""
    if "_id" in asked and resource["id"] not in asked["_id"].split(","):
        return False
    if "patient" in asked:
        subject = resource.get("subject") or resource.get("patient") or resource.get("for") or {}
        if subject.get("reference", "").removeprefix("Patient/") not in asked["patient"].split(","):
            return False
    if "code" in asked:
        codes = {f"{c.get('system')}|{c.get('code')}" for c in resource.get("code", {}).get("coding", [])}
        if not codes & set(asked["code"].split(",")):
            return False
    if "class" in asked and isinstance(resource.get("class"), dict):
        return any(value.endswith(f"|{resource['class']['code']}") for value in asked["class"].split(","))
    return True


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    value: datetime = NOW

    def __call__(self) -> datetime:
        return self.value

    def move(self, **delta: float) -> None:
        self.value += timedelta(**delta)


@dataclass
class Browser:
    """A browser in front of the app: cookies of one jar, the headers browsers send."""

    app: Flask
    ehr: Ehr
    url: str
    client: FlaskClient
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> TestResponse:
        sent = {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document", **self.headers, **headers}
        return self.client.get(path, base_url=self.url, headers=sent)

    def post(self, path: str, data: dict[str, str], **headers: str) -> TestResponse:
        sent = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document", **self.headers, **headers}
        return self.client.post(path, base_url=self.url, headers=sent, data=data)

    def authorize(self, launch: str = "l1", iss: str = ISS) -> dict[str, str]:
        """Go through /launch; what the app sends to the EHR's authorization endpoint."""
        query = f"iss={iss}&launch={launch}" if launch else f"iss={iss}"
        answer = self.get(f"/launch?{query}")
        assert answer.status_code == 302, answer.text
        asked = dict(parse_qsl(urlsplit(answer.location).query))
        self.ehr.nonce = asked["nonce"]
        return asked

    def launch(self, launch: str = "l1", iss: str = ISS, **headers: str) -> TestResponse:
        """A whole launch, up to the app's answer to the redirect back."""
        asked = self.authorize(launch, iss)
        return self.get(f"/callback?code=code-1&state={asked['state']}", **headers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> AppKeys:
    return prepare_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def drugs(pytestconfig: pytest.Config) -> RxNorm:
    """The vocabulary that ships, built once: the file's name carries the hash of its content."""
    return open_rxnorm(pytestconfig.cache.mkdir("terminology"))


@pytest.fixture(scope="session")
def app_database_once(cluster: Any) -> str:
    # The hostile tests take these fixtures over, so there may be two of them in one run.
    return str(cluster.create_database(f"app_sessions_{secrets.token_hex(4)}"))


@pytest.fixture
def app_database(app_database_once: str) -> str:
    """The URL of a PostgreSQL database without the app's schema."""
    with psycopg.connect(app_database_once, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute("drop schema if exists app cascade")
    return app_database_once


def run_in_sessions(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in the session database past the app."""
    if not settings.database_url:
        with sqlite3.connect(settings.home / FILE_NAME) as database:
            return database.execute(statement).fetchall()
    with psycopg.connect(settings.database_url, options="-c search_path=app") as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def run_past_the_app() -> Callable[[Settings, str], list[tuple[Any, ...]]]:
    return run_in_sessions


@pytest.fixture
def in_sessions(settings: Settings) -> Callable[[str], list[tuple[Any, ...]]]:
    """Runs a statement in the session database past the app; its rows."""
    return lambda statement: run_in_sessions(settings, statement)


@pytest.fixture
def settings(tmp_path: Path, database_kind: str, request: pytest.FixtureRequest) -> Settings:
    url = request.getfixturevalue("app_database") if database_kind == "postgresql" else ""
    return Settings(
        home=tmp_path,
        host="127.0.0.1",
        port=8001,
        app_url="https://app.example",
        base_url="https://store.example",
        secret_key=b"k" * 32,
        time_zone="America/New_York",
        log_level="INFO",
        tls_cert="",
        tls_key="",
        demo=False,
        database_url=url,
    )


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as active:
        yield active


@pytest.fixture(scope="session")
def ehr_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})


@pytest.fixture
def ehr(mock: responses.RequestsMock, clock: Clock, ehr_key: RSAKey) -> Ehr:
    """The EHR that launches the app; here it is the store as well."""
    made = Ehr(ISS, clock, key=ehr_key)
    made.install(mock)
    made.put(NURSE, PATIENT, DISCHARGE, MERCY)
    return made


@pytest.fixture
def issuers(tmp_path: Path) -> Issuers:
    made = Issuers(tmp_path)
    made.add(Issuer(ISS, "app-there", "Mercy EHR", store=True))
    return made


@pytest.fixture
def http() -> OutboundHttp:
    return OutboundHttp(sleep=lambda seconds: None)


@pytest.fixture
def make_app(
    settings: Settings,
    keys: AppKeys,
    drugs: RxNorm,
    clock: Clock,
    issuers: Issuers,
    http: OutboundHttp,
    pytestconfig: pytest.Config,
) -> Callable[..., Flask]:
    """The app as it starts; twice for a restart. Named arguments replace settings."""

    templates = FileSystemBytecodeCache(str(pytestconfig.cache.mkdir("templates")))

    def make(**changed: str) -> Flask:
        app = create_app(
            replace(settings, **changed),
            clock=clock,
            keys=keys,
            issuers=issuers,
            terminology=drugs,
            http=http,
        )
        app.jinja_env.bytecode_cache = templates
        return app

    return make


@pytest.fixture
def browser_of(ehr: Ehr, settings: Settings) -> Callable[[Flask], Browser]:
    """A fresh browser in front of an app."""
    return lambda app: Browser(app, ehr, settings.app_url, app.test_client())


@pytest.fixture
def browser(make_app: Callable[..., Flask], browser_of: Callable[[Flask], Browser]) -> Browser:
    return browser_of(make_app())


@dataclass
class Desk:
    """Somebody at work on the chart of p1, below the pages: contexts as the gate makes them."""

    joined: Joined
    ehr: Ehr

    def context(
        self, user: str = "nurse", role: str = "rn", *, patient: str | None = "p1", **more: Any
    ) -> ChartContext:
        grant = Grant(
            iss=ISS,
            subject=user,
            user=User(f"Practitioner/{user}", user.title(), role),
            access_token="access-0",
            expires_at=self.ehr.now().timestamp() + 86400,
            refresh_token="",
            scope="user/*.cruds",
            **more,
        )
        launch = self.joined.sessions.begin(grant, Chart(patient, None, True), browser="b" * 43)
        return self.joined.sessions.find(launch, browser="b" * 43)


@pytest.fixture
def desk(
    settings: Settings,
    keys: AppKeys,
    drugs: RxNorm,
    clock: Clock,
    issuers: Issuers,
    http: OutboundHttp,
    ehr: Ehr,
) -> Desk:
    given = outside(settings, clock=clock, keys=keys, issuers=issuers, terminology=drugs, http=http)
    return Desk(join(settings, given), ehr)


@pytest.fixture
def make_watch(
    desk: Desk, settings: Settings, keys: AppKeys, http: OutboundHttp
) -> Callable[[], DischargeWatch]:
    """The worker's watch over the EHR as a store; another one is another process."""

    def make() -> DischargeWatch:
        joined, issuer = desk.joined, Issuer(ISS, "app-worker", "Mercy EHR", store=True)
        token = BackendToken(issuer, joined.discovery, joined.tokens, joined.runtime.clock)
        store = FhirClient(ISS, http, token)
        return DischargeWatch(settings, store, joined.runtime.clock, joined.runtime.calendar)

    return make


@pytest.fixture
def watch(make_watch: Callable[[], DischargeWatch]) -> DischargeWatch:
    return make_watch()
