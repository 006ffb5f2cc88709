"""The console's comparison of two versions: which elements differ, and the JSON side by side.

Covers server/console/comparison.py and the history beside an instance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.console import comparison

BASE = "http://127.0.0.1:8000"
PATH = "/console/resources/Patient/one"


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "one", "gender": "female"} | more


@pytest.fixture
def engineer(sign_in: Callable[[str], FlaskClient]) -> FlaskClient:
    return sign_in("engineer")


def compared(browser: FlaskClient, before: Any, after: Any, path: str = PATH) -> Any:
    return browser.get(f"{path}/compare?before={before}&after={after}", base_url=BASE)


def rows(page: Any) -> list[tuple[str, str, str, str]]:
    """(element, what, before, after) of the table."""
    found = re.findall(r'<tr><th scope="row">(.*?)</tr>', page.text, re.DOTALL)
    return [
        tuple(re.sub(r"<[^>]*>", "", cell).strip().replace("&#34;", '"') for cell in row.split("<td"))
        for row in (re.sub(r'data-label="[^"]*">', ">", text).replace("<td >", "<td") for text in found)
    ]


def test_what_differs_is_listed_by_element_and_value(fhir: Any, engineer: FlaskClient) -> None:
    fhir.put("Patient/one", patient(name=[{"family": "Testfall"}, {"family": "Second"}]))
    fhir.put("Patient/one", patient(gender="male", name=[{"family": "Testfall"}], birthDate="1950"))

    page = compared(engineer, 1, 2)

    assert page.status_code == 200
    assert "3 places differ" in page.text
    assert [tuple(part.removeprefix(">") for part in row) for row in rows(page)] == [
        ("Patient.gender", "changed", '"female"', '"male"'),
        ("Patient.name[1]", "removed", '{"family":"Second"}', ""),
        ("Patient.birthDate", "added", "", '"1950"'),
    ]


def test_both_versions_stand_side_by_side_and_what_is_alike_is_folded(fhir: Any, engineer: FlaskClient) -> None:
    names = [{"family": f"Name {number}"} for number in range(20)]
    fhir.put("Patient/one", patient(name=names))
    fhir.put("Patient/one", patient(name=[*names[:-1], {"family": "Another"}]))
    page = compared(engineer, 1, 2)
    assert "lines that are alike</summary>" in page.text
    assert page.text.count("Name 19&#34;") == 2  # in the table and on the left
    assert "before differs" in page.text
    assert "after differs" in page.text


def test_the_order_of_keys_does_not_show_as_a_difference(fhir: Any, engineer: FlaskClient) -> None:
    fhir.put("Patient/one", patient(birthDate="1950", active=True))
    fhir.put("Patient/one", patient(active=True, birthDate="1951"))
    page = compared(engineer, 1, 2)
    assert "1 place differs" in page.text
    assert page.text.count("before differs") == 2  # versionId, birthDate


def test_a_deletion_is_compared_with_what_was_deleted(fhir: Any, engineer: FlaskClient) -> None:
    fhir.put("Patient/one", patient())
    fhir.delete("Patient/one")
    for before, after in ((1, 2), (2, 1)):
        page = compared(engineer, before, after)
        assert page.status_code == 200
        assert "Version 2 is a deletion." in page.text
        assert "Patient.gender" in page.text


def test_a_version_does_not_differ_from_itself(fhir: Any, engineer: FlaskClient) -> None:
    fhir.put("Patient/one", patient())
    assert "Nothing differs" in compared(engineer, 1, 1).text


@pytest.mark.parametrize("asked", [("1", "9"), ("x", "1"), ("", "1"), ("1", ""), ("-1", "1"), ("1" * 30, "1")])
def test_a_version_that_is_none_is_not_found(fhir: Any, engineer: FlaskClient, asked: tuple[str, str]) -> None:
    fhir.put("Patient/one", patient())
    page = compared(engineer, *asked)
    assert page.status_code == 404
    assert "This cannot be shown" in page.text


def test_values_are_text_on_the_page_and_nothing_else(fhir: Any, engineer: FlaskClient) -> None:
    fhir.put("Patient/one", patient(name=[{"family": "<script>alert(1)</script>"}]))
    fhir.put("Patient/one", patient(name=[{"family": "</code><b>"}]))
    page = compared(engineer, 1, 2)
    assert "<script>alert" not in page.text
    assert "</code><b>" not in page.text


def test_what_is_too_long_is_compared_by_element_only(
    fhir: Any, engineer: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MOST_LINES", 10)
    fhir.put("Patient/one", patient())
    fhir.put("Patient/one", patient(gender="male"))
    page = compared(engineer, 1, 2)
    assert "too long" in page.text
    assert "Patient.gender" in page.text
    assert "before differs" not in page.text


def test_who_may_not_see_the_resource_sees_no_comparison(
    fhir: Any, sign_in: Callable[[str], FlaskClient]
) -> None:
    fhir.put("Patient/one", patient())
    fhir.put("Patient/one", patient(gender="male"))
    for role in ("privacy", "rn"):
        page = compared(sign_in(role), 1, 2)
        assert page.status_code == 403
        assert "male" not in page.text


def test_every_version_leads_to_what_it_changed(fhir: Any, engineer: FlaskClient) -> None:
    for gender in ("female", "male", "other"):
        fhir.put("Patient/one", patient(gender=gender))
    page = engineer.get(PATH, base_url=BASE).text
    assert page.count("What changed") == 2
    assert f"{PATH}/compare?before=2&amp;after=3" in page
    assert re.search(r'name="before"[^>]*value="2"', page)
    assert re.search(r'name="after"[^>]*value="3"', page)


def test_a_long_history_is_read_page_by_page(
    fhir: Any, engineer: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.console import resources

    monkeypatch.setattr(resources, "VERSIONS", 2)
    for number in range(5):
        fhir.put("Patient/one", patient(birthDate=f"195{number}"))
    page, seen = engineer.get(PATH, base_url=BASE).text, []
    while True:
        seen += re.findall(r">Version (\d+)</a>", page)
        older = re.search(r'<a class="button" href="([^"]*older[^"]*)"', page)
        if older is None:
            break
        page = engineer.get(older[1].replace("&amp;", "&"), base_url=BASE).text
        assert "1954" in page  # the version that is shown stays
    assert seen == ["5", "4", "3", "2", "1"]
