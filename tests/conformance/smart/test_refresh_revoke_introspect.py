"""How access goes on, ends, and is asked about: lines R1-R4, I1, I2.

Sources: RFC 6749 section 6, RFC 7009, RFC 7662, hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from asking.pages import Page, Person
from asking.smart import App

ASKED = "openid fhirUser offline_access launch/patient patient/Patient.rs patient/Condition.rs"
WITHDRAW = re.compile(r"\s*(withdraw|revoke|remove|end)\b", re.I)


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


@pytest.fixture
def told(public: App, person: Person, chart: Any) -> dict[str, Any]:
    """A token answer with a refresh token."""
    return public.launched(person, ASKED, chart.chosen)


@line("R1", "a refresh token brings an access token, with and without a scope, and never a wider one")
@pytest.mark.parametrize("scope", ["", "launch/patient patient/Patient.rs"], ids=["without", "with"])
def test_refresh(public: App, told: dict[str, Any], chart: Any, scope: str) -> None:
    answer = public.refresh(told["refresh_token"], **({"scope": scope} if scope else {}))
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    new = answer.json()
    assert new["access_token"] != told["access_token"]
    assert new["token_type"].lower() == "bearer"
    assert isinstance(new["expires_in"], int)
    assert {*new["scope"].split()} <= {*told["scope"].split()}
    assert new["patient"] == chart.patient
    assert public.get(f"Patient/{chart.patient}", new["access_token"]).status_code == 200
    conditions = public.get(f"Condition?patient={chart.patient}", new["access_token"])
    assert conditions.status_code == (403 if scope else 200)


@line("R1-wider", "a refresh token brings nothing that was not granted")
@pytest.mark.parametrize(
    "scope", ["patient/Observation.rs", "patient/*.rs", "patient/Patient.cruds", "system/*.rs"]
)
def test_refresh_never_widens(public: App, told: dict[str, Any], scope: str) -> None:
    answer = public.refresh(told["refresh_token"], scope=scope)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"


@line("R2-random", "a refresh token that was never given out is refused")
def test_random_refresh_token(public: App) -> None:
    answer = public.refresh("y" * 43)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == "invalid_grant"


@line("R2-client", "a refresh token is refused to another client")
def test_refresh_token_of_another(public: App, symmetric: App, told: dict[str, Any]) -> None:
    assert symmetric.refresh(told["refresh_token"]).status_code in (400, 401)
    assert public.get("Patient", told["access_token"]).status_code in (200, 401)


@line("R3", "what the user withdraws ends at once, the access token and the refresh token")
def test_withdrawn(public: App, person: Person, told: dict[str, Any], chart: Any) -> None:
    assert public.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 200
    page = person.open(public.configuration["management_endpoint"])
    for _ in range(20):  # one for each of the clients that tests before this one have left
        assert isinstance(page, Page)
        form = next((f for f in page.forms if f.button(lambda _, text: bool(WITHDRAW.match(text)))), None)
        if form is None:
            break
        page = person.send(page, form)
    assert public.get(f"Patient/{chart.patient}", told["access_token"]).status_code in (401, 403, 404)
    assert public.refresh(told["refresh_token"]).status_code in (400, 401)


@line("R3-endpoint", "a token that its client revokes ends at once; an unknown one is no error")
def test_revocation_endpoint(public: App, told: dict[str, Any], chart: Any) -> None:
    assert public.post("revocation_endpoint", {"token": told["access_token"]}).status_code == 200
    assert public.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 401
    assert public.post("revocation_endpoint", {"token": told["refresh_token"]}).status_code == 200
    assert public.refresh(told["refresh_token"]).status_code in (400, 401)
    assert public.post("revocation_endpoint", {"token": "z" * 43}).status_code == 200


@line("R4-renewed", "every use of a refresh token brings its successor, for native apps as well")
@pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1:9/callback", "com.example.app:/callback"])
def test_renewed(register: Callable[..., App], person: Person, chart: Any, redirect_uri: str) -> None:
    app = register("public", ASKED, redirect_uri=redirect_uri)
    told = app.launched(person, ASKED, chart.chosen)
    for _ in range(3):
        before = told["refresh_token"]
        told = app.refresh(before).json()
        assert told["refresh_token"] != before
        assert app.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 200


@line("R4-jwks", "the server's keys say how long they may be kept")
def test_keys_say_how_long(configuration: dict[str, Any]) -> None:
    answer = requests.get(configuration["jwks_uri"], timeout=30)
    assert re.search(r"max-age=\d+|no-cache|no-store", answer.headers["Cache-Control"])


def introspected(app: App, token: str) -> dict[str, Any]:
    answer = app.post("introspection_endpoint", {"token": token})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    return dict(answer.json())


@line("I1", "of a token in force it is told whose it is, what it may, until when and in which context")
def test_active(symmetric: App, person: Person, chart: Any) -> None:
    told = symmetric.launched(person, ASKED, chart.chosen)
    found = introspected(symmetric, told["access_token"])
    assert found["active"] is True
    assert found["client_id"] == symmetric.client_id
    assert sorted(found["scope"].split()) == sorted(told["scope"].split())
    assert isinstance(found["exp"], int)
    assert found["exp"] > time.time()
    assert found["patient"] == chart.patient
    assert found["iss"] == symmetric.configuration["issuer"]
    assert found["sub"]
    assert found["fhirUser"].endswith(f"Practitioner/{chart.practitioner}")


@line("I1-others", "a client that signs in may ask about a token of another")
def test_token_of_another(symmetric: App, public: App, told: dict[str, Any]) -> None:
    found = introspected(symmetric, told["access_token"])
    assert (found["active"], found["client_id"]) == (True, public.client_id)


@line("I2", "of what is no token it is told that it is not active, and nothing else")
def test_inactive(symmetric: App, public: App, told: dict[str, Any]) -> None:
    assert introspected(symmetric, "invalid_token_value") == {"active": False}
    public.post("revocation_endpoint", {"token": told["access_token"]})
    assert introspected(symmetric, told["access_token"]) == {"active": False}


@line("I2-anonymous", "who does not sign in learns nothing")
def test_anonymous(symmetric: App, told: dict[str, Any]) -> None:
    answer = symmetric.post("introspection_endpoint", {"token": told["access_token"]}, signed=False)
    assert answer.status_code == 401
    assert "scope" not in answer.json()
