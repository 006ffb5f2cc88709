"""The `baton` command: found by entry points, plain words and status 1 where it cannot run, 2 for findings.

Covers server/cli.py, server/deployment.py, server/diagnosis.py.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from server.cli import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def baton(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("BATON_HOME", str(home))
    monkeypatch.setenv("BATON_SECRET_KEY", "k" * 32)
    monkeypatch.setenv("BATON_TIME_ZONE", "America/Chicago")
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


A01 = str(Path(__file__).parents[1] / "mappings" / "maps" / "golden" / "adt-a01-admission.hl7")


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "load",
        "client",
        "token",
        "db",
        "backup",
        "restore",
        "keys",
        "audit",
        "doctor",
        "app",
        "reconcile",
        "terminology",
    ],
)
def test_every_command_has_help_that_teaches(baton: Callable[..., Result], command: str) -> None:
    assert command in baton("--help").output
    answer = baton(command, "--help")
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) > 5


def test_an_unknown_part_is_refused_with_those_there_are(baton: Callable[..., Result]) -> None:
    answer = baton("serve", "database")
    assert answer.exit_code == 2
    assert "there are: app, app-worker, mllp, web, worker" in answer.output


def test_missing_settings_end_the_command_with_what_to_do(
    baton: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATON_TIME_ZONE")
    answer = baton("serve")
    assert answer.exit_code == 1
    assert "BATON_TIME_ZONE is not set" in answer.output


def test_a_taken_port_is_named_with_the_setting_that_moves_it(
    baton: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("BATON_PORT_APP", str(listener.getsockname()[1]))
        monkeypatch.setenv("BATON_PORT_WEB", "64999")
        answer = baton("serve")
    assert answer.exit_code == 1
    assert "set BATON_PORT_APP" in answer.output


def test_a_new_database_is_made_and_a_second_upgrade_changes_nothing(baton: Callable[..., Result]) -> None:
    first, second = baton("db", "upgrade"), baton("db", "upgrade")
    assert first.exit_code == 0
    assert first.output == second.output


def test_a_database_of_a_newer_release_is_refused_and_left_alone(
    baton: Callable[..., Result], home: Path
) -> None:
    baton("db", "upgrade")
    with sqlite3.connect(home / "baton.sqlite3") as connection:
        connection.execute("UPDATE schema_version SET value = 999")
    for command in (["db", "upgrade"], ["serve"], ["backup", str(home.parent / "copy")], ["audit", "verify"]):
        answer = baton(*command)
        assert answer.exit_code == 1
        assert "schema 999" in answer.output
        assert "release that wrote it" in answer.output


def test_commands_that_only_read_name_the_missing_upgrade(baton: Callable[..., Result], home: Path) -> None:
    for command in (["backup", str(home.parent / "copy")], ["audit", "verify"]):
        answer = baton(*command)
        assert answer.exit_code == 1
        assert "has schema 0" in answer.output
        assert "`baton db upgrade`" in answer.output


@pytest.mark.parametrize(
    "command", [("serve",), ("db", "upgrade"), ("backup", "copy"), ("token", "mint", "--scope", "system/*.rs")]
)
def test_a_database_that_does_not_answer_is_said_in_plain_words_without_its_password(
    baton: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    with socket.socket() as free:  # bound and never listening: connections are refused
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://baton:do-not-print-me@127.0.0.1:{free.getsockname()[1]}/baton"
        monkeypatch.setenv("BATON_DATABASE_URL", url)
        answer = baton(*command)
    assert (answer.exit_code, type(answer.exception)) == (1, SystemExit)
    assert "database" in answer.output
    assert "do-not-print-me" not in answer.output


@pytest.mark.parametrize(
    "command", [("serve",), ("serve", "--demo"), ("db", "upgrade"), ("token", "mint", "--scope", "system/*.rs")]
)
def test_a_home_that_is_no_folder_is_said_in_plain_words(
    baton: Callable[..., Result], home: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    if "--demo" in command:
        monkeypatch.delenv("BATON_SECRET_KEY")  # then the demonstration looks for its own in the home
    home.write_text("not a folder")
    answer = baton(*command)
    assert (answer.exit_code, type(answer.exception)) == (1, SystemExit)
    assert "BATON_HOME cannot be used" in answer.output


def test_a_file_of_the_home_that_cannot_be_read_is_named(baton: Callable[..., Result], home: Path) -> None:
    (home / "app-keys.json").mkdir(parents=True)
    answer = baton("serve")
    assert (answer.exit_code, type(answer.exception)) == (1, SystemExit)
    assert "BATON_HOME cannot be used" in answer.output
    assert "app-keys.json" in answer.output


@pytest.mark.parametrize(
    "command", [("serve",), ("db", "upgrade"), ("token", "mint", "--scope", "system/*.rs")]
)
def test_a_database_user_without_rights_is_told_in_plain_words(
    baton: Callable[..., Result], cluster: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    name = f"rights_{uuid.uuid4().hex}"
    with psycopg.connect(cluster.create_database(name), autocommit=True) as connection:
        connection.execute(
            f'CREATE ROLE "{name}" LOGIN'
        )  # since PostgreSQL 15 it may create nothing in `public`
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    monkeypatch.setenv("BATON_DATABASE_URL", f"postgresql://{name}@127.0.0.1:{cluster.port}/{name}")
    answer = baton(*command)
    assert (answer.exit_code, type(answer.exception)) == (1, SystemExit)
    assert "does not let its user do this" in answer.output


def test_a_certificate_that_cannot_be_used_stops_the_start_instead_of_every_part(
    baton: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_TLS_CERT", str(tmp_path / "missing.pem"))
    for key in ("", str(tmp_path / "missing.pem")):
        monkeypatch.setenv("BATON_TLS_KEY", key)
        answer = baton("serve")
        assert (answer.exit_code, type(answer.exception)) == (1, SystemExit)
        assert "BATON_TLS_CERT and BATON_TLS_KEY cannot be used" in answer.output


def test_the_doctor_finds_nothing_in_a_fresh_deployment(baton: Callable[..., Result]) -> None:
    baton("db", "upgrade")
    answer = baton("doctor", "--json")
    findings = json.loads(answer.output)["findings"]
    assert {row["check"] for row in findings} >= {
        "home",
        "database",
        "outbox",
        "sqlite",
        "keys",
        "clock",
        "disk",
    }
    assert answer.exit_code == 0, findings


def test_the_doctor_says_what_to_do_about_a_missing_schema(baton: Callable[..., Result]) -> None:
    answer = baton("doctor")
    assert answer.exit_code == 2
    assert "run `baton db upgrade`" in answer.output


def test_the_doctor_sees_keys_that_others_may_read(baton: Callable[..., Result], home: Path) -> None:
    baton("db", "upgrade")
    (home / "keys").mkdir(exist_ok=True)
    loose = home / "keys" / "signing.json"
    loose.write_text("{}")
    loose.chmod(0o644)
    answer = baton("doctor")
    assert answer.exit_code == 2
    assert "signing.json; chmod 600" in answer.output


def test_a_part_that_has_a_port_is_not_started_twice(baton: Callable[..., Result]) -> None:
    refused = baton("serve", "web", "web")
    assert refused.exit_code == 2
    assert "web can run once here; worker may be named several times" in refused.output


def test_a_file_that_cannot_be_written_is_named_with_the_reason(
    baton: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "page.html"
    answer = baton("map", "explain", A01, "--html", str(path))
    assert (answer.exit_code, answer.output) == (1, f"Error: {path}: Not a directory\n")


@pytest.mark.parametrize("command", [("partner", "show"), ("client", "show"), ("hl7v2", "sources", "confirm")])
def test_an_argument_that_is_no_text_is_refused(baton: Callable[..., Result], command: tuple[str, ...]) -> None:
    baton("db", "upgrade")
    answer = baton(*command, "\udcff")
    assert (answer.exit_code, answer.output) == (1, "Error: an argument is no text in UTF-8\n")


@pytest.mark.parametrize("command", ["show", "park", "replay", "release", "discard"])
def test_a_number_that_no_row_has_is_refused(baton: Callable[..., Result], command: str) -> None:
    baton("db", "upgrade")
    answer = baton("hl7v2", command, str(2**63))
    assert answer.exit_code == 2
    assert "is not in the range 1<=x<=9223372036854775807" in answer.output
