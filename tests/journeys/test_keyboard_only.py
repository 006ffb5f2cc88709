"""The whole journey without a mouse: sign in, open a chart, launch the app, decide, sign (WCAG 2.1.1, 2.4.7).

Only keys are pressed here; the page is asked where the focus is, as a person would look.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Frame, Page, expect

pytestmark = pytest.mark.browser

MOST_TABS = 150
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return "";
  const name = element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || "";
  return element.tagName === "IFRAME" ? "IFRAME" : name.trim().replace(/\\s+/g, " ");
}"""
RING = """() => {
  const style = getComputedStyle(document.activeElement);
  return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
}"""


def focus(page: Page) -> tuple[str, Page | Frame]:
    """The name of what has the focus, and the document it is in."""
    name = page.evaluate(FOCUSED)
    if name != "IFRAME":
        return name, page
    frame = next(each for each in page.frames if each.parent_frame is not None)
    return frame.evaluate(FOCUSED), frame


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until what is called `wanted` has the focus; the focus can be seen there."""
    seen = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        name, document = focus(page)
        seen.append(name)
        if name.startswith(wanted):
            assert document.evaluate(RING), f"the focus on {wanted!r} cannot be seen"
            return
    raise AssertionError(f"{wanted!r} is not reached by Tab: {seen}")


def test_a_list_is_signed_without_a_mouse(baton: Any, window: BrowserContext, people: ModuleType) -> None:
    patient = baton.patients_with_discharge(baton.token("system/*.rs"))[5]
    name = baton.read(f"Patient/{patient}", baton.token("system/*.rs"))["name"][0]["family"]
    page = window.new_page()
    page.goto(f"{baton.base_url}/ehr")
    if "User name" not in focus(page)[0]:
        tab_to(page, "User name")
    page.keyboard.type("rn")
    tab_to(page, "Password")
    page.keyboard.type(baton.password("rn"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Patients")).to_be_visible()

    tab_to(page, name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Active medications")).to_be_visible()
    tab_to(page, "Baton care transitions")
    page.keyboard.press("Enter")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Overview")).to_be_visible()

    tab_to(page, "Reconcile")
    page.keyboard.press("Enter")
    expect(frame.locator("#board")).to_be_visible()
    tab_to(page, "Skip to the first open line")
    page.keyboard.press("Enter")
    if frame.locator("#accept-same button:enabled").count():  # in some charts no line is the same and quiet
        page.keyboard.press("a")
        expect(frame.locator("#saved")).to_contain_text("Saved")
    for _ in range(people.cards(frame).count()):
        if frame.locator("[data-card]:not(.done)").count() == 0:
            break
        page.keyboard.press("o")
        page.keyboard.press("c")
        if frame.locator("[data-field=reason] input:focus").count():
            page.keyboard.type(people.REASON)
            page.keyboard.press("Enter")
            page.keyboard.press("Escape")
        frame.locator("#saved").get_by_text("Saved").wait_for()
    expect(frame.locator("[data-card]:not(.done)")).to_have_count(0)

    tab_to(page, "Review and sign")
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="Review and sign")).to_be_visible()
    if frame.locator("input[name=confirmed]").count():
        tab_to(page, "I have looked at these alerts")
        page.keyboard.press("Space")
    tab_to(page, "Sign as")
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="The list is signed")).to_be_visible()
