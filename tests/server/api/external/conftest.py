"""Another OpenID provider, over real HTTP on loopback, and a browser's way to it and back."""

from __future__ import annotations

import json
import threading
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from server.auth.external_identities import link
from server.settings import read_settings

CLIENT, SECRET, SUBJECT = "baton-at-hospital", "the provider gave this", "248289761001"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Provider:
    """An OpenID provider with one person, who agrees to everything. Its knobs make it faulty or malicious."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.subject = SUBJECT
        self.claims: dict[str, Any] = {}  # in place of honest ones; None leaves one out
        self.names_itself = True
        self.metadata: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.honestly
        self.keys_of_client: Callable[[], Any] | None = None  # private_key_jwt, by the client's key set
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                provider.asked.append(path)
                answers = {
                    "/.well-known/openid-configuration": provider.discovery,
                    "/jwks": lambda: {"keys": [key.as_dict(private=False) for key in provider.published]},
                }
                self.answer(200, answers[path]()) if path in answers else self.answer(404, {})

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.answer(*provider.redeem(dict(parse_qsl(body))))

            def answer(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/bye",
            "authorization_response_iss_parameter_supported": self.names_itself,
        } | self.metadata

    def agree(self, url: str) -> dict[str, str]:
        """The person signs in there; what the browser is sent back with."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(f"{self.issuer}/authorize?")
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["scope"] == "openid"
        assert asked["code_challenge_method"] == "S256"
        code = str(uuid.uuid4())
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]} | ({"iss": self.issuer} if self.names_itself else {})

    def redeem(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if asked is None or asked["code_challenge"] != challenge.decode():
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != asked["redirect_uri"] or not self.is_client(form):
            return 401, {"error": "invalid_client"}
        now = int(self.clock().timestamp())
        honest = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "auth_time": now,
        }
        claims = {name: value for name, value in (honest | self.claims).items() if value is not None}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.sign(claims)}

    def is_client(self, form: dict[str, str]) -> bool:
        if self.keys_of_client is None:
            return form.get("client_secret") == SECRET
        keys = KeySet.import_key_set(self.keys_of_client())
        claims = jwt.decode(form["client_assertion"], keys, algorithms=["RS256"]).claims
        return (
            form["client_assertion_type"] == ASSERTION
            and (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, f"{self.issuer}/token")
            and "client_secret" not in form
        )

    def honestly(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key, ["RS256"])


@pytest.fixture
def provider(clock: Any) -> Iterator[Provider]:
    made = Provider(clock)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def given(provider: Provider) -> dict[str, str]:
    """Settings beside those of the test's server."""
    return {"BATON_OIDC_CLIENT_SECRET": SECRET}


@pytest.fixture
def settings(settings: Any, provider: Provider, given: dict[str, str]) -> Any:
    return read_settings(
        {
            "BATON_HOME": str(settings.home),
            "BATON_DATABASE_URL": settings.database_url,
            "BATON_SECRET_KEY": settings.secret_key.decode(),
            "BATON_TIME_ZONE": settings.time_zone,
            "BATON_SECOND_FACTOR": "optional",
            "BATON_OUTBOUND_ALLOW": "127.0.0.0/8",
            "BATON_OIDC_ISSUER": provider.issuer,
            "BATON_OIDC_CLIENT_ID": CLIENT,
            "BATON_OIDC_NAME": "Hospital login",
            **given,
        }
    )


@pytest.fixture
def linked(smart: Any, provider: Provider) -> None:
    link(smart.context, "rn", provider.issuer, SUBJECT)


class Elsewhere:
    """The way to the provider and back, as browsers go it."""

    def __init__(self, smart: Any, provider: Provider, store: Any) -> None:
        self._smart, self._provider, self._store = smart, provider, store

    def start(self, browser: Any, next: str = "/oauth2/account") -> str:
        """Where the browser is sent to."""
        page = browser.get("/oauth2/external/start?" + urlencode({"next": next}))
        assert page.status == 303, page.text
        return str(page.location)

    def back(self, browser: Any, answer: dict[str, str]) -> Any:
        """The provider sends the browser back with this answer."""
        return browser.get("/oauth2/external/callback?" + urlencode(answer))

    def whole(self, browser: Any = None) -> Any:
        """There and back."""
        browser = browser or self._smart.browser()
        return self.back(browser, self._provider.agree(self.start(browser)))

    def refused(self, page: Any, browser: Any, rule: str) -> None:
        """Nobody is signed in, a page says so, and the trail says why."""
        assert page.status == 403, (page.status, page.location)
        assert "Not signed in" in page.text
        assert browser.cookie == ""
        rows = self._store.audit_rows(limit=5)
        row = next(row for row in rows if row.interaction == "login-external-refused")
        assert (row.outcome, row.detail) == (403, rule)


@pytest.fixture
def elsewhere(smart: Any, provider: Provider, store: Any) -> Elsewhere:
    return Elsewhere(smart, provider, store)
