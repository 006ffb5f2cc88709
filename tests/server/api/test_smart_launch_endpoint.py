"""`POST /oauth2/launch`: an EHR starts an app for the person who works in it.

Covers hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html (EHR launch), RFC 6750 section 3.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.auth.tokens import Claims, mint

BASE = "http://127.0.0.1:8000"


class Ehr:
    """A first-party client with a user's token, and an app that it launches."""

    def __init__(self, smart: Any) -> None:
        self.smart = smart
        self.app_id = smart.client(name="Growth chart")
        self.client_id = smart.client(
            name="EHR", scope="openid fhirUser online_access offline_access user/*.rs", launch_url=""
        )
        self.nurse = smart.browser()
        self.nurse.sign_in()

    def token(self, scope: str = "online_access user/*.rs", client_id: str = "") -> str:
        client_id = client_id or self.client_id
        code = self.smart.authorize(self.nurse, client_id, scope=scope).answer["code"]
        return json.loads(self.smart.exchange(client_id, code).text)["access_token"]

    def ask(self, token: str, body: Any = None, **headers: str) -> Any:
        asked = {"client_id": self.app_id, "patient": "one"} if body is None else body
        return self.smart.app.test_client().post(
            "/oauth2/launch",
            base_url=BASE,
            data=asked if isinstance(asked, bytes) else json.dumps(asked),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"} | headers,
        )

    def tokens(self, launch: str, scope: str = "launch openid fhirUser patient/*.rs") -> dict[str, Any]:
        """What the app gets for the launch."""
        page = self.smart.authorize(self.smart.browser(), self.app_id, launch=launch, scope=scope)
        return json.loads(self.smart.exchange(self.app_id, page.answer["code"]).text)


@pytest.fixture
def ehr(smart: Any) -> Ehr:
    return Ehr(smart)


@pytest.mark.requirement("A3")
@pytest.mark.requirement("T4")
@pytest.mark.requirement("T5")
def test_a_launch_carries_the_context_that_the_ehr_gave(ehr: Ehr) -> None:
    context = {
        "patient": "one",
        "encounter": "stay",
        "intent": "reconcile-medications",
        "fhirContext": [{"canonical": "https://example.org/Questionnaire/q|1", "type": "Questionnaire"}],
        "need_patient_banner": False,
        "tenant": "north-clinic",
    }
    answer = ehr.ask(ehr.token(), {"client_id": ehr.app_id, **context})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.get_json()
    assert made["expires_in"] == 60
    url = urlsplit(made["url"])
    assert parse_qs(url.query) == {"iss": [f"{BASE}/fhir"], "launch": [made["launch"]]}
    tokens = ehr.tokens(made["launch"])
    assert {name: tokens[name] for name in context} == context
    claims = ehr.smart.claims(tokens["id_token"]).claims
    assert claims["sub"] == "rn"
    assert claims["fhirUser"] == f"{BASE}/fhir/Practitioner/prac-rn"
    found = ehr.smart.post("/oauth2/introspect", {"token": tokens["access_token"], "client_id": ehr.app_id})
    assert {name: json.loads(found.text)[name] for name in context} == context


def test_a_launch_ends_with_the_sign_in_of_the_ehrs_token(ehr: Ehr) -> None:
    token = ehr.token()
    launch = ehr.ask(token).get_json()["launch"]
    ehr.nurse.post("/oauth2/logout", ehr.nurse.get("/oauth2/grants").fields)
    page = ehr.smart.authorize(ehr.smart.browser(), ehr.app_id, launch=launch, scope="launch patient/*.rs")
    assert page.answer["error"] == "invalid_request"
    assert ehr.ask(token).status_code == 401


def test_offline_access_launches_also_after_the_sign_in_but_gives_no_online_access(
    ehr: Ehr, clock: Any
) -> None:
    token = ehr.token("offline_access user/*.rs")
    clock.advance(minutes=40)
    app = ehr.smart.client(scope="launch online_access patient/*.rs")
    launch = ehr.ask(token, {"client_id": app, "patient": "one"}).get_json()["launch"]
    page = ehr.smart.authorize(
        ehr.smart.browser(), app, launch=launch, scope="launch online_access patient/*.rs"
    )
    tokens = json.loads(ehr.smart.exchange(app, page.answer["code"]).text)
    assert tokens["scope"] == "launch patient/*.rs"
    assert "refresh_token" not in tokens


def test_a_sign_in_that_ran_out_launches_no_more(ehr: Ehr, clock: Any) -> None:
    token = ehr.token()
    clock.advance(minutes=16)
    answer = ehr.ask(token)
    assert answer.status_code == 403
    assert answer.get_json() == {
        "error": "access_denied",
        "error_description": "The user has signed out.",
    }


def test_only_a_first_party_client_with_a_users_token_makes_launches(ehr: Ehr) -> None:
    other = ehr.smart.client(trusted=False)
    page = ehr.smart.authorize(ehr.nurse, other, scope="user/*.rs")
    code = ehr.nurse.post("/oauth2/authorize/decision", [*page.fields, ("_decision", "allow")]).answer["code"]
    theirs = json.loads(ehr.smart.exchange(other, code).text)["access_token"]
    machines = mint(ehr.smart.context, Claims(ehr.client_id, "system/*.rs"), timedelta(hours=1))
    for token in (theirs, machines):
        answer = ehr.ask(token)
        assert answer.status_code == 403
        assert answer.get_json()["error"] == "access_denied"


@pytest.mark.parametrize("header", ["", "Bearer unknown-token-0123456789", "Basic YTpi"])
def test_without_a_token_it_is_401_with_a_challenge(ehr: Ehr, header: str) -> None:
    answer = ehr.ask("", Authorization=header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.get_json()["error"] == "invalid_token"


@pytest.mark.parametrize(
    "more",
    [
        {"patient": "absent"},
        {"patient": "../one"},
        {"patient": "one,two"},
        {"encounter": "absent"},
        {"patient": "two", "encounter": "stay"},
        {"patient": None},
        {"patient": 1},
        {"client_id": "nobody"},
        {"client_id": None},
        {"intent": "x" * 201},
        {"intent": "a\u0007"},
        {"tenant": ["x"]},
        {"need_patient_banner": "no"},
        {"need_patient_banner": 1},
        {"fhirContext": "List/one"},
        {"fhirContext": [{"reference": "Encounter/stay"}]},
        {"username": "engineer"},
    ],
)
def test_what_is_wrong_is_told_and_makes_no_launch(ehr: Ehr, store: Any, more: dict[str, Any]) -> None:
    answer = ehr.ask(ehr.token(), {"client_id": ehr.app_id, "patient": "one", **more})
    assert answer.status_code == 400, answer.text
    assert answer.get_json()["error"] == "invalid_request"
    assert answer.get_json()["error_description"].endswith(".")
    rows = [row for row in store.audit_rows(limit=20) if row.interaction.startswith("launch")]
    assert [(row.interaction, row.outcome, row.username) for row in rows] == [("launch-refused", 400, "rn")]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a":"\\ud800"}', b'{"client_id":"a","client_id":"b"}', b"x" * 70_000]
)
def test_only_a_json_object_is_read(ehr: Ehr, body: bytes) -> None:
    assert ehr.ask(ehr.token(), body).status_code == 400
    form = ehr.ask(ehr.token(), **{"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code == 400


def test_an_encounter_is_given_with_its_patient(ehr: Ehr) -> None:
    answer = ehr.ask(ehr.token(), {"client_id": ehr.app_id, "encounter": "stay"})
    assert answer.get_json()["error_description"] == "An encounter is given with its patient."


def test_the_token_must_be_allowed_to_read_the_patient(ehr: Ehr) -> None:
    answer = ehr.ask(ehr.token("online_access user/Task.rs"))
    assert answer.status_code == 400
    assert "Patient" in answer.get_json()["error_description"]


def test_a_launch_is_audited_with_who_asked_for_it(ehr: Ehr, store: Any) -> None:
    ehr.ask(ehr.token())
    (row,) = (row for row in store.audit_rows(limit=20) if row.interaction == "launch")
    assert (row.principal, row.client_id, row.patient) == ("Practitioner/prac-rn", ehr.app_id, "one")
    assert row.detail == f"by {ehr.client_id}"
