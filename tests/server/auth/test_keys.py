"""Signing keys and their rotation: no token that verifies today stops to before it has expired.

Covers server/auth/keys.py.
"""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from server.auth import keys as keys_module
from server.auth.keys import ALGORITHM, SCHEDULE, SigningKeyError, SigningKeys, rotate, signing_keys

pytestmark = pytest.mark.filterwarnings("ignore:Key size")
SECRET = b"a secret of the test, long enough"
DELAY, OVERLAP = timedelta(minutes=10), timedelta(hours=24)
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "KEY_BITS", 1024)  # made in milliseconds


class Server:
    """A process of the server, whose clock the test moves."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = START
        self.keys = signing_keys(home, SECRET, lambda: self.now)

    def verifies(self, token: str) -> bool:
        try:
            jwt.decode(token, KeySet.import_key_set(self.keys.public_set()), [ALGORITHM])
        except (JoseError, ValueError):
            return False
        return True

    def rotate(self, delay: timedelta = DELAY, overlap: timedelta = OVERLAP) -> None:
        rotate(self.home, SECRET, now=self.now, delay=delay, overlap=overlap)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def kid_of(token: str) -> str:
    """The key that a token says it was signed by."""
    head = token.split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def kids(server: Server) -> list[str]:
    return [key["kid"] for key in server.keys.public_set()["keys"]]


def test_a_new_key_is_published_before_it_signs(server: Server) -> None:
    (old,) = kids(server)
    server.rotate()
    assert kids(server)[0] == old
    assert len(kids(server)) == 2
    server.now += DELAY - timedelta(seconds=1)
    assert kid_of(server.keys.sign({})) == old
    server.now += timedelta(seconds=1)
    assert kid_of(server.keys.sign({})) == kids(server)[1] != old


def test_what_the_old_key_signed_verifies_until_the_overlap_ends(server: Server) -> None:
    server.rotate()
    server.now += DELAY - timedelta(seconds=1)
    last = server.keys.sign({"sub": "x"})
    server.now += OVERLAP
    assert server.verifies(last)
    server.now += timedelta(seconds=2)
    assert not server.verifies(last)
    assert len(kids(server)) == 1


def test_every_process_follows_without_a_restart(server: Server) -> None:
    other = Server(server.home)
    before = kids(other)
    server.rotate(timedelta(0), OVERLAP)
    assert kids(other) == [*before, kid_of(server.keys.sign({}))]
    assert kid_of(other.keys.sign({})) == kid_of(server.keys.sign({}))


def test_a_compromised_key_ends_at_once(server: Server) -> None:
    token = server.keys.sign({"sub": "x"})
    server.rotate()
    waiting = kids(server)[1]
    server.rotate(timedelta(0), timedelta(0))
    assert not server.verifies(token)
    assert len(kids(server)) == 1
    assert waiting not in kids(server)
    assert [path.name for path in (server.home / "keys").glob("*.pem")] == [server.keys.signing().file]
    assert server.verifies(server.keys.sign({}))


def test_a_second_rotation_waits_for_the_first(server: Server) -> None:
    server.rotate()
    with pytest.raises(SigningKeyError, match="signs from 2026-01-05 08:10 UTC already"):
        server.rotate()
    assert len(kids(server)) == 2


def test_retired_keys_are_removed_by_the_next_rotation(server: Server) -> None:
    server.rotate()
    server.now += DELAY + OVERLAP + timedelta(days=90)
    server.rotate()
    files = sorted(path.name for path in (server.home / "keys").glob("*.pem"))
    assert files == ["signing-0002.pem", "signing-0003.pem"]
    assert [key.file for key in server.keys.published()] == files


def test_rotations_at_the_same_time_leave_one_whole_schedule(server: Server) -> None:
    done: list[str] = []

    def work() -> None:
        try:
            server.rotate()
            done.append("rotated")
        except SigningKeyError:
            done.append("refused")

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["refused"] * 4 + ["rotated"]
    assert [key.file for key in server.keys.schedule()] == ["signing-0001.pem", "signing-0002.pem"]


def test_an_interrupted_rotation_changes_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = kids(server)
    real: Callable[..., None] = keys_module._write_schedule

    def interrupted(folder: Path, schedule: tuple) -> None:
        if len(schedule) > 1:
            raise KeyboardInterrupt
        real(folder, schedule)

    monkeypatch.setattr(keys_module, "_write_schedule", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.rotate()
    monkeypatch.undo()
    assert kids(server) == [old]
    assert kid_of(Server(server.home).keys.sign({})) == old


def test_files_of_keys_are_readable_by_their_owner_alone(server: Server) -> None:
    server.rotate()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (server.home / "keys").iterdir()}
    assert modes == {0o600}


def test_another_secret_key_is_told_in_words(server: Server) -> None:
    with pytest.raises(SigningKeyError, match="another BATON_SECRET_KEY"):
        rotate(server.home, b"another secret of the test, too", now=START, delay=DELAY, overlap=OVERLAP)
    with pytest.raises(SigningKeyError, match="another BATON_SECRET_KEY"):
        signing_keys(server.home, b"another secret of the test, too")


def test_a_damaged_schedule_is_told_in_words(server: Server) -> None:
    (server.home / "keys" / SCHEDULE).write_text("[{]")
    with pytest.raises(SigningKeyError, match="damaged"):
        SigningKeys(server.home, SECRET, lambda: START).sign({})
