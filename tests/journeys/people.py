"""What a person does in the browser, step by step, by the names that are on the screen."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page, expect

REASON = "checked with the patient by phone"


def sign_in(page: Page, deployment: Any, username: str = "rn") -> None:
    """Open the demo EHR and sign in; the patient list is shown."""
    page.goto(f"{deployment.base_url}/ehr")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(deployment.password(username))
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("heading", name="Patients")).to_be_visible()


def open_app(page: Page, deployment: Any, patient: str) -> FrameLocator:
    """Open a patient's chart in the EHR and the app in its frame; the overview is shown."""
    page.goto(f"{deployment.base_url}/ehr/patients/{patient}")
    page.get_by_role("link", name="Baton care transitions").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Overview")).to_be_visible()
    return frame


def open_board(frame: FrameLocator) -> None:
    """From the overview to the reconciliation board, until it listens to the keyboard."""
    frame.get_by_role("link", name="Reconcile", exact=True).click()
    expect(frame.get_by_role("heading", name="Reconcile medications")).to_be_visible()
    expect(frame.locator("#board[data-ready]")).to_be_visible()


def cards(frame: FrameLocator) -> Locator:
    return frame.locator("[data-card]")


def decide_by_keyboard(page: Page, frame: FrameLocator) -> int:
    """Decide every open line by letters alone: A for the same, then O to the next open one and C. The lines."""
    lines = cards(frame).count()
    cards(frame).first.focus()
    if frame.locator("#accept-same button:enabled").count():  # in some charts no line is the same and quiet
        page.keyboard.press("a")
        expect(frame.locator("#saved")).to_contain_text("Saved")
    for number in range(lines):
        card = cards(frame).nth(number)
        if "done" not in (card.get_attribute("class") or "").split():
            decide(page, card, "c")
    expect(frame.locator("[data-card]:not(.done)")).to_have_count(0)
    return lines


def decide(page: Page, card: Locator, letter: str) -> None:
    """Press a decision's letter on a line and give a reason where the line asks for one; it calms down."""
    card.focus()
    expect(card).to_be_focused()
    page.keyboard.press(letter)
    asked = card.locator("[data-field=reason]:visible input")
    if asked.count() and not asked.input_value():
        asked.fill(REASON)
        asked.press("Enter")
    expect(card).to_have_class(re.compile(r"\bdone\b"))


def sign(frame: FrameLocator) -> None:
    """Review, confirm what must be confirmed, sign; the result is shown."""
    expect(frame.locator("#saved")).to_contain_text("Saved")
    frame.get_by_role("link", name="Review and sign").click()
    expect(frame.get_by_role("heading", name="Review and sign")).to_be_visible()
    confirm = frame.locator("input[name=confirmed]")
    if confirm.count():
        confirm.check()
    frame.get_by_role("button", name="Sign as").click()
    expect(frame.get_by_role("heading", name="The list is signed")).to_be_visible()


def patient_name(frame: FrameLocator) -> str:
    """The name in the app's patient banner."""
    return frame.locator("#patient .name").inner_text()
