"""Browser tests and tests with a loop of their own share a process, in any order (tests/conftest.py)."""

from __future__ import annotations

import asyncio

import pytest
from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.browser


async def _nothing() -> str:
    return "done"


def test_playwright_keeps_its_loop_running_in_the_thread_of_the_tests(window: BrowserContext) -> None:
    window.new_page()
    work = _nothing()
    with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
        asyncio.run(work)
    work.close()


def test_a_test_without_a_browser_runs_a_loop_of_its_own() -> None:
    assert asyncio.run(_nothing()) == "done"


def test_a_browser_works_on_after_it(window: BrowserContext) -> None:
    page = window.new_page()
    page.set_content("<h1>Baton</h1>")
    assert page.locator("h1").inner_text() == "Baton"
