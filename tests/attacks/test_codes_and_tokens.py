"""Codes and tokens in the wrong hands: injected, used again, downgraded, widened, or meant for somebody else.

Sources: RFC 9700 (OAuth 2.0 Security Best Current Practice) sections 2 and 4, RFC 9207, RFC 7636
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

ASKED = "offline_access launch/patient patient/Patient.rs"


def refused(answer: Any, error: str, *statuses: int) -> None:
    assert answer.status_code in (statuses or (400,)), answer.text
    assert answer.json()["error"] == error
    assert "access_token" not in answer.json()


def at_once(count: int, ask: Callable[[], Any]) -> list[Any]:
    """The answers to the same request, sent at the same moment."""
    answers: list[Any] = []
    gate = threading.Barrier(count)

    def one() -> None:
        gate.wait()
        answers.append(ask())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


# Authorization codes ------------------------------------------------------------------------------------------


def test_an_injected_code_is_refused_because_its_challenge_is_another(
    site: Any, public: Any, victim: Any, attacker: Any, chosen: Any, since: Any
) -> None:
    """RFC 9700 section 4.5: the attacker puts a victim's code into a flow of their own."""
    stolen, _ = public.authorize(victim, ASKED, chosen)
    _, own_verifier = public.authorize(attacker, ASKED, type(chosen)(("other", "Other")))
    refused(public.exchange(stolen["code"], own_verifier), "invalid_grant")
    site.audited(since, interaction="token-refused", client_id=public.client_id, detail="invalid_grant")


def test_a_code_that_is_replayed_ends_what_it_had_brought(
    site: Any, public: Any, victim: Any, chosen: Any, since: Any
) -> None:
    answer, verifier = public.authorize(victim, ASKED, chosen)
    told = public.exchange(answer["code"], verifier).json()
    refused(public.exchange(answer["code"], verifier), "invalid_grant")
    assert public.get("Patient/victim", told["access_token"]).status_code == 401
    refused(public.refresh(told["refresh_token"]), "invalid_grant")
    site.audited(since, interaction="code-reuse", client_id=public.client_id)


def test_of_many_who_use_a_code_at_once_at_most_one_gets_a_token_and_it_does_not_last(
    public: Any, victim: Any, chosen: Any
) -> None:
    answer, verifier = public.authorize(victim, ASKED, chosen)
    answers = at_once(8, lambda: public.exchange(answer["code"], verifier))
    won = [one.json() for one in answers if one.status_code == 200]
    assert len(won) <= 1
    assert all(public.get("Patient/victim", one["access_token"]).status_code == 401 for one in won)


def test_a_code_of_another_client_is_refused(
    site: Any, public: Any, confidential: Any, victim: Any, chosen: Any, since: Any
) -> None:
    answer, verifier = public.authorize(victim, ASKED, chosen)
    refused(confidential.exchange(answer["code"], verifier), "invalid_grant")
    site.audited(since, interaction="token-refused", detail="invalid_grant")


def test_who_tried_a_code_of_another_client_is_audited(
    site: Any, public: Any, confidential: Any, victim: Any, chosen: Any, since: Any
) -> None:
    answer, verifier = public.authorize(victim, ASKED, chosen)
    confidential.exchange(answer["code"], verifier)
    site.audited(since, interaction="token-refused", client_id=confidential.client_id)


def test_a_confidential_client_is_not_believed_without_its_secret(
    site: Any, confidential: Any, victim: Any, chosen: Any, since: Any
) -> None:
    answer, verifier = confidential.authorize(victim, ASKED, chosen)
    form = {"grant_type": "authorization_code", "code": answer["code"], "code_verifier": verifier}
    form |= {"redirect_uri": confidential.redirect_uri, "client_id": confidential.client_id}
    refused(confidential.post("token_endpoint", form, signed=False), "invalid_client", 401)
    in_form = form | {"client_secret": confidential.secret}
    refused(confidential.post("token_endpoint", in_form, signed=False), "invalid_client", 401)
    site.audited(since, interaction="token-refused", outcome=401)


# Mix-up -------------------------------------------------------------------------------------------------------


def test_the_answer_to_an_app_of_many_servers_says_whose_it_is(
    public: Any, victim: Any, chosen: Any, configuration: dict[str, Any]
) -> None:
    """RFC 9700 section 4.4.2: an app that talks to several servers is mixed up unless each answer names its
    own."""
    answer, _ = public.authorize(victim, ASKED, chosen)
    assert configuration["authorization_response_iss_parameter_supported"] is True
    assert answer["iss"] == configuration["issuer"]
    refusal, _ = public.authorize(victim, ASKED, chosen, aud="https://evil.example/fhir")
    assert refusal["error"]
    assert refusal["iss"] == configuration["issuer"]


def test_an_assertion_for_the_token_endpoint_of_another_server_is_refused(
    site: Any, backend: Any, since: Any
) -> None:
    for audience in (
        "https://evil.example/oauth2/token",
        f"{site.origin}/oauth2/introspect",
        site.origin + "/",
    ):
        form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form["client_assertion"] = backend.keys.assertion(backend.client_id, audience)
        refused(backend.post("token_endpoint", form, signed=False), "invalid_client", 401)
    site.audited(since, interaction="token-refused", detail="invalid_client")


# PKCE ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "without",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "none"},
        {"code_challenge": "", "code_challenge_method": "S256"},
        {"code_challenge": "x" * 42, "code_challenge_method": "S256"},
    ],
    ids=["none", "plain", "unknown", "empty", "too short"],
)
def test_a_challenge_is_not_left_out_or_weakened(
    site: Any, public: Any, victim: Any, chosen: Any, since: Any, without: dict[str, Any]
) -> None:
    answer, _ = public.authorize(victim, ASKED, chosen, **without)
    assert answer["error"] == "invalid_request"
    assert "code" not in answer
    site.audited(since, interaction="authorize-refused", client_id=public.client_id, detail="invalid_request")


def test_a_code_without_a_challenge_takes_no_verifier(confidential: Any, victim: Any, chosen: Any) -> None:
    """RFC 9700 section 4.8.2: an attacker strips the challenge; the app, which had sent one, sends its
    verifier."""
    stripped = {"code_challenge": None, "code_challenge_method": None}
    answer, verifier = confidential.authorize(victim, ASKED, chosen, **stripped)
    if "code" in answer:
        told = confidential.exchange(answer["code"], verifier)
        refused(told, told.json()["error"])
        assert told.json()["error"] in ("invalid_grant", "invalid_request")
    else:
        assert answer["error"] == "invalid_request"


# Refresh tokens -----------------------------------------------------------------------------------------------


def test_a_refresh_token_that_is_used_again_ends_the_whole_family(
    site: Any, public: Any, victim: Any, chosen: Any, since: Any
) -> None:
    first = public.launched(victim, ASKED, chosen)
    second = public.refresh(first["refresh_token"]).json()
    third = public.refresh(second["refresh_token"]).json()
    refused(public.refresh(first["refresh_token"]), "invalid_grant")
    for told in (first, second, third):
        assert public.get("Patient/victim", told["access_token"]).status_code == 401
        refused(public.refresh(told["refresh_token"]), "invalid_grant")
    site.audited(since, interaction="refresh-reuse", client_id=public.client_id)


def test_of_many_who_use_a_refresh_token_at_once_nobody_keeps_access(
    public: Any, victim: Any, chosen: Any
) -> None:
    told = public.launched(victim, ASKED, chosen)
    answers = at_once(8, lambda: public.refresh(told["refresh_token"]))
    won = [one.json() for one in answers if one.status_code == 200]
    assert len(won) <= 1
    for one in [told, *won]:
        assert public.get("Patient/victim", one["access_token"]).status_code == 401
        refused(public.refresh(one["refresh_token"]), "invalid_grant")


def test_a_refresh_token_of_a_confidential_client_needs_the_client(
    site: Any, confidential: Any, public: Any, victim: Any, chosen: Any, since: Any
) -> None:
    told = confidential.launched(victim, ASKED, chosen)
    refused(public.refresh(told["refresh_token"]), "invalid_grant", 400, 401)
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    form["client_id"] = confidential.client_id
    refused(confidential.post("token_endpoint", form, signed=False), "invalid_client", 401)
    assert confidential.refresh(told["refresh_token"]).status_code == 200, "the attempts of others end nothing"
    site.audited(since, interaction="token-refused", client_id=public.client_id)


# Scopes -------------------------------------------------------------------------------------------------------


def test_an_app_gets_no_more_than_it_is_registered_for(
    register: Callable[..., Any], victim: Any, chosen: Any
) -> None:
    app = register("public", "launch/patient patient/Patient.rs")
    asked = (
        "launch/patient patient/*.cruds user/*.cruds system/*.cruds offline_access openid patient/Patient.cruds"
    )
    told = app.launched(victim, asked, chosen)
    assert {*told["scope"].split()} <= {"launch/patient", "patient/Patient.rs"}
    assert "refresh_token" not in told
    assert "id_token" not in told
    assert app.get("Observation/secret-of-victim", told["access_token"]).status_code == 403


def test_a_form_of_the_consent_page_grants_nothing_that_was_not_asked(
    public: Any, victim: Any, chosen: Any
) -> None:
    """Whoever forges ticks in the form, the user or a page in between, cannot add to what the app asked."""

    class Ticking(type(victim)):  # type: ignore[misc]
        def send(self, page: Any, form: Any, *more: Any, boxes: Any = None) -> Any:
            if boxes is not None:
                boxes = [
                    *boxes,
                    *((name, "user/*.rs") for name, _ in boxes[:1]),
                    ("_granted", "system/*.cruds"),
                ]
            return super().send(page, form, *more, boxes=boxes)

    person = Ticking(victim.origin, victim.username, victim.password)
    told = public.launched(person, "launch/patient patient/Patient.rs", chosen)
    assert {*told["scope"].split()} == {"launch/patient", "patient/Patient.rs"}


def test_a_token_request_cannot_widen_a_code(public: Any, victim: Any, chosen: Any) -> None:
    answer, verifier = public.authorize(victim, ASKED, chosen)
    told = public.exchange(answer["code"], verifier, scope="user/*.cruds system/*.rs").json()
    assert {*told.get("scope", "").split()} <= {*ASKED.split()}


@pytest.mark.parametrize(
    "scope", ["patient/*.rs", "user/*.rs", "launch", "openid", "system/*.cruds", "offline_access"]
)
def test_a_service_gets_no_scope_of_people_and_none_it_is_not_registered_for(backend: Any, scope: str) -> None:
    answer = backend.post("token_endpoint", {"grant_type": "client_credentials", "scope": scope})
    if answer.status_code == 200:
        assert answer.json()["scope"] == "system/*.rs"
    else:
        refused(answer, "invalid_scope")


def test_a_client_cannot_use_a_grant_type_that_is_not_its_own(
    public: Any, confidential: Any, backend: Any
) -> None:
    for app in (public, confidential):
        answer = app.post("token_endpoint", {"grant_type": "client_credentials", "scope": "system/*.rs"})
        assert answer.status_code in (400, 401)
        assert answer.json()["error"] in ("unauthorized_client", "invalid_client")
    for grant_type in ("password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"):
        form = {"grant_type": grant_type, "username": "doctor-victim", "password": "x"}
        refused(backend.post("token_endpoint", form), "unsupported_grant_type")


def test_a_token_of_one_patient_reaches_no_other(site: Any, since: Any) -> None:
    token = site.token("patient/*.cruds", "--patient", "other")
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("Patient/victim", "Observation/secret-of-victim", "Observation/secret-of-victim/_history/1"):
        assert requests.get(f"{site.base}/{path}", headers=headers, timeout=30).status_code == 404
    found = requests.get(f"{site.base}/Observation?patient=victim", headers=headers, timeout=30).json()
    assert found["total"] == 0
    site.audited(since, interaction="read", outcome=404, id="victim")


# Tokens in the wrong place ------------------------------------------------------------------------------------


def test_a_token_is_taken_from_the_header_alone(site: Any, since: Any) -> None:
    token = site.token("system/*.rs")
    for ask in (
        lambda: requests.get(f"{site.base}/Patient/victim?access_token={token}", timeout=30),
        lambda: requests.get(f"{site.base}/Patient/victim", cookies={"access_token": token}, timeout=30),
        lambda: requests.post(f"{site.base}/Patient/_search", data={"access_token": token}, timeout=30),
        lambda: requests.get(
            f"{site.base}/Patient/victim", headers={"Authorization": f"Basic {token}"}, timeout=30
        ),
        lambda: requests.get(
            f"{site.base}/Patient/victim", headers={"X-Authorization": f"Bearer {token}"}, timeout=30
        ),
    ):
        assert ask().status_code in (400, 401)
    site.audited(since, interaction="read", outcome=401)


def test_codes_refresh_tokens_and_id_tokens_open_no_resource(public: Any, victim: Any, chosen: Any) -> None:
    answer, verifier = public.authorize(victim, f"openid fhirUser {ASKED}", chosen)
    assert public.get("Patient/victim", answer["code"]).status_code == 401
    told = public.exchange(answer["code"], verifier).json()
    for name in ("refresh_token", "id_token"):
        assert public.get("Patient/victim", told[name][:250]).status_code == 401
