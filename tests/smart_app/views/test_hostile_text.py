"""Text of a chart, a person or a note is text on every page, whatever it holds: never markup, script or format.

Covers OWASP Cross Site Scripting Prevention cheat sheet (HTML, attribute and JSON contexts).
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import TestResponse

HOSTILE = "\"'></td></script><!--<x-hostile onclick=a() hx-get=/c> %s %(num)s {{ 7*7 }} {count} javascript:a()"
# Elements of FHIR that hold words of a person.
_WORDS = frozenset(
    {"text", "display", "family", "given", "title", "unit", "description", "patientInstruction", "comment"}
)
_DATA = frozenset({"application/json"})


def hostile(value: Any, name: str = "") -> Any:
    """The same resource, every text in it followed by markup."""
    if isinstance(value, dict):
        return {key: hostile(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, name) for item in value]
    return value + HOSTILE if isinstance(value, str) and name in _WORDS else value


class Elements(HTMLParser):
    """Tags, attributes and scripts of a page as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self._script: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "script":
            given = dict(attrs)
            assert "src" in given or given.get("type") in _DATA, given
            self._script = given.get("type")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script in _DATA:
            self.scripts.append(data)


def check(answer: TestResponse, *, shows: bool = True) -> None:
    """The page has the text as text, and nothing of it as markup."""
    assert answer.status_code < 500, answer.text
    panel = answer.json["panel"] if answer.is_json and "panel" in answer.json else None
    if answer.is_json and panel is None:
        return
    html = panel or answer.text
    page = Elements(html)
    assert "x-hostile" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on"), (name, value)
        assert not (name.startswith("hx-") and "hostile" in (value or "")), (name, value)
        if name in ("href", "src", "action", "hx-get", "hx-post") and value:
            assert value.startswith(("/", "#")), (name, value)
    for script in page.scripts:
        json.loads(script)
    assert ("x-hostile" in html) == shows
    assert " 49 " not in html


@pytest.fixture
def hostile_pages(pages: Any) -> Any:
    for kind in ("Patient", "MedicationRequest", "MedicationStatement", "MedicationDispense", "List"):
        pages.fhir.put(*map(hostile, pages.fhir.current(kind)))
    for kind in ("AllergyIntolerance", "Encounter", "Condition", "Observation", "Practitioner", "Task"):
        pages.fhir.put(*map(hostile, pages.fhir.current(kind)))
    pages.open(name=f"Lee Park{HOSTILE}")
    return pages


@pytest.mark.parametrize("path", ["/overview", "/reconciliation", "/worklist", "/worklist/task-stay-1/contact"])
def test_a_page_shows_hostile_text_as_text(hostile_pages: Any, path: str) -> None:
    answer = hostile_pages.get(path)
    assert answer.status_code == 200
    check(answer)


def test_what_people_write_is_shown_as_text_from_the_board_to_the_list_for_the_patient(
    hostile_pages: Any,
) -> None:
    form: dict[str, Any] = {"encounter": "stay-1"}
    keys = list(
        dict.fromkeys(re.findall(r'name="group" value="([^"]+)"', hostile_pages.get("/reconciliation").text))
    )
    assert keys
    version, complete = "", False
    for key in keys:
        for kind in ("continue", "new", "stop", "clarify"):
            given = form | {
                "group": key,
                "kind": kind,
                "version": version,
                "reason": HOSTILE,
                "regimen": HOSTILE,
            }
            answer = hostile_pages.post("/reconciliation/decisions", given, Accept="application/json")
            check(answer)
            version, complete = answer.json["version"], answer.json["complete"]
            if not answer.json["faults"]:
                break
    assert complete
    stale = form | {"group": keys[0], "kind": "stop", "version": "1", "reason": HOSTILE + "2"}
    hostile_pages.open(user="nurse", name=f"Another{HOSTILE}")
    check(hostile_pages.post("/reconciliation/decisions", stale, Accept="application/json"))
    check(hostile_pages.get("/reconciliation"))

    review = hostile_pages.get("/reconciliation/review")
    check(review)
    seen = re.search(r'name="seen" value="([^"]+)"', review.text)
    last = re.search(r'name="version" value="([^"]+)"', review.text)
    assert seen
    assert last
    given = form | {"seen": seen[1], "version": last[1], "alerts": "some", "confirmed": "yes"}
    answer = hostile_pages.post("/reconciliation/sign", given)
    assert answer.status_code == 303, answer.text
    for path in ("/reconciliation/signed", "/reconciliation/list", "/reconciliation", "/worklist"):
        check(hostile_pages.get(path))


def test_the_note_of_a_call_is_shown_as_text(hostile_pages: Any) -> None:
    page = hostile_pages.get("/worklist/task-stay-1/contact").text
    fields = dict(re.findall(r'name="(task_version|form_id)" value="([^"]+)"', page))
    form = {"mode": "phone", "outcome": "no-answer", "note": HOSTILE} | fields
    check(hostile_pages.post("/worklist/task-stay-1/contact", form, **{"HX-Request": "true"}))
    check(hostile_pages.post("/worklist/task-stay-1/contact", form | {"form_id": "other"}))


@pytest.mark.parametrize("query", ["iss={0}&launch=x", "iss=http://{0}&launch=x", "iss=&launch={0}"])
def test_what_an_address_says_is_shown_as_text(pages: Any, query: str) -> None:
    answer = pages.client().get(
        "/launch", query_string=query.format(HOSTILE.replace("&", "")), base_url=pages.settings.app_url
    )
    assert answer.status_code in (400, 403)
    assert "x-hostile" not in Elements(answer.text).tags
