"""Hostile requests over every route of the app, with and without a session, below its WSGI application.

No 5xx, no answer slower than two seconds, every error a page of the app with its headers, nothing of the input
repeated in an error or a log line; after every fifty requests an ordinary page is answered as ever.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hostile_sockets import SLOWEST, slowest

from smart_app.gate import CSRF_HEADER, REFUSAL

# The app with an EHR to be launched from, as its own tests have it: tests are no packages.
_spec = importlib.util.spec_from_file_location(
    "hostile_app_conftest", Path(__file__).parents[1] / "smart_app" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_app = importlib.util.module_from_spec(_spec)
sys.modules["hostile_app_conftest"] = _app
_spec.loader.exec_module(_app)
app_database, app_database_once, browser, browser_of = (
    _app.app_database,
    _app.app_database_once,
    _app.browser,
    _app.browser_of,
)
clock, drugs, ehr, ehr_key, http = _app.clock, _app.drugs, _app.ehr, _app.ehr_key, _app.http
issuers, keys, make_app, mock, settings = _app.issuers, _app.keys, _app.make_app, _app.mock, _app.settings

MARK = "Zq7xMarkedInput"
REFUSALS = ("request-timeout", "too-large", "throttled", "headers-too-large", "invalid-request")


class Front:
    """A signed-in browser's requests, and anybody's, to the app below its WSGI application."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser, self.origin, self.host = browser, url, urlsplit(url).netloc
        self.launch = ""
        self.launch_again()

    def launch_again(self) -> None:
        """A session, and the mark of its forms."""
        self.launch = re.search("/c/([^/]+)/", self.browser.launch().location)[1]  # type: ignore[index]
        page = self.browser.get(f"/c/{self.launch}/overview")
        assert page.status_code == 200, page.text
        self.csrf = re.search('name="csrf_token" value="([^"]+)"', page.text)[1]  # type: ignore[index]

    def works(self) -> bool:
        """Whether an ordinary page is answered as ever."""
        began = time.perf_counter()
        page = self.browser.get(f"/c/{self.launch}/overview")
        assert time.perf_counter() - began < slowest()
        return page.status_code == 200 and "Testfall" in page.text

    def ask(self, request: Any, refusal: str = "") -> tuple[int, dict[str, str], bytes, float]:
        """Status, headers (lower case), body, seconds."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8001",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": self.host,
            "HTTP_SEC_FETCH_SITE": "same-origin",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
        }
        if request.body:
            environ["CONTENT_LENGTH"] = str(len(request.body))
        if refusal:
            environ[REFUSAL] = (refusal, "words for the log")
        if request.who != "nobody":
            cookies = self.browser.client._cookies.values()
            environ["HTTP_COOKIE"] = "; ".join(f"{cookie.key}={cookie.value}" for cookie in cookies)
            environ["HTTP_" + CSRF_HEADER.upper().replace("-", "_")] = self.csrf
        for name, value in request.headers:
            key = name.upper().replace("-", "_")
            own = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[own] = value.encode("utf-8", "replace").decode("latin-1")
        seen: list[Any] = []
        began, worked = time.perf_counter(), time.process_time()
        parts = self.browser.app.wsgi_app(environ, lambda line, headers, exc=None: seen.extend((line, headers)))
        body = b"".join(parts)
        getattr(parts, "close", lambda: None)()
        # However busy the machine is, and at the first time of asking.
        assert time.process_time() - worked < SLOWEST, "too much work"
        seconds = time.perf_counter() - began
        return int(seen[0][:3]), {name.lower(): value for name, value in seen[1]}, body, seconds


def routes(app: Any, launch: str) -> list[tuple[list[str], str]]:
    """Every route, with samples for what varies: the launch of the session, and one that is none."""
    adapter = app.url_map.bind("app.example")
    found = []
    for rule in app.url_map.iter_rules():
        for of in (launch, "x") if "launch" in rule.arguments else (launch,):
            values = {name: of if name == "launch" else "css/base.css" for name in rule.arguments}
            values |= {name: "1" for name in rule.arguments if name not in ("launch", "filename")}
            methods = sorted(rule.methods)
            found.append((methods, adapter.build(rule.endpoint, values, method=methods[0])))
    return found


def is_safe(path: str, status: int, headers: dict[str, str], body: bytes) -> bool:
    """Whether an answer has the headers of all, and an error the form of a page."""
    safe = "default-src 'none'" in headers.get("content-security-policy", "") and "x-request-id" in headers
    html = headers.get("content-type", "").startswith("text/html")
    page = html and (body == b"" or b"</html>" in body)
    failed_condition = status == 412 and path.startswith("/static/")  # a file, for a condition on it
    return safe and (status < 400 or path == "/healthz" or page or failed_condition)


def test_no_input_breaks_the_app(
    browser: Any,
    settings: Any,
    grammar: Any,
    hostile_requests: int,
    capsys: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    front = Front(browser, settings.app_url)
    first = front.launch
    asked = grammar(routes(browser.app, first))
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    longest = (0.0, "")
    for number in range(hostile_requests):
        request = next(asked)
        request = type(request)(
            request.kind,
            request.method,
            request.path.replace(first, front.launch),
            request.query,
            request.headers,
            request.body,
            request.who,
        )
        refusal = REFUSALS[number % len(REFUSALS)] if number % 23 == 0 else ""
        try:
            status, headers, body, seconds = front.ask(request, refusal)
            if seconds > slowest():
                seconds = min(seconds, front.ask(request, refusal)[3])
        except Exception as error:
            failures.append(f"{error!r} for {request!r:.600}")
            continue
        statuses[status] += 1
        longest = max(longest, (round(seconds, 2), f"{request.method} {request.path[:80]}"))
        what = f"{status} in {seconds:.2f} s for {request!r:.600} -> {body[:300]!r}"
        if status >= 500:
            failures.append(f"5xx: {what}")
        if seconds > slowest():
            failures.append(f"slow: {what}")
        if not is_safe(request.path, status, headers, body):
            failures.append(f"form: {what}")
        if refusal and not 400 <= status < 500:
            failures.append(f"not refused: {what}")
        if status >= 400 and (MARK.encode() in body or any(MARK in value for value in headers.values())):
            failures.append(f"repeats its input: {what}")
        if status == 200 and request.path.endswith("/end"):  # somebody logged out
            front.launch_again()
        if number % 50 == 49:
            assert front.works(), f"after {request!r:.300}"
        if len(failures) > 20:
            break
    with capsys.disabled():
        print(f" {dict(sorted(statuses.items()))} slowest {longest}", end="")
    assert not failures, "\n".join(failures)
    assert MARK not in caplog.text
    assert MARK not in str([getattr(record, "fields", None) for record in caplog.records])
