"""Every answer of every route of the app carries the safe headers: pages of a launched app, and refusals.

Sources: OWASP secure headers project, W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask


def addresses(app: Flask, launch: str) -> list[tuple[str, str]]:
    """(method, path) of every rule, and of some that are none."""
    adapter = app.url_map.bind("app.example")
    found = [("GET", "/nowhere"), ("TRACE", "/launch"), ("GET", f"/c/{launch}/nowhere")]
    for rule in app.url_map.iter_rules():
        values = {name: launch if name == "launch" else "x" for name in rule.arguments}
        for name, converter in rule._converters.items():
            if type(converter).__name__ == "IntegerConverter":
                values[name] = "1"
        found += [
            (method, adapter.build(rule.endpoint, values, method=method))
            for method in sorted(rule.methods or ())
        ]
    return sorted(found, key=lambda row: row[1].endswith("/end"))


@pytest.mark.parametrize("launched", [False, True])
def test_every_route_answers_with_safe_headers(browser: Any, settings: Any, launched: bool) -> None:
    launch = "x"
    if launched:
        landed = browser.launch().location
        launch = re.search("/c/([^/]+)/", landed)[1]  # type: ignore[index]
    asked = addresses(browser.app, launch)
    assert len(asked) > 30
    for method, path in asked:
        for site in ("same-origin", "cross-site"):
            headers = {**browser.headers, "Sec-Fetch-Site": site}
            answer = browser.client.open(path, method=method, base_url=settings.app_url, headers=headers)
            assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text)
            for name in (
                "X-Content-Type-Options",
                "Referrer-Policy",
                "Permissions-Policy",
                "Cross-Origin-Resource-Policy",
                "Content-Security-Policy",
            ):
                assert len(answer.headers.getlist(name)) == 1, (method, path, name)
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy, path
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors " in policy, path
            if not path.startswith("/static/"):
                assert "no-store" in answer.headers["Cache-Control"], path
