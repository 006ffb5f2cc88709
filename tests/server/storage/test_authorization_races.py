"""Withdrawing a grant while a token of it is being made: whichever comes first, no token outlives it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage.authorization import GrantRow, RefreshTokenRow, TokenRow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ACCESS, OLD, NEW = b"access", b"old", b"new"


def grant(grant_id: str = "g") -> GrantRow:
    return GrantRow(grant_id=grant_id, client_id="c", created=NOW, scope="patient/*.rs")


def access_token(token_hash: bytes = ACCESS) -> TokenRow:
    return TokenRow(token_hash, "g", "c", "patient/*.rs", issued=NOW, expires=LATER)


def refresh_token(token_hash: bytes) -> RefreshTokenRow:
    return RefreshTokenRow(token_hash, "g", "c", "patient/*.rs", expires=LATER)


def issue(rows: Any) -> None:
    rows.add_token(access_token())
    rows.add_refresh_token(refresh_token(NEW))


def rotate(rows: Any) -> None:
    was = rows.rotate_refresh_token(OLD, refresh_token(NEW), NOW)
    if was is not None and was.rotated is None:
        rows.add_token(access_token())


@pytest.mark.parametrize("making", [issue, rotate])
@pytest.mark.parametrize("withdrawn_first", [False, True])
def test_no_token_outlives_its_grant(store: Any, making: Callable[[Any], None], withdrawn_first: bool) -> None:
    rows = store.authorization
    rows.add_grant(grant())
    rows.add_refresh_token(refresh_token(OLD))
    acted, failures = threading.Event(), []

    def withdraw() -> None:
        rows.revoke_grant("g", NOW)

    first, second = (withdraw, lambda: making(rows)) if withdrawn_first else (lambda: making(rows), withdraw)

    def behind() -> None:
        acted.wait(10)
        try:
            with rows.transaction():
                second()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=behind)
    thread.start()
    with rows.transaction():
        first()
        acted.set()
        thread.join(0.3)  # it waits, or has gone by
    thread.join(10)
    assert failures == []
    token = rows.token(ACCESS)
    assert token is None or token.revoked is not None
    assert rows.refresh_token(NEW) is None
    assert rows.refresh_token(OLD) is None
