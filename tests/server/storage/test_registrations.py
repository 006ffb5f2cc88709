"""What the registration of clients keeps, and what is decided once among many processes.

Covers server/storage/registrations.py and the migration to schema 13.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage import open_store
from server.storage.authorization import ClientRow
from server.storage.migrations import migrations, upgrade
from server.storage.registrations import InvitationRow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
URL = "https://app.example/jwks"
INVITATION = InvitationRow(
    token_hash=b"\x00" * 31 + b"\xff",
    invitation_id="abc",
    created=NOW,
    expires=NOW + timedelta(days=7),
    uses_left=3,
    scope="patient/*.rs",
    note="a note",
    hosts=("app.example", "com.example.app"),
    backend=True,
    statement={"iss": "https://issuer.example", "jwks": {"keys": []}},
)


@pytest.fixture
def rows(store: Any) -> Any:
    return store.authorization.registrations


def at_once(work: Callable[[], Any], times: int = 8) -> list[Any]:
    found: list[Any] = []
    start = threading.Barrier(times)

    def run() -> None:
        start.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_an_invitation_comes_back_as_it_was_kept(rows: Any) -> None:
    rows.add_invitation(INVITATION)
    assert rows.invitation(INVITATION.token_hash) == INVITATION
    assert rows.invitations() == (INVITATION,)
    assert rows.invitation(b"\x00" * 32) is None


def test_an_invitation_is_used_no_more_often_than_it_says(rows: Any) -> None:
    rows.add_invitation(INVITATION)
    assert rows.is_open(NOW)
    taken = at_once(lambda: rows.use_invitation(INVITATION.token_hash, NOW))
    assert taken.count(True) == 3
    assert not rows.is_open(NOW)


def test_an_invitation_ends_by_time_and_by_withdrawal(rows: Any) -> None:
    rows.add_invitation(INVITATION)
    assert not rows.use_invitation(INVITATION.token_hash, INVITATION.expires)
    assert not rows.is_open(INVITATION.expires)
    assert rows.withdraw_invitation("abc")
    assert not rows.withdraw_invitation("abc")
    assert not rows.withdraw_invitation("unknown")
    assert not rows.use_invitation(INVITATION.token_hash, NOW)


def test_one_of_many_fetches_a_key_set(rows: Any) -> None:
    until = NOW + timedelta(seconds=5)
    assert at_once(lambda: rows.claim_key_set(URL, NOW, until)).count(True) == 1
    assert rows.key_set(URL).busy_until == until
    assert rows.key_set(URL).fetched is None
    rows.release_key_set(URL, not_before=NOW + timedelta(minutes=1))
    assert not rows.claim_key_set(URL, until, until)
    later = NOW + timedelta(minutes=1)
    again = at_once(lambda: rows.claim_key_set(URL, later, later + timedelta(seconds=5)))
    assert again.count(True) == 1


def test_a_key_set_comes_back_as_it_was_kept(rows: Any) -> None:
    jwks = {"keys": [{"kid": "é", "kty": "EC"}]}
    moments = {
        "fetched": NOW,
        "fresh_until": NOW + timedelta(hours=1),
        "not_before": NOW + timedelta(seconds=9),
    }
    rows.keep_key_set(URL, jwks, **moments)
    kept = rows.key_set(URL)
    assert (kept.jwks, kept.fetched, kept.fresh_until, kept.not_before) == (jwks, *moments.values())
    assert kept.busy_until <= NOW
    rows.release_key_set(URL, not_before=NOW)
    assert rows.key_set(URL).jwks == jwks


def test_what_nobody_asks_for_is_forgotten(rows: Any, store: Any) -> None:
    rows.keep_key_set(URL, {"keys": []}, fetched=NOW, fresh_until=NOW, not_before=NOW)
    rows.add_invitation(INVITATION)
    store.authorization.purge(NOW + timedelta(days=5))
    assert rows.key_set(URL) is not None
    assert rows.invitations() == (INVITATION,)
    store.authorization.purge(NOW + timedelta(days=31))
    assert rows.key_set(URL) is None
    assert rows.invitations() == ()


def test_the_registration_of_a_client_comes_back(store: Any) -> None:
    client = ClientRow("c", "C", "public", NOW, registration={"token": "00", "hosts": ["a.example"]})
    store.authorization.put_client(client)
    assert store.authorization.client("c") == client


@pytest.fixture
def before_13(database_kind: str, cluster_or_file: str) -> Any:
    store = open_store(cluster_or_file)
    before = max(known.number for known in migrations(database_kind) if known.number < 13)
    upgrade(store.database, until=before)
    yield store
    store.close()


@pytest.fixture
def cluster_or_file(request: pytest.FixtureRequest, database_kind: str, tmp_path: Any) -> str:
    """A database without any schema."""
    if database_kind == "postgresql":
        return request.getfixturevalue("cluster").create_database(
            f"before_13_{tmp_path.name}".replace("-", "_")
        )
    return f"sqlite:///{tmp_path / 'before.sqlite3'}"


def test_keys_that_were_fetched_before_are_still_there(before_13: Any) -> None:
    document = {
        "name": "N", "kind": "confidential-asymmetric", "scope": "system/*.rs",
        "grant_types": ["client_credentials"], "redirect_uris": [], "secret_hash": "", "jwks_uri": URL,
        "launch_url": "", "frame_ancestors": [], "metadata": {},
    }  # fmt: skip
    older, newer = {"keys": [{"kid": "old"}]}, {"keys": [{"kid": "new"}]}
    with before_13.database.writing() as connection:
        for id, jwks, fetched in (("a", older, 1_000), ("b", newer, 2_000), ("c", {}, None)):
            row = {**document, "jwks": jwks, "jwks_fetched": fetched}
            if id == "c":
                row["jwks_uri"] = "https://never.example/jwks"
            connection.execute(
                "INSERT INTO client (client_id, disabled, created, document) VALUES (:id, 0, 0, :document)",
                {"id": id, "document": json.dumps(row)},
            )
    upgrade(before_13.database)
    rows = before_13.authorization
    assert rows.registrations.key_set(URL).jwks == newer
    assert rows.registrations.key_set(URL).fetched == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert rows.registrations.key_set("https://never.example/jwks") is None
    assert rows.client("a") == replace(rows.client("b"), client_id="a", jwks=older)
