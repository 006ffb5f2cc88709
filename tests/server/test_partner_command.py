"""`baton partner`, as the host's operator and scripts use it.

Covers server/partner_command.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey

from server import command_context, partner_command
from server.auth.partners import may_act
from server.settings import Settings

KEY = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
JWKS = {"keys": [{**KEY.as_dict(private=False), "kid": KEY.kid}]}
SUNRISE = ("add", "sunrise", "--name", "Sunrise Home Health", "--kind", "home-health", "--purpose", "TREAT")
SIGNED = ("--agreement", "treatment", "--from", "2024-01-01")


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Any:
    """Runs a subcommand of `partner` beside the server of the test."""
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(partner_command.partner, list(arguments))

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_adding_makes_the_organization_and_tells_the_partner(baton: Any, fhir: Any) -> None:
    shown = told(baton(*SUNRISE, *SIGNED, "--until", "2030-12-31", "--contact", "Intake desk", "--json"))
    assert shown["state"] == "active"
    assert shown["organization"] == "Organization/partner-sunrise"
    assert shown["agreements"] == [
        {"kind": "treatment", "from": "2024-01-01", "until": "2030-12-31", "document": ""}
    ]
    assert (shown["clients"], shown["users"], shown["contacts"]) == ([], [], ["Intake desk"])
    organization = fhir.get("Organization/partner-sunrise").json
    assert organization["name"] == "Sunrise Home Health"
    assert organization["active"] is True
    assert organization["type"][0]["coding"][0]["code"] == "prov"
    assert told(baton("list", "--json"))[0]["partner"] == "sunrise"


def test_an_organization_that_is_stored_already_is_named(baton: Any, fhir: Any) -> None:
    fhir.put("Organization/here", {"resourceType": "Organization", "id": "here", "name": "Sunrise"})
    assert told(baton(*SUNRISE, "--organization", "Organization/here", "--json"))["organization"] == (
        "Organization/here"
    )
    assert fhir.get("Organization/here").headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize(
    "arguments",
    [
        (*SUNRISE, "--organization", "Organization/nowhere"),
        (*SUNRISE, "--organization", "no id"),
        (*SUNRISE, "--agreement", "payer", "--from", "2024-01-01"),
        (*SUNRISE, "--agreement", "treatment"),
        (*SUNRISE, "--from", "2024-01-01"),
        (*SUNRISE, "--agreement", "treatment", "--from", "2024-02-30"),
        ("add", "Sun Rise", *SUNRISE[2:]),
    ],
)
def test_what_cannot_be_taken_on_leaves_nothing(baton: Any, fhir: Any, arguments: tuple[str, ...]) -> None:
    result = baton(*arguments)
    assert result.exit_code != 0
    assert "Error" in result.stderr
    assert told(baton("list", "--json")) == []
    assert fhir.get("Organization?_summary=count").json["total"] == 0


def test_a_partner_goes_through_its_states(baton: Any) -> None:
    assert told(baton(*SUNRISE, "--json"))["state"] == "invited"
    assert told(baton("agree", "sunrise", *SIGNED, "--json"))["state"] == "active"
    assert told(baton("suspend", "sunrise", "--reason", "leaked", "--json"))["state"] == "suspended"
    assert told(baton("resume", "sunrise", "--json"))["state"] == "active"
    assert told(baton("end", "sunrise", "--reason", "over", "--json"))["state"] == "ended"
    shown = told(baton("show", "sunrise", "--json"))
    assert [row["state"] for row in shown["history"]] == ["invited", "active", "suspended", "active", "ended"]
    assert baton("resume", "sunrise").exit_code == 1
    assert baton("suspend", "sunrise").exit_code == 2  # wrong usage: no reason
    assert baton("show", "sunset").exit_code == 1
    words = baton("show", "sunrise").stdout
    assert "Sunrise Home Health  ended" in words
    assert "suspended by operator: leaked" in words


def test_list_narrows_by_state_and_kind(baton: Any) -> None:
    baton(*SUNRISE)
    baton("add", "pantry", "--name", "Pantry", "--kind", "food-bank", "--purpose", "COC")
    assert [row["partner"] for row in told(baton("list", "--json"))] == ["pantry", "sunrise"]
    assert [row["partner"] for row in told(baton("list", "--kind", "food-bank", "--json"))] == ["pantry"]
    assert told(baton("list", "--state", "active", "--json")) == []
    assert baton("list").stdout.splitlines()[0].split("\t")[:3] == ["pantry", "invited", "food-bank"]


def test_a_system_by_key_set(baton: Any, authorization: Any, tmp_path: Path) -> None:
    baton(*SUNRISE, *SIGNED)
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(JWKS))
    shown = told(
        baton(
            "add-client",
            "sunrise",
            "--name",
            "Records",
            "--jwks",
            str(path),
            "--scope",
            "system/Task.rus",
            "--json",
        )
    )
    assert shown["grant_types"] == ["client_credentials"]
    assert told(baton("show", "sunrise", "--json"))["clients"] == [shown["client_id"]]
    assert authorization.rows.client(shown["client_id"]).jwks == JWKS


def test_a_system_by_the_url_of_its_keys_which_the_worker_fetches(baton: Any, authorization: Any) -> None:
    baton(*SUNRISE, *SIGNED)
    result = baton(
        "add-client", "sunrise", "--name", "Records", "--jwks-uri", "https://sunrise.example/jwks",
        "--scope", "system/Task.rus", "--client-id", "records",
    )  # fmt: skip
    assert result.stdout == "records\n", result.output
    row = authorization.rows.client("records")
    assert (row.jwks, row.jwks_uri) == ({}, "https://sunrise.example/jwks")


@pytest.mark.parametrize(
    "keys", [(), ("--jwks-uri", "https://a.example/k", "--jwks", __file__), ("--jwks", __file__)]
)
def test_a_system_needs_keys_that_can_be_read(baton: Any, keys: tuple[str, ...]) -> None:
    baton(*SUNRISE, *SIGNED)
    assert baton("add-client", "sunrise", "--name", "R", "--scope", "system/Task.rs", *keys).exit_code != 0
    assert told(baton("show", "sunrise", "--json"))["clients"] == []


def test_a_person_gets_an_account_that_is_the_partners(baton: Any, authorization: Any) -> None:
    baton(*SUNRISE, *SIGNED)
    shown = told(baton("add-user", "sunrise", "intake.sunrise", "--name", "Intake desk", "--json"))
    assert shown["role"] == "partner"
    assert len(shown["password"]) >= 20
    assert told(baton("show", "sunrise", "--json"))["users"] == ["intake.sunrise"]
    assert may_act(authorization, "", "intake.sunrise")
    baton("suspend", "sunrise", "--reason", "leaked")
    assert authorization.rows.user("intake.sunrise").disabled


def test_a_person_with_a_role_of_ours_is_refused(baton: Any, authorization: Any) -> None:
    baton(*SUNRISE, *SIGNED)
    assert baton("add-user", "sunrise", "intake", "--role", "engineer").exit_code == 1
    assert authorization.rows.user("intake") is None
