"""`baton client`, `baton token` and the demonstration's accounts, as scripts use them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import responses
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey

from server import client_command, command_context, token_command
from server.auth.tokens import Claims, mint
from server.settings import Settings

KEY = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
JWKS = {"keys": [{**KEY.as_dict(private=False), "kid": KEY.kid}]}


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Any:
    """Runs a subcommand beside the server of the test."""
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    commands = {"client": client_command.client, "token": token_command.token}

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(commands[command], list(arguments))

    return run


def fhir(app: Any, path: str, token: str) -> int:
    answer = app.test_client().get(
        f"/fhir/{path}", base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {token}"}
    )
    return int(answer.status_code)


class TestClient:
    def test_add_prints_the_client_as_json(self, baton: Any) -> None:
        result = baton(
            "client", "add", "--name", "Review", "--confidential", "--redirect-uri", "https://app.example/cb",
            "--launch-url", "https://app.example/launch", "--scope", "launch openid user/*.rs offline_access",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        shown = json.loads(result.stdout)
        assert len(shown["client_secret"]) >= 43
        assert shown["client_type"] == "confidential-symmetric"
        assert shown["token_endpoint_auth_method"] == "client_secret_basic"
        assert shown["redirect_uris"] == ["https://app.example/cb"]
        assert shown["launch_url"] == "https://app.example/launch"
        assert shown["scope"] == "launch openid user/*.rs offline_access"
        assert shown["grant_types"] == ["authorization_code", "refresh_token"]
        listed = json.loads(baton("client", "list", "--json").stdout)
        assert listed == [{name: value for name, value in shown.items() if name != "client_secret"}]
        assert shown["client_secret"] not in baton("client", "list").stdout

    def test_a_public_client_has_no_secret(self, baton: Any) -> None:
        arguments = ("--redirect-uri", "https://app.example/cb", "--scope", "patient/*.rs")
        result = baton("client", "add", "--name", "Growth", "--public", *arguments)
        shown = json.loads(result.stdout)
        assert "client_secret" not in shown
        assert shown["token_endpoint_auth_method"] == "none"

    def test_a_backend_client_by_key_set(self, baton: Any, tmp_path: Path) -> None:
        path = tmp_path / "jwks.json"
        path.write_text(json.dumps(JWKS))
        result = baton(
            "client", "add", "--name", "Warehouse", "--backend", "--jwks", str(path), "--scope", "system/*.rs"
        )
        shown = json.loads(result.stdout)
        assert shown["token_endpoint_auth_method"] == "private_key_jwt"
        assert shown["grant_types"] == ["client_credentials"]

    @responses.activate
    def test_a_key_set_by_url_is_fetched_when_the_client_is_added(self, baton: Any, authorization: Any) -> None:
        responses.get("https://app.example/jwks", json=JWKS)
        result = baton(
            "client", "add", "--name", "W", "--backend", "--jwks-uri", "https://app.example/jwks",
            "--scope", "system/*.rs", "--client-id", "w",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        kept = authorization.rows.registrations.key_set("https://app.example/jwks")
        assert kept.jwks == JWKS
        shown = json.loads(baton("client", "show", "w", "--json").stdout)
        assert shown["kids"] == [KEY.kid]
        assert shown["jwks_fetched"] == kept.fetched.isoformat()
        responses.replace("GET", "https://app.example/jwks", json={"keys": []})
        assert baton("client", "refresh", "w").exit_code == 1
        assert authorization.rows.registrations.key_set("https://app.example/jwks").jwks == JWKS
        responses.replace("GET", "https://app.example/jwks", json=JWKS)
        answer = json.loads(baton("client", "refresh", "w", "--json").stdout)
        assert answer == {"client_id": "w", "changed": False}

    def test_a_key_set_within_our_own_network_is_not_fetched_unasked(self, baton: Any, publisher: Any) -> None:
        publisher.document = JWKS
        result = baton(
            "client", "add", "--name", "W", "--backend", "--jwks-uri", publisher.url, "--scope", "system/*.rs",
        )  # fmt: skip
        assert result.exit_code == 0
        assert "BATON_OUTBOUND_ALLOW" in result.stderr
        assert publisher.asked == []

    @responses.activate
    @pytest.mark.parametrize("answer", [{"status": 500}, {"body": b"x" * 300_000}, {"body": b"no json"}])
    def test_a_key_set_that_cannot_be_fetched_is_noted(self, baton: Any, answer: dict[str, Any]) -> None:
        responses.get("https://app.example/jwks", **answer)
        result = baton(
            "client", "add", "--name", "W", "--backend", "--jwks-uri", "https://app.example/jwks",
            "--scope", "system/*.rs", "--client-id", "w",
        )  # fmt: skip
        assert result.exit_code == 0
        assert "Note:" in result.stderr
        assert json.loads(result.stdout)["client_id"] == "w"

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--public", "--jwks-uri", "https://app.example/jwks"),
            ("--public", "--redirect-uri", "http://app.example/cb"),
            ("--public", "--backend"),
            ("--confidential",),
        ],
    )
    def test_what_cannot_be_registered_changes_nothing(self, baton: Any, arguments: tuple[str, ...]) -> None:
        result = baton("client", "add", "--name", "X", "--scope", "patient/*.rs", *arguments)
        assert result.exit_code != 0
        assert "Error" in result.stderr
        assert json.loads(baton("client", "list", "--json").stdout) == []

    def test_disabling_is_told_apart_from_a_mistyped_id(self, baton: Any) -> None:
        arguments = ("--public", "--redirect-uri", "https://app.example/cb", "--scope", "patient/*.rs")
        baton("client", "add", "--name", "X", "--client-id", "x", *arguments)
        assert baton("client", "disable", "y").exit_code == 1
        assert baton("client", "disable", "x").exit_code == 0
        assert json.loads(baton("client", "list", "--json").stdout)[0]["disabled"] is True
        assert baton("client", "add", "--name", "X", "--client-id", "x", *arguments).exit_code == 1

    def test_all_of_a_client_but_its_secret_is_shown(self, baton: Any) -> None:
        added = json.loads(
            baton(
                "client", "add", "--name", "Review", "--confidential", "--redirect-uri", "https://app.example/cb",
                "--scope", "openid user/*.rs", "--client-uri", "https://app.example/", "--contact", "help desk",
                "--json",
            ).stdout
        )  # fmt: skip
        shown = json.loads(baton("client", "show", added["client_id"], "--json").stdout)
        assert shown["client_uri"] == "https://app.example/"
        assert shown["contacts"] == ["help desk"]
        assert "created" in shown
        assert "client_secret" not in shown
        assert added["client_secret"] not in baton("client", "show", added["client_id"]).stdout
        assert baton("client", "show", "unknown").exit_code == 1

    def test_a_new_secret_takes_the_old_ones_place_at_once(self, baton: Any, app: Any) -> None:
        added = json.loads(
            baton(
                "client", "add", "--name", "Review", "--confidential", "--redirect-uri", "https://app.example/cb",
                "--scope", "user/*.rs",
            ).stdout
        )  # fmt: skip
        result = baton("client", "rotate-secret", added["client_id"], "--json")
        fresh = json.loads(result.stdout)["client_secret"]
        assert fresh != added["client_secret"]

        def error(secret: str) -> str:
            answer = app.test_client().post(
                "/oauth2/token",
                base_url="http://127.0.0.1:8000",
                data={"grant_type": "authorization_code", "code": "x"},
                auth=(added["client_id"], secret),
            )
            return str(answer.get_json()["error"])

        assert error(added["client_secret"]) == "invalid_client"
        assert error(fresh) != "invalid_client"

    def test_only_who_has_a_secret_is_given_another(self, baton: Any) -> None:
        arguments = ("--public", "--redirect-uri", "https://app.example/cb", "--scope", "patient/*.rs")
        baton("client", "add", "--name", "X", "--client-id", "x", *arguments)
        assert baton("client", "rotate-secret", "x").exit_code == 1
        assert baton("client", "rotate-secret", "unknown").exit_code == 1

    def test_keys_by_value_are_replaced(self, baton: Any, tmp_path: Path, authorization: Any) -> None:
        path = tmp_path / "jwks.json"
        path.write_text(json.dumps(JWKS))
        baton("client", "add", "--name", "W", "--backend", "--jwks", str(path), "--scope", "system/*.rs",
              "--client-id", "w")  # fmt: skip
        path.write_text(json.dumps({"keys": [JWKS["keys"][0] | {"kid": "next"}]}))
        assert baton("client", "set-keys", "w", "--jwks", str(path)).exit_code == 0
        assert [key["kid"] for key in authorization.rows.client("w").jwks["keys"]] == ["next"]
        path.write_text('{"keys": []}')
        assert baton("client", "set-keys", "w", "--jwks", str(path)).exit_code == 1
        assert [key["kid"] for key in authorization.rows.client("w").jwks["keys"]] == ["next"]

    def test_an_address_to_show_is_one(self, baton: Any) -> None:
        arguments = ("--public", "--redirect-uri", "https://app.example/cb", "--scope", "patient/*.rs")
        result = baton("client", "add", "--name", "X", *arguments, "--client-uri", "javascript:alert(1)")
        assert result.exit_code == 1
        assert json.loads(baton("client", "list", "--json").stdout) == []


class TestInvitations:
    def test_an_invitation_is_shown_once_listed_and_withdrawn(self, baton: Any, authorization: Any) -> None:
        result = baton(
            "client", "invite", "--scope", "openid patient/*.rs", "--redirect-host", "growth.example",
            "--uses", "2", "--days", "3", "--note", "Growth", "--json",
        )  # fmt: skip
        made = json.loads(result.stdout)
        assert made["registration_endpoint"] == "http://127.0.0.1:8000/oauth2/register"
        assert len(made["initial_access_token"]) >= 43
        (listed,) = json.loads(baton("client", "invitations", "--json").stdout)
        assert listed == {
            name: value
            for name, value in made.items()
            if name not in ("initial_access_token", "registration_endpoint")
        }
        assert listed["uses_left"] == 2
        assert "Growth" in baton("client", "invitations").stdout
        assert baton("client", "withdraw-invitation", made["invitation"]).exit_code == 0
        assert baton("client", "withdraw-invitation", made["invitation"]).exit_code == 1

    def test_the_token_stands_alone_for_scripts(self, baton: Any) -> None:
        result = baton("client", "invite", "--scope", "patient/*.rs", "--redirect-host", "growth.example")
        assert len(result.stdout.strip().split()) == 1
        assert "/oauth2/register" in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--scope", "nonsense", "--redirect-host", "growth.example"),
            ("--scope", "patient/*.rs"),
            ("--scope", "patient/*.rs", "--redirect-host", "growth.example", "--days", "nan"),
            ("--scope", "patient/*.rs", "--redirect-host", "growth.example", "--days", "1e300"),
            ("--scope", "patient/*.rs", "--redirect-host", "growth.example", "--statement-issuer", "x"),
        ],
    )
    def test_what_cannot_be_asked_for_makes_none(self, baton: Any, arguments: tuple[str, ...]) -> None:
        assert baton("client", "invite", *arguments).exit_code != 0
        assert json.loads(baton("client", "invitations", "--json").stdout) == []


class TestToken:
    @pytest.fixture(autouse=True)
    def wall_clock(self, clock: Any) -> None:
        """The command line keeps the wall clock, so the server of these tests does, too."""
        from datetime import UTC, datetime

        clock.now = datetime.now(UTC)

    def test_mint_prints_the_token_alone_and_it_works_at_once(self, baton: Any, app: Any) -> None:
        result = baton("token", "mint", "--scope", "system/Patient.rs")
        assert result.exit_code == 0, result.output
        token = result.stdout.removesuffix("\n")
        assert len(token) >= 43
        assert "\n" not in token
        assert fhir(app, "Patient", token) == 200
        assert fhir(app, "Encounter", token) == 403

    def test_revoke_ends_it_at_once_and_says_when_there_was_none(self, baton: Any, app: Any) -> None:
        token = baton("token", "mint", "--scope", "system/Patient.rs").stdout.strip()
        assert fhir(app, "Patient", token) == 200
        assert baton("token", "revoke", token).exit_code == 0
        assert fhir(app, "Patient", token) == 401
        again = baton("token", "revoke", token, "--json")
        assert again.exit_code == 2
        assert json.loads(again.stdout) == {"revoked": False}

    @pytest.mark.parametrize("start", ["-x", "--y", "-h", "-"])
    def test_a_token_that_looks_like_an_option_is_ended(
        self, baton: Any, app: Any, authorization: Any, start: str
    ) -> None:
        context = replace(authorization, new_secret=lambda: start + "k" * 41)
        token = mint(context, Claims(client_id="tests", scope="system/*.rs"), timedelta(hours=1))
        assert fhir(app, "Patient", token) == 200
        assert baton("token", "revoke", token).exit_code == 0
        assert fhir(app, "Patient", token) == 401

    def test_claims_it_lacks_reach_nothing_and_it_says_so(self, baton: Any, app: Any) -> None:
        result = baton("token", "mint", "--scope", "patient/*.rs user/*.rs")
        assert "--patient" in result.stderr
        assert "--user" in result.stderr
        assert fhir(app, "Patient", result.stdout.strip()) == 403

    def test_a_user_without_an_account_acts_as_clinician(self, baton: Any, app: Any) -> None:
        result = baton("token", "mint", "--scope", "user/*.rs", "--user", "Practitioner/7")
        assert fhir(app, "Patient", result.stdout.strip()) == 200

    @pytest.mark.parametrize(
        "arguments", [("--scope", "nonsense"), ("--scope", ""), ("--scope", "patient/Foo.rs")]
    )
    def test_what_is_no_scope_is_refused(self, baton: Any, arguments: tuple[str, ...]) -> None:
        assert baton("token", "mint", *arguments).exit_code == 1

    def test_the_life_of_a_token_is_given_in_minutes(self, baton: Any, app: Any, clock: Any) -> None:
        token = baton("token", "mint", "--scope", "system/*.rs", "--minutes", "5").stdout.strip()
        clock.advance(minutes=4)
        assert fhir(app, "Patient", token) == 200
        clock.advance(minutes=2)
        assert fhir(app, "Patient", token) == 401

    def test_minting_and_revoking_are_audited(self, baton: Any, store: Any) -> None:
        token = baton("token", "mint", "--scope", "user/*.rs", "--user", "Practitioner/7").stdout.strip()
        assert token
        revoked = baton("token", "revoke", token)
        assert revoked.exit_code == 0, revoked.output
        rows = [(row.interaction, row.principal) for row in store.audit_rows(limit=10)]
        assert rows == [("token-revoke", "operator"), ("token-mint", "Practitioner/7")]
        assert all(token not in str(row) for row in store.audit_rows(limit=10))


class TestDemo:
    def test_accounts_and_clients_are_made_once(self, settings: Settings, authorization: Any, app: Any) -> None:
        from server.demo_accounts import ensure_demo

        (settings.home / "app-jwks.json").write_text(json.dumps(JWKS))
        ensure_demo(settings)
        path = settings.home / "demo-logins.json"
        assert path.stat().st_mode & 0o777 == 0o600
        logins = json.loads(path.read_text())
        assert [row["username"] for row in logins] == [
            "rn", "pharmacist", "ma", "supervisor", "prescriber", "engineer", "visiting",
        ]  # fmt: skip
        assert all(set(row) == {"username", "password", "role", "practitioner"} for row in logins)
        assert [row.client_id for row in authorization.rows.clients()] == [
            "baton-app", "baton-app-exchange", "baton-app-worker",
        ]  # fmt: skip
        before = (authorization.rows.users(), authorization.rows.clients(), authorization.rows.security_epoch())
        ensure_demo(settings)
        assert json.loads(path.read_text()) == logins
        after = (authorization.rows.users(), authorization.rows.clients(), authorization.rows.security_epoch())
        assert after == before

    def test_at_other_addresses_the_app_is_registered_at_them(
        self, settings: Settings, authorization: Any, app: Any
    ) -> None:
        from server.demo_accounts import APP_CLIENT, ensure_demo

        (settings.home / "app-jwks.json").write_text(json.dumps(JWKS))
        ensure_demo(settings)
        logins = (settings.home / "demo-logins.json").read_text()
        ensure_demo(replace(settings, base_url="https://ehr.example", app_url="https://app.example"))
        row = authorization.rows.client(APP_CLIENT)
        assert row.redirect_uris == ("https://app.example/callback",)
        assert row.launch_url == "https://app.example/launch"
        assert row.frame_ancestors == ("https://ehr.example",)
        assert (settings.home / "demo-logins.json").read_text() == logins
        assert len(authorization.rows.clients()) == 3

    def test_a_demonstration_of_an_older_release_keeps_the_logins_it_has(
        self, settings: Settings, authorization: Any, app: Any
    ) -> None:
        from server.demo_accounts import ensure_demo

        row = {"username": "rn", "password": "of an older release", "role": "rn", "practitioner": "x"}
        (settings.home / "demo-logins.json").write_text(json.dumps([row]))
        ensure_demo(settings)
        assert [row.username for row in authorization.rows.users()] == ["rn"]

    def test_the_app_may_ask_for_all_it_asks_for(
        self, settings: Settings, authorization: Any, app: Any
    ) -> None:
        from server.auth.access import resource_types
        from server.auth.scopes import negotiate
        from server.demo_accounts import APP_CLIENT, EXCHANGE_CLIENT, WORKER_CLIENT, ensure_demo_clients
        from smart_app.scopes import exchange_scopes, launch_scopes, worker_scopes

        (settings.home / "app-jwks.json").write_text(json.dumps(JWKS))
        ensure_demo_clients(authorization, settings.home, settings.app_url)
        asked = " ".join(launch_scopes(store=True, ehr_launch=True))
        allowed = authorization.rows.client(APP_CLIENT).scope
        assert negotiate(asked, allowed, ("patient", "user"), resource_types()) == asked
        asked = " ".join(worker_scopes())
        allowed = authorization.rows.client(WORKER_CLIENT).scope
        assert negotiate(asked, allowed, ("system",), resource_types()) == asked
        asked = " ".join(exchange_scopes())
        allowed = authorization.rows.client(EXCHANGE_CLIENT).scope
        assert negotiate(asked, allowed, ("patient", "user"), resource_types()) == asked

    def test_signers_may_write_what_the_app_writes_for_them(self) -> None:
        from server.auth.scopes import parse_scopes
        from server.policy.roles import role
        from smart_app.scopes import launch_scopes

        for name in ("rn", "pharmacist", "prescriber", "supervisor"):
            for scope in parse_scopes(" ".join(launch_scopes(store=True, ehr_launch=True))):
                held = role(name).permissions(scope.resource_type)
                assert set(scope.permissions) <= set(held), (name, scope.written)
