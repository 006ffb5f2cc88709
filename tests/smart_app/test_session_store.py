"""What the app keeps of launches, logins and charts: the same promises on SQLite and on PostgreSQL.

Covers docs/explanation/app-sessions.md ("Where they are kept").
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from flask import Flask

from smart_app.session_store import (
    LoginRow,
    NewerDatabase,
    SessionStore,
    SessionsUnavailable,
    open_session_store,
)
from smart_app.session_store_postgresql import IDLE_CONNECTIONS, PostgresqlSessions
from smart_app.settings import Settings

LOGIN = LoginRow(
    id="login-1",
    browser="b1",
    tab="",
    person="https://ehr.example|user-1",
    sealed=b"\x00sealed\xff",
    version=1,
    started_at=1000.25,
    used_at=1000.25,
)


@dataclass
class Home:
    """An installation and a way past the app into its database."""

    settings: Settings
    raw: Callable[[str], list[tuple[Any, ...]]]
    """Runs a statement past the app; its rows."""

    def open(self) -> SessionStore:
        return open_session_store(self.settings)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, settings: Settings, run_past_the_app: Any) -> Home:
    """On both databases, whatever the run is on: the store is small and its promises are the same."""
    url = request.getfixturevalue("app_database") if request.param == "postgresql" else ""
    chosen = replace(settings, database_url=url)
    return Home(chosen, lambda statement: run_past_the_app(chosen, statement))


@pytest.fixture
def store(home: Home) -> Iterator[SessionStore]:
    opened = home.open()
    yield opened
    opened.close()


def test_a_launch_is_taken_once_and_tells_when_it_was(store: SessionStore) -> None:
    store.add_launch("state", b"\x00\x01", 10.5)
    first, again, third = (store.take_launch("state", now) for now in (11.5, 12.5, 13.5))
    assert first is not None
    assert (first.sealed, first.started_at, first.used_at) == (b"\x00\x01", 10.5, None)
    assert [row and row.used_at for row in (again, third)] == [11.5, 11.5]
    assert store.take_launch("unknown", 11.5) is None


def test_of_many_that_take_a_launch_at_once_one_is_the_first(home: Home, store: SessionStore) -> None:
    store.add_launch("state", b"x", 1.0)
    others = [home.open() for _ in range(8)]
    rows: list[Any] = []
    start = threading.Barrier(len(others))

    def take(other: SessionStore) -> None:
        start.wait()
        rows.append(other.take_launch("state", 2.0))
        other.close()

    threads = [threading.Thread(target=take, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.used_at is None for row in rows) == [False] * 7 + [True]


@pytest.mark.parametrize("key", ["\0", "x\0y", "'", "%s", "%(state)s", ":state", "ä" * 5000])
def test_whatever_a_browser_sends_as_a_key_finds_nothing(store: SessionStore, key: str) -> None:
    assert store.take_launch(key, 1.0) is None
    assert store.find_chart(key) is None
    assert not store.add_chart(key, key, b"", 1.0)


def test_old_launches_are_forgotten(store: SessionStore) -> None:
    store.add_launch("old", b"x", 1.0)
    store.add_launch("new", b"x", 5.0)
    store.forget_launches(5.0)
    assert store.take_launch("old", 6.0) is None
    assert store.take_launch("new", 6.0) is not None


def test_a_login_and_its_charts_come_back_as_they_were_put(store: SessionStore) -> None:
    store.add_login(LOGIN)
    assert store.add_chart("launch-1", LOGIN.id, b"\xfe\x00", 1001.0)
    assert store.find_login(LOGIN.id) == LOGIN
    assert store.find_chart("launch-1") == (b"\xfe\x00", LOGIN)
    assert store.find_login("nobody") is None
    assert store.find_chart("launch-2") is None


def test_the_end_of_a_login_closes_its_charts(home: Home, store: SessionStore) -> None:
    store.add_login(LOGIN)
    store.add_chart("launch-1", LOGIN.id, b"x", 1001.0)
    store.remove_login(LOGIN.id)
    assert store.find_chart("launch-1") is None
    assert not store.add_chart("launch-2", LOGIN.id, b"x", 1002.0)
    assert home.raw("select count(*) from chart") == [(0,)]


def test_use_is_noted_and_never_set_back(store: SessionStore) -> None:
    store.add_login(LOGIN)
    for now, noted in ((1010.5, 1010.5), (1005.0, 1010.5)):
        store.touch(LOGIN.id, now)
        found = store.find_login(LOGIN.id)
        assert found is not None
        assert found.used_at == noted


def test_one_request_renews_a_version_and_the_claim_ends_by_itself(store: SessionStore) -> None:
    store.add_login(LOGIN)
    assert store.claim_renewal(LOGIN.id, 1, now=100.0, until=120.0)
    assert not store.claim_renewal(LOGIN.id, 1, now=119.0, until=139.0)
    assert store.claim_renewal(LOGIN.id, 1, now=121.0, until=141.0)
    store.finish_renewal(LOGIN.id, None)
    assert store.claim_renewal(LOGIN.id, 1, now=122.0, until=142.0)
    store.finish_renewal(LOGIN.id, b"new tokens")
    assert not store.claim_renewal(LOGIN.id, 1, now=143.0, until=163.0)
    assert store.find_login(LOGIN.id) == replace(LOGIN, version=2, sealed=b"new tokens")


def test_logins_of_others_are_those_of_the_same_browser_and_another_person(store: SessionStore) -> None:
    for login, browser, person in (("a", "b1", "p1"), ("b", "b1", "p2"), ("c", "b2", "p2"), ("d", "", "p2")):
        store.add_login(replace(LOGIN, id=login, browser=browser, person=person))
    assert [row.id for row in store.logins_of_others("b1", "p1")] == ["b"]
    assert store.logins_of_others("", "p1") == ()


def test_outdated_are_the_idle_and_the_old(store: SessionStore) -> None:
    for login, started, used in (("idle", 50.0, 60.0), ("old", 10.0, 95.0), ("live", 50.0, 95.0)):
        store.add_login(replace(LOGIN, id=login, started_at=started, used_at=used))
    assert {row.id for row in store.outdated(used_before=90.0, started_before=20.0)} == {"idle", "old"}


def test_everything_is_there_after_a_restart(home: Home, store: SessionStore) -> None:
    store.add_login(LOGIN)
    store.close()
    again = home.open()
    assert again.find_login(LOGIN.id) == LOGIN
    again.close()


def test_a_database_of_a_later_release_is_refused_and_left_alone(home: Home, store: SessionStore) -> None:
    later = {
        "": "pragma user_version = 99",
        "postgresql": "update schema_version set value = 99",
    }[home.settings.database_url.partition(":")[0]]
    home.raw(later)
    with pytest.raises(NewerDatabase, match="later release"):
        home.open()
    assert store.is_usable()


def test_many_that_start_at_once_make_the_tables_once(home: Home) -> None:
    faults: list[Exception] = []
    start = threading.Barrier(6)

    def begin(number: int) -> None:
        start.wait()
        try:
            opened = home.open()
            opened.add_login(replace(LOGIN, id=f"login-{number}"))
            opened.close()
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert home.raw("select count(*) from login") == [(6,)]


def _use(store: SessionStore, count: int) -> None:
    for _ in range(count):
        store.touch(LOGIN.id, 2000.0)
    found = store.find_login(LOGIN.id)
    os._exit(0 if found and found.used_at == 2000.0 else 1)


def test_a_store_that_was_open_before_a_fork_serves_both_sides(store: SessionStore) -> None:
    store.add_login(LOGIN)
    child = multiprocessing.get_context("fork").Process(target=_use, args=(store, 20))
    child.start()
    for _ in range(20):
        assert store.find_login(LOGIN.id) is not None
    child.join(30)
    assert child.exitcode == 0
    found = store.find_login(LOGIN.id)
    assert found is not None
    assert found.used_at == 2000.0


def test_a_database_without_its_tables_is_not_usable(home: Home, store: SessionStore) -> None:
    assert store.is_usable()
    home.raw("drop table chart")
    home.raw("drop table login")
    assert not store.is_usable()
    with pytest.raises(SessionsUnavailable) as raised:
        store.find_login("secret-login")
    assert "secret" not in str(raised.value)


def test_connections_are_kept_for_the_next_and_not_more_than_a_few(
    app_database: str, settings: Settings
) -> None:
    store = open_session_store(replace(settings, database_url=app_database))
    store.add_login(LOGIN)
    count = "select count(*) from pg_stat_activity where application_name = 'baton-app'"
    threads = [threading.Thread(target=store.find_login, args=(LOGIN.id,)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with psycopg.connect(app_database) as connection:
        ends = time.monotonic() + 10  # the server notices a little later that a connection has been closed
        while (
            kept := connection.execute(count).fetchall()[0][0]
        ) > IDLE_CONNECTIONS and time.monotonic() < ends:
            time.sleep(0.05)
    assert 1 <= kept <= IDLE_CONNECTIONS
    store.close()


def test_a_login_that_ends_while_a_chart_opens_leaves_no_chart(app_database: str, settings: Settings) -> None:
    store = open_session_store(replace(settings, database_url=app_database))
    store.add_login(LOGIN)
    opened: list[Any] = []

    def open_chart() -> None:
        try:
            opened.append(store.add_chart("launch-1", LOGIN.id, b"x", 1001.0))
        except SessionsUnavailable as fault:
            opened.append(fault)

    with psycopg.connect(app_database) as connection:
        connection.execute("delete from app.login where id = %s", (LOGIN.id,))
        thread = threading.Thread(target=open_chart)
        thread.start()
        thread.join(0.3)
        assert opened == []  # it waits for the outcome of the other
        connection.commit()
    thread.join()
    assert not opened[0] or isinstance(opened[0], SessionsUnavailable)
    assert store.find_chart("launch-1") is None
    store.close()


@pytest.fixture
def mortal(postgresql: Any) -> Iterator[Any]:
    """A PostgreSQL that the test may end."""
    try:
        made = postgresql.Cluster()
    except postgresql.PostgresqlMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    made.start()
    yield made
    made.remove()


@pytest.mark.network
def test_a_page_is_503_while_the_database_is_away_and_the_next_one_works(
    mortal: Any, ehr: Any, make_app: Callable[..., Flask], browser_of: Any
) -> None:
    browser = browser_of(make_app(database_url=mortal.create_database("app")))
    path = browser.launch().location
    assert browser.get(path + "overview").status_code == 200
    for end in (mortal.kill, mortal.stop):
        end()
        answer = browser.get(path + "overview")
        assert answer.status_code == 503
        assert "does not answer" in answer.text
        assert "Testfall" not in answer.text
        assert browser.client.get("/healthz", base_url="http://127.0.0.1:8001").status_code == 503
        mortal.start()
        assert browser.get(path + "overview").status_code == 200
    mortal.restart()  # between two requests: what is idle is found dead before it is used
    assert browser.get(path + "overview").status_code == 200


def test_an_address_that_is_none_is_told_without_its_password() -> None:
    with pytest.raises(SessionsUnavailable) as raised:
        PostgresqlSessions("postgresql://u:hidden@[broken/db")
    assert "hidden" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_role_that_may_make_no_schema_uses_one_made_for_it(app_database: str, settings: Settings) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("drop role if exists app_only")
        connection.execute("create role app_only login")
        connection.execute("create schema app authorization app_only")
    restricted = app_database.replace("baton@", "app_only@")
    store = open_session_store(replace(settings, database_url=restricted))
    store.add_login(LOGIN)
    assert store.find_login(LOGIN.id) == LOGIN
    store.close()
