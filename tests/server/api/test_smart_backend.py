"""Backend services and client assertions.

Covers hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, client-confidential-asymmetric.html,
RFC 7523 section 3, RFC 8725 (algorithm confusion).
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

BASE = "http://127.0.0.1:8000"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def service(smart: Any) -> str:
    return smart.client("confidential-asymmetric", scope="system/Patient.rs system/Encounter.rs", backend=True)


def ask(smart: Any, assertion: str, scope: str | None = "system/Patient.rs", **more: Any) -> Any:
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return smart.token(**form | more)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_service_gets_a_short_token_for_its_assertion(smart: Any, service: str, algorithm: str) -> None:
    page = ask(smart, smart.assertion(service, algorithm))
    assert page.status == 200, page.text
    tokens = json.loads(page.text)
    assert set(tokens) == {"access_token", "token_type", "expires_in", "scope"}
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 300
    assert tokens["scope"] == "system/Patient.rs"
    assert page.headers["Cache-Control"] == "no-store"
    assert len(json.loads(smart.fhir("Patient", tokens["access_token"]).text)["entry"]) == 2
    assert smart.fhir("Encounter", tokens["access_token"]).status == 403


def test_an_audience_among_several_is_right(smart: Any, service: str) -> None:
    audience = ["https://other.example", f"{BASE}/oauth2/token"]
    assert ask(smart, smart.assertion(service, aud=audience)).status == 200


@pytest.mark.requirement("B2")
def test_an_unknown_grant_type_is_refused(smart: Any, service: str, oauth_error: Any) -> None:
    page = ask(smart, smart.assertion(service), grant_type="not_a_grant_type")
    oauth_error(page, 400, "unsupported_grant_type")


@pytest.mark.requirement("B3")
@pytest.mark.parametrize("kind", ["not_an_assertion_type", "", None])
def test_another_assertion_type_is_refused(
    smart: Any, service: str, oauth_error: Any, kind: str | None
) -> None:
    page = ask(smart, smart.assertion(service), client_assertion_type=kind)
    oauth_error(page, 401, "invalid_client")


@pytest.mark.requirement("B4")
@pytest.mark.requirement("B5")
class TestRefusedAssertions:
    @pytest.mark.parametrize(
        "changes",
        [
            {"aud": f"{BASE}/oauth2/authorize"},
            {"aud": None},
            {"aud": []},
            {"aud": {"a": 1}},
            {"exp": 1_000},
            {"exp": None},
            {"exp": "soon"},
            {"exp": True},
            {"exp": 10**30},
            {"exp": -1},
            {"jti": None},
            {"jti": ""},
            {"jti": 7},
            {"jti": "x" * 256},
            {"jti": "a\x00"},
            {"iss": "somebody"},
            {"sub": "somebody"},
            {"iss": None},
            {"sub": None},
            {"iss": 7, "sub": 7},
            {"header": {"kid": "unknown"}},
            {"header": {"kid": ""}},
            {"header": {"jku": "https://evil.example/keys"}},
        ],
    )
    def test_each_rule_is_kept(
        self, smart: Any, service: str, oauth_error: Any, changes: dict[str, Any]
    ) -> None:
        oauth_error(ask(smart, smart.assertion(service, **changes)), 401, "invalid_client")

    def test_an_expiry_more_than_five_minutes_ahead(self, smart: Any, service: str, oauth_error: Any) -> None:
        now = int(smart.context.clock().timestamp())
        oauth_error(ask(smart, smart.assertion(service, exp=now + 400)), 401, "invalid_client")
        oauth_error(ask(smart, smart.assertion(service, exp=now - 31)), 401, "invalid_client")
        oauth_error(ask(smart, smart.assertion(service, iat=now + 60)), 401, "invalid_client")
        oauth_error(ask(smart, smart.assertion(service, nbf=now + 60)), 401, "invalid_client")

    def test_an_assertion_is_good_once(self, smart: Any, service: str, oauth_error: Any) -> None:
        assertion = smart.assertion(service)
        assert ask(smart, assertion).status == 200
        oauth_error(ask(smart, assertion), 401, "invalid_client")

    def test_a_signature_by_another_key(self, smart: Any, service: str, oauth_error: Any) -> None:
        kid = smart.keys["RS384"].kid
        stranger = RSAKey.generate_key(2048, {"kid": kid})
        oauth_error(ask(smart, smart.assertion(service, key=stranger)), 401, "invalid_client")
        curve = ECKey.generate_key("P-384", {"kid": smart.keys["ES384"].kid})
        oauth_error(ask(smart, smart.assertion(service, "ES384", key=curve)), 401, "invalid_client")

    def test_a_changed_payload(self, smart: Any, service: str, oauth_error: Any) -> None:
        head, payload, signature = smart.assertion(service).split(".")
        other = smart.assertion(service).split(".")[1]
        assert other != payload
        oauth_error(ask(smart, f"{head}.{other}.{signature}"), 401, "invalid_client")

    def test_no_algorithm_and_no_signature(self, smart: Any, service: str, oauth_error: Any) -> None:
        _, payload, _ = smart.assertion(service).split(".")
        kid = smart.keys["RS384"].kid
        for algorithm in ("none", "None", "nOnE"):
            header = (
                urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": kid}).encode()).rstrip(b"=").decode()
            )
            oauth_error(ask(smart, f"{header}.{payload}."), 401, "invalid_client")

    @pytest.mark.parametrize(
        "extension",
        [{"crit": None}, {"crit": [1]}, {"crit": "exp"}, {"crit": ["b64"], "b64": False}, {"b64": 0}],
    )
    def test_an_extension_of_jws(
        self, smart: Any, service: str, oauth_error: Any, extension: dict[str, Any]
    ) -> None:
        _, payload, signature = smart.assertion(service).split(".")
        header = json.dumps({"alg": "RS384", "kid": smart.keys["RS384"].kid, **extension})
        head = urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
        oauth_error(ask(smart, f"{head}.{payload}.{signature}"), 401, "invalid_client")

    def test_the_public_key_is_no_shared_secret(self, smart: Any, service: str, oauth_error: Any) -> None:
        payload = smart.assertion(service).split(".")[1]
        header = {"alg": "HS256", "kid": smart.keys["RS384"].kid}
        signed = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + "." + payload
        mac = hmac.digest(smart.keys["RS384"].as_pem(private=False), signed.encode(), "sha256")
        assertion = signed + "." + urlsafe_b64encode(mac).rstrip(b"=").decode()
        oauth_error(ask(smart, assertion), 401, "invalid_client")

    @pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS384"])
    def test_only_the_announced_algorithms(
        self, smart: Any, service: str, oauth_error: Any, algorithm: str
    ) -> None:
        key = RSAKey.import_key(smart.keys["RS384"].as_dict(private=True) | {"alg": algorithm})
        assertion = smart.assertion(service, algorithm, key=key)
        oauth_error(ask(smart, assertion), 401, "invalid_client")

    @pytest.mark.parametrize(
        "assertion", ["", "x", "a.b", "a.b.c", "..", "\u00e9.b.c", "e30.e30.e30", "W10.W10.W10", "x" * 9_000]
    )
    def test_what_is_no_jwt(self, smart: Any, service: str, oauth_error: Any, assertion: str) -> None:
        oauth_error(ask(smart, assertion), 401, "invalid_client")

    def test_a_client_cannot_speak_for_another(self, smart: Any, service: str, oauth_error: Any) -> None:
        page = ask(smart, smart.assertion(service), client_id="another")
        oauth_error(page, 401, "invalid_client")

    def test_two_ways_to_authenticate_are_one_too_many(
        self, smart: Any, service: str, oauth_error: Any
    ) -> None:
        oauth_error(ask(smart, smart.assertion(service), basic="a:b"), 400, "invalid_request")

    def test_a_disabled_client_is_refused(self, smart: Any, service: str, oauth_error: Any) -> None:
        smart.context.rows.disable_client(service, smart.context.clock())
        oauth_error(ask(smart, smart.assertion(service)), 401, "invalid_client")


class TestScopes:
    def test_a_service_gets_the_subset_it_may_have(self, smart: Any, service: str) -> None:
        page = ask(smart, smart.assertion(service), "system/Observation.rs system/*.cruds openid")
        assert json.loads(page.text)["scope"] == "system/Patient.rs system/Encounter.rs"

    @pytest.mark.parametrize(
        "scope",
        [
            None,
            "",
            "system/Observation.rs",
            "patient/Patient.rs",
            "openid",
            "nonsense system/Patient.rs",
            "system/Patient.sr system/Patient.rs",
            "system/Foo.rs system/Patient.rs",
            "*/Patient.rs",
        ],
    )
    def test_nothing_left_missing_or_malformed_is_invalid_scope(
        self, smart: Any, service: str, oauth_error: Any, scope: str | None
    ) -> None:
        oauth_error(ask(smart, smart.assertion(service), scope), 400, "invalid_scope")

    def test_an_app_for_people_is_no_backend_service(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client("confidential-asymmetric", scope="system/*.rs user/*.rs")
        oauth_error(ask(smart, smart.assertion(client_id)), 400, "unauthorized_client")

    def test_a_secret_is_not_enough_for_a_backend_service(self, smart: Any, oauth_error: Any) -> None:
        client_id = smart.client("confidential-symmetric", scope="system/*.rs")
        page = smart.token(
            grant_type="client_credentials", scope="system/*.rs", basic=f"{client_id}:client-secret"
        )
        oauth_error(page, 401, "invalid_client")
