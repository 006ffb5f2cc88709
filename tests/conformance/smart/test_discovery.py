"""What a SMART server says of itself: lines D1-D9.

Source: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html, hl7.org/fhir/smart-app-launch/STU2.2/brands.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

RESOURCE_SCOPE = re.compile(
    r"^(patient|user|system|\*)/([a-zA-Z*]+)\.([cruds]+)(\?\w+=[^\s&]+(&\w+=[^\s&]+)*)?$"
)
STANDALONE = (
    *("launch-standalone", "client-public", "client-confidential-symmetric", "client-confidential-asymmetric"),
    *("sso-openid-connect", "context-standalone-patient", "permission-offline", "permission-patient"),
    *("authorize-post", "permission-v2", "permission-v1"),
)
EHR = (
    *("launch-ehr", "client-confidential-symmetric", "client-confidential-asymmetric", "sso-openid-connect"),
    *("context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter", "permission-offline"),
    *("permission-user", "authorize-post", "permission-v2", "permission-v1"),
)


def discovered(fhir: Any, **headers: str) -> requests.Response:
    return requests.get(f"{fhir.base}/.well-known/smart-configuration", headers=headers, timeout=30)


@pytest.mark.requirement("D1", "the SMART configuration is JSON for everybody, whatever they accept")
@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/fhir+xml", "text/html"])
def test_configuration_is_json(fhir: Any, accept: str) -> None:
    answer = discovered(fhir, Accept=accept)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(answer.json(), dict)


@pytest.mark.requirement("D2", "required keys are there and of their type; S256 and never plain")
def test_required_keys(configuration: dict[str, Any]) -> None:
    for name in ("authorization_endpoint", "token_endpoint"):
        assert isinstance(configuration[name], str)
        assert configuration[name].strip()
    assert configuration["capabilities"]
    assert all(isinstance(one, str) and one for one in configuration["capabilities"])
    assert "authorization_code" in configuration["grant_types_supported"]
    assert "S256" in configuration["code_challenge_methods_supported"]
    assert "plain" not in configuration["code_challenge_methods_supported"]


@pytest.mark.requirement("D3", "sso-openid-connect comes with issuer and jwks_uri")
def test_issuer_and_keys(configuration: dict[str, Any]) -> None:
    assert "sso-openid-connect" in configuration["capabilities"]
    for name in ("issuer", "jwks_uri"):
        assert isinstance(configuration[name], str)
        assert configuration[name]


@pytest.mark.requirement("D4", "what backend services need is stated")
def test_backend_services(configuration: dict[str, Any]) -> None:
    assert configuration["scopes_supported"]
    assert "private_key_jwt" in configuration["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} & {*configuration["token_endpoint_auth_signing_alg_values_supported"]}
    assert "client_credentials" in configuration["grant_types_supported"]


@pytest.mark.requirement(
    "D5", "resource scopes and introspection are stated, every endpoint by an absolute URL"
)
def test_scopes_and_endpoints(configuration: dict[str, Any]) -> None:
    assert any(RESOURCE_SCOPE.fullmatch(scope) for scope in configuration["scopes_supported"])
    assert isinstance(configuration["introspection_endpoint"], str)
    endpoints = [value for name, value in configuration.items() if name.endswith(("_endpoint", "_uri"))]
    for url in [*endpoints, configuration["issuer"]]:
        parts = urlsplit(url)
        assert parts.scheme in ("http", "https")
        assert parts.netloc


@pytest.mark.requirement("D6", "the capabilities of a standalone launch")
def test_standalone_capabilities(configuration: dict[str, Any]) -> None:
    assert {*STANDALONE} <= {*configuration["capabilities"]}


@pytest.mark.requirement("D7", "the capabilities of an EHR launch, encounters among them")
def test_ehr_capabilities(configuration: dict[str, Any]) -> None:
    assert {*EHR} <= {*configuration["capabilities"]}


@pytest.mark.requirement("D8", "browser apps of any origin may read configuration and CapabilityStatement")
def test_cross_origin(fhir: Any) -> None:
    for path in (".well-known/smart-configuration", "metadata"):
        answer = requests.get(f"{fhir.base}/{path}", headers={"Origin": "https://app.example"}, timeout=30)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")


@pytest.mark.requirement("D9-endpoints", "management, revocation and associated endpoints are stated")
def test_further_endpoints(configuration: dict[str, Any]) -> None:
    for name in ("management_endpoint", "revocation_endpoint"):
        assert urlsplit(configuration[name]).netloc, name
    assert "code" in configuration["response_types_supported"]
    endpoints = configuration["associated_endpoints"]
    assert all(urlsplit(one["url"]).netloc and one["capabilities"] for one in endpoints)


@pytest.mark.requirement(
    "D9-registration", "the registration endpoint is stated to whom the operator has invited"
)
def test_registration_endpoint(command: Callable[..., str], fhir: Any) -> None:
    command("client", "invite", "--scope", "patient/*.rs", "--redirect-host", "app.example")
    assert urlsplit(discovered(fhir).json()["registration_endpoint"]).netloc


@pytest.mark.requirement("D9-brands", "the brand bundle is there for browsers, with the brand that is named")
def test_brands(configuration: dict[str, Any]) -> None:
    url, identifier = configuration["user_access_brand_bundle"], configuration["user_access_brand_identifier"]
    assert identifier["value"]
    answer = requests.get(url, headers={"Origin": "https://app.example"}, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    assert bundle["timestamp"]
    organizations = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Organization"]
    values = {one["value"] for found in organizations for one in found.get("identifier", ())}
    assert identifier["value"] in values
