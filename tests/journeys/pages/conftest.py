"""The app's pages in a real Chromium, over the sample chart of tests/smart_app/views."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parents[2]
AXE = TESTS / "vendor" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def _views() -> ModuleType:
    name = "tests_smart_app_views_conftest"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / "smart_app" / "views" / "conftest.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


drugs = _views().drugs
app_pages = _views().app_pages
served = _views().served


class Tab:
    """One browser tab on the app. Anything on its console that is not announced fails the test."""

    def __init__(self, page: Any, served: Any) -> None:
        self.page = page
        self.served = served
        self.console: list[str] = []
        self.expected: list[str] = []
        page.on(
            "console", lambda message: self.console.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def start(self, path: str = "/start") -> Tab:
        self.page.goto(self.served.url + path)
        self.page.wait_for_selector("nav.views")
        return self

    def go(self, path: str) -> Any:
        self.page.goto(self.served.url + self.served.pages.path + path)
        return self.page

    def line(self, name: str) -> Any:
        """The card of a line, by its heading."""
        return self.page.locator("article[data-card]", has=self.page.locator(f"[data-name]:has-text('{name}')"))

    def saved(self, count: str) -> None:
        """Wait until that many lines are decided and saved."""
        self.page.wait_for_function(
            "words => document.getElementById('count').textContent.startsWith(words)", arg=count
        )

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.closest('[id]').id"))

    def shown(self, width: int, scheme: str) -> None:
        """The same page in another window: nothing is loaded again."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 900})

    def violations(self, *, colors_alone: bool = False) -> list[str]:
        """What axe finds, one line a rule, with the elements; of all rules, or of those about colours."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(
            """([tags, colors]) => {
              const rules = axe.getRules(tags).filter(rule => !colors || rule.tags.includes("cat.color"));
              const runOnly = {type: "rule", values: rules.map(rule => rule.ruleId)};
              return axe.run({runOnly}).then(found => found.violations);
            }""",
            [TAGS, colors_alone],
        )
        return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found]


@pytest.fixture
def tab(chromium: Any, served: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a tab: `tab(width=1440, height=900, scheme="light")`."""
    opened: list[Tab] = []

    def open_tab(width: int = 1440, height: int = 900, scheme: str = "light", **options: Any) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=False, **options
        )
        context.set_default_timeout(20000)
        opened.append(Tab(context.new_page(), served))
        return opened[-1]

    yield open_tab
    for each in opened:
        surprises = [text for text in each.console if not any(known in text for known in each.expected)]
        each.page.context.close()
        assert surprises == []
