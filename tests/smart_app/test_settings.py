"""The app's environment, keys, issuers and sealed values.

Covers: docs/reference/settings.md; SMART client-confidential-asymmetric (key pairs, assertion).
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import KeySet

from smart_app.issuer_command import app_group
from smart_app.issuers import FILE_NAME, Issuer, IssuerFault, Issuers, issuer_from_record, read_issuers
from smart_app.keys import PRIVATE_FILE, PUBLIC_FILE, load_keys, prepare_keys
from smart_app.sealing import Seal, Unreadable
from smart_app.settings import SettingsError, read_settings

GIVEN = {"BATON_SECRET_KEY": "s" * 32, "BATON_TIME_ZONE": "America/Chicago"}
ISS = "https://ehr.example/r4"


def test_only_the_secret_and_the_zone_have_no_default(tmp_path: Path) -> None:
    settings = read_settings(GIVEN | {"BATON_HOME": str(tmp_path)})
    assert (settings.app_url, settings.port) == ("http://127.0.0.1:8001", 8001)
    assert settings.store_base == "http://127.0.0.1:8000/fhir"
    assert settings.redirect_uri == "http://127.0.0.1:8001/callback"
    assert "sss" not in repr(settings)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"BATON_SECRET_KEY": ""}, "BATON_SECRET_KEY is not set"),
        ({"BATON_SECRET_KEY": "short"}, "BATON_SECRET_KEY is shorter"),
        ({"BATON_SECRET_KEY_FILE": "/nowhere/at/all"}, "BATON_SECRET_KEY_FILE cannot be read"),
        ({"BATON_TIME_ZONE": ""}, "BATON_TIME_ZONE is not set"),
        ({"BATON_TIME_ZONE": "Mars/Olympus"}, "BATON_TIME_ZONE is not an IANA"),
        ({"BATON_PORT_APP": "0"}, "BATON_PORT_APP"),
        ({"BATON_PORT_APP": "٣"}, "BATON_PORT_APP"),
        ({"BATON_APP_URL": "app.example"}, "BATON_APP_URL"),
        ({"BATON_BASE_URL": "ftp://x"}, "BATON_BASE_URL"),
        ({"BATON_LOG_LEVEL": "LOUD"}, "BATON_LOG_LEVEL"),
        ({"BATON_DATABASE_URL": "mysql://u:hidden@host/db"}, "BATON_DATABASE_URL is neither"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, change: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read_settings(GIVEN | {"BATON_HOME": str(tmp_path)} | change)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("", ""),
        ("sqlite:////srv/baton/baton.sqlite3", ""),
        ("postgresql://baton:hidden@db/baton", "postgresql://baton:hidden@db/baton"),
    ],
)
def test_sessions_are_in_the_servers_postgresql_or_in_a_file_of_their_own(
    tmp_path: Path, given: str, used: str
) -> None:
    settings = read_settings(GIVEN | {"BATON_HOME": str(tmp_path), "BATON_DATABASE_URL": given})
    assert settings.database_url == used
    assert "hidden" not in repr(settings)


def test_a_demonstration_makes_its_secret_once_also_when_two_start_at_the_same_time(tmp_path: Path) -> None:
    found: list[bytes] = []

    def start() -> None:
        found.append(read_settings({"BATON_HOME": str(tmp_path)}, demo=True).secret_key)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert (tmp_path / "secret-key").stat().st_mode & 0o077 == 0


def test_keys_are_made_once_and_only_their_public_halves_are_placed_for_others(tmp_path: Path) -> None:
    keys = prepare_keys(tmp_path)
    again = prepare_keys(tmp_path)
    assert again.public_jwks() == keys.public_jwks() == json.loads((tmp_path / PUBLIC_FILE).read_text())
    assert {key["alg"] for key in keys.public_jwks()["keys"]} == {"ES384", "RS384"}
    assert not {"d", "p", "q"} & {name for key in keys.public_jwks()["keys"] for name in key}
    assert (tmp_path / PRIVATE_FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(FileNotFoundError):
        load_keys(tmp_path / "elsewhere")


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("announced", "algorithm"), [((), "ES384"), (("RS384",), "RS384"), (("RS384", "ES384"), "ES384")]
)
def test_an_assertion_holds_for_five_minutes_at_one_address(
    keys: Any, announced: tuple[str, ...], algorithm: str
) -> None:
    chosen = keys.algorithm(announced)
    assert chosen == algorithm
    token = keys.assertion("me", "https://ehr.example/token", chosen, now=1000, jti="once")
    public = KeySet.import_key_set(keys.public_jwks())
    decoded = jwt.decode(token, public, algorithms=[algorithm])
    assert decoded.header["typ"] == "JWT"
    assert decoded.claims == {
        "iss": "me",
        "sub": "me",
        "aud": "https://ehr.example/token",
        "iat": 1000,
        "exp": 1300,
        "jti": "once",
    }


def test_a_sealed_value_opens_only_under_its_name_and_key() -> None:
    seal = Seal(b"k" * 32, "sessions")
    sealed = seal.seal(b"token", "row-1")
    assert seal.open(sealed, "row-1") == b"token"
    assert sealed != seal.seal(b"token", "row-1")
    for other, name in (
        (seal, "row-2"),
        (Seal(b"l" * 32, "sessions"), "row-1"),
        (Seal(b"k" * 32, "x"), "row-1"),
    ):
        with pytest.raises(Unreadable):
            other.open(sealed, name)
    for damaged in (b"", sealed[:5], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(Unreadable):
            seal.open(damaged, "row-1")


def test_a_token_is_bound_to_each_of_its_parts() -> None:
    seal = Seal(b"k" * 32, "sessions")
    token = seal.token("csrf", "a", "b")
    assert seal.is_token(token, "csrf", "a", "b")
    for parts in (("csrf", "ab", ""), ("csrf", "a"), ("other", "a", "b")):
        assert not seal.is_token(token, *parts)
    assert not seal.is_token("ä", "csrf", "a", "b")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"iss": ""}, "iss"),
        ({"iss": "ehr.example"}, "iss"),
        ({"iss": "https://ehr.example/r4?x=1"}, "iss"),
        ({"iss": "https://[x"}, "iss"),
        ({"iss": 3}, "not text"),
        ({"client_id": ""}, "client_id"),
        ({"auth": "password"}, "auth"),
        ({"auth": "client_secret_basic"}, "client_secret"),
        ({"frame_ancestors": ["https://x.example; script-src *"]}, "frame_ancestors"),
        ({"frame_ancestors": ["https://x.example/path"]}, "frame_ancestors"),
        ({"frame_ancestors": "https://x.example"}, "frame_ancestors"),
    ],
)
def test_an_issuer_that_cannot_be_used_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(IssuerFault, match=named):
        issuer_from_record({"iss": ISS, "client_id": "me"} | change)
    with pytest.raises(IssuerFault):
        issuer_from_record([])


def test_an_issuer_added_beside_a_running_app_is_known_at_once(tmp_path: Path) -> None:
    running, beside = Issuers(tmp_path), Issuers(tmp_path)
    assert running.find(ISS) is None
    issuer = Issuer(ISS, "me", "Mercy", frame_ancestors=("https://portal.example",))
    beside.add(issuer)
    assert running.find(ISS + "/") == issuer
    assert issuer.ancestors == ("https://ehr.example", "https://portal.example")
    assert beside.remove(ISS)
    assert not beside.remove(ISS)
    assert running.find(ISS) is None
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(IssuerFault, match="not JSON"):
        running.all()


def test_a_demonstration_knows_its_own_store(tmp_path: Path) -> None:
    demo = read_settings({"BATON_HOME": str(tmp_path)}, demo=True)
    store = read_issuers(demo).store()
    assert store is not None
    assert (store.iss, store.client_id, store.store) == ("http://127.0.0.1:8000/fhir", "baton-app", True)
    production = read_settings(GIVEN | {"BATON_HOME": str(tmp_path)})
    assert read_issuers(production).store() is None


def test_the_command_adds_lists_and_removes_issuers(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app_group, arguments, env={"BATON_HOME": str(tmp_path)})

    secret = tmp_path / "secret"
    secret.write_text("hidden\n")
    added = run(
        "issuer", "add", ISS, "--client-id", "me", "--label", "Mercy", "--auth", "client_secret_basic",
        "--client-secret-file", str(secret),
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    listed = run("issuer", "list", "--json")
    assert json.loads(listed.output)[0]["iss"] == ISS
    assert "hidden" not in listed.output + run("issuer", "list").output
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0
    assert run("issuer", "add", "nowhere", "--client-id", "me").exit_code == 1
    assert run("issuer", "remove", ISS).exit_code == 0
    assert run("issuer", "remove", ISS).exit_code == 1


def test_the_command_prints_what_an_operator_registers(tmp_path: Path) -> None:
    shown = CliRunner().invoke(
        app_group, ["registration"], env={"BATON_HOME": str(tmp_path), "BATON_APP_URL": "https://app.example/"}
    )
    record = json.loads(shown.output)
    assert record["app"]["redirect_uris"] == ["https://app.example/callback"]
    assert "user/MedicationStatement.crus" in record["app"]["scope"].split()
    assert record["app"]["jwks"] == json.loads((tmp_path / PUBLIC_FILE).read_text())
