"""`baton issuer` and `baton link`, as operators use them beside a running server.

Covers server/issuer_command.py, server/link_command.py, `client add --exchange`, server/workers/issuer_keys.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import responses
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey, RSAKey

from server import client_command, command_context, issuer_command, link_command
from server.auth.context import AuthContext
from server.outbound_http import Networks
from server.settings import Settings
from server.storage.authorization import UserRow
from server.workers.issuer_keys import IssuerKeys

ISS = "https://other.example"
CLIENT_KEY = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig", "kid": "app"})
KEYS = [RSAKey.generate_key(2048, {"kid": f"ehr-{number}", "use": "sig"}) for number in (1, 2)]


def jwks(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Any:
    """Runs a subcommand beside the server of the test."""
    for module in (command_context, issuer_command):
        if hasattr(module, "read_settings"):
            monkeypatch.setattr(module, "read_settings", lambda environment, demo: settings)
    commands = {"client": client_command.client, "issuer": issuer_command.issuer, "link": link_command.link}

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(commands[command], list(arguments))

    return run


@pytest.fixture
def client(baton: Any, tmp_path: Path) -> str:
    path = tmp_path / "app.json"
    path.write_text(json.dumps(jwks(CLIENT_KEY)))
    result = baton(
        "client", "add", "--name", "Exchange", "--client-id", "exchange", "--exchange", "--jwks", str(path),
        "--scope", "patient/List.crus patient/Patient.rs",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["grant_types"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    return "exchange"


@pytest.fixture
def trusted(baton: Any, client: str, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "ehr.json"
    path.write_text(json.dumps(jwks(KEYS[0])))
    result = baton("issuer", "add", ISS, "--audience", "us", "--client", client, "--jwks", str(path))
    assert result.exit_code == 0, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


@pytest.fixture
def people(fhir: Any, authorization: AuthContext, build: Any) -> None:
    fhir.put("Patient/one", build.patient(id="one"))
    fhir.put("Practitioner/nurse", {"resourceType": "Practitioner", "id": "nurse"})
    authorization.rows.put_user(UserRow("rn", "", role="rn", practitioner_id="nurse"))


def test_an_issuer_may_grant_what_its_clients_are_registered_for(baton: Any, trusted: dict[str, Any]) -> None:
    assert trusted["scope"] == "patient/List.crus patient/Patient.rs"
    assert (trusted["fhir_base"], trusted["keys"], trusted["disabled"]) == (ISS, ["ehr-1"], False)
    assert json.loads(baton("issuer", "list", "--json").stdout) == [trusted]
    assert ISS in baton("issuer", "list").stdout


def test_only_a_client_that_may_exchange_can_be_named(baton: Any, trusted: dict[str, Any]) -> None:
    result = baton("issuer", "add", ISS, "--audience", "us", "--client", "nobody", "--jwks-uri", f"{ISS}/jwks")
    assert result.exit_code == 1
    assert "baton client add --exchange" in result.output


def test_keys_are_said_once(baton: Any, client: str) -> None:
    result = baton("issuer", "add", ISS, "--audience", "us", "--client", client)
    assert result.exit_code == 2
    assert "--jwks-uri" in result.output


@responses.activate
def test_keys_by_url_are_fetched_now_and_by_the_worker(
    baton: Any, client: str, authorization: AuthContext, store: Any
) -> None:
    responses.get(f"{ISS}/jwks", json=jwks(KEYS[0]))
    result = baton("issuer", "add", ISS, "--audience", "us", "--client", client, "--jwks-uri", f"{ISS}/jwks")
    assert json.loads(result.stdout)["keys"] == ["ehr-1"]
    responses.replace(responses.GET, f"{ISS}/jwks", json=jwks(*KEYS))
    worker = IssuerKeys(authorization, Networks())
    assert worker.plan() == 1
    assert worker.plan() == 0  # it has its job
    (job,) = store.jobs.jobs(limit=5)
    assert worker.fetch(job, lambda done, total: None) is True
    assert [key["kid"] for key in store.identity_links.issuer(ISS).jwks["keys"]] == ["ehr-1", "ehr-2"]
    responses.replace(responses.GET, f"{ISS}/jwks", status=500)
    assert baton("issuer", "refresh", ISS).exit_code == 1
    assert len(store.identity_links.issuer(ISS).jwks["keys"]) == 2  # the old ones stay
    assert baton("issuer", "disable", ISS).exit_code == 0
    assert worker.fetch(job, lambda done, total: None) is False


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404},
        {"body": "no json"},
        {"json": {"keys": []}},
        {"json": []},
        {"body": b"x" * 300_000},
        {"status": 302, "headers": {"Location": "https://elsewhere.example/"}},
    ],
    ids=["absent", "no JSON", "no key", "list", "too long", "redirect"],
)
def test_keys_that_cannot_be_had_are_a_note_and_can_be_fetched_later(
    baton: Any, client: str, answer: dict[str, Any]
) -> None:
    responses.get(f"{ISS}/jwks", **answer)
    result = baton("issuer", "add", ISS, "--audience", "us", "--client", client, "--jwks-uri", f"{ISS}/jwks")
    assert result.exit_code == 0, result.output
    assert "baton issuer refresh" in result.stderr
    assert json.loads(result.stdout)["keys"] == []


def test_links_are_made_listed_and_revoked(baton: Any, trusted: Any, people: None, store: Any) -> None:
    patient = json.loads(baton("link", "patient", ISS, "theirs", "Patient/one").stdout)
    staff = json.loads(baton("link", "staff", ISS, "Practitioner/a", "rn").stdout)
    assert (patient["here"], patient["state"], patient["decided_by"]) == ("one", "confirmed", "operator")
    assert (staff["here"], staff["kind"]) == ("rn", "staff")
    listed = json.loads(baton("link", "list", "--json", "--kind", "staff").stdout)
    assert listed == [staff]
    again = baton("link", "patient", ISS, "theirs", "one")
    assert again.exit_code == 1
    assert "linked already" in again.output
    assert baton("link", "revoke", patient["link_id"]).exit_code == 0
    assert baton("link", "revoke", patient["link_id"]).exit_code == 1
    assert baton("link", "refuse", staff["link_id"]).exit_code == 1
    events = [
        row.interaction for row in store.audit_rows(limit=20) if row.interaction.startswith(("link", "issuer"))
    ]
    assert sorted(events) == ["issuer-add", "link-confirm", "link-confirm", "link-revoke"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("patient", "https://nobody.example", "theirs", "one"), "no such issuer"),
        (("patient", ISS, "theirs", "nobody"), "no such Patient"),
        (("patient", ISS, "a/b", "one"), "by the id of its Patient"),
        (("patient", ISS, "theirs", "a b"), "no such Patient"),
        (("staff", ISS, "Practitioner/a", "nobody"), "must be enabled"),
        (("staff", ISS, "Patient/a", "rn"), "is given as"),
        (("staff", ISS, "npi|1234567890", "rn"), "is given as"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_link_that_cannot_be_says_why(
    baton: Any, trusted: Any, people: None, arguments: tuple[str, ...], words: str
) -> None:
    result = baton("link", *arguments)
    assert result.exit_code == 1
    assert words in result.output


def test_an_unknown_issuer_cannot_be_shut_out(baton: Any, trusted: Any) -> None:
    assert baton("issuer", "disable", "https://nobody.example").exit_code == 1
    assert baton("issuer", "disable", ISS).exit_code == 0
    assert json.loads(baton("issuer", "list", "--json").stdout)[0]["disabled"] is True
