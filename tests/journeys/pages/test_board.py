"""The reconciliation board in a browser: by keyboard, with undo, without cookies, offline, in conflict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_list_is_reconciled_and_signed_by_keyboard_alone(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/reconciliation")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the first open line
    page.keyboard.press("c")
    page.keyboard.type("Confirmed with the patient")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("q")
    page.keyboard.type("Was it stopped on purpose?")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("s")
    page.keyboard.type("Bleeding with the new anticoagulant")
    page.keyboard.press("Enter")
    browser.saved("3 of 10")
    for count in range(4, 11):
        page.keyboard.press("o")
        page.keyboard.press("c")
        if page.evaluate("document.activeElement.tagName") == "INPUT":
            page.keyboard.type("Stated in the discharge summary")
            page.keyboard.press("Enter")
        browser.saved(f"{count} of 10")
    page.wait_for_selector("#sign[href]")
    page.focus("#sign")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review")
    page.focus("input[name=confirmed]")
    page.keyboard.press("Space")
    page.focus("form.confirm button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/signed")
    lists = [each for each in browser.served.pages.fhir.current("List") if each["mode"] == "snapshot"]
    assert len(lists) == 1
    assert len(lists[0]["entry"]) == 9
    tasks = browser.served.pages.fhir.current("Task")
    questions = [str(task.get("description")) for task in tasks]
    assert any(text.endswith("glyburide 5 MG Oral Tablet: Was it stopped on purpose?") for text in questions)


def test_letters_do_nothing_outside_the_board_or_while_typing(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/reconciliation")
    page.focus("nav.views a")
    for letter in "csqau":
        page.keyboard.press(letter)
    browser.line("buprofen").locator("button[value=stop]").click()
    page.keyboard.type("acsqu")
    page.keyboard.press("Escape")
    browser.saved("1 of 10")
    assert browser.line("buprofen").locator("input[name=reason]").input_value() == "acsqu"


def test_undo_takes_back_one_change_after_the_other(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/reconciliation")
    browser.line("buprofen").focus()
    page.keyboard.press("s")  # it speaks against two of the lines that are the same
    page.keyboard.type("Bleeding with the new anticoagulant")
    page.keyboard.press("Enter")
    browser.saved("1 of 10")
    page.reload()
    line = browser.line("lyburide")
    line.focus()
    page.keyboard.press("q")
    page.keyboard.press("Escape")
    browser.saved("2 of 10")
    page.keyboard.press("a")
    browser.saved("4 of 10")
    page.keyboard.press("u")
    browser.saved("2 of 10")
    page.keyboard.press("u")
    browser.saved("1 of 10")
    page.reload()
    browser.saved("1 of 10")


def test_what_was_decided_is_there_after_a_reload(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/reconciliation")
    line = browser.line("lyburide")
    line.locator("details.more summary").click()
    line.locator("button[value=hold]").click()
    line.locator("input[name=reason]").fill("Until the lab result")
    line.locator("input[name=resume]").fill("2026-12-04")
    line.locator("input[name=resume]").press("Tab")
    page.wait_for_function(
        "() => !document.querySelector('article.fault') && document.querySelector('article.done')"
    )
    page.reload()
    assert line.locator("input[name=resume]").input_value() == "2026-12-04"
    assert line.locator("input[name=reason]").input_value() == "Until the lab result"
    assert line.locator("button[value=hold]").get_attribute("aria-pressed") == "true"


def test_two_people_on_one_line_are_told_and_choose(tab: Callable[..., Any]) -> None:
    one, two = tab().start(), tab(width=420).start()
    two.expected = ["409"]
    one.go("/reconciliation")
    two.go("/reconciliation")
    one.line("lyburide").locator("button[value=clarify]").click()
    one.saved("1 of 10")
    two.line("lyburide").locator("button[value=continue]").click()
    two.page.wait_for_selector("#conflict-panel")
    assert two.focused() == "conflict-panel"
    assert "theirs Ask, yours Continue" in two.page.inner_text("#conflict-panel")
    two.page.click("[data-take=mine]")
    two.saved("1 of 10")
    one.line("buprofen").locator("button[value=stop]").click()
    one.page.wait_for_function(
        "() => [...document.querySelectorAll('button[value=continue][aria-pressed=true]')].length === 1"
    )
    assert one.line("lyburide").locator("button[value=continue]").get_attribute("aria-pressed") == "true"


def test_keeping_theirs_keeps_my_other_decisions(tab: Callable[..., Any]) -> None:
    one, two = tab().start(), tab().start()
    two.expected = ["409"]
    one.go("/reconciliation")
    two.go("/reconciliation")
    one.line("lyburide").locator("button[value=clarify]").click()
    one.saved("1 of 10")
    two.line("lyburide").locator("button[value=continue]").click()
    two.page.wait_for_selector("#conflict-panel")
    two.line("buprofen").locator("button[value=clarify]").click()
    two.page.click("[data-take=theirs]")
    two.saved("2 of 10")
    two.page.wait_for_function(
        "() => document.querySelectorAll('button[value=clarify][aria-pressed=true]').length === 2"
    )


def test_a_decision_made_offline_is_kept_and_saved_later(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    browser.expected = ["ERR_INTERNET_DISCONNECTED"]
    page = browser.go("/reconciliation")
    page.context.set_offline(True)
    browser.line("lyburide").locator("button[value=clarify]").click()
    page.wait_for_selector("#offline:not([hidden])")
    assert "kept in this page" in page.inner_text("#offline")
    page.context.set_offline(False)
    browser.saved("1 of 10")
    page.wait_for_selector("#offline", state="hidden")


def test_the_high_alerts_are_reached_from_their_count(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/reconciliation")
    page.click("[data-jump=high]")
    assert browser.focused() == browser.line("buprofen").get_attribute("id")


def test_without_cookies_the_tab_carries_its_secret_through_every_page(tab: Callable[..., Any]) -> None:
    browser = tab(width=1024)
    browser.page.goto(browser.served.url + "/start-without-cookie")
    browser.page.wait_for_selector("#medications")
    assert browser.page.context.cookies() == []
    browser.page.click("nav.views a:has-text('Reconcile')")
    browser.page.wait_for_selector("#board")
    browser.line("lyburide").locator("button[value=clarify]").click()
    browser.saved("1 of 10")
    browser.page.click("nav.views a:has-text('Worklist')")
    browser.page.locator("a:has-text('Log a call')").first.click()
    browser.page.click("button:has-text('No answer')")
    browser.page.wait_for_selector("text=1 attempt")
    browser.page.go_back()
    browser.page.wait_for_selector("#board")
    browser.page.locator("tr, body").first.wait_for()
    assert browser.page.context.cookies() == []
    stored = browser.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "tttt" not in stored  # the secret of the fixture
    assert "Rosa" not in stored


def test_without_cookies_a_reload_says_how_to_go_on(tab: Callable[..., Any]) -> None:
    browser = tab()
    browser.expected = ["401"]
    browser.page.goto(browser.served.url + "/start-without-cookie")
    browser.page.wait_for_selector("#medications")
    browser.page.reload()
    assert browser.page.inner_text("h1") == "The session has ended"


def test_another_discharge_opens_in_a_context_of_its_own(tab: Callable[..., Any]) -> None:
    browser = tab().start()
    page = browser.go("/worklist")
    before = page.url
    page.locator("tr:has-text('James')").locator("button:has-text('Open medications')").click()
    page.wait_for_selector("#patient")
    assert "James" in page.inner_text("#patient")
    assert page.url.split("/c/")[1].split("/")[0] not in before
    browser.go("/overview")
    assert "Rosa" in page.inner_text("#patient")


def test_without_scripts_a_line_can_still_be_decided(tab: Callable[..., Any]) -> None:
    browser = tab(java_script_enabled=False).start()
    page = browser.go("/reconciliation")
    browser.line("lyburide").locator("button[value=clarify]").click()
    assert page.inner_text("#count") == "1 of 10 decided"
