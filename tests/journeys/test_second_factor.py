"""A person sets up a second factor, signs in by it, ends a session elsewhere and loses the phone.

In a real browser against a real deployment that demands one of everybody. SCREENSHOTS=folder saves each page.
WCAG 2.2 AA is asked of every page on the way. Covers docs/how-to/second-factors.md.
"""

from __future__ import annotations

import hmac
import os
import struct
import time
from base64 import b32decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def strict(deploy: Callable[..., Any]) -> Any:
    """A deployment without charts where nobody signs in by a password alone."""
    return deploy(data=False, environment={"BATON_SECOND_FACTOR": "required"})


class Phone:
    """An authenticator app that keeps the time itself."""

    def __init__(self, shown: str) -> None:
        self._secret = b32decode(shown.replace(" ", ""))
        self._last = 0

    def code(self) -> str:
        """A code that was not given before: that of the next thirty seconds is taken already, a later one not
        yet."""
        while (now := int(time.time()) // 30) < self._last:
            time.sleep(0.5)
        self._last = step = max(now, self._last + 1)
        digest = hmac.digest(self._secret, struct.pack(">Q", step), "sha1")
        offset = digest[-1] & 15
        number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
        return f"{number % 1_000_000:06d}"


def looked_at(page: Page, name: str) -> None:
    """Nothing is wrong with the page, light and dark, wide and narrow."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1024, 420):
            page.set_viewport_size({"width": width, "height": 900})
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=str(Path(folder) / f"{name}-{width}-{scheme}.png"), full_page=True)
            page.evaluate(AXE.read_text("utf-8"))
            found = page.evaluate("rules => axe.run(rules)", {"runOnly": RULES})["violations"]
            assert [rule["id"] for rule in found] == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def password(page: Page, site: Any, username: str = "rn") -> None:
    page.goto(f"{site.base_url}/oauth2/login?next=/oauth2/account")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(site.password(username))
    page.get_by_label("Password").press("Enter")


def test_from_the_first_sign_in_to_a_lost_phone(strict: Any, chromium: Browser) -> None:
    page = chromium.new_context().new_page()
    page.set_default_timeout(20_000)
    password(page, strict)
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()
    looked_at(page, "set-up")
    phone = Phone(page.locator("code.secret").inner_text())
    page.get_by_label("Six digits").fill("000000")
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("alert")).to_contain_text("This code is not right")
    page.get_by_label("Six digits").fill(phone.code())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    looked_at(page, "recovery-codes")
    codes = page.get_by_role("list", name="Recovery codes").get_by_role("listitem").all_inner_texts()
    assert len(set(codes)) == 10
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
    looked_at(page, "account")

    # Elsewhere, with the code of the app.
    other = chromium.new_context().new_page()
    other.set_default_timeout(20_000)
    password(other, strict)
    expect(other.get_by_role("heading", name="One more step")).to_be_visible()
    expect(other.get_by_label("Code")).to_be_focused()
    looked_at(other, "code")
    other.keyboard.type(phone.code())
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", name="Your account")).to_be_visible()

    # Seen and ended from the first browser.
    page.reload()
    places = page.get_by_role("list", name="Where you are signed in").get_by_role("listitem")
    expect(places).to_have_count(2)
    looked_at(page, "two-places")
    page.get_by_role("button", name="Sign out there").click()
    expect(page.get_by_role("status")).to_have_text("Signed out there.")
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()

    # Without the phone.
    password(other, strict)
    other.get_by_label("Code").fill(codes[0].upper())
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_text("9 recovery codes are left.")).to_be_visible()
    strict.baton("user", "reset-second-factor", "rn")
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    password(other, strict)
    expect(other.get_by_role("heading", name="Set up a second factor")).to_be_visible()


def test_the_demonstration_signs_in_by_its_printed_passwords_alone(
    baton: Any, chromium: Browser, people: Any
) -> None:
    page = chromium.new_context().new_page()
    page.set_default_timeout(20_000)
    people.sign_in(page, baton, "ma")
