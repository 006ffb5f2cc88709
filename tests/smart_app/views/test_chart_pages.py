"""Home, overview, banner and the frame of every page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import smart_app
from smart_app.problems import PROBLEMS

APP = Path(smart_app.__file__).parent


def test_home_leads_to_the_patient(pages: Any) -> None:
    assert pages.get("/").headers["Location"].endswith("/overview")


def test_home_without_a_patient_leads_to_the_worklist(pages: Any) -> None:
    pages.open(patient=None)
    assert pages.get("/").headers["Location"].endswith("/worklist")


def test_the_banner_names_the_patient_on_every_page_about_one(pages: Any) -> None:
    for path in ("/overview", "/reconciliation"):
        banner = re.search(r'<section class="patient".*?</section>', pages.get(path).text, re.S)
        assert banner is not None
        words = " ".join(re.sub(r"<[^>]+>", " ", banner[0]).split())
        assert "Synthetic, Rosa" in words
        assert "Female 74 years (born 3 Feb 1952) MRN 0048213" in words
        assert "Penicillin V" in words


def test_where_the_ehr_shows_its_banner_the_short_form_still_names_the_patient(pages: Any) -> None:
    pages.open(show_banner=False)
    html = pages.get("/overview").text
    assert 'class="patient compact"' in html
    assert "Synthetic, Rosa" in html


def test_the_overview_offers_the_newest_discharge(pages: Any) -> None:
    html = pages.get("/overview").text
    assert "Discharged Wed 25 Nov" in html
    assert 'name="encounter" value="stay-1"' in html


def test_an_unreadable_part_is_said_and_the_rest_shown(pages: Any) -> None:
    pages.fhir.failing = {"AllergyIntolerance"}
    html = pages.get("/overview").text
    assert "did not answer for allergies; shown without." in html
    assert "Allergies could not be read" in html
    assert "No allergies recorded" not in html
    assert "Furosemide" in html


def test_an_ehr_that_is_away_is_a_problem_page(pages: Any) -> None:
    pages.fhir.down = True
    answer = pages.get("/overview")
    assert answer.status_code == 503
    assert "The EHR does not answer" in answer.text
    assert "Rosa" not in answer.text


def test_the_practices_time_zone_and_the_demonstration_are_named(pages: Any) -> None:
    html = pages.get("/overview").text
    assert "Times in Eastern Time" in html
    assert "Demonstration with synthetic patients" in html


@pytest.mark.parametrize("kind", sorted(PROBLEMS))
def test_every_problem_has_a_page_with_what_happened_and_what_to_do(pages: Any, kind: str) -> None:
    with pages.app.test_request_context("/problem"):
        html = pages.app.jinja_env.get_template("problem.html").render(
            problem=PROBLEMS[kind].__class__(
                **{
                    name: getattr(PROBLEMS[kind], name)
                    for name in ("kind", "status", "headline", "explanation", "what_to_do")
                },
                values=dict.fromkeys(
                    re.findall(r"%\((\w+)\)s", PROBLEMS[kind].explanation + PROBLEMS[kind].what_to_do), "X"
                ),
            ),
            **_common(pages),
        )
    assert "What happened" in html
    assert "What to do" in html
    assert "%(" not in html


def _common(pages: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for process in pages.app.template_context_processors[None]:
        values.update(process())
    return values


def test_no_template_carries_script_or_style(pages: Any) -> None:
    for template in (APP / "templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), template
        for script in re.findall(r"<script[^>]*>", text):
            assert "src=" in script or 'type="application/json"' in script, template


def test_the_page_where_cookies_are_refused_holds_nothing_about_a_patient(pages: Any) -> None:
    html = pages.client().get("/start-without-cookie", base_url=pages.settings.app_url).text
    assert 'id="baton-tab"' in html
    assert "Rosa" not in html


def test_every_sentence_of_the_templates_can_be_extracted() -> None:
    from babel.messages.extract import extract_from_dir

    found = {
        message
        for _, _, message, _, _ in extract_from_dir(
            str(APP),
            method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
            keywords={"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "N_": None},
        )
    }
    assert "Review and sign" in found
    assert ("%(num)d line", "%(num)d lines") in found
    assert "This launch was already used" in found


@pytest.mark.parametrize("path", ["/overview", "/reconciliation", "/worklist"])
def test_every_page_has_its_landmarks_title_and_language(pages: Any, path: str) -> None:
    html = pages.get(path).text
    assert html.count("<h1") == 1
    assert html.count("<main ") == 1
    assert re.search(r'<html lang="en">', html)
    assert re.search(r"<title>\S.* · Baton</title>", html)
