"""Which database the tests of the server run on: `pytest --database postgresql`, or BATON_TEST_DATABASE.

`database_url` is an empty database of the test's own. On PostgreSQL every process of the run has a cluster
with a few databases that are used again: emptying the tables takes milliseconds, making a database a tenth of
a second.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from werkzeug.routing import Rule

# How long an example takes says how busy the machine is, not whether the rule holds. `make verify` tries more.
EXAMPLES = int(os.environ.get("BATON_EXAMPLES") or 50)
settings.register_profile(
    "baton", max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("baton")

DATABASES = ("sqlite", "postgresql")
_ASKS = frozenset(("database_url", "database_kind", "cluster"))  # fixtures of a test that works with a database


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=DATABASES,
        default=os.environ.get("BATON_TEST_DATABASE") or "sqlite",
        help="the database of the server's store (default: sqlite)",
    )


def pytest_configure(config: pytest.Config) -> None:
    gc.set_threshold(20_000, 20, 20)  # thousands of tests are collected: a tenth of the time went into garbage
    config.addinivalue_line("markers", "long: left to `make verify`; `make test` skips it")
    config.addinivalue_line("markers", "early: of a file that takes long however few tests it has: begun first")
    for name in DATABASES:
        config.addinivalue_line("markers", f"{name}(why): runs on this database only, and why")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL only what works with a database is run again; the rest cannot tell.

    Real processes are told by the option which database to use, without a fixture of it.

    Where whole files are run side by side (`--dist loadfile --no-loadscope-reorder`), those marked `early` come
    first, then those of the most tests, so that nobody has begun something long when the others are done.
    """
    if config.getoption("--database") != "sqlite":
        kept, left = [], []
        for item in items:
            asks = not _ASKS.isdisjoint(getattr(item, "fixturenames", ()))
            processes = item.get_closest_marker("network") or item.get_closest_marker("browser")
            (kept if asks or processes else left).append(item)
        config.hook.pytest_deselected(items=left)
        items[:] = kept
    if "PYTEST_XDIST_WORKER" in os.environ:
        early = {item.path for item in items if item.get_closest_marker("early")}
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in early, -tests[item.path], item.path))


def pytest_collection_finish() -> None:
    """What the collected tests are made of lives until the end: nobody looks through it for garbage."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    chosen = item.config.getoption("--database")
    for name in DATABASES:
        marker = item.get_closest_marker(name)
        if marker is not None and chosen != name:
            pytest.skip(f"on {name} only: {marker.args[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test without a browser may run a loop of its own, whichever test came before it.

    Once Playwright has started, its loop counts as the running one of the thread until the browser is closed
    at the end, also between its calls; asyncio.run() would be refused.
    """
    if "playwright" in pyfuncitem.fixturenames:
        return (yield)
    of_playwright = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return (yield)
    finally:
        asyncio._set_running_loop(of_playwright)


@pytest.fixture(scope="session", autouse=True)
def nothing_set_by_the_shell() -> Iterator[None]:
    """The tests' own variables, which were read with their modules, and a developer's settings are none of what
    is tested: Baton refuses to start with a setting that it does not have.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("BATON_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def routes_compiled_once() -> Iterator[None]:
    """Keep the two functions that Werkzeug writes and compiles for each route of each app.

    They take six times as long as all else that makes an app, and every test has an app with the same routes.
    """
    compile_builder = Rule._compile_builder
    kept: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}

    def once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        route = (append_unknown, *rule._trace)
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        if route not in kept:
            kept[route] = compile_builder(rule, append_unknown)
        return kept[route]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", once)
        yield


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """sqlite or postgresql."""
    return str(request.config.getoption("--database"))


@pytest.fixture(scope="session")
def postgresql() -> ModuleType:
    """tests/postgresql.py"""
    path = Path(__file__).parent / "postgresql.py"
    spec = importlib.util.spec_from_file_location("postgresql", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["postgresql"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hl7v2_wire() -> ModuleType:
    """tests/hl7v2_sender.py"""
    path = Path(__file__).parent / "hl7v2_sender.py"
    spec = importlib.util.spec_from_file_location("hl7v2_sender", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hl7v2_sender"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cluster(postgresql: ModuleType) -> Iterator[Any]:
    """A running PostgreSQL of this process (`postgresql.Cluster`); not for tests that end it.

    It does not wait for the disk (`change(fsync="on")` for a test that asks), since no test cuts the power.
    """
    try:
        made = postgresql.Cluster(max_connections="200", autovacuum="off")
    except postgresql.PostgresqlMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        warnings.warn(f"nothing is tested on PostgreSQL: {missing}", stacklevel=1)
        pytest.skip(str(missing))
    try:
        made.start()
        made.change(fsync="off")
        yield made
    finally:
        made.remove()


class Databases:
    """Databases of one cluster with the server's schema, lent to one test at a time and emptied in between."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._free: list[_Emptied] = []
        self._made = 0

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of one that holds what a new one holds."""
        database = self._free.pop() if self._free else self._make()
        if not database.empty():
            database = self._make()
        yield database.url
        self._free.append(database)

    def _make(self) -> _Emptied:
        self._made += 1
        return _Emptied(self._cluster.create_database(f"test_{self._made}"))


class _Emptied:
    """A database that can be put back into the state after `upgrade`."""

    def __init__(self, url: str) -> None:
        from server.storage import open_store

        self.url = url
        store = open_store(url)
        store.upgrade()
        store.close()
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET synchronous_commit = off")  # nobody asks whether the emptying is durable
        self._connection.execute("SET lock_timeout = '2s'")
        self._connection.execute("CREATE SCHEMA before_tests")
        self._statements = "; ".join(self._remember())
        self._relations = self._described()

    def _described(self) -> object:
        """Tables, indexes and columns: the same again where a test has added none and taken none away."""
        return self._connection.execute(
            "SELECT count(*), sum(hashtext(relname)::bigint), sum(relnatts) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()

    def _remember(self) -> Iterator[str]:
        """Copy what the new tables hold; the statements that restore it."""
        tables = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.fetchall():
            self._connection.execute(f"CREATE TABLE before_tests.{table} AS SELECT * FROM public.{table}")
            yield f"DELETE FROM public.{table}"
            kept = self._connection.execute(f"SELECT count(*) FROM public.{table}").fetchone()
            if kept != (0,):
                yield f"INSERT INTO public.{table} SELECT * FROM before_tests.{table}"
        sequences = self._connection.execute(
            "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"
        )
        for (sequence,) in sequences.fetchall():
            yield f"SELECT setval('public.{sequence}', 1, false)"

    def empty(self) -> bool:
        """False where a test has left something that cannot be undone."""
        try:
            self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            self._connection.execute(self._statements)
            if self._described() == self._relations:
                return True
        except psycopg.Error:
            pass
        self._connection.close()
        return False


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, database_kind: str) -> Databases | None:
    """The lender of PostgreSQL databases, None on SQLite."""
    return Databases(request.getfixturevalue("cluster")) if database_kind == "postgresql" else None


@pytest.fixture(scope="session")
def sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the server's schema, to be copied: making it takes as long as a small test."""
    from server.storage import open_store

    path = tmp_path_factory.mktemp("schema") / "baton.sqlite3"
    store = open_store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path


@pytest.fixture
def fresh_database(
    databases: Databases | None, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], AbstractContextManager[str]]:
    """`with fresh_database() as url`: for tests that need several databases: empty, of the server's schema."""
    made = 0

    @contextmanager
    def sqlite() -> Iterator[str]:
        nonlocal made
        made += 1
        path = tmp_path / ("baton.sqlite3" if made == 1 else f"baton-{made}.sqlite3")
        shutil.copy(request.getfixturevalue("sqlite_schema"), path)
        yield f"sqlite:///{path}"

    return databases.lent if databases else sqlite


@pytest.fixture
def database_url(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """An empty database of this test's own, with the server's schema."""
    with fresh_database() as url:
        yield url
