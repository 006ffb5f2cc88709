"""`baton keys`: rotation of the server's and the app's keys, while both go on working.

Covers server/keys_command.py, smart_app/keys.py, and in server/auth/client_assertion.py the end of a key.
"""

from __future__ import annotations

import base64
import json
import stat
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result

from server import command_context, keys_command
from server.auth import keys as server_keys
from server.cli import main
from server.settings import Settings
from smart_app import keys as app_keys
from smart_app.keys import PRIVATE_FILE, PUBLIC_FILE, AppKeys, KeyFault, prepare_keys, rotate_keys

BASE = "http://127.0.0.1:8000"
TOKEN_URL = f"{BASE}/oauth2/token"
pytestmark = pytest.mark.filterwarnings("ignore:Key size")


class Deployment:
    """A server, the app's running process (`keys`), and the commands beside them, all on the test's clock."""

    def __init__(self, settings: Settings, clock: Any, app: Any) -> None:
        self.settings, self.clock, self._app = settings, clock, app
        prepare_keys(settings.home)
        self.keys = AppKeys(settings.home)
        added = self.baton(
            "client", "add", "--name", "App", "--backend", "--jwks", str(settings.home / PUBLIC_FILE),
            "--scope", "system/*.rs", "--client-id", "app",
        )  # fmt: skip
        assert added.exit_code == 0, added.output

    def baton(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    def rotate(self, *arguments: str) -> dict[str, Any]:
        answer = self.baton("keys", "rotate", "--json", *arguments)
        assert answer.exit_code == 0, answer.output
        report: dict[str, Any] = json.loads(answer.stdout)
        return report

    def assertion(self, algorithm: str) -> str:
        now = int(self.clock().timestamp())
        self.clock.advance(milliseconds=1)
        return self.keys.assertion("app", TOKEN_URL, algorithm, now=now, jti=f"{self.clock().timestamp()}")

    def token(self, assertion: str) -> int:
        form = {
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        answer = self._app.test_client().post(
            "/oauth2/token",
            base_url=BASE,
            data=urlencode(form),
            content_type="application/x-www-form-urlencoded",
        )
        return int(answer.status_code)

    def states(self, of: str) -> list[str]:
        answer = self.baton("keys", "list", "--json")
        assert answer.exit_code == 0, answer.output
        return [row["state"] for row in json.loads(answer.stdout)["keys"] if row["of"] == of]

    def published(self) -> list[str]:
        answer = self._app.test_client().get("/oauth2/jwks", base_url=BASE)
        return [key["kid"] for key in answer.json["keys"]]


@pytest.fixture
def deployment(settings: Settings, clock: Any, app: Any, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    monkeypatch.setattr(keys_command, "_now", clock)
    monkeypatch.setenv("BATON_HOME", str(settings.home))
    monkeypatch.setattr(app_keys, "RSA_BITS", 2048)  # the least that a client may have
    monkeypatch.setattr(server_keys, "KEY_BITS", 1024)  # made in milliseconds
    return Deployment(settings, clock, app)


def test_listing_makes_no_key(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = replace(settings, home=tmp_path / "empty")
    empty.home.mkdir()
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: empty)
    answer = CliRunner().invoke(main, ["keys", "list", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout) == {"keys": []}
    assert list(empty.home.iterdir()) == []


def kid_of(token: str) -> str:
    head = token.split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_the_app_goes_on_through_a_rotation(deployment: Deployment, algorithm: str) -> None:
    before = kid_of(deployment.assertion(algorithm))
    deployment.rotate("--delay", "10", "--overlap", "2")
    waiting = deployment.assertion(algorithm)
    assert kid_of(waiting) == before
    assert deployment.token(waiting) == 200
    deployment.clock.advance(minutes=9, seconds=50)
    last = deployment.assertion(algorithm)
    deployment.clock.advance(seconds=10)
    new = deployment.assertion(algorithm)
    assert kid_of(new) != before, "the running app has followed"
    assert deployment.token(new) == 200
    assert deployment.token(last) == 200, "signed by the old key just before"
    deployment.clock.advance(hours=3)
    assert deployment.token(deployment.assertion(algorithm)) == 200


def test_an_old_key_is_refused_after_the_overlap(deployment: Deployment) -> None:
    old = AppKeys(deployment.settings.home)
    old._current = lambda keys=old._keys: keys  # type: ignore[method-assign, misc]
    deployment.rotate("--overlap", "1")
    deployment.clock.advance(minutes=69)
    now = int(deployment.clock().timestamp())
    assert deployment.token(old.assertion("app", TOKEN_URL, "ES384", now=now, jti="1")) == 200
    deployment.clock.advance(minutes=2)
    now = int(deployment.clock().timestamp())
    assert deployment.token(old.assertion("app", TOKEN_URL, "ES384", now=now, jti="2")) == 401


def test_the_server_publishes_old_and_new_side_by_side(deployment: Deployment) -> None:
    (old,) = deployment.published()
    report = deployment.rotate()
    assert [row["state"] for row in report["keys"] if row["of"] == "signing"] == ["signs", "coming"]
    assert len(deployment.published()) == 2
    assert deployment.published()[0] == old
    deployment.clock.advance(minutes=10)
    assert deployment.states("signing") == ["accepted", "signs"]
    assert deployment.states("app") == ["accepted", "accepted", "signs", "signs"]
    deployment.clock.advance(hours=24)
    assert deployment.states("signing") == ["retired", "signs"]
    assert len(deployment.published()) == 1


def test_at_once_ends_the_old_keys_everywhere(deployment: Deployment) -> None:
    leaked = deployment.assertion("RS384")
    (old,) = deployment.published()
    deployment.rotate("--at-once")
    assert deployment.token(leaked) == 401
    assert deployment.token(deployment.assertion("RS384")) == 200
    assert old not in deployment.published()
    assert deployment.states("app") == ["signs", "signs"]


def test_only_those_that_were_named_are_rotated(deployment: Deployment) -> None:
    deployment.rotate("--only", "app")
    assert deployment.states("signing") == ["signs"]
    assert deployment.states("app") == ["signs", "signs", "coming", "coming"]
    answer = deployment.baton("keys", "rotate", "--only", "web")
    assert answer.exit_code == 2
    assert "there are signing, app" in answer.output


def test_a_second_rotation_is_refused_with_the_reason(deployment: Deployment) -> None:
    deployment.rotate()
    answer = deployment.baton("keys", "rotate", "--json")
    assert answer.exit_code == 2
    assert set(json.loads(answer.stdout)["refused"]) == {"signing", "app"}
    assert len(deployment.published()) == 2


def test_a_client_with_other_keys_is_left_alone(
    deployment: Deployment, tmp_path: Path, authorization: Any
) -> None:
    other = prepare_keys(tmp_path / "elsewhere").public_jwks()
    (tmp_path / "other.json").write_text(json.dumps(other))
    arguments = (
        "--backend",
        "--jwks",
        str(tmp_path / "other.json"),
        "--scope",
        "system/*.rs",
        "--client-id",
        "other",
    )
    deployment.baton("client", "add", "--name", "Other", *arguments)
    deployment.rotate()
    assert authorization.rows.client("other").jwks == other
    assert len(authorization.rows.client("app").jwks["keys"]) == 4


def test_a_rotation_stands_in_the_audit_trail(deployment: Deployment, store: Any) -> None:
    deployment.rotate()
    events = [row.interaction for row in store.audit_rows(limit=10)]
    assert {"keys-rotate", "client-keys-rotate"} <= set(events)


def test_no_private_key_is_shown_or_published(deployment: Deployment) -> None:
    deployment.rotate()
    shown = deployment.baton("keys", "list").output + deployment.baton("keys", "list", "--json").output
    public = json.loads((deployment.settings.home / PUBLIC_FILE).read_text())
    assert not {"d", "p", "q", "nbf"} & {name for key in public["keys"] for name in key}
    private = json.loads((deployment.settings.home / PRIVATE_FILE).read_text())
    assert not any(key["d"] in shown for key in private["keys"])
    assert stat.S_IMODE((deployment.settings.home / PRIVATE_FILE).stat().st_mode) == 0o600


def test_rotations_of_the_app_at_the_same_time_leave_one(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_keys, "RSA_BITS", 1024)
    prepare_keys(tmp_path)
    done: list[str] = []

    def work() -> None:
        try:
            rotate_keys(tmp_path, now=clock(), delay=timedelta(minutes=10), overlap=timedelta(hours=1))
            done.append("rotated")
        except KeyFault:
            done.append("refused")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["refused"] * 3 + ["rotated"]
    assert len(json.loads((tmp_path / PRIVATE_FILE).read_text())["keys"]) == 4


@pytest.mark.parametrize(
    "command", [("keys",), ("keys", "rotate"), ("keys", "list"), ("backup",), ("restore",)]
)
def test_help_teaches(command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(main, [*command, "--help"])
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) > 5
