"""What signing in keeps: rows read back whole, codes taken once by anybody, counts that no rush gets around.

Covers server/storage/sign_in_tables.py and the sessions of authorization_tables.py; RFC 6238 section 5.2.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage.authorization import BrowserSessionRow
from server.storage.sign_in import ExternalIdentityRow, FailedAttemptsRow, SecondFactorRow

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
ROW = SecondFactorRow("rn", "sealed", "", NOW, 58)
WHO = ExternalIdentityRow("https://login.example", "sub-1", "rn", NOW)


@pytest.fixture
def kept(store: Any) -> Any:
    return store.sign_in


def at_once(work: Callable[[int], Any], times: int = 8) -> list[Any]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(work, range(times)))


def test_a_second_factor_is_read_back_as_it_was_put(kept: Any) -> None:
    assert kept.second_factor("rn") is None
    for row in (SecondFactorRow("rn", pending="waiting"), ROW):
        kept.put_second_factor(row)
        assert kept.second_factor("rn") == row
    assert kept.second_factor("RN") is None
    assert kept.remove_second_factor("rn")
    assert not kept.remove_second_factor("rn")


def test_of_many_who_take_a_time_step_at_once_one_gets_it(kept: Any) -> None:
    kept.put_second_factor(ROW)
    assert at_once(lambda _: kept.use_time_step("rn", 59)).count(True) == 1
    assert not kept.use_time_step("rn", 58)
    assert kept.use_time_step("rn", 60)
    assert not kept.use_time_step("nobody", 61)


def test_of_many_who_take_a_recovery_code_at_once_one_gets_it(kept: Any) -> None:
    kept.put_recovery_codes("rn", [b"1" * 32, b"2" * 32])
    assert at_once(lambda _: kept.use_recovery_code("rn", b"1" * 32)).count(True) == 1
    assert kept.recovery_codes("rn") == 1
    assert not kept.use_recovery_code("engineer", b"2" * 32)
    kept.put_recovery_codes("rn", [b"3" * 32])
    assert not kept.use_recovery_code("rn", b"2" * 32)
    kept.put_second_factor(ROW)
    kept.remove_second_factor("rn")
    assert kept.recovery_codes("rn") == 0


def test_an_identity_has_one_account_and_an_account_one_identity_of_an_issuer(kept: Any) -> None:
    assert kept.link_identity(WHO)
    assert not kept.link_identity(replace(WHO, username="engineer"))
    assert not kept.link_identity(replace(WHO, subject="sub-2"))
    elsewhere = replace(WHO, issuer="https://other.example")
    assert kept.link_identity(elsewhere)
    assert kept.identity(WHO.issuer, WHO.subject) == WHO
    assert kept.identity(WHO.issuer, "SUB-1") is None
    assert kept.identities("rn") == kept.identities() == (WHO, elsewhere)
    assert kept.unlink_identity(WHO.issuer, "rn")
    assert not kept.unlink_identity(WHO.issuer, "rn")
    assert kept.identities("rn") == (elsewhere,)


def test_no_failed_attempt_is_lost_however_many_come_at_once(store: Any, kept: Any) -> None:
    key = b"k" * 32

    def fail(_: int) -> None:
        with store.writing():
            row = kept.hold_attempts(key, NOW)
            kept.put_attempts(key, FailedAttemptsRow(row.level + 1, NOW, NOW), NOW + timedelta(days=2))

    at_once(fail)
    assert kept.attempts(key) == FailedAttemptsRow(8, NOW, NOW)
    store.authorization.purge(NOW + timedelta(days=2))
    assert kept.attempts(key) is not None
    store.authorization.purge(NOW + timedelta(days=4))
    assert kept.attempts(key) is None


def test_a_login_keeps_its_name_as_its_cookie_changes(store: Any) -> None:
    rows, first, second = store.authorization, b"1" * 32, b"2" * 32
    session = BrowserSessionRow(first, "login", "rn", NOW, NOW, NOW + timedelta(hours=12), {"a": 1})
    rows.add_browser_session(session)
    later = NOW + timedelta(minutes=1)
    assert rows.renew_browser_session(first, second, later, {"a": 2})
    assert not rows.renew_browser_session(first, b"3" * 32, later, {})
    expected = replace(session, session_hash=second, last_used=later, data={"a": 2}, login=first)
    assert rows.browser_session(first) is None
    assert rows.browser_session(second) == rows.browser_session_of(first) == expected
    assert rows.browser_session_of(second) is None
    assert rows.browser_sessions("rn") == (expected,)
    assert at_once(lambda _: rows.end_browser_session(first)).count(True) == 1
    assert rows.browser_session(second) is None
