"""What the server in front of the app has turned away, as pages of the app: smart_app/gate.py."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from smart_app.gate import REFUSAL


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid-request", 400),
        ("request-timeout", 408),
        ("too-large", 413),
        ("throttled", 429),
        ("headers-too-large", 431),
        ("something-new", 400),
    ],
)
@pytest.mark.parametrize("path", ["/launch", "/c/x/overview", "/nowhere", "/healthz", "/static/css/base.css"])
def test_a_refusal_is_a_page_whatever_was_asked(
    browser: Any, settings: Any, kind: str, status: int, path: str
) -> None:
    answer = browser.client.get(
        path, base_url=settings.app_url, environ_overrides={REFUSAL: (kind, "words for the log")}
    )
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert "words for the log" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert len(answer.headers["X-Request-Id"]) == 16


def test_a_refusal_comes_before_the_host_and_the_session(
    browser: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smart_app")
    answer = browser.client.post(
        "/c/x/end",
        base_url="https://elsewhere.example",
        environ_overrides={REFUSAL: ("request-timeout", "too slow")},
    )
    assert answer.status_code == 408
    assert any(record.getMessage().endswith("too-slow: too slow") for record in caplog.records)
    assert any(getattr(record, "fields", {}).get("status") == 408 for record in caplog.records)


def test_another_host_is_sent_to_ours_with_whatever_was_asked(browser: Any, settings: Any) -> None:
    answer = browser.client.get("/nowhere/%0A%C3%A9?a=%0D%C3%A9", base_url="https://elsewhere.example")
    assert answer.status_code == 308
    assert answer.location == settings.app_url + "/nowhere/%0A%C3%A9?a=%0D%C3%A9"


@pytest.mark.parametrize("host", ["[::1", "a" * 3_000, "", "APP.example:443"])
def test_no_host_header_is_too_strange_to_be_answered(browser: Any, settings: Any, host: str) -> None:
    answer = browser.client.post("/c/x/open", base_url=settings.app_url, environ_overrides={"HTTP_HOST": host})
    assert answer.status_code == (403 if "443" in host else 421)
