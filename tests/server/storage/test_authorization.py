"""What the authorization server keeps: rows read back whole, every secret works once, revoking reaches all.

Covers RFC 6749 §4.1.2 (a code is used once), RFC 7523 §3 (jti), RFC 9700 §4.14 (refresh token rotation).
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage.authorization import (
    AuthorizationStore,
    BrowserSessionRow,
    ClientRow,
    CodeRow,
    GrantRow,
    LaunchRow,
    RefreshTokenRow,
    TokenRow,
    UserRow,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


CLIENT = ClientRow(
    client_id="app",
    name="App",
    kind="confidential-asymmetric",
    created=NOW,
    scope="launch patient/*.rs",
    grant_types=("authorization_code", "refresh_token"),
    redirect_uris=("https://app.example/callback",),
    jwks={"keys": [{"kty": "EC"}]},
    jwks_uri="https://app.example/jwks",
    launch_url="https://app.example/launch",
    frame_ancestors=("https://ehr.example",),
    metadata={"logo_uri": "https://app.example/logo"},
)
USER = UserRow("rn", "hash", "nurse", practitioner_id="p1", display="A Nurse")
GRANT = GrantRow(
    "g", "app", NOW, "patient/*.rs", "rn", "Practitioner/p1", "nurse", "a", "e", {"intent": "reconcile"}
)
CODE = CodeRow(
    digest("code"),
    "g",
    "app",
    "https://app.example/callback",
    "patient/*.rs",
    SOON,
    "S256",
    "n",
    NOW,
    None,
    {"x": 1},
)
LAUNCH = LaunchRow(digest("launch"), "app", "rn", SOON, "a", "e", {"need_patient_banner": False})
TOKEN = TokenRow(
    digest("token"),
    "g",
    "app",
    "patient/*.rs",
    NOW,
    SOON,
    "rn",
    "Practitioner/p1",
    "nurse",
    "a",
    "e",
    {"x": [1]},
)
REFRESH = RefreshTokenRow(digest("refresh"), "g", "app", "patient/*.rs", SOON)
SESSION = BrowserSessionRow(
    digest("session"), "console", "rn", NOW, NOW, SOON, {"csrf": "c"}, login=digest("session")
)


@pytest.fixture
def kept(store: Any) -> AuthorizationStore:
    """The store with one of each."""
    authorization: AuthorizationStore = store.authorization
    authorization.put_client(CLIENT)
    authorization.put_user(USER)
    authorization.add_grant(GRANT)
    authorization.add_code(CODE)
    authorization.add_launch(LAUNCH)
    authorization.add_token(TOKEN)
    authorization.add_refresh_token(REFRESH)
    authorization.add_browser_session(SESSION)
    return authorization


def test_every_row_reads_back_whole(kept: AuthorizationStore) -> None:
    assert kept.client("app") == CLIENT
    assert kept.clients() == (CLIENT,)
    assert kept.user("rn") == USER
    assert kept.users() == (USER,)
    assert kept.grant("g") == GRANT
    assert kept.grants(client_id="app") == kept.grants(username="rn") == kept.grants() == (GRANT,)
    assert kept.grants(client_id="app", username="ma") == ()
    assert kept.launch(LAUNCH.launch_hash) == LAUNCH
    assert kept.token(TOKEN.token_hash) == TOKEN
    assert kept.refresh_token(REFRESH.token_hash) == REFRESH
    assert kept.browser_session(SESSION.session_hash) == SESSION


def test_what_is_unknown_is_none_or_false(kept: AuthorizationStore) -> None:
    unknown = digest("unknown")
    for answer in (
        kept.client("x"),
        kept.user("x"),
        kept.grant("x"),
        kept.launch(unknown),
        kept.token(unknown),
        kept.refresh_token(unknown),
        kept.browser_session(unknown),
        kept.use_code(unknown, NOW),
        kept.use_launch(unknown, NOW),
        kept.rotate_refresh_token(unknown, REFRESH, NOW),
    ):
        assert answer is None
    assert not kept.revoke_token(unknown, NOW)
    assert not kept.revoke_grant("x", NOW)
    assert not kept.disable_client("x", NOW)
    assert not kept.end_browser_session(unknown)
    assert not kept.touch_browser_session(unknown, NOW)


def test_a_second_use_is_told_from_the_first(kept: AuthorizationStore) -> None:
    assert kept.use_code(CODE.code_hash, NOW) == CODE
    assert kept.use_code(CODE.code_hash, SOON) == replace(CODE, used=NOW)
    assert kept.use_launch(LAUNCH.launch_hash, NOW) == LAUNCH
    assert kept.use_launch(LAUNCH.launch_hash, SOON) == replace(LAUNCH, used=NOW)
    successor = replace(REFRESH, token_hash=digest("second"))
    assert kept.rotate_refresh_token(REFRESH.token_hash, successor, NOW) == REFRESH
    third = replace(REFRESH, token_hash=digest("third"))
    assert kept.rotate_refresh_token(REFRESH.token_hash, third, SOON) == replace(REFRESH, rotated=NOW)
    assert kept.refresh_token(successor.token_hash) == successor
    assert kept.refresh_token(third.token_hash) is None
    assert kept.use_assertion_id("app", "jti", SOON)
    assert not kept.use_assertion_id("app", "jti", SOON)
    assert kept.use_assertion_id("other", "jti", SOON)


FIRST_USES: dict[str, Callable[[AuthorizationStore, int], bool]] = {
    "code": lambda kept, n: used_first(kept.use_code(CODE.code_hash, NOW)),
    "launch": lambda kept, n: used_first(kept.use_launch(LAUNCH.launch_hash, NOW)),
    "refresh token": lambda kept, n: rotated_first(
        kept.rotate_refresh_token(REFRESH.token_hash, replace(REFRESH, token_hash=digest(str(n))), NOW)
    ),
    "assertion": lambda kept, n: kept.use_assertion_id("app", "same", SOON),
}


def used_first(row: CodeRow | LaunchRow | None) -> bool:
    return row is not None and row.used is None


def rotated_first(row: RefreshTokenRow | None) -> bool:
    return row is not None and row.rotated is None


@pytest.mark.parametrize("what", FIRST_USES)
def test_of_parallel_uses_in_several_processes_one_is_the_first(kept: AuthorizationStore, what: str) -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    start = context.Event()

    def work(number: int) -> None:
        start.wait()
        answers.put(FIRST_USES[what](kept, number))

    processes = [context.Process(target=work, args=(number,)) for number in range(8)]
    for process in processes:
        process.start()
    start.set()
    assert sum(answers.get(timeout=30) for _ in processes) == 1
    for process in processes:
        process.join(timeout=30)


def test_revoking_a_grant_ends_everything_made_from_it(kept: AuthorizationStore) -> None:
    epoch = kept.security_epoch()
    assert kept.revoke_grant("g", NOW)
    assert kept.grant("g") == replace(GRANT, revoked=NOW)
    assert kept.token(TOKEN.token_hash) == replace(TOKEN, revoked=NOW)
    assert kept.refresh_token(REFRESH.token_hash) is None
    assert kept.use_code(CODE.code_hash, SOON) == replace(CODE, used=NOW)
    assert kept.security_epoch() > epoch
    assert not kept.revoke_grant("g", SOON)


def test_revoking_several_grants_raises_the_epoch_once(kept: AuthorizationStore) -> None:
    for number in range(3):
        kept.add_grant(replace(GRANT, grant_id=f"g{number}"))
    epoch = kept.security_epoch()
    assert kept.revoke_grants(("g0", "g1", "g2", "unknown"), NOW) == 3
    assert kept.security_epoch() == epoch + 1
    assert all(kept.grant(f"g{number}").revoked == NOW for number in range(3))
    assert kept.grant("g") == GRANT
    assert kept.revoke_grants((), NOW) == 0
    assert kept.security_epoch() == epoch + 1


def test_disabling_a_client_revokes_its_grants(kept: AuthorizationStore) -> None:
    assert kept.disable_client("app", NOW)
    assert kept.client("app") == replace(CLIENT, disabled=True)
    assert kept.token(TOKEN.token_hash) == replace(TOKEN, revoked=NOW)


CHANGES: dict[str, Callable[[AuthorizationStore], object]] = {
    "a client": lambda kept: kept.put_client(replace(CLIENT, scope="launch")),
    "a client disabled": lambda kept: kept.disable_client("app", NOW),
    "a user": lambda kept: kept.put_user(replace(USER, disabled=True)),
    "a grant": lambda kept: kept.revoke_grant("g", NOW),
    "a token": lambda kept: kept.revoke_token(TOKEN.token_hash, NOW),
    "something kept elsewhere": lambda kept: kept.bump_security_epoch(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_what_somebody_may_do_moves_the_epoch(kept: AuthorizationStore, change: str) -> None:
    epoch = kept.security_epoch()
    CHANGES[change](kept)
    assert kept.security_epoch() > epoch


def test_browser_sessions_are_touched_and_ended(kept: AuthorizationStore) -> None:
    assert kept.touch_browser_session(SESSION.session_hash, SOON)
    assert kept.browser_session(SESSION.session_hash) == replace(SESSION, last_used=SOON)
    assert kept.touch_browser_session(SESSION.session_hash, SOON, {"csrf": "d"})
    assert kept.browser_session(SESSION.session_hash) == replace(SESSION, last_used=SOON, data={"csrf": "d"})
    assert kept.end_browser_session(SESSION.session_hash)
    kept.add_browser_session(SESSION)
    assert kept.end_browser_sessions("rn") == 1
    assert kept.browser_session(SESSION.session_hash) is None


def test_a_transaction_is_all_or_nothing_and_joins_that_of_the_store(
    kept: AuthorizationStore, store: Any
) -> None:
    def fail(surrounding: Any) -> None:
        with surrounding:
            kept.put_user(UserRow("ma", "hash", "assistant"))
            assert kept.user("ma") is not None
            raise ZeroDivisionError

    for surrounding in (kept.transaction(), store.writing()):
        with pytest.raises(ZeroDivisionError):
            fail(surrounding)
        assert kept.user("ma") is None


def test_purging_forgets_only_what_expired_long_ago(kept: AuthorizationStore) -> None:
    assert kept.purge(SOON + timedelta(hours=23)) == 0
    assert kept.use_code(CODE.code_hash, NOW) is not None
    assert kept.purge(SOON + timedelta(hours=25)) == 5  # code, launch, access and refresh token, session
    assert kept.token(TOKEN.token_hash) is None
    assert kept.grant("g") == GRANT
