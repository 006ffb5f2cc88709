"""`baton user` beside a running server: who signs in, and what ends at once. Covers server/user_command.py and
server/auth/accounts.py; passwords are hashed as in production."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import command_context, user_command
from server.auth.tokens import Claims, mint
from server.policy.roles import roles
from server.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def baton_user(monkeypatch: pytest.MonkeyPatch, settings: Settings, smart: Any, clock: Any) -> Any:
    """Runs `baton user` beside the server of the test, which keeps the wall clock as the command does."""
    clock.now = datetime.now(UTC)
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)

    def run(*arguments: str, given: str | bytes | None = None) -> Result:
        sent = io.BytesIO(given) if isinstance(given, bytes) else given
        return CliRunner().invoke(user_command.user, list(arguments), input=sent)

    return run


@pytest.fixture
def nurse(baton_user: Any) -> str:
    result = baton_user(
        "add", "a.nurse", "--role", "rn", "--practitioner", "Practitioner/p7", "--name", "A. Nurse",
        "--password-file", "-", given=PASSWORD + "\n",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return "a.nurse"


def signs_in(smart: Any, username: str, password: str) -> bool:
    return bool(smart.browser().sign_in(username, password).status == 303)


def listed(baton_user: Any, username: str) -> dict[str, Any]:
    rows = json.loads(baton_user("list", "--json").stdout)
    return next(row for row in rows if row["username"] == username)


def last_events(store: Any, number: int = 1) -> list[tuple[str, str, str, str]]:
    rows = store.audit_rows(limit=number)
    return [(row.interaction, row.principal, row.username, row.detail) for row in rows]


class TestAdd:
    def test_a_generated_password_is_printed_once_and_signs_in(self, baton_user: Any, smart: Any) -> None:
        result = baton_user("add", "ops", "--role", "engineer", "--name", "Operations")
        assert result.exit_code == 0, result.output
        shown = json.loads(result.stdout)
        password = shown.pop("password")
        assert len(password) == 23
        assert shown == {
            "username": "ops", "name": "Operations", "role": "engineer", "practitioner": "", "state": "enabled",
            "has_password": True, "second_factor": "off", "identities": [],
        }  # fmt: skip
        assert listed(baton_user, "ops") == shown
        assert password not in baton_user("list").stdout
        assert signs_in(smart, "ops", password)

    def test_a_given_password_is_not_printed_and_opens_the_console(self, baton_user: Any, smart: Any) -> None:
        result = baton_user("add", "ops", "--role", "engineer", "--password-file", "-", given=PASSWORD)
        assert PASSWORD not in result.output
        assert "password" not in json.loads(result.stdout)
        browser = smart.browser()
        assert browser.sign_in("ops", PASSWORD).status == 303
        assert browser.get("/console/queue").status == 200

    def test_only_the_first_line_of_the_file_counts(self, baton_user: Any, smart: Any, tmp_path: Path) -> None:
        path = tmp_path / "password"
        path.write_bytes("größer als zwölf\r\nsecond line\n".encode())
        assert baton_user("add", "ops", "--role", "rn", "--password-file", str(path)).exit_code == 0
        assert signs_in(smart, "ops", "größer als zwölf")

    def test_the_person_acts_as_the_practitioner(self, nurse: str, smart: Any, baton_user: Any) -> None:
        row = smart.context.rows.user(nurse)
        assert (row.practitioner_id, row.display, row.role) == ("p7", "A. Nurse", "rn")
        assert row.password_hash.startswith("scrypt$")
        assert PASSWORD not in row.password_hash

    @pytest.mark.parametrize(
        ("username", "arguments", "password", "said"),
        [
            ("ops", ("--role", "boss"), PASSWORD, ", ".join(sorted(roles()))),
            ("ops", ("--role", "rn"), "elevenchars", "fewer than 12"),
            ("ops", ("--role", "rn"), "x" * 1025, "more than 1024"),
            ("ops", ("--role", "rn"), "", "fewer than 12"),
            ("ops", ("--role", "rn"), b"\xff\xfe" * 10, "UTF-8"),
            ("the.whole.name", ("--role", "rn"), "The.Whole.Name", "user name"),
            ("two words", ("--role", "rn"), PASSWORD, "a user name is"),
            ("x" * 65, ("--role", "rn"), PASSWORD, "a user name is"),
            ("ops", ("--role", "rn", "--practitioner", "Patient/1"), PASSWORD, "Practitioner/ID"),
            ("ops", ("--role", "rn", "--name", "two\nlines"), PASSWORD, "name"),
        ],
    )
    def test_what_cannot_be_an_account_changes_nothing(
        self,
        baton_user: Any,
        smart: Any,
        username: str,
        arguments: tuple[str, ...],
        password: str | bytes,
        said: str,
    ) -> None:
        before = smart.context.rows.users()
        result = baton_user("add", username, *arguments, "--password-file", "-", given=password)
        assert result.exit_code == 1
        assert said in result.stderr
        assert not password or str(password) not in result.output
        assert smart.context.rows.users() == before

    def test_an_account_is_never_replaced(self, baton_user: Any, nurse: str, smart: Any) -> None:
        assert baton_user("add", nurse, "--role", "engineer").exit_code == 1
        assert signs_in(smart, nurse, PASSWORD)


class TestEndingAccess:
    CHANGES = (
        ("disable", "NAME"),
        ("role", "NAME", "ma"),
        ("password", "NAME"),
        ("reset-second-factor", "NAME"),
    )

    @pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
    def test_sessions_tokens_and_grants_end_at_once(
        self, baton_user: Any, nurse: str, smart: Any, change: tuple[str, ...]
    ) -> None:
        client_id = smart.client(scope="openid fhirUser offline_access launch/patient patient/*.rs user/*.rs")
        browser = smart.browser()
        browser.sign_in(nurse, PASSWORD)
        other = smart.browser()
        other.sign_in("rn")
        assert browser.get("/oauth2/grants").status == 200
        token, grant_id = grant_of(smart, nurse, client_id)
        epoch = smart.context.rows.security_epoch()
        result = baton_user(*(nurse if word == "NAME" else word for word in change))
        assert result.exit_code == 0, result.output
        assert smart.context.rows.security_epoch() > epoch
        assert browser.get("/oauth2/grants").status == 303
        assert other.get("/oauth2/grants").status == 200, "others keep theirs"
        assert smart.context.rows.grant(grant_id).revoked is not None
        assert smart.fhir("Patient", token).status == 401

    def test_a_disabled_person_signs_in_again_once_enabled(
        self, baton_user: Any, nurse: str, smart: Any
    ) -> None:
        baton_user("disable", nurse)
        assert listed(baton_user, nurse)["state"] == "disabled"
        assert not signs_in(smart, nurse, PASSWORD)
        baton_user("enable", nurse)
        assert listed(baton_user, nurse)["state"] == "enabled"
        assert signs_in(smart, nurse, PASSWORD)

    def test_enabling_lifts_a_lock(self, baton_user: Any, nurse: str, smart: Any, clock: Any) -> None:
        for _ in range(6):
            signs_in(smart, nurse, "wrong")
        clock.advance(minutes=30)  # ahead of the command's clock, so that the lock outlasts a slow test
        signs_in(smart, nurse, "wrong")
        assert listed(baton_user, nurse)["state"] == "locked"
        assert not signs_in(smart, nurse, PASSWORD)
        baton_user("enable", nurse)
        assert signs_in(smart, nurse, PASSWORD)

    def test_only_the_new_password_counts(self, baton_user: Any, nurse: str, smart: Any) -> None:
        generated = baton_user("password", nurse).stdout.strip()
        assert signs_in(smart, nurse, generated)
        assert not signs_in(smart, nurse, PASSWORD)
        given = baton_user("password", nurse, "--password-file", "-", given="another long one\n")
        assert given.stdout == "changed\n"
        assert signs_in(smart, nurse, "another long one")

    @pytest.mark.parametrize("change", [*CHANGES, ("enable", "NAME")], ids=lambda change: change[0])
    def test_a_mistyped_name_is_told(self, baton_user: Any, smart: Any, change: tuple[str, ...]) -> None:
        result = baton_user(*("nobody" if word == "NAME" else word for word in change))
        assert result.exit_code == 1
        assert "no such account" in result.stderr


def grant_of(smart: Any, username: str, client_id: str) -> tuple[str, str]:
    """An access token of an account that works, and the id of its grant."""
    claims = Claims(
        client_id=client_id, scope="user/*.rs", username=username, fhir_user="Practitioner/p7", role="rn"
    )
    token = mint(smart.context, claims, timedelta(hours=1))
    assert smart.fhir("Patient", token).status == 200
    return token, smart.context.rows.grants(username=username)[0].grant_id


class TestExternalIdentities:
    ISSUER = "https://login.example"

    def test_an_account_is_linked_shown_and_unlinked(self, baton_user: Any, nurse: str, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in(nurse, PASSWORD)
        linked = baton_user("link", nurse, "--issuer", self.ISSUER, "--subject", "248289761001")
        assert linked.exit_code == 0, linked.output
        assert listed(baton_user, nurse)["identities"] == [{"issuer": self.ISSUER, "subject": "248289761001"}]
        assert browser.get("/oauth2/grants").status == 200
        assert baton_user("unlink", nurse, "--issuer", self.ISSUER).exit_code == 0
        assert listed(baton_user, nurse)["identities"] == []
        assert browser.get("/oauth2/grants").status == 303
        assert baton_user("unlink", nurse, "--issuer", self.ISSUER).exit_code == 1

    def test_without_a_password_only_the_provider_signs_in(
        self, baton_user: Any, nurse: str, smart: Any, store: Any
    ) -> None:
        browser = smart.browser()
        browser.sign_in(nurse, PASSWORD)
        baton_user("link", nurse, "--issuer", self.ISSUER, "--subject", "1", "--no-password")
        assert browser.get("/oauth2/grants").status == 303
        assert not signs_in(smart, nurse, PASSWORD)
        assert not signs_in(smart, nurse, "")
        assert not listed(baton_user, nurse)["has_password"]
        assert ("identity-link", "operator", nurse, "without password") in last_events(store, 5)

    @pytest.mark.parametrize(
        ("issuer", "subject", "said"),
        [
            ("login.example", "1", "issuer"),
            ("https://login.example/?a=1", "1", "issuer"),
            ("https://login.example", "", "subject"),
            ("https://login.example", "a b", "subject"),
            ("https://login.example", "é", "subject"),
            ("https://login.example", "x" * 256, "subject"),
        ],
    )
    def test_what_is_no_identity_is_refused(
        self, baton_user: Any, nurse: str, issuer: str, subject: str, said: str
    ) -> None:
        result = baton_user("link", nurse, "--issuer", issuer, "--subject", subject)
        assert result.exit_code == 1
        assert said in result.stderr

    def test_an_identity_is_never_moved_to_another_account(
        self, baton_user: Any, nurse: str, smart: Any
    ) -> None:
        baton_user("link", nurse, "--issuer", self.ISSUER, "--subject", "1")
        assert baton_user("link", "rn", "--issuer", self.ISSUER, "--subject", "1").exit_code == 1
        assert baton_user("link", nurse, "--issuer", self.ISSUER, "--subject", "2").exit_code == 1
        assert baton_user("link", nurse, "--issuer", self.ISSUER, "--subject", "1").exit_code == 0


def test_every_change_is_audited_without_the_password(
    baton_user: Any, nurse: str, store: Any, smart: Any
) -> None:
    for arguments in (("role", nurse, "ma"), ("password", nurse), ("disable", nurse), ("enable", nurse)):
        assert baton_user(*arguments).exit_code == 0
    assert last_events(store, 5) == [
        ("user-enable", "operator", nurse, ""),
        ("user-disable", "operator", nurse, ""),
        ("user-password", "operator", nurse, ""),
        ("user-role", "operator", nurse, "ma"),
        ("user-add", "operator", nurse, "rn"),
    ]
    assert PASSWORD not in str(store.audit_rows(limit=20))
