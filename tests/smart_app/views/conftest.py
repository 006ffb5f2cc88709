"""The pages of the real app, over a FHIR server at the HTTP level, with a clock that stands."""

from __future__ import annotations

import importlib.util
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import responses
from flask import Flask, redirect, render_template
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from smart_app import gate
from smart_app import session as sessions
from smart_app.app import create_app, new_secret
from smart_app.capability import KnownCapabilities
from smart_app.entrance import Shell
from smart_app.issuers import read_issuers
from smart_app.keys import load_keys, prepare_keys
from smart_app.outbound_http import OutboundHttp
from smart_app.problems import ProblemError
from smart_app.runtime import Runtime
from smart_app.sealing import Seal
from smart_app.session_store import open_session_store
from smart_app.settings import Settings
from smart_app.smart_configuration import Discovery
from smart_app.store_exchange import StoreExchange
from smart_app.token_endpoint import TokenEndpoint
from smart_app.transitions.calendar import federal_calendar
from smart_app.transitions.discharges import look_back, read_discharge
from smart_app.transitions.outreach import opening
from smart_app.transitions.tcm import deadlines, rule_on
from terminology.rxnorm import RxNorm, open_rxnorm

NOW = datetime(2026, 11, 27, 19, 2, tzinfo=UTC)
"""Fri 27 Nov 2026, 14:02 in New York: two days after the sample discharge."""
TAB = "t" * 43
BROWSER = "b" * 43
"""The two secrets that open a login: of a tab, and of a browser by its cookie."""


def _module(name: str) -> ModuleType:
    """A module of this folder: tests are no packages."""
    full = f"tests_smart_app_views_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


sample_chart = _module("sample_chart")
fhir_stub = _module("fhir_stub")
NURSE: dict[str, Any] = {
    "resourceType": "Practitioner",
    "id": "nurse",
    "name": [{"text": "Lee Park"}],
    "qualification": [
        {"code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "RN"}]}}
    ],
}
ASSISTANT: dict[str, Any] = {
    "resourceType": "Practitioner",
    "id": "assistant",
    "name": [{"text": "Kim Day"}],
    "qualification": [
        {"code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "MA"}]}}
    ],
}


@pytest.fixture(scope="session")
def drugs(pytestconfig: pytest.Config) -> RxNorm:
    return open_rxnorm(pytestconfig.cache.mkdir("terminology"))


@dataclass
class Pages:
    """The app with one open chart. `path` is where its pages begin."""

    app: Flask
    fhir: Any
    settings: Settings
    begin: Callable[..., str]
    launch: str = ""
    now: list[datetime] = field(default_factory=lambda: [NOW])

    @property
    def path(self) -> str:
        return f"/c/{self.launch}"

    def client(self) -> FlaskClient:
        """A browser that shows the app in a frame without cookies: it sends the tab's secret."""
        client = self.app.test_client()
        client.environ_base["HTTP_X_BATON_TAB"] = TAB
        client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
        return client

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client().get(self.path + path, base_url=self.settings.app_url, headers=headers)

    def post(self, path: str, form: dict[str, Any], **headers: str) -> TestResponse:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/overview").text)
        return self.client().post(
            self.path + path,
            base_url=self.settings.app_url,
            headers=headers,
            data={"csrf_token": token[1] if token else "", **form},
        )

    def open(self, *, user: str = "nurse", role: str = "rn", name: str = "Lee Park", **chart: Any) -> str:
        """Open a chart for a user, and make it the one of `path`."""
        self.launch = self.begin(sessions.User(f"Practitioner/{user}", name, role), **chart)
        return self.launch


@pytest.fixture(scope="session")
def app_pages(tmp_path_factory: pytest.TempPathFactory, drugs: RxNorm) -> Pages:
    """One app for all tests of the session: making its keys and templates takes a second."""
    return make_pages(tmp_path_factory.mktemp("app"), drugs, _free_port())


@pytest.fixture
def pages(app_pages: Pages) -> Iterator[Pages]:
    """The pages over the sample chart as it was, opened by a nurse."""
    app_pages.fhir.reset()
    app_pages.open()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        app_pages.fhir.install(mock)
        yield app_pages


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_pages(home: Path, drugs: RxNorm, port: int) -> Pages:
    settings = Settings(
        home=home,
        host="127.0.0.1",
        port=port,
        app_url=f"http://127.0.0.1:{port}",
        base_url="http://fhir.test",
        secret_key=b"k" * 32,
        time_zone="America/New_York",
        log_level="INFO",
        tls_cert="",
        tls_key="",
        demo=True,
    )
    fhir = fhir_stub.FhirStub(settings.store_base)
    fhir.put(*sample_chart.chart(), *sample_chart.neighbours(), NURSE, ASSISTANT)
    fhir.put(*_transitions(fhir.current("Encounter"), settings))
    fhir.keep()
    now = [NOW]
    pool = ThreadPoolExecutor(8)

    def clock() -> datetime:
        return now[0]

    http = OutboundHttp(sleep=lambda _: None)
    keys = prepare_keys(home)
    app = create_app(settings, clock=clock, http=http, keys=keys, terminology=drugs, pool=pool)
    logins = _sessions(settings, clock, drugs, pool)

    def begin(user: sessions.User, **chart: Any) -> str:
        grant = sessions.Grant(
            iss=settings.store_base,
            subject=user.reference,
            user=user,
            access_token="token",
            expires_at=now[0].timestamp() + 86400,
            refresh_token="",
            scope="user/*.cruds",
        )
        opened = {"patient": sample_chart.PATIENT, "encounter": None, "show_banner": True} | chart
        return str(logins.begin(grant, sessions.Chart(**opened), browser=BROWSER, tab=TAB))

    pages = Pages(app, fhir, settings, begin, now=now)
    pages.open()
    _doors(pages)
    return pages


def _transitions(encounters: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """What the app's worker opens for each recent discharge, with ids as a store would give them."""
    opened = []
    for encounter in encounters:
        discharge = read_discharge(encounter, settings.zone)
        if discharge is None or NOW - discharge.discharged_at > look_back():
            continue
        day = discharge.discharged_at.astimezone(settings.zone).date()
        limits = deadlines(discharge.discharged_at, settings.zone, federal_calendar())
        bundle = opening(discharge, limits, rule_on(day), now=discharge.discharged_at)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            opened.append({**resource, "id": f"{resource['resourceType'].lower()}-{encounter['id']}"})
    return opened


def _sessions(settings: Settings, clock: Any, drugs: RxNorm, pool: ThreadPoolExecutor) -> sessions.Sessions:
    """The app's sessions over the same database, to begin one without an authorization server."""
    http = OutboundHttp()
    runtime = Runtime(settings, clock, drugs, pool, KnownCapabilities(clock), federal_calendar())
    issuers, discovery = read_issuers(settings), Discovery(http, clock)
    tokens = TokenEndpoint(http, load_keys(settings.home), clock, new_secret)
    return sessions.Sessions(
        runtime,
        open_session_store(settings),
        issuers,
        discovery,
        tokens,
        StoreExchange(issuers, discovery, tokens),
        http,
        seal=Seal(settings.secret_key, "sessions"),
        new_secret=new_secret,
    )


def _doors(pages: Pages) -> None:
    """Two ways in that stand for a finished launch: with a cookie, and where cookies are refused."""

    @pages.app.get("/start")
    def with_cookie() -> Response:
        response = redirect(f"{pages.path}/", 302)
        gate.set_secret_cookie(response, gate.SESSION_COOKIE, BROWSER)
        return response

    @pages.app.get("/start-without-cookie")
    def without_cookie() -> str:
        shell = Shell(f"{pages.path}/", pages.launch, TAB)
        return render_template("shell.html", shell=shell, context=None)

    @pages.app.get("/problem/<kind>")
    def problem(kind: str) -> None:
        raise ProblemError(
            kind, issuer="Demo EHR", scopes="allergies", error="access_denied", answer="no", what="x"
        )


@dataclass
class Served:
    """The pages behind a real socket, for a browser."""

    pages: Pages
    url: str


@pytest.fixture
def served(app_pages: Pages) -> Iterator[Served]:
    app_pages.fhir.reset()
    app_pages.open()
    logging.getLogger("werkzeug").setLevel("ERROR")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        app_pages.fhir.install(mock)
        port = app_pages.settings.port
        server = make_server("127.0.0.1", port, app_pages.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Served(app_pages, f"http://127.0.0.1:{port}")
        server.shutdown()
        server.server_close()
        thread.join()
