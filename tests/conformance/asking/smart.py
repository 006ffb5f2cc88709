"""An app or service of somebody else at a SMART server: discovery, authorization requests, tokens, keys.

Sources: hl7.org/fhir/smart-app-launch/STU2.2, RFC 6749, RFC 7523, RFC 7636. Knows no server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from asking.pages import Choices, Person, a_machine_of_its_own
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def challenge_of(verifier: str) -> str:
    """The S256 challenge (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


@dataclass(slots=True)
class Keys:
    """A service's signing keys: an RSA key for RS384 and an EC key for ES384."""

    rsa: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": uuid.uuid4().hex}))
    ec: ECKey = field(default_factory=lambda: ECKey.generate_key("P-384", {"kid": uuid.uuid4().hex}))

    @property
    def public(self) -> dict[str, Any]:
        """The JWKS that is registered."""
        return {"keys": [key.as_dict(private=False) for key in (self.rsa, self.ec)]}

    def assertion(
        self, client_id: str, audience: str, *, algorithm: str = "RS384", header: Any = None, **claims: Any
    ) -> str:
        """A client assertion; header and claims replace what a right one has, None takes it out."""
        key = self.ec if algorithm.startswith("ES") else self.rsa
        said = {"alg": algorithm, "typ": "JWT", "kid": key.kid} | (header or {})
        right = {"iss": client_id, "sub": client_id, "aud": audience, "jti": uuid.uuid4().hex}
        told = right | {"exp": int(time.time()) + 240} | claims
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(_without_none(said), told, key, algorithms=["RS256", "RS384", "ES384"])


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A JWT of three parts with any signature, also one that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@dataclass(slots=True)
class App:
    """A registered client. base: of the FHIR server. configuration: its SMART configuration. secret, keys:
    what it signs in with, neither for a public client. session: the way to the server."""

    base: str
    configuration: dict[str, Any]
    client_id: str
    redirect_uri: str = ""
    secret: str = ""
    keys: Keys | None = None
    session: requests.Session = field(default_factory=a_machine_of_its_own)

    def from_elsewhere(self) -> App:
        """The same client on another machine."""
        return replace(self, session=a_machine_of_its_own())

    def request(self, scope: str, **more: str | None) -> tuple[dict[str, str], str]:
        """The parameters of an authorization request, and the verifier of its challenge. None takes one out."""
        verifier = secrets.token_urlsafe(48)
        given: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": secrets.token_urlsafe(16),
            "aud": self.base,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        given |= more
        return {name: value for name, value in given.items() if value is not None}, verifier

    def authorize(
        self,
        person: Person,
        scope: str,
        choices: Choices | None = None,
        *,
        post: bool = False,
        **more: str | None,
    ) -> tuple[dict[str, str], str]:
        """What came back to the redirect URI, and the verifier. The state must be the one that was sent."""
        parameters, verifier = self.request(scope, **more)
        endpoint = self.configuration["authorization_endpoint"]
        if post:
            left = person.decide(endpoint, choices or Choices(), "POST", list(parameters.items()))
        else:
            left = person.decide(f"{endpoint}?{urlencode(parameters)}", choices or Choices())
        assert left.startswith(self.redirect_uri), left
        answer = dict(parse_qsl(urlsplit(left).query, keep_blank_values=True))
        assert answer.get("state") == parameters.get("state")
        return answer, verifier

    def post(self, endpoint: str, form: dict[str, str], *, signed: bool = True, **headers: str) -> Any:
        """A form to an endpoint of the configuration, with what proves the client unless it is not signed."""
        form, auth = dict(form), None
        if signed and self.secret:
            auth = (self.client_id, self.secret)
        elif signed and self.keys:
            token_url = self.configuration["token_endpoint"]
            form |= {
                "client_assertion_type": ASSERTION,
                "client_assertion": self.keys.assertion(self.client_id, token_url),
            }
        elif signed:
            form.setdefault("client_id", self.client_id)
        sent = FORM | {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.configuration[endpoint]
        answer = self.session.post(url, data=form, headers=sent, auth=auth, timeout=60, allow_redirects=False)
        assert answer.status_code < 500, f"{endpoint}: {answer.status_code} {answer.text[:300]}"
        return answer

    def exchange(self, code: str, verifier: str | None, **more: str) -> Any:
        """The answer of the token endpoint to a code. A verifier that is None is not sent."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        if verifier is not None:
            form["code_verifier"] = verifier
        return self.post("token_endpoint", form | more)

    def launched(
        self, person: Person, scope: str, choices: Choices | None = None, **more: str | None
    ) -> dict[str, Any]:
        """The token answer of a whole authorization code flow."""
        answer, verifier = self.authorize(person, scope, choices, **more)
        assert answer.get("code"), answer
        told = self.exchange(answer["code"], verifier)
        assert told.status_code == 200, told.text
        return dict(told.json())

    def refresh(self, token: str, **more: str) -> Any:
        return self.post("token_endpoint", {"grant_type": "refresh_token", "refresh_token": token, **more})

    def get(self, path: str, token: str = "", **headers: str) -> requests.Response:
        """A request to the FHIR API."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Accept": "application/fhir+json"} | headers
        answer = self.session.get(f"{self.base}/{path}", headers=sent, timeout=60, allow_redirects=False)
        assert answer.status_code < 500, f"{path}: {answer.status_code}"
        return answer
