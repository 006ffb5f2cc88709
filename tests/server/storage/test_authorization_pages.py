"""Clients and standing grants a page at a time.

Covers server/storage/authorization_pages.py, and in authorization_tables.py until when a grant can act.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage.authorization import ClientRow, GrantRow, RefreshTokenRow, TokenRow
from server.storage.authorization_pages import ClientQuery, GrantQuery

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def client(client_id: str, name: str, *, disabled: bool = False) -> ClientRow:
    return ClientRow(client_id, name, "public", NOW, disabled=disabled)


def names(store: Any, **query: Any) -> list[str]:
    found = []
    asked = ClientQuery(count=2, **query)
    while True:
        page = store.authorization_pages.clients(asked)
        found += [row.name for row in page.rows]
        if page.next_after is None:
            return found
        asked = replace(asked, after=page.next_after)


def test_clients_come_by_name_a_page_at_a_time(store: Any) -> None:
    for number, name in enumerate(("beta", "Alpha", "alpha", "Gamma", "Alpine")):
        store.authorization.put_client(client(f"c{number}", name, disabled=name == "beta"))
    assert names(store) == ["Alpha", "alpha", "Alpine", "beta", "Gamma"]
    assert names(store, text="aLP") == ["Alpha", "alpha", "Alpine"]
    assert names(store, text="_") == names(store, text="%") == []
    assert names(store, disabled=True) == ["beta"]
    assert names(store, disabled=False, text="b") == []


def test_a_client_that_is_renamed_moves(store: Any) -> None:
    store.authorization.put_client(client("c", "Zulu"))
    store.authorization.put_client(client("c", "alpha"))
    store.authorization.put_client(client("d", "Mike"))
    assert names(store) == ["alpha", "Mike"]


def grant(
    store: Any, grant_id: str, *, client_id: str = "app", username: str = "rn", **until: timedelta
) -> None:
    """A grant whose access and refresh tokens end after the given times."""
    store.authorization.add_grant(GrantRow(grant_id, client_id, NOW, "patient/*.rs", username))
    for kind, after in until.items():
        hashed = digest(f"{kind} {grant_id}")
        if kind == "access":
            row = TokenRow(hashed, grant_id, client_id, "patient/*.rs", NOW, NOW + after, username)
            store.authorization.add_token(row)
        else:
            store.authorization.add_refresh_token(
                RefreshTokenRow(hashed, grant_id, client_id, "patient/*.rs", NOW + after)
            )


def standing(store: Any, now: datetime = NOW, **query: Any) -> list[str]:
    found = []
    asked = GrantQuery(count=2, **query)
    while True:
        page = store.authorization_pages.grants(asked, now)
        found += [one.grant.grant_id for one in page.rows]
        if page.next_after is None:
            return found
        asked = replace(asked, after=page.next_after)


def test_a_grant_stands_until_its_longest_token_ends(store: Any) -> None:
    grant(store, "online", access=HOUR)
    grant(store, "offline", access=HOUR, refresh=90 * 24 * HOUR)
    grant(store, "brief", access=2 * HOUR)
    grant(store, "never-used")
    assert standing(store) == ["offline", "brief", "online"]
    assert standing(store, NOW + HOUR) == ["offline", "brief"]
    assert standing(store, NOW + 90 * 24 * HOUR) == []
    page = store.authorization_pages.grants(GrantQuery(count=1), NOW)
    assert page.rows[0].until == NOW + 90 * 24 * HOUR


def test_a_refresh_makes_it_stand_longer(store: Any) -> None:
    grant(store, "g", refresh=HOUR)
    successor = RefreshTokenRow(digest("next"), "g", "app", "patient/*.rs", NOW + 3 * HOUR)
    store.authorization.rotate_refresh_token(digest("refresh g"), successor, NOW)
    assert standing(store, NOW + 2 * HOUR) == ["g"]


def test_what_was_revoked_or_is_a_services_own_is_not_listed(store: Any) -> None:
    grant(store, "kept", access=HOUR)
    grant(store, "revoked", access=HOUR)
    grant(store, "service", username="", access=HOUR)
    store.authorization.revoke_grant("revoked", NOW)
    assert standing(store) == ["kept"]


def test_grants_are_found_by_client_and_by_account(store: Any) -> None:
    grant(store, "a", client_id="one", username="rn", access=HOUR)
    grant(store, "b", client_id="one", username="ma", access=2 * HOUR)
    grant(store, "c", client_id="two", username="rn", access=3 * HOUR)
    assert standing(store, client_id="one") == ["b", "a"]
    assert standing(store, username="rn") == ["c", "a"]
    assert standing(store, client_id="one", username="rn") == ["a"]
    assert standing(store, username="nobody") == []


def test_grants_that_end_at_the_same_moment_are_all_listed_once(store: Any) -> None:
    for number in range(7):
        grant(store, f"g{number}", access=HOUR)
    assert sorted(standing(store)) == [f"g{number}" for number in range(7)]


@pytest.mark.sqlite("PostgreSQL shows its plans in another way")
@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("", "access_grant_standing"),
        ("client_id = 'a' AND ", "access_grant_standing_client"),
        ("username = 'a' AND ", "access_grant_standing_username"),
    ],
)
def test_a_page_of_grants_is_read_along_an_index_and_never_sorted(store: Any, where: str, index: str) -> None:
    sql = (
        f"SELECT * FROM access_grant WHERE {where}revoked IS NULL AND username <> '' AND stands_until > 5"
        " ORDER BY stands_until DESC, grant_id DESC LIMIT 50"
    )
    with store.database.reading() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    assert len(plan) == 1, plan
    assert f"INDEX {index} " in plan[0]


def test_disabling_a_client_ends_all_its_grants_and_no_other(store: Any) -> None:
    store.authorization.put_client(client("one", "One"))
    grant(store, "a", client_id="one", access=HOUR, refresh=HOUR)
    grant(store, "b", client_id="one", username="", access=HOUR)
    grant(store, "c", client_id="two", access=HOUR, refresh=HOUR)
    assert store.authorization.disable_client("one", NOW)
    rows = store.authorization
    assert [rows.grant(id).revoked for id in "abc"] == [NOW, NOW, None]
    assert [rows.token(digest(f"access {id}")).revoked for id in "abc"] == [NOW, NOW, None]
    assert rows.refresh_token(digest("refresh a")) is None
    assert rows.refresh_token(digest("refresh c")) is not None
    assert standing(store) == ["c"]
