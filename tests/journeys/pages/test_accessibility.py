"""Every page: axe finds nothing, nothing scrolls sideways, in light and dark, wide and in a side frame.

A page is opened once and looked at in every window. In the dark only the rules about colours are asked again:
nothing else changes there (tests/journeys/test_color_schemes.py).
WCAG 2.2 AA (w3.org/TR/WCAG22): 1.3.2, 1.4.3, 1.4.10, 1.4.11, 2.4.7, 2.4.11, 2.5.8, 4.1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {
    "overview": "/overview",
    "board": "/reconciliation",
    "worklist": "/worklist",
    "contact": "/worklist/task-stay-1/contact",
}
SIGNED = {
    "board after signing": "/reconciliation",
    "signed": "/reconciliation/signed",
    "list": "/reconciliation/list",
}
WIDTHS = (1440, 1024, 420)
AXE_WIDTHS = (1440, 420)
"""1024 px shows the same elements as 1440, in narrower columns."""


def check(tab: Any, name: str, width: int, *, colors_alone: bool = False) -> list[str]:
    violations = tab.violations(colors_alone=colors_alone) if width in AXE_WIDTHS else ()
    found = [f"{name} at {width}: {text}" for text in violations]
    across = tab.page.evaluate("document.documentElement.scrollWidth")
    if across > width:
        found.append(f"{name} at {width}: {across} px wide")
    return found


def check_everywhere(tab: Any, name: str) -> list[str]:
    """The same at every width, in light and dark."""
    found = []
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            tab.shown(width, scheme)
            found += check(tab, f"{name}, {scheme},", width, colors_alone=scheme == "dark")
    return found


def decide_everything(tab: Any) -> None:
    """All lines by the mouse, with a reason where one is asked for."""
    tab.go("/reconciliation")
    for element in tab.page.eval_on_selector_all(
        "article.open, article.danger", "all => all.map(each => each.id)"
    ):
        line = tab.page.locator(f"#{element}")
        line.locator("fieldset button").first.click()
        reason = line.locator("[data-field=reason]:not([hidden]) input")
        if reason.count():
            reason.fill("Confirmed with the patient")
            reason.press("Enter")
        tab.page.wait_for_selector(f"#{element}.done")
    tab.saved("10 of")


def test_no_page_has_a_violation(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    found: list[str] = []
    for name, path in PAGES.items():
        browser.go(path)
        found += check_everywhere(browser, name)
    browser.go("/reconciliation")
    browser.line("Metoprolol").locator("details.more summary").click()
    browser.line("buprofen").locator("button[value=stop]").click()
    browser.page.wait_for_selector("[data-field=reason] input:focus")
    browser.page.keyboard.press("Tab")  # the reason is missed once its field is left
    browser.page.wait_for_selector("article.fault")
    found += check_everywhere(browser, "board with a menu and a fault")
    browser.page.click("#keys-open")
    found += check_everywhere(browser, "help")
    assert found == []


def test_no_page_after_the_decisions_has_a_violation(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    decide_everything(browser)
    browser.page.click("#sign")
    found = check_everywhere(browser, "review")
    browser.page.check("input[name=confirmed]")
    browser.page.click("form.confirm button")
    browser.page.wait_for_url("**/signed")
    for name, path in SIGNED.items():
        browser.go(path)
        found += check_everywhere(browser, name)
    assert found == []


@pytest.mark.parametrize("kind", ["launch-expired", "no-patient", "unknown-issuer", "internal"])
def test_problem_pages_have_no_violation(tab: Callable[..., Any], kind: str) -> None:
    browser = tab(width=420)
    browser.expected = ["Failed to load resource"]
    browser.page.goto(f"{browser.served.url}/problem/{kind}")
    assert check(browser, kind, 420) == []


def test_at_200_percent_everything_is_there_without_scrolling_sideways(tab: Callable[..., Any]) -> None:
    browser = tab(width=720, height=450, device_scale_factor=2).start()
    for name, path in PAGES.items():
        browser.go(path)
        assert browser.page.evaluate("document.documentElement.scrollWidth") <= 720, name
        banner = browser.page.locator("#patient")
        if banner.count():
            assert banner.bounding_box()["height"] < 450 / 4


def test_focus_is_visible_and_not_hidden_on_every_stop_of_the_board(tab: Callable[..., Any]) -> None:
    browser = tab(width=1024, height=700).start()
    browser.go("/reconciliation")
    stops = 0
    for _ in range(120):
        browser.page.keyboard.press("Tab")
        stop = browser.page.evaluate(
            """() => {
              const element = document.activeElement;
              if (element === document.body) return null;
              const style = getComputedStyle(element);
              const box = element.getBoundingClientRect();
              const banner = document.getElementById("patient").getBoundingClientRect();
              return {
                what: element.outerHTML.slice(0, 120),
                ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                hidden: box.top >= innerHeight
                  || box.bottom <= (element.closest("#patient, header, .skip") ? 0 : banner.bottom),
              };
            }"""
        )
        if stop is None:
            break
        stops += 1
        assert stop["ring"], stop
        assert not stop["hidden"], stop
    assert stops > 40
