"""A SMART client and a person with a browser, both without a network, for the tests of this folder."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.test import TestResponse

from server.auth.clients import ASYMMETRIC, PUBLIC, SYMMETRIC, Registration, client_row
from server.auth.context import AuthContext
from server.auth.launches import issue_launch
from server.auth.sessions import COOKIE, session_of
from server.storage.authorization import UserRow

BASE = "http://127.0.0.1:8000"
CALLBACK = "https://app.example/callback"
EHR = "https://ehr.example"
PASSWORD = "correct horse battery staple"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SCOPE = "openid fhirUser offline_access launch launch/patient launch/encounter patient/*.cruds user/*.cruds"
_FIELD = re.compile(r'<(?:input|button)\b[^>]*\bname="([^"]*)"[^>]*>')


def _cheap_hash() -> str:
    """PASSWORD as the server stores it, at a cost that suits tests."""
    salt = b"0123456789abcdef"
    digest = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=16, r=8, p=1, dklen=32)
    return f"scrypt$16$8$1${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


class Page:
    """An answer of the server as a browser sees it."""

    def __init__(self, response: TestResponse) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.text = response.get_data(as_text=True)

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")

    @property
    def answer(self) -> dict[str, str]:
        """The parameters of a redirect to the client."""
        assert self.status == 302, (self.status, self.text)
        assert self.location.startswith(CALLBACK), self.location
        return dict(parse_qsl(urlsplit(self.location).query))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Hidden fields of the page's last form, and the boxes ticked."""
        form = self.text.rpartition("<form")[2]
        found = []
        for tag in re.findall(r"<input\b[^>]*>", form):
            attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
            if attributes.get("type") == "hidden" or "checked" in tag:
                found.append((attributes["name"], html.unescape(attributes.get("value", ""))))
        return found


class Browser:
    """One person's browser: keeps cookies, follows no redirect by itself."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **headers: str) -> Page:
        return Page(self.client.get(path, base_url=BASE, headers=headers))

    def post(self, path: str, fields: Any, **headers: str) -> Page:
        return Page(self.client.post(path, base_url=BASE, data=_form(fields), headers=headers))

    def sign_in(self, username: str = "rn", password: str = PASSWORD, next: str = "") -> Page:
        page = self.get("/oauth2/login?" + urlencode({"next": next, "again": "1"}))
        fields = [*page.fields, ("username", username), ("password", password)]
        return self.post("/oauth2/login", fields)

    @property
    def cookie(self) -> str:
        found = self.client.get_cookie(COOKIE, domain="127.0.0.1")
        return found.value if found else ""


def _form(fields: Any) -> Any:
    """A form as werkzeug takes it: repeated names as lists."""
    if isinstance(fields, dict | bytes):
        return fields
    form: dict[str, list[str]] = {}
    for name, value in fields:
        form.setdefault(name, []).append(value)
    return form


class Smart:
    """Registers clients and speaks the protocol for them."""

    def __init__(self, app: Flask, context: AuthContext, keys: dict[str, Any]) -> None:
        self.app, self.context, self.keys = app, context, keys
        for username in ("rn", "engineer"):
            context.rows.put_user(
                UserRow(username, _cheap_hash(), role=username, practitioner_id=f"prac-{username}")
            )

    def client(self, kind: str = PUBLIC, scope: str = SCOPE, **more: Any) -> str:
        """Register a client; its id. A symmetric one has the secret "client-secret"."""
        jwks = {"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in self.keys.values()]}
        registration = Registration(
            client_id=more.pop("client_id", f"client-{uuid.uuid4()}"),
            name=more.pop("name", "Test app"),
            kind=kind,
            scope=scope,
            jwks=jwks if kind == ASYMMETRIC else None,
            redirect_uris=more.pop("redirect_uris", () if more.get("backend") else (CALLBACK,)),
            launch_url=more.pop("launch_url", "https://app.example/launch"),
            trusted=more.pop("trusted", True),
            **more,
        )
        secret = self.context.hash("client-secret").hex() if kind == SYMMETRIC else ""
        self.context.rows.put_client(client_row(registration, secret, self.context.clock()))
        return registration.client_id

    def browser(self) -> Browser:
        return Browser(self.app.test_client())

    def parameters(self, client_id: str, /, **more: str) -> dict[str, str]:
        """The parameters of an authorization request; a value of "" leaves one out."""
        given = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid fhirUser launch/patient patient/*.rs",
            "state": "state-1",
            "aud": f"{BASE}/fhir",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | more
        return {name: value for name, value in given.items() if value}

    def authorize(self, browser: Browser, client_id: str, /, **more: str) -> Page:
        return browser.get("/oauth2/authorize?" + urlencode(self.parameters(client_id, **more)))

    def launch(self, browser: Browser, client_id: str, **more: Any) -> str:
        """An EHR launch by the person signed in in this browser; the launch secret."""
        session = session_of(self.context, browser.cookie)
        assert session is not None
        return issue_launch(self.context, session, client_id, **more).secret

    def code(self, client_id: str, **more: str) -> str:
        """A code by an EHR launch of the nurse for patient "one"."""
        browser = self.browser()
        browser.sign_in()
        launch = self.launch(browser, client_id, patient="one", encounter="stay")
        more.setdefault("scope", "openid fhirUser offline_access launch patient/*.rs")
        return self.authorize(self.browser(), client_id, launch=launch, **more).answer["code"]

    def assertion(self, client_id: str, algorithm: str = "RS384", **changes: Any) -> str:
        """A client assertion; a change of None leaves a claim out, `header` and `key` replace those."""
        now = int(self.context.clock().timestamp())
        key = changes.pop("key", self.keys.get(algorithm))
        header = {"alg": algorithm, "typ": "JWT", "kid": key.kid} | changes.pop("header", {})
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": f"{BASE}/oauth2/token",
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(header, claims, key, [algorithm])

    def post(self, path: str, form: dict[str, Any], **headers: str) -> Page:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return Page(
            self.app.test_client().post(
                path, base_url=BASE, data={k: v for k, v in form.items() if v is not None}, headers=sent
            )
        )

    def token(self, **form: Any) -> Page:
        """The token endpoint. basic="id:secret" authenticates by HTTP Basic."""
        headers = {}
        if basic := form.pop("basic", None):
            headers["Authorization"] = "Basic " + base64.b64encode(basic.encode()).decode()
        return self.post("/oauth2/token", form, **headers)

    def exchange(self, client_id: str, code: str, /, **more: Any) -> Page:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": client_id,
        }
        return self.token(**form | more)

    def tokens(self, client_id: str, **more: str) -> dict[str, Any]:
        """The token answer of a complete EHR launch."""
        page = self.exchange(client_id, self.code(client_id, **more))
        assert page.status == 200, page.text
        return json.loads(page.text)

    def claims(self, id_token: str) -> jwt.Token:
        """An id token, verified by the published keys."""
        jwks = json.loads(self.browser().get("/oauth2/jwks").text)
        return jwt.decode(id_token, KeySet.import_key_set(jwks), algorithms=["RS256"])

    def fhir(self, path: str, token: str) -> Page:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Page(self.app.test_client().get(f"/fhir/{path}", base_url=BASE, headers=headers))


@pytest.fixture(scope="session")
def client_keys() -> dict[str, Any]:
    """The key pairs of the clients, by algorithm; made once, for they take long."""
    return {
        "RS384": RSAKey.generate_key(2048, {"alg": "RS384", "use": "sig"}, auto_kid=True),
        "ES384": ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig"}, auto_kid=True),
    }


@pytest.fixture
def smart(
    app: Flask, authorization: AuthContext, build: ModuleType, fhir: Any, client_keys: dict[str, Any]
) -> Smart:
    """A server with two patients ("one", "two"), a nurse and an engineer who can sign in."""
    for id, family in (("one", "Amber"), ("two", "Birch")):
        assert (
            fhir.put(f"Patient/{id}", build.patient(id=id, name=[{"family": family, "given": ["Test"]}])).status
            == 201
        )
    for name in ("rn", "engineer"):
        fhir.put(f"Practitioner/prac-{name}", {"resourceType": "Practitioner", "id": f"prac-{name}"})
    stay = {
        "resourceType": "Encounter",
        "id": "stay",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/one"},
    }
    assert fhir.put("Encounter/stay", stay).status == 201
    return Smart(app, authorization, client_keys)


@pytest.fixture
def oauth_error() -> Callable[[Page, int, str], None]:
    """`oauth_error(page, 400, "invalid_grant")`: the answer is that error, and never cached."""

    def check(page: Page, status: int, error: str) -> None:
        assert page.status == status, (page.status, page.text)
        assert page.headers["Content-Type"] == "application/json"
        assert json.loads(page.text)["error"] == error, page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Pragma"] == "no-cache"

    return check
