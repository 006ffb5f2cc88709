"""Real Chromium and real deployments for the journeys.

Without Chromium the journeys are skipped, loudly; with CI=true its absence is a failure.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

HERE = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@dataclass(frozen=True)
class FirstStart:
    """What the first start of a demonstration left when it was stopped, and what it had said.

    home: its BATON_HOME. database: the name of its PostgreSQL database; "" for SQLite inside the home.
    """

    home: Path
    database: str
    said: list[str]


@pytest.fixture(scope="session")
def first_start(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> FirstStart:
    """A demonstration that has loaded the synthetic charts, from which the others are copied.

    On SQLite it is made once for all processes of the run, by the one that needs it first; on PostgreSQL every
    process has a cluster of its own.
    """
    load_charts = _module("deployment").load_charts
    if database_kind == "postgresql":
        home, name = tmp_path_factory.mktemp("first-start"), "first_start"
        url = request.getfixturevalue("cluster").create_database(name)
        return FirstStart(home, name, load_charts(home, environment={"BATON_DATABASE_URL": url}))
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home, said = shared / "first-start", shared / "first-start.json"
    with (shared / "first-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(home, ignore_errors=True)  # of a process that failed at it
            said.write_text(json.dumps(load_charts(home)), "utf-8")
    return FirstStart(home, "", json.loads(said.read_text("utf-8")))


@pytest.fixture(scope="session")
def deploy(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Any]]:
    """`deploy(host="localhost")`: a running Baton on the database of the run; all are stopped at the end.

    data=False: without the synthetic charts, in a new home.
    """
    started: list[Any] = []

    def make(*, data: bool = True, **options: Any) -> Any:
        home, template = tmp_path_factory.mktemp("baton"), ""
        if data:
            first: FirstStart = request.getfixturevalue("first_start")
            shutil.copytree(first.home, home, dirs_exist_ok=True)
            template = first.database
        if database_kind == "postgresql":
            url = request.getfixturevalue("cluster").create_database(f"journey_{len(started)}", template)
            options["environment"] = {"BATON_DATABASE_URL": url, **options.get("environment", {})}
        deployment = _module("deployment").Deployment(home=home, data=data, **options)
        started.append(deployment)  # also one that does not get ready must be stopped
        return deployment.start()

    yield make
    for deployment in started:
        deployment.end()


@pytest.fixture(scope="session")
def baton(deploy: Callable[..., Any]) -> Any:
    """One deployment with the synthetic charts, EHR and app on the same site.

    It has one server process: a page, a launch or a signing that waited for another request of the same
    deployment would wait for ever.
    """
    return deploy(environment={"BATON_WORKERS": "1"})


@pytest.fixture(scope="session")
def across_sites(deploy: Callable[..., Any]) -> Any:
    """EHR at localhost, app at 127.0.0.1: another site in the browser's eyes."""
    return deploy(host="localhost", app_host="127.0.0.1")


@pytest.fixture(scope="session")
def people() -> ModuleType:
    """What a person does in the browser: tests/journeys/people.py"""
    return _module("people")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; .ci/install-system.sh installs it")
        pytest.skip("SKIPPED: no Chromium (Debian: sudo apt-get install chromium)")
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def window(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile, 1440 pixels wide."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def window_without_app_cookies(playwright: Playwright, tmp_path: Path) -> Iterator[BrowserContext]:
    """A profile whose settings refuse every cookie of 127.0.0.1, where the app lives."""
    profile = tmp_path / "profile" / "Default"
    profile.mkdir(parents=True)
    profile.joinpath("Preferences").write_text(
        '{"profile":{"content_settings":{"exceptions":{"cookies":{"127.0.0.1,*":{"setting":2}}}}}}'
    )
    context = playwright.chromium.launch_persistent_context(
        str(tmp_path / "profile"),
        executable_path=CHROMIUM,
        args=ARGUMENTS,
        viewport={"width": 1440, "height": 1000},
    )
    context.set_default_timeout(20_000)
    yield context
    context.close()
