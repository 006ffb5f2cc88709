"""Another EHR that launches our app: its id tokens, our app's exchange of them, and links with people here.

Patients and staff are synthetic.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from server.auth.clients import ASYMMETRIC
from server.auth.context import AuthContext
from server.auth.identity_links import confirm
from server.auth.trusted_issuers import NewIssuer, issuer_row, put_issuer
from server.storage.audit_values import AuditRow
from server.storage.identity_link_rows import LinkRow

ISS = "https://other.example"
FHIR_BASE = f"{ISS}/fhir"
AUDIENCE = "our-app-there"
NONCE = "nonce-of-this-launch"
USER = "Practitioner/their-nurse"
PATIENT = "theirs-1"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE = "patient/Patient.rs patient/List.crus patient/MedicationStatement.crus user/Provenance.cu"
THEIRS = {
    "resourceType": "Patient",
    "id": PATIENT,
    "name": [{"family": "Amber", "given": ["Tessa"]}],
    "birthDate": "1950-02-03",
    "gender": "female",
    "identifier": [{"system": "urn:example:numbers", "value": "A-77"}],
}


class Abroad:
    """What the other EHR and our app do."""

    def __init__(self, smart: Any, keys: dict[str, Any]) -> None:
        self.smart, self.keys = smart, keys
        self.context: AuthContext = smart.context
        self.client = self.another_client()
        self.trust()

    def another_client(self, **more: Any) -> str:
        options = {
            "exchange": True,
            "scope": SCOPE,
            "redirect_uris": (),
            "launch_url": "",
            "trusted": False,
        } | more
        client: str = self.smart.client(ASYMMETRIC, **options)
        return client

    def trust(self, **changes: Any) -> None:
        """Register the EHR, or replace it."""
        jwks = {"keys": [key.as_dict(private=False) for key in self.keys.values()]}
        asked = {
            "issuer": ISS,
            "fhir_base": FHIR_BASE,
            "label": "Other hospital",
            "audience": AUDIENCE,
            "clients": (self.client,),
            "scope": SCOPE,
            "algorithms": ("RS256", "ES384"),
            "jwks": jwks,
        }
        put_issuer(self.context, issuer_row(NewIssuer(**asked | changes), self.context.clock()), "issuer-add")

    def id_token(self, *, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """An id token of a launch now; a change of None leaves a claim out."""
        now = int(self.context.clock().timestamp())
        key = key or self.keys["RS256"]
        claims = {
            "iss": ISS,
            "sub": "their-nurse",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
            "nonce": NONCE,
            "jti": str(uuid.uuid4()),
            "fhirUser": f"{FHIR_BASE}/{USER}",
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": "RS256", "typ": "JWT", "kid": key.kid} | (header or {})
        return jwt.encode(head, claims, key, algorithms=["RS256", "ES384", "HS256"])

    @staticmethod
    def encoded(header: dict[str, Any]) -> str:
        """A JWT header as it stands in a token."""
        return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

    def exchange(self, id_token: str | None = None, *, client: str = "", **changes: Any) -> Any:
        """The answer of the token endpoint; a change of None leaves a parameter out."""
        client = client or self.client
        form = {
            "grant_type": EXCHANGE,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": changes.pop("client_assertion", None) or self.smart.assertion(client),
            "subject_token": id_token or self.id_token(),
            "subject_token_type": ID_TOKEN,
            "nonce": NONCE,
            "patient": PATIENT,
        } | changes
        return self.smart.token(**form)

    def propose(self, patient: Any = THEIRS, id_token: str | None = None, **changes: Any) -> Any:
        """The answer of the endpoint where links are asked for."""
        form = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.smart.assertion(changes.pop("client", self.client)),
            "subject_token": id_token or self.id_token(),
            "subject_token_type": ID_TOKEN,
            "nonce": NONCE,
            "patient": patient if isinstance(patient, str) else json.dumps(patient),
            "user_display": "Nora Example (synthetic)",
        } | changes
        return self.smart.post("/oauth2/links", form)

    def link_staff(self, there: str = USER, username: str = "rn") -> LinkRow:
        return self._link("staff", there, username)

    def link_patient(self, there: str = PATIENT, here: str = "one") -> LinkRow:
        return self._link("patient", there, here)

    def _link(self, kind: Any, there: str, here: str) -> LinkRow:
        return confirm(self.context, kind, ISS, there, here, principal="operator", made={"by": "command"})

    def access(self) -> str:
        """An access token of an exchange that went well."""
        page = self.exchange()
        assert page.status == 200, page.text
        token: str = json.loads(page.text)["access_token"]
        return token


@pytest.fixture(scope="session")
def ehr_keys() -> dict[str, Any]:
    return {
        "RS256": RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig", "kid": "ehr-1"}),
        "ES384": ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig", "kid": "ehr-2"}),
    }


@pytest.fixture
def stranger(smart: Any, ehr_keys: dict[str, Any]) -> Abroad:
    """The other EHR, trusted; nobody of it is linked."""
    return Abroad(smart, ehr_keys)


@pytest.fixture
def abroad(stranger: Abroad) -> Abroad:
    """The other EHR, its nurse linked with ours, its patient with "one"."""
    stranger.link_staff()
    stranger.link_patient()
    return stranger


@pytest.fixture
def audited(store: Any) -> Callable[[str], list[AuditRow]]:
    """`audited("link-confirm")`: the audit rows of that kind, the latest first."""
    return lambda interaction: [row for row in store.audit_rows(limit=500) if row.interaction == interaction]
