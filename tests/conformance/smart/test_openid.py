"""Who the user is: lines O1-O4. Sources: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0, RFC 7517."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
import requests
from asking.pages import Person
from asking.smart import App
from joserfc import jwt
from joserfc.jwk import KeySet

ASKED = "openid fhirUser launch/patient patient/Patient.rs user/Practitioner.rs"
REQUIRED = (
    *("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported"),
    *("subject_types_supported", "id_token_signing_alg_values_supported"),
)


@pytest.fixture
def told(public: App, person: Person, chart: Any) -> dict[str, Any]:
    return public.launched(person, ASKED, chart.chosen, nonce="n-0S6_WzA2Mj")


def taken_apart(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT, not verified."""
    head, body, signature = token.split(".")
    assert signature
    return tuple(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, body))


@pytest.mark.requirement("O1", "the id token is a JWT of an issuer that tells its configuration")
def test_configuration(told: dict[str, Any]) -> None:
    _, claims = taken_apart(told["id_token"])
    answer = requests.get(f"{claims['iss']}/.well-known/openid-configuration", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    found = answer.json()
    assert all(found.get(name) for name in REQUIRED)
    assert found["issuer"] == claims["iss"]
    assert "RS256" in found["id_token_signing_alg_values_supported"]


@pytest.mark.requirement("O2", "the keys are RSA keys, and the token names the one that signed it")
def test_keys(told: dict[str, Any], configuration: dict[str, Any]) -> None:
    answer = requests.get(configuration["jwks_uri"], timeout=30)
    assert answer.status_code == 200
    keys = answer.json()["keys"]
    assert keys
    assert all(key["kty"] == "RSA" and key["n"] and key["e"] for key in keys)
    assert all(not {"d", "p", "q"} & {*key} for key in keys)
    header, _ = taken_apart(told["id_token"])
    assert header["alg"] == "RS256"
    assert header["kid"] in {key["kid"] for key in keys}


@pytest.mark.requirement("O3", "issuer, subject, audience and times are right, and the signature is valid")
def test_claims(told: dict[str, Any], public: App, configuration: dict[str, Any]) -> None:
    keys = KeySet.import_key_set(requests.get(configuration["jwks_uri"], timeout=30).json())
    claims = jwt.decode(told["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["iss"] == configuration["issuer"]
    assert 1 <= len(claims["sub"]) <= 255
    assert public.client_id in (claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]])
    assert claims["iat"] <= time.time() + 5
    assert claims["exp"] > time.time()
    assert claims["nonce"] == "n-0S6_WzA2Mj"


@pytest.mark.requirement("O4", "fhirUser is the address of the user's resource, which may be read")
def test_fhir_user(told: dict[str, Any], public: App, chart: Any) -> None:
    _, claims = taken_apart(told["id_token"])
    url = claims["fhirUser"]
    assert url.startswith(f"{public.base}/")
    path = url.removeprefix(f"{public.base}/")
    assert path.split("/")[0] in ("Patient", "Practitioner", "RelatedPerson", "Person")
    answer = public.get(path, told["access_token"], Origin="https://app.example")
    assert answer.status_code == 200
    assert (
        f"{answer.json()['resourceType']}/{answer.json()['id']}" == path == f"Practitioner/{chart.practitioner}"
    )
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")


@pytest.mark.requirement("O4-without", "without openid nothing is told of the user")
def test_no_identity_without_openid(public: App, person: Person, chart: Any) -> None:
    assert "id_token" not in public.launched(person, "launch/patient patient/Patient.rs", chart.chosen)
