"""A person, a chart and clients of others, for the lines about SMART App Launch.

Registering clients and people is no standard's: here it is done by this project's commands, so that another
server is not asked these lines.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from asking.pages import Choices, Person
from asking.smart import App, Keys
from asking.ward import SETS, Sight, Ward, admitted, sight_of

CALLBACK = "http://127.0.0.1:9/callback"
ANOTHER_SERVER = bool(os.environ.get("BATON_CONFORMANCE_URL"))
LAUNCH = "http://127.0.0.1:9/launch"
SCOPE = (
    "openid fhirUser offline_access launch launch/patient patient/Patient.rs patient/Condition.rs"
    " patient/Observation.rs patient/Encounter.rs user/Practitioner.rs"
)


@dataclass(frozen=True, slots=True)
class Chart:
    """One patient with a practitioner who looks after them, and a finished stay. family: nobody else's name."""

    patient: str
    family: str
    practitioner: str
    encounter: str

    @property
    def chosen(self) -> Choices:
        return Choices((self.patient, self.family))


@pytest.fixture(scope="session")
def command(request: pytest.FixtureRequest) -> Callable[..., str]:
    """`command("client", "list")`: what a `baton` command of the server prints."""
    if ANOTHER_SERVER:
        pytest.skip("clients and people of another server are not registered from here")
    made: Callable[..., str] = request.getfixturevalue("started")[1]
    return made


@pytest.fixture(scope="session")
def origin(fhir: Any) -> str:
    return str(fhir.base.removesuffix("/fhir"))


@pytest.fixture(scope="session")
def configuration(fhir: Any) -> dict[str, Any]:
    """The SMART configuration."""
    answer = requests.get(f"{fhir.base}/.well-known/smart-configuration", timeout=30)
    assert answer.status_code == 200
    return dict(answer.json())


@pytest.fixture(scope="session")
def chart(fhir: Any) -> Chart:
    family = f"Launch{fhir.run}"
    practitioner = fhir.create({"resourceType": "Practitioner", "name": [{"family": f"Doctor{fhir.run}"}]})[
        "id"
    ]
    about = {"reference": f"Practitioner/{practitioner}"}
    patient = fhir.create(
        {
            "resourceType": "Patient",
            "name": [{"family": family, "given": ["Synthetic"]}],
            "gender": "female",
            "birthDate": "1950-01-01",
            "generalPractitioner": [about],
        }
    )["id"]
    subject = {"reference": f"Patient/{patient}"}
    fhir.create(
        {"resourceType": "CareTeam", "status": "active", "subject": subject, "participant": [{"member": about}]}
    )
    encounter = fhir.create(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": subject,
            "participant": [{"individual": about}],
            "period": {"start": "2024-05-01", "end": "2024-05-04"},
        }
    )["id"]
    for category in ("encounter-diagnosis", "problem-list-item"):
        fhir.create(
            {
                "resourceType": "Condition",
                "category": [{"coding": [{"system": CONDITION_CATEGORY, "code": category}]}],
                "code": {"text": category},
                "subject": subject,
            }
        )
    for category in ("laboratory", "social-history", "vital-signs"):
        fhir.create(
            {
                "resourceType": "Observation",
                "status": "final",
                "category": [{"coding": [{"system": OBSERVATION_CATEGORY, "code": category}]}],
                "code": {"text": category},
                "subject": subject,
            }
        )
    return Chart(patient, family, practitioner, encounter)


CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest.fixture(scope="session")
def login(command: Callable[..., str], chart: Chart, fhir: Any) -> tuple[str, str]:
    """User name and password of the chart's practitioner."""
    username, password = f"doctor-{fhir.run}", secrets.token_urlsafe(24)
    command(
        *(
            "user",
            "add",
            username,
            "--role",
            "prescriber",
            "--practitioner",
            f"Practitioner/{chart.practitioner}",
        ),
        *("--name", "Synthetic Doctor", "--password-file", "-"),
        typed=password + "\n",
    )
    return username, password


@pytest.fixture
def person(login: tuple[str, str], origin: str) -> Person:
    """The chart's practitioner with a browser of today, not signed in."""
    return Person(origin, *login)


Register = Callable[..., App]


@pytest.fixture(scope="session")
def register(
    command: Callable[..., str],
    fhir: Any,
    configuration: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Register:
    """`register("public", SCOPE)`: a new client; kind: public, confidential, jwks, backend."""

    def make(kind: str, scope: str = SCOPE, *more: str, redirect_uri: str = CALLBACK) -> App:
        arguments = ["client", "add", "--name", f"A foreign {kind} app", "--scope", scope, *more]
        keys = None
        if kind in ("public", "confidential"):
            arguments.append(f"--{kind}")
        elif "--jwks-uri" not in more:
            keys = Keys()
            path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
            path.write_text(json.dumps(keys.public), "utf-8")
            arguments += ["--jwks", str(path)]
        if kind == "backend":
            arguments.append("--backend")
            redirect_uri = ""
        else:
            arguments += ["--redirect-uri", redirect_uri]
        told = json.loads(command(*arguments))
        return App(
            fhir.base, configuration, told["client_id"], redirect_uri, told.get("client_secret", ""), keys
        )

    return make


@pytest.fixture(scope="session")
def registered(register: Register) -> Callable[..., App]:
    """A client of each kind, registered when it is first asked for; every test has it on a machine of its
    own."""
    known = cache(register)
    return lambda *options: known(*options).from_elsewhere()


@pytest.fixture
def public(registered: Callable[..., App]) -> App:
    return registered("public")


@pytest.fixture
def symmetric(registered: Callable[..., App]) -> App:
    return registered("confidential")


@pytest.fixture
def asymmetric(registered: Callable[..., App]) -> App:
    return registered("jwks")


@pytest.fixture
def backend(registered: Callable[..., App]) -> App:
    return registered("backend", "system/*.rs")


@pytest.fixture
def launchable(registered: Callable[..., App]) -> App:
    """A public client that an EHR can open."""
    return registered("public", SCOPE, "--launch-url", LAUNCH)


@pytest.fixture
def ehr_launch(origin: str, chart: Chart, person: Person) -> Callable[[App], dict[str, str]]:
    """`ehr_launch(app)`: what the EHR gives to the launch address when the person opens the app on the
    chart."""

    def launch(app: App) -> dict[str, str]:
        address = f"{origin}/ehr/patients/{chart.patient}/apps/{app.client_id}"
        page = person.open(address)
        assert not isinstance(page, str)
        if any(form.named("password") for form in page.forms):
            page = person.sign_in(page)
        if not isinstance(page, str) and not page.frames:
            page = person.open(address)
        assert not isinstance(page, str)
        left = person.open(page.frames[0])
        assert isinstance(left, str), page.text[:600]
        assert left.startswith(LAUNCH)
        return dict(parse_qsl(urlsplit(left).query))

    return launch


@pytest.fixture(scope="session")
def ward(fhir: Any) -> Ward:
    """A chart of every category."""
    return admitted(fhir)


@pytest.fixture(scope="session", params=sorted(SETS), ids="set {}".format)
def sight(request: pytest.FixtureRequest, ward: Ward, mint: Callable[..., str]) -> Sight:
    """The chart with a token of each set of categories."""
    return sight_of(ward, SETS[request.param], mint)
