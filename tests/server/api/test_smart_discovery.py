"""Discovery of the authorization server.

Covers hl7.org/fhir/smart-app-launch/STU2.2/conformance.html and OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.auth.discovery import smart_configuration

BASE = "http://127.0.0.1:8000"
SCOPE_FORM = re.compile(r"^(patient|user|system|\*)/([a-zA-Z*]+)\.([cruds]+)(\?\w+=[^\s&]+(&\w+=[^\s&]+)*)?$")


@pytest.fixture
def configuration(anonymous: Any) -> dict[str, Any]:
    answer = anonymous.get(".well-known/smart-configuration", Accept="application/json")
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.mark.requirement("D1")
@pytest.mark.parametrize("accept", ["application/json", "text/html", "application/fhir+json", "*/*"])
def test_discovery_is_json_without_a_token_whatever_is_accepted(anonymous: Any, accept: str) -> None:
    answer = anonymous.get(".well-known/smart-configuration", Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(json.loads(answer.body), dict)


@pytest.mark.requirement("D2")
def test_the_required_keys_are_there_and_of_their_types(configuration: dict[str, Any]) -> None:
    assert configuration["authorization_endpoint"] == f"{BASE}/oauth2/authorize"
    assert configuration["token_endpoint"] == f"{BASE}/oauth2/token"
    assert configuration["capabilities"]
    assert all(isinstance(item, str) and item for item in configuration["capabilities"])
    assert "authorization_code" in configuration["grant_types_supported"]
    assert configuration["code_challenge_methods_supported"] == ["S256"]


@pytest.mark.requirement("D3")
def test_openid_connect_names_issuer_and_keys(configuration: dict[str, Any]) -> None:
    assert "sso-openid-connect" in configuration["capabilities"]
    assert configuration["issuer"] == BASE
    assert configuration["jwks_uri"] == f"{BASE}/oauth2/jwks"


@pytest.mark.requirement("D4")
def test_asymmetric_clients_and_backend_services_are_announced(configuration: dict[str, Any]) -> None:
    assert "private_key_jwt" in configuration["token_endpoint_auth_methods_supported"]
    assert set(configuration["token_endpoint_auth_signing_alg_values_supported"]) == {"RS384", "ES384"}
    assert "client_credentials" in configuration["grant_types_supported"]


@pytest.mark.requirement("D5")
def test_granular_scopes_are_listed_as_us_core_asks_for_them(configuration: dict[str, Any]) -> None:
    scopes = configuration["scopes_supported"]
    lab = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    for level in ("patient", "user", "system"):
        assert f"{level}/Observation.rs?category={lab}" in scopes
    assert len([scope for scope in scopes if scope.startswith("patient/Condition.rs?category=")]) == 3


@pytest.mark.requirement("D5")
def test_scopes_are_listed_and_all_addresses_are_absolute(configuration: dict[str, Any]) -> None:
    assert any(SCOPE_FORM.match(scope) for scope in configuration["scopes_supported"])
    assert isinstance(configuration["introspection_endpoint"], str)
    addresses = [value for name, value in configuration.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(addresses) >= 6
    assert all(urlsplit(address).scheme and urlsplit(address).netloc for address in addresses)


@pytest.mark.requirement("D6")
@pytest.mark.parametrize(
    "capability",
    [
        "launch-standalone",
        "client-public",
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "sso-openid-connect",
        "context-standalone-patient",
        "context-standalone-encounter",
        "permission-offline",
        "permission-patient",
        "authorize-post",
        "permission-v2",
        "permission-v1",
    ],
)
def test_capabilities_of_standalone_launch(configuration: dict[str, Any], capability: str) -> None:
    assert capability in configuration["capabilities"]


@pytest.mark.requirement("D7")
@pytest.mark.parametrize(
    "capability",
    [
        "launch-ehr",
        "context-banner",
        "context-style",
        "context-ehr-patient",
        "context-ehr-encounter",
        "permission-user",
        "permission-offline",
    ],
)
def test_capabilities_of_ehr_launch(configuration: dict[str, Any], capability: str) -> None:
    assert capability in configuration["capabilities"]


@pytest.mark.requirement("D8")
@pytest.mark.parametrize("path", [".well-known/smart-configuration", "metadata"])
def test_any_origin_may_read_discovery(anonymous: Any, path: str) -> None:
    answer = anonymous.get(path, Origin="https://anywhere.example")
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://anywhere.example")


@pytest.mark.requirement("D9")
def test_further_endpoints_are_published_where_they_work(configuration: dict[str, Any], smart: Any) -> None:
    assert configuration["response_types_supported"] == ["code"]
    assert configuration["associated_endpoints"][0]["url"] == f"{BASE}/fhir"
    browser = smart.browser()
    browser.sign_in()
    assert browser.get(urlsplit(configuration["management_endpoint"]).path).status == 200
    revoked = smart.post(
        urlsplit(configuration["revocation_endpoint"]).path, {"token": "x", "client_id": smart.client()}
    )
    assert revoked.status == 200


@pytest.mark.requirement("D9")
def test_other_parts_add_members_and_take_none_away() -> None:
    more = {"registration_endpoint": f"{BASE}/oauth2/register"}
    plain, added = smart_configuration(BASE, {}), smart_configuration(BASE, more)
    assert added == plain | more
    assert "registration_endpoint" not in plain


@pytest.mark.requirement("D9")
def test_nothing_is_announced_that_does_not_exist(configuration: dict[str, Any], smart: Any) -> None:
    for name, value in configuration.items():
        if name.endswith(("_endpoint", "_uri")):
            path = urlsplit(value).path
            statuses = {smart.browser().get(path).status, smart.post(path, {}).status}
            assert 404 not in statuses, name


def test_addresses_never_follow_the_host_header(app: Any) -> None:
    answer = app.test_client().get(
        "/fhir/.well-known/smart-configuration",
        headers={"Host": "evil.example"},
        base_url="http://evil.example",
    )
    assert answer.status_code == 308
    assert answer.headers["Location"].startswith(BASE)
