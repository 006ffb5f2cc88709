"""What is taken back is taken back at once, on every process: the very next request of every connection is
refused.

Four web processes; forty connections are kept open, so that each process has some. Covers access tokens,
grants, clients, accounts and changes of a role. Source: RFC 7009 section 2, RFC 9700 section 4.14
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking.pages import Page
from asking.smart import App

CONNECTIONS = 40
ASKED = "offline_access launch/patient patient/Patient.rs user/Practitioner.rs"


@pytest.fixture(scope="module")
def four(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A deployment of four web processes with a patient and somebody who looks after them."""
    from uuid import uuid4

    home: Path = tmp_path_factory.mktemp("four") / "home"
    url = ""
    if database_kind == "postgresql":
        url = request.getfixturevalue("cluster").create_database(f"four_{uuid4().hex[:12]}")
    start = request.getfixturevalue("deploy_site")
    for site in start(home, url, BATON_WORKERS="4"):
        site.put({"resourceType": "Practitioner", "id": "doctor"})
        site.put(
            {
                "resourceType": "Patient",
                "id": "victim",
                "name": [{"family": "Victim", "given": ["Synthetic"]}],
                "generalPractitioner": [{"reference": "Practitioner/doctor"}],
            }
        )
        yield site


class Connections:
    """Connections that stay open, each with one of the processes."""

    def __init__(self, port: int) -> None:
        self._open = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(CONNECTIONS)]

    def statuses(self, token: str, path: str = "/fhir/Patient/victim") -> list[int]:
        """What each is answered to a read with a token, one after the other."""
        found = []
        for connection in self._open:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
        return found

    def close(self) -> None:
        for connection in self._open:
            connection.close()


@pytest.fixture
def everywhere(four: Any) -> Iterator[Connections]:
    made = Connections(four.port)
    yield made
    made.close()


@pytest.fixture
def launched(four: Any) -> Callable[[], tuple[App, Any, dict[str, Any]]]:
    """An app with a token of a person: (app, person, token answer), each of its own."""
    import json
    from uuid import uuid4

    import requests
    from asking.pages import Choices, Person

    def make() -> tuple[App, Any, dict[str, Any]]:
        name = f"user-{uuid4().hex[:8]}"
        person = Person(four.origin, name, four.user(name, "prescriber", "doctor"))
        callback = "http://127.0.0.1:9/callback"
        told = json.loads(
            four.baton(
                *("client", "add", "--name", name, "--public", "--redirect-uri", callback, "--scope", ASKED)
            )
        )
        configuration = requests.get(f"{four.base}/.well-known/smart-configuration", timeout=30).json()
        app = App(four.base, configuration, told["client_id"], callback)
        return app, person, app.launched(person, ASKED, Choices(("victim", "Victim")))

    return make


def ended(everywhere: Connections, app: App, told: dict[str, Any]) -> None:
    """Nothing of a grant works any more, on any process."""
    assert set(everywhere.statuses(told["access_token"])) == {401}
    assert app.refresh(told["refresh_token"]).status_code in (400, 401)


def works(everywhere: Connections, told: dict[str, Any]) -> None:
    for _ in range(2):  # the second time from what each process remembers
        assert set(everywhere.statuses(told["access_token"])) == {200}


def test_a_token_that_its_client_revokes(everywhere: Connections, launched: Any) -> None:
    app, _, told = launched()
    works(everywhere, told)
    assert app.post("revocation_endpoint", {"token": told["access_token"]}).status_code == 200
    assert set(everywhere.statuses(told["access_token"])) == {401}


def test_a_token_that_the_operator_revokes(four: Any, everywhere: Connections, launched: Any) -> None:
    _, _, told = launched()
    works(everywhere, told)
    four.baton("token", "revoke", told["access_token"])
    assert set(everywhere.statuses(told["access_token"])) == {401}


def test_a_grant_whose_refresh_token_is_revoked(everywhere: Connections, launched: Any) -> None:
    app, _, told = launched()
    works(everywhere, told)
    assert app.post("revocation_endpoint", {"token": told["refresh_token"]}).status_code == 200
    ended(everywhere, app, told)


def test_a_grant_whose_refresh_token_was_used_again(everywhere: Connections, launched: Any) -> None:
    app, _, told = launched()
    new = app.refresh(told["refresh_token"]).json()
    works(everywhere, new)
    assert app.refresh(told["refresh_token"]).status_code == 400
    ended(everywhere, app, new)


def test_a_grant_that_the_person_withdraws(four: Any, everywhere: Connections, launched: Any) -> None:
    app, person, told = launched()
    works(everywhere, told)
    page = person.open(f"{four.origin}/oauth2/grants")
    assert isinstance(page, Page)
    form = next(form for form in page.forms if form.action.endswith("/withdraw"))
    person.send(page, form)
    ended(everywhere, app, told)


def test_a_client_that_is_shut_out(four: Any, everywhere: Connections, launched: Any) -> None:
    app, _, told = launched()
    works(everywhere, told)
    four.baton("client", "disable", app.client_id)
    ended(everywhere, app, told)


def test_a_person_who_is_shut_out(four: Any, everywhere: Connections, launched: Any) -> None:
    app, person, told = launched()
    works(everywhere, told)
    four.baton("user", "disable", person.username)
    ended(everywhere, app, told)
    page = person.open(f"{four.origin}/oauth2/grants")
    assert isinstance(page, Page)
    assert any(form.named("password") for form in page.forms), "the session has ended as well"


def test_a_person_whose_role_is_another(four: Any, everywhere: Connections, launched: Any) -> None:
    """The privacy officer's role reads no Practitioner: no process may go on by the old one."""
    _, person, told = launched()
    works(everywhere, told)
    path = "/fhir/Practitioner/doctor"
    assert set(everywhere.statuses(told["access_token"], path)) == {200}
    four.baton("user", "role", person.username, "privacy")
    assert set(everywhere.statuses(told["access_token"], path)) <= {401, 403}
