"""The console's page of signing keys: which signs, which verify; rotating is a command.

Covers server/console/key_views.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.auth.keys import rotate

pytestmark = pytest.mark.filterwarnings("ignore:Key size")


def test_the_key_that_signs_is_named_as_it_is_published(engineer: Any, demo_app: Any) -> None:
    jwks = demo_app.test_client().get("/oauth2/jwks", base_url="http://127.0.0.1:8000").get_json()
    text = engineer.get("keys").text
    (key,) = jwks["keys"]
    assert key["kid"] in text
    assert "signs now" in text
    assert "baton keys rotate" in text


def test_a_rotation_is_seen_at_once(engineer: Any, settings: Any, clock: Any) -> None:
    delay, overlap = timedelta(minutes=5), timedelta(hours=1)
    rotate(settings.home, settings.secret_key, now=clock(), delay=delay, overlap=overlap)
    text = engineer.get("keys").text
    assert "will sign; published already" in text
    assert "2024-05-17 12:05 UTC" in text
    clock.advance(minutes=6)
    text = engineer.get("keys").text
    assert "signs no more; still verifies" in text
    assert "2024-05-17 13:05 UTC" in text


def test_a_key_that_cannot_be_read_is_told_and_the_page_does_not_fail(engineer: Any, settings: Any) -> None:
    (settings.home / "keys" / "signing-0001.pem").write_bytes(b"damaged")
    page = engineer.get("keys")
    assert page.status_code == 200
    assert "The keys cannot be read." in page.text
