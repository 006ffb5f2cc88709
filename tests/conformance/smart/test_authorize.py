"""The authorization request and what comes back: lines A1-A7.

Pages are driven as a person does it, form by form. Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from asking.pages import Choices, Person, Stopped
from asking.smart import App

GRANULAR = ("Condition", "Observation")


def types_of(scope: str) -> set[str]:
    """The types that resource scopes of a patient name."""
    words = [word for word in scope.split() if word.startswith("patient/")]
    return {word.removeprefix("patient/").partition(".")[0] for word in words}


@pytest.mark.requirement("A1", "the authorization endpoint takes GET and POST")
@pytest.mark.parametrize("post", [False, True], ids=["GET", "POST"])
def test_get_and_post(public: App, person: Person, chart: Any, post: bool) -> None:
    answer, verifier = public.authorize(person, "launch/patient patient/Patient.rs", chart.chosen, post=post)
    assert public.exchange(answer["code"], verifier).status_code == 200


@pytest.mark.requirement("A2", "the redirect brings a code and the very state, and no error")
def test_the_redirect(public: App, person: Person, chart: Any) -> None:
    state = "a b&c=d/é%+"
    answer, _ = public.authorize(person, "launch/patient patient/Patient.rs", chart.chosen, state=state)
    assert answer["code"]
    assert answer["state"] == state
    assert "error" not in answer


@pytest.mark.requirement(
    "A3", "the EHR opens the launch address with iss and launch, and the launch brings a code"
)
def test_ehr_launch(launchable: App, person: Person, ehr_launch: Callable[[App], dict[str, str]]) -> None:
    given = ehr_launch(launchable)
    assert given["iss"] == launchable.base
    assert given["launch"]
    answer, _ = launchable.authorize(person, "launch patient/Patient.rs", launch=given["launch"])
    assert answer["code"]


@pytest.mark.requirement("A4", "another audience gets no code")
@pytest.mark.parametrize(
    "aud", ["https://inferno.healthit.gov/invalid_aud", "", None], ids=["other", "empty", "none"]
)
def test_another_audience(public: App, person: Person, chart: Any, aud: str | None) -> None:
    parameters, _ = public.request("launch/patient patient/Patient.rs", aud=aud)
    url = f"{public.configuration['authorization_endpoint']}?{urlencode(parameters)}"
    try:
        answer = {**parse_qs(urlsplit(person.decide(url, chart.chosen)).query)}
    except Stopped as stopped:
        answer = {"error": [str(stopped.page.status)]}
    assert "code" not in answer
    assert answer["error"]
    assert answer["error"] != ["200"]


@pytest.mark.requirement("A5", "who is asked may leave out types; the token then has exactly the others")
def test_fewer_scopes(public: App, person: Person, chart: Any) -> None:
    asked = (
        "openid launch/patient offline_access patient/Patient.rs patient/Condition.rs patient/Observation.rs"
    )
    choices = Choices(chart.chosen.patient, keep=lambda value, on: on and "Observation" not in value)
    told = public.launched(person, asked, choices)
    assert types_of(told["scope"]) == {"Patient", "Condition"}
    patient = told["patient"]
    assert public.get(f"Condition?patient={patient}", told["access_token"]).status_code == 200
    assert public.get(f"Observation?patient={patient}", told["access_token"]).status_code in (401, 403)
    consent = person.seen[-1].text.lower()
    assert "offline" in consent
    assert "condition" in consent or "problem" in consent or "diagnos" in consent


@pytest.mark.requirement(
    "A6", "of a type that was asked for as a whole a person may give some categories alone"
)
def test_categories_alone(public: App, person: Person, chart: Any) -> None:
    asked = "launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs"

    def keep(value: str, on: bool) -> bool:
        if any(f"/{name}." in value for name in GRANULAR):
            return "?" in value
        return on

    told = public.launched(person, asked, Choices(chart.chosen.patient, keep=keep))
    words = told["scope"].split()
    for name in GRANULAR:
        own = [word for word in words if word.startswith(f"patient/{name}.")]
        assert own, name
        assert all("?" in word for word in own), own
    assert "patient/Patient.rs" in words


@pytest.mark.requirement("A7", "scopes of version 1 work beside those of version 2")
def test_version_1(register: Callable[..., App], person: Person, chart: Any) -> None:
    app = register("public", "launch/patient patient/*.read patient/*.rs")
    told = app.launched(person, "launch/patient patient/Patient.read patient/Condition.read", chart.chosen)
    words = {*told["scope"].split()}
    assert {"patient/Patient.read", "patient/Condition.read"} <= words or {
        "patient/Patient.rs",
        "patient/Condition.rs",
    } <= words
    assert app.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 200
    assert app.get(f"Condition?patient={chart.patient}", told["access_token"]).status_code == 200
    assert app.get(f"Observation?patient={chart.patient}", told["access_token"]).status_code in (401, 403)
