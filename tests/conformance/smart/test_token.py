"""The token endpoint and what its tokens open: lines T1-T8, and every way to be refused.

Sources: RFC 6749, RFC 7636, hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html,
hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from asking.pages import Person
from asking.smart import App, challenge_of

ASKED = "openid fhirUser offline_access launch/patient patient/Patient.rs patient/Condition.rs"
LEVEL = re.compile(r"(patient|user|system)/([A-Za-z*]+)\.(c?r?u?d?s?|read|write|\*)(\?\S+)?")
CODE_SECONDS = 60.0  # that a code may be good for; RFC 6749 recommends ten minutes at the most
RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


@pytest.fixture
def granted(public: App, person: Person, chart: Any) -> tuple[str, str]:
    """A fresh code of the public client, and the verifier of its challenge."""
    answer, verifier = public.authorize(person, ASKED, chart.chosen)
    return answer["code"], verifier


@line("T1", "a code is exchanged by public, symmetric and asymmetric clients")
@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_exchange(request: pytest.FixtureRequest, person: Person, chart: Any, kind: str) -> None:
    told = request.getfixturevalue(kind).launched(person, ASKED, chart.chosen)
    assert told["patient"] == chart.patient


@line("T2", "the answer has token, type, seconds and scope; what was granted is echoed")
def test_body(public: App, person: Person, chart: Any) -> None:
    told = public.launched(person, ASKED, chart.chosen)
    assert isinstance(told["access_token"], str)
    assert told["token_type"].lower() == "bearer"
    assert isinstance(told["expires_in"], int)
    assert told["expires_in"] > 0
    words = told["scope"].split()
    assert {"openid", "fhirUser", "offline_access", "launch/patient"} <= {*words}
    assert all(LEVEL.fullmatch(word) for word in words if "/" in word and not word.startswith("launch/"))
    assert isinstance(told["refresh_token"], str)


@line("T2-types", "every type of the (g)(10) list can be granted")
def test_all_types(register: Callable[..., App], person: Person, chart: Any) -> None:
    types = (
        *("Patient", "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport"),
        *("DocumentReference", "Encounter", "Goal", "Immunization", "MedicationRequest", "Observation"),
        *("Procedure", "Provenance", "Coverage", "MedicationDispense", "ServiceRequest", "Specimen"),
        "RelatedPerson",
    )
    asked = " ".join(["launch/patient", *(f"patient/{name}.rs" for name in types)])
    told = register("public", "launch/patient patient/*.rs").launched(person, asked, chart.chosen)
    assert {f"patient/{name}.rs" for name in types} <= {*told["scope"].split()}


@line("T3", "what the token endpoint says is never cached")
def test_no_store(public: App, granted: tuple[str, str]) -> None:
    for answer in (public.exchange(*granted), public.exchange("no-code", "x" * 43)):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Pragma"] == "no-cache"


@line("T4", "the context names patient, encounter, banner and style, and all of them are there")
def test_context(
    launchable: App, person: Person, ehr_launch: Callable[[App], dict[str, str]], chart: Any
) -> None:
    given = ehr_launch(launchable)
    scope = "launch openid fhirUser patient/Patient.rs patient/Encounter.rs"
    told = launchable.launched(person, scope, launch=given["launch"])
    token = told["access_token"]
    assert told["patient"] == chart.patient
    assert launchable.get(f"Patient/{told['patient']}", token).status_code == 200
    assert told["encounter"] == chart.encounter
    assert launchable.get(f"Encounter/{told['encounter']}", token).status_code == 200
    assert isinstance(told["need_patient_banner"], bool)
    style = requests.get(told["smart_style_url"], timeout=30)
    assert style.status_code == 200
    assert isinstance(style.json(), dict)


def problems(context: Any) -> list[str]:
    """What is wrong with a fhirContext (STU2.2)."""
    if not isinstance(context, list):
        return ["not an array"]
    found = []
    for item in context:
        if not isinstance(item, dict):
            found.append("an item is no object")
            continue
        if not {"reference", "canonical", "identifier"} & {*item}:
            found.append("an item names nothing")
        if "reference" in item and not RELATIVE.fullmatch(str(item["reference"])):
            found.append("a reference is not relative")
        if "canonical" in item and not str(item["canonical"]).startswith("http"):
            found.append("a canonical is no URL")
        if "identifier" in item and not isinstance(item["identifier"], dict):
            found.append("an identifier is no object")
        if "type" in item and not re.fullmatch("[A-Z][A-Za-z]+", str(item["type"])):
            found.append("a type is none")
        if item.get("role", "launch") != "launch" and ":" not in item["role"]:
            found.append("a role is no absolute URI")
    return found


@line("T5", "fhirContext, where a launch has one, is an array of objects that name something")
def test_fhir_context(launchable: App, person: Person, ehr_launch: Callable[[App], dict[str, str]]) -> None:
    assert problems([{"reference": "DiagnosticReport/1"}, {"canonical": "http://example.org/q"}]) == []
    assert problems(["DiagnosticReport/1", {"reference": "http://x.org/A/1"}, {"role": "r"}]) != []
    given = ehr_launch(launchable)
    told = launchable.launched(person, "launch patient/Patient.rs", launch=given["launch"])
    assert problems(told.get("fhirContext", [])) == []


@line("T6", "a browser app of another origin may read the token")
def test_cross_origin(public: App, granted: tuple[str, str]) -> None:
    code, verifier = granted
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": public.redirect_uri}
    answer = public.post("token_endpoint", form | {"code_verifier": verifier}, Origin="https://app.example")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")


def refused(answer: Any, *statuses: int, error: str = "") -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    assert not error or answer.json()["error"] == error
    assert "access_token" not in answer.json()


@line("T7-bad-code", "a code that was never given out is refused")
def test_bad_code(public: App) -> None:
    refused(public.exchange("BAD_CODE", "x" * 43), 400, error="invalid_grant")


@line("T7-bad-client", "a code is refused to a client that is not known")
def test_bad_client(public: App, granted: tuple[str, str]) -> None:
    code, verifier = granted
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": public.redirect_uri}
    form |= {"code_verifier": verifier, "client_id": "BAD_CLIENT_ID"}
    refused(public.post("token_endpoint", form, signed=False), 400, 401)


@line("T7-no-verifier", "a code is refused without the verifier")
def test_no_verifier(public: App, granted: tuple[str, str]) -> None:
    refused(public.exchange(granted[0], None), 400, 401)


@line("T7-blank-verifier", "a code is refused with a blank verifier")
def test_blank_verifier(public: App, granted: tuple[str, str]) -> None:
    refused(public.exchange(granted[0], ""), 400, 401)


@line("T7-wrong-verifier", "a code is refused with another verifier")
def test_wrong_verifier(public: App, granted: tuple[str, str]) -> None:
    refused(public.exchange(granted[0], "x" * 43), 400, 401)


@line("T7-plain-verifier", "a code is refused with the challenge as verifier")
def test_plain_verifier(public: App, granted: tuple[str, str]) -> None:
    code, verifier = granted
    refused(public.exchange(code, challenge_of(verifier)), 400, 401)


@line("T7-code-reuse", "a code that is used again is refused, and what it had brought ends")
def test_code_reuse(public: App, granted: tuple[str, str], chart: Any) -> None:
    told = public.exchange(*granted).json()
    assert public.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 200
    refused(public.exchange(*granted), 400, error="invalid_grant")
    assert public.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 401
    refused(public.refresh(told["refresh_token"]), 400, 401)


@line("T7-redirect-uri", "a code is refused with another redirect_uri, and without one")
@pytest.mark.parametrize("given", ["http://127.0.0.1:9/elsewhere", "http://127.0.0.1:9/callback/", ""])
def test_redirect_uri(public: App, granted: tuple[str, str], given: str) -> None:
    refused(public.exchange(*granted, redirect_uri=given), 400)


@line("T7-other-client", "a code is refused to another client")
def test_other_client(symmetric: App, granted: tuple[str, str]) -> None:
    refused(symmetric.exchange(*granted), 400, error="invalid_grant")


@pytest.mark.long
@line("T7-expired-code", "a code that has expired is refused")
def test_expired_code(public: App, granted: tuple[str, str]) -> None:
    time.sleep(CODE_SECONDS + 1)
    refused(public.exchange(*granted), 400, error="invalid_grant")


@line("T7-public-pkce", "a public client gets no code without a challenge by S256")
@pytest.mark.parametrize(
    "given",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
    ],
    ids=["none", "plain", "no method"],
)
def test_public_pkce(public: App, person: Person, chart: Any, given: dict[str, Any]) -> None:
    answer, _ = public.authorize(person, "launch/patient patient/Patient.rs", chart.chosen, **given)
    assert answer["error"] == "invalid_request"
    assert "code" not in answer


@line("T8-no-token", "without a token a read is 401")
def test_no_token(public: App, chart: Any) -> None:
    for path in (f"Patient/{chart.patient}", "Patient", f"Condition?patient={chart.patient}"):
        answer = public.get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@line("T8-bad-token", "a token that was never given out is 401")
def test_bad_token(public: App, chart: Any) -> None:
    answer = public.get(f"Patient/{chart.patient}", "x" * 43)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.long
@line("T8-expired", "a token that has expired is 401")
def test_expired(public: App, command: Callable[..., str], chart: Any) -> None:
    scope = ("--scope", "patient/Patient.rs", "--patient", chart.patient)
    token = command("token", "mint", *scope, "--minutes", "1")
    assert public.get(f"Patient/{chart.patient}", token).status_code == 200
    time.sleep(61)
    assert public.get(f"Patient/{chart.patient}", token).status_code == 401


@line("T8-audience", "no token is given for another server")
def test_audience(public: App, person: Person, chart: Any) -> None:
    answer, _ = public.authorize(
        person, "launch/patient patient/Patient.rs", chart.chosen, aud="https://ehr.example/fhir"
    )
    assert "code" not in answer
    assert answer["error"]
