"""The reconciliation board, its draft, and signing, over the real app (domain 3.3 to 3.8)."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from smart_app.reconciliation.records import DecisionKind
from smart_app.views.cards import element_id
from smart_app.views.keys import DECISION_KEYS, key_table


def groups(html: str) -> dict[str, str]:
    """Group key of each line by its name."""
    cards = re.split(r"<article ", html)[1:]
    found = {}
    for card in cards:
        name = re.search(r"data-name>([^<]+)<", card)
        key = re.search(r'name="group" value="([^"]+)"', card)
        if name and key:
            found[name[1]] = key[1]
    return found


KEYS: dict[str, str] = {}
"""Group keys follow from the chart alone, so one look at the board serves all tests."""


def key_of(pages: Any, name: str) -> str:
    if not KEYS:
        KEYS.update(groups(pages.get("/reconciliation").text))
    return next(key for shown, key in KEYS.items() if name in shown)


def save(pages: Any, name: str, kind: str, version: str = "", **fields: str) -> TestResponse:
    form = {"encounter": "stay-1", "group": key_of(pages, name), "kind": kind, "version": version, **fields}
    return pages.post("/reconciliation/decisions", form, Accept="application/json")


def decide_everything(pages: Any, **otherwise: str) -> str:
    """All lines decided; the draft's version. otherwise: kinds of decision by the name of a line."""
    answer = pages.post("/reconciliation/same", {"encounter": "stay-1"}, Accept="application/json").json
    key_of(pages, "Glyburide")
    for name in KEYS:
        if element_id(key_of(pages, name)) in answer["open"]:
            kind = "new" if name.startswith(("Apixaban", "Omeprazole")) else "continue"
            kind = next((other for start, other in otherwise.items() if name.startswith(start)), kind)
            answer = save(pages, name, kind, answer["version"], reason="Confirmed with the prescriber").json
    assert answer["complete"], answer
    return str(answer["version"])


def test_every_line_stands_in_its_zone_and_nothing_is_lost(pages: Any) -> None:
    html = pages.get("/reconciliation").text
    zones = re.split(r'<section class="zone"', html)[1:]
    names = [re.findall(r"data-name>([^<]+)<", zone) for zone in zones]
    assert names == [
        ["Aunt&#39;s joint tea", "Glyburide 5 mg oral tablet", "Ibuprofen 200 mg oral tablet"],
        [
            "Atorvastatin 80 mg oral tablet",
            "Metoprolol succinate 50 mg 24-hour extended release oral tablet",
            "Clopidogrel 75 mg oral tablet",
            "Furosemide 40 mg oral tablet",
            "Losartan potassium 25 mg oral tablet",
        ],
        ["Apixaban 5 mg oral tablet", "Omeprazole 20 mg delayed release oral capsule"],
    ]


def test_differences_are_words_before_and_after(pages: Any) -> None:
    html = pages.get("/reconciliation").text
    chip = re.search(r'<li class="chip diff"><span>release</span>(.*?)</li>', html)
    assert chip is not None
    words = re.sub(r"<[^>]+>", " ", chip[1])
    assert words.split() == ["before", "immediate", "after", "extended", "24", "h"]


def test_the_original_text_and_its_source_are_one_step_away(pages: Any) -> None:
    html = pages.get("/reconciliation").text
    assert "“glyBURIDE 5 MG Oral Tablet” · “5 mg by mouth daily”" in html
    assert "Home medications, Wed 14 Oct, Dr. Osei" in html


def test_what_was_not_checked_and_the_versions_stand_at_the_foot(pages: Any) -> None:
    html = pages.get("/reconciliation").text
    assert "rxnorm-2025-11" in html
    assert "Not checked:" in html
    assert "Interactions: tables of 2014 and 2016" in html


def test_the_burden_of_the_resulting_list_stands_at_the_foot(pages: Any) -> None:
    html = pages.get("/reconciliation").text
    assert "The resulting list has 10 medicines." in html
    assert "Complexity of the regimen:" in html


def test_a_decision_is_saved_at_once_and_shown_after_a_reload(pages: Any) -> None:
    answer = save(pages, "Glyburide", "clarify", reason="Was it stopped on purpose?")
    assert answer.status_code == 200
    assert answer.json["count"] == "1 of 10 decided"
    assert answer.json["saved"] == "Saved 14:02 · Lee Park"
    html = pages.get("/reconciliation").text
    assert "Was it stopped on purpose?" in re.search(r"<article[^>]*done.*?</article>", html, re.S)[0]


def test_a_missing_reason_is_said_beside_the_line_and_keeps_it_from_signing(pages: Any) -> None:
    answer = save(pages, "Ibuprofen", "stop")
    element = element_id(key_of(pages, "Ibuprofen"))
    assert answer.json["faults"] == {element: "A reason is missing."}
    assert not answer.json["complete"]
    assert "1 decision needs more." in answer.json["why"]


def test_undo_opens_the_line_again(pages: Any) -> None:
    version = save(pages, "Glyburide", "clarify").json["version"]
    answer = save(pages, "Glyburide", "", version)
    assert answer.json["decided"] == 0
    assert element_id(key_of(pages, "Glyburide")) in answer.json["open"]


def test_accepting_the_same_takes_only_identical_lines_and_can_be_taken_back(pages: Any) -> None:
    """Ibuprofen speaks against two lines: only when it is stopped may they be accepted together."""
    answer = pages.post("/reconciliation/same", {"encounter": "stay-1"}, Accept="application/json").json
    assert answer["decided"] == 0
    version = save(pages, "Ibuprofen", "stop", answer["version"] or "", reason="kidneys").json["version"]
    form = {"encounter": "stay-1", "version": version}
    answer = pages.post("/reconciliation/same", form, Accept="application/json").json
    assert len(answer["accepted"]) == 2
    assert answer["decided"] == 3
    keys = [key_of(pages, name) for name in ("Furosemide", "Losartan")]
    form = {"encounter": "stay-1", "version": answer["version"], "remove": keys}
    assert pages.post("/reconciliation/same", form, Accept="application/json").json["decided"] == 1


def test_without_a_script_saving_leads_back_to_the_line(pages: Any) -> None:
    form = {"encounter": "stay-1", "group": key_of(pages, "Glyburide"), "kind": "clarify", "version": ""}
    answer = pages.post("/reconciliation/decisions", form)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("#" + element_id(form["group"]))


def test_another_decision_about_the_same_line_is_a_conflict_and_changes_nothing(pages: Any) -> None:
    save(pages, "Glyburide", "clarify")
    answer = save(pages, "Glyburide", "continue", "", reason="Confirmed")
    assert answer.status_code == 409
    assert "Lee Park decided the same line at 14:02" in answer.json["panel"]
    assert "Glyburide 5 mg oral tablet: theirs Ask, yours Continue (Confirmed)" in answer.json["panel"]
    page = pages.get("/reconciliation").text
    assert 'value="clarify" aria-pressed="true"' in page


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"group": ""}, 400),
        ({"group": "nothing"}, 400),
        ({"kind": "abolish"}, 400),
        ({"kind": "hold", "resume": "tomorrow"}, 400),
        ({"encounter": ""}, 400),
        ({"encounter": "another"}, 400),
        ({"reason": "x" * 401}, 413),
        ({"csrf_token": "forged"}, 403),
    ],
)
def test_a_form_that_is_not_ours_is_refused_and_saves_nothing(
    pages: Any, change: dict[str, str], status: int
) -> None:
    form = {"encounter": "stay-1", "group": key_of(pages, "Glyburide"), "kind": "clarify", "version": ""}
    answer = pages.post("/reconciliation/decisions", form | change)
    assert answer.status_code == status
    assert pages.fhir.current("List") == []


def test_a_held_line_keeps_its_day(pages: Any) -> None:
    save(pages, "Glyburide", "hold", reason="Until the lab result", resume=date(2026, 12, 4).isoformat())
    assert 'name="resume" value="2026-12-04"' in pages.get("/reconciliation").text


def test_the_review_is_not_reached_before_everything_is_decided(pages: Any) -> None:
    answer = pages.get("/reconciliation/review")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/reconciliation")


def test_high_alerts_on_what_stays_are_confirmed_once_more(pages: Any) -> None:
    version = decide_everything(pages)
    html = pages.get("/reconciliation/review").text
    assert "Look again" in html
    seen = re.search(r'name="seen" value="([^"]+)"', html)[1]
    form = {"encounter": "stay-1", "seen": seen, "version": version, "alerts": "some"}
    answer = pages.post("/reconciliation/sign", form)
    assert answer.status_code == 422
    assert "Confirm that you have looked at the high alerts" in answer.text
    assert not [each for each in pages.fhir.current("List") if each["mode"] == "snapshot"]


def signed(pages: Any, **otherwise: str) -> TestResponse:
    version = decide_everything(pages, **otherwise)
    seen = re.search(r'name="seen" value="([^"]+)"', pages.get("/reconciliation/review").text)[1]
    form = {"encounter": "stay-1", "seen": seen, "version": version, "alerts": "some", "confirmed": "yes"}
    return pages.post("/reconciliation/sign", form)


def test_signing_leads_to_what_was_written(pages: Any) -> None:
    answer = signed(pages)
    assert answer.status_code == 303
    html = pages.get("/reconciliation/signed").text
    reference = next(each["id"] for each in pages.fhir.current("List") if each["mode"] == "snapshot")
    assert f"List/{reference}" in html
    assert "14:02 by Lee Park" in html
    board = pages.get("/reconciliation").text
    assert "Signed 14:02 by Lee Park" in board
    assert 'name="kind"' not in board


def test_the_list_for_the_patient_says_what_is_new_and_what_changed(pages: Any) -> None:
    signed(pages)
    html = pages.get("/reconciliation/list").text
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.S)[1:]]
    assert len(rows) == 10
    assert any("Apixaban 5 mg oral tablet" in row and "New" in row for row in rows)
    assert any("Atorvastatin 80 mg oral tablet" in row and "Changed" in row for row in rows)
    assert any("Furosemide 40 mg oral tablet" in row and "As before" in row for row in rows)


def test_the_list_for_the_patient_parts_what_to_stop_from_what_is_held_asked_or_not_taken(pages: Any) -> None:
    signed(pages, Atorvastatin="clarify", Apixaban="clarify", Ibuprofen="not-taking", Glyburide="stop")
    html = pages.get("/reconciliation/list").text
    sections = {
        name: re.sub(r"<[^>]+>", " ", body)
        for name, body in re.findall(r'<section aria-labelledby="(\w+)">(.*?)</section>', html, re.S)
    }
    # An open question leaves it as it was before: the old dose, never the one that is asked about.
    assert "Atorvastatin 40 mg" in sections["asked"]
    assert "80 mg" not in sections["asked"] + sections["take"]
    assert "Apixaban" in sections["intended"]
    assert "Ask us before you start" in sections["intended"]
    assert "Ibuprofen" in sections["untaken"]
    assert "glyBURIDE" in sections["stopped"]
    assert "Ibuprofen" not in sections["stopped"]
    for name in ("Atorvastatin", "Apixaban", "Ibuprofen", "glyBURIDE"):
        assert name not in sections["take"]


def test_a_chart_that_changed_since_the_review_goes_back_to_the_board(pages: Any) -> None:
    version = decide_everything(pages)
    seen = re.search(r'name="seen" value="([^"]+)"', pages.get("/reconciliation/review").text)[1]
    order = next(each for each in pages.fhir.current("MedicationRequest") if each["id"] == "after-5")
    pages.fhir.put(order)
    form = {"encounter": "stay-1", "seen": seen, "version": version, "confirmed": "yes"}
    answer = pages.post("/reconciliation/sign", form)
    assert answer.status_code == 409
    assert "the chart changed while you were deciding" in answer.text


def test_a_draft_that_changed_since_the_review_goes_back_to_the_board(pages: Any) -> None:
    version = decide_everything(pages)
    seen = re.search(r'name="seen" value="([^"]+)"', pages.get("/reconciliation/review").text)[1]
    save(pages, "Glyburide", "clarify", version)
    form = {"encounter": "stay-1", "seen": seen, "version": version, "confirmed": "yes"}
    answer = pages.post("/reconciliation/sign", form)
    assert answer.status_code == 409
    assert "changed the draft at 14:02, after you opened the review" in answer.text


def test_who_may_only_prepare_is_told_who_signs(pages: Any) -> None:
    pages.open(user="assistant", role="ma", name="Kim Day")
    html = pages.get("/reconciliation").text
    assert "A registered nurse, a pharmacist or a prescriber signs." in html
    assert 'id="sign"' not in html
    assert pages.get("/reconciliation/review").status_code == 303
    assert save(pages, "Glyburide", "clarify").status_code == 200


def test_who_may_not_decide_sees_the_lists_with_closed_controls(pages: Any) -> None:
    pages.open(user="assistant", role="", name="Kim Day")
    html = pages.get("/reconciliation").text
    assert "Your role may look at the lists, not decide." in html
    assert len(re.findall(r'<fieldset class="dec" disabled>', html)) == 10
    assert save(pages, "Glyburide", "clarify").status_code == 403


def test_what_the_ehr_did_not_answer_is_said(pages: Any) -> None:
    pages.fhir.failing = {"MedicationDispense"}
    html = pages.get("/reconciliation").text
    assert "did not answer for fills; shown without." in html
    assert "no fill seen" not in html


def test_an_empty_chart_is_said_plainly(pages: Any) -> None:
    for name in ("MedicationRequest", "MedicationStatement", "MedicationDispense"):
        for each in pages.fhir.current(name):
            del pages.fhir.versions[f"{name}/{each['id']}"]
    html = pages.get("/reconciliation").text
    assert "No medications on either list" in html


def test_nothing_of_the_chart_stands_in_an_address(pages: Any) -> None:
    links = re.findall(r'(?:href|action|hx-get|hx-post|data-href)="([^"]+)"', pages.get("/reconciliation").text)
    assert links
    assert not [link for link in links if "synthetic-1" in link or "stay-1" in link or "Rosa" in link]


def test_the_keys_of_the_help_are_those_of_the_guide(pages: Any) -> None:
    guide = (Path(__file__).parents[3] / "docs/how-to/reconcile-a-discharge.md").read_text()
    rows = dict(re.findall(r"^\| ((?:<kbd>[^<]+</kbd> ?)+) \| (.+) \|$", guide, re.M))
    documented = {tuple(re.findall(r"<kbd>([^<]+)</kbd>", keys)): words for keys, words in rows.items()}
    with pages.app.test_request_context():
        shown = dict(key_table())
    assert {keys: documented[keys].removesuffix(" in this page") for keys in shown} == shown
    assert set(DECISION_KEYS) == set(DecisionKind)
