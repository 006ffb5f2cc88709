"""The console's pages of the audit trail: who may see them, what they show, and that looking is audited.

Covers server/console/audit.py, server/console/audit_views.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.console.audit import Filters, audit_query, read_filters, timeline
from server.console.audit_views import INTERACTIONS
from server.errors import FhirError
from server.policy.audit_events import kinds
from server.storage.audit_values import AuditRow

BASE = "http://127.0.0.1:8000"


def test_what_was_done_to_a_patients_record_is_listed(
    sign_in: Callable[[str], FlaskClient], fhir: Any, seal: Callable[[], None]
) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.put("Patient/two", {"resourceType": "Patient", "id": "two"})
    fhir.get("Patient/one")
    fhir.get("Patient?_id=one,two")
    seal()
    browser = sign_in("engineer")
    page = browser.get("/console/audit?patient=one", base_url=BASE)
    assert page.status_code == 200
    assert "3 events on this page" in page.text
    assert '<td data-label="Action">read</td>' in page.text
    assert '<td data-label="Action">search-type</td>' in page.text
    assert '<td data-label="Patient">one two</td>' in page.text
    assert "Patient/two" not in page.text
    everything = browser.get("/console/audit", base_url=BASE)
    assert '<rect class="count"' in everything.text
    numbers = browser.get("/console/audit?numbers=1", base_url=BASE).text
    assert '<td class="num" data-label="Events">5</td>' in numbers
    assert "Patient/two" in everything.text


def test_filters_narrow_the_list(
    sign_in: Callable[[str], FlaskClient], fhir: Any, seal: Callable[[], None]
) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.get("Patient/nobody")
    fhir.get("Patient/one")
    seal()
    browser = sign_in("engineer")
    for query, count in (
        ("outcome=refused", 1),
        ("outcome=404", 1),
        ("outcome=done&resource=Patient", 2),
        ("interaction=update", 1),
        ("resource=Patient/one", 2),
        ("resource=Patient", 3),
        ("resource=Observation", 0),
        ("since=2020-01-01&until=2020-01-02", 0),
        ("principal=Practitioner/nobody", 0),
    ):
        page = browser.get(f"/console/audit?{query}", base_url=BASE)
        assert page.status_code == 200
        expected = f"{count} event{'s' if count > 1 else ''} on this page" if count else "No event matches."
        assert expected in page.text, query


def test_a_row_is_shown_with_every_field(
    sign_in: Callable[[str], FlaskClient], fhir: Any, seal: Callable[[], None], store: Any
) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    seal()
    browser = sign_in("engineer")
    listed = browser.get("/console/audit", base_url=BASE).text
    address = listed.partition('<tr><th scope="row"><a href="')[2].partition('"')[0]
    page = browser.get(address, base_url=BASE)
    assert page.status_code == 200
    (row,) = (row for row in store.audit_rows(limit=50) if row.interaction == "update")
    for said in (row.principal, row.request_id, "127.0.0.1", "Patient/one, version 1"):
        assert said in page.text


@pytest.mark.parametrize("key", ["1-1", "x", "9" * 30 + "-1", "-", "1772366400005-99999"])
def test_a_row_that_is_not_there_is_not_found(sign_in: Callable[[str], FlaskClient], key: str) -> None:
    assert sign_in("engineer").get(f"/console/audit/{key}", base_url=BASE).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "patient=John%20Smith",
        "since=yesterday",
        "until=2026-02-31",
        "outcome=12",
        "principal=a%00b",
        "since=9999-12-31&until=9999-12-31",
    ],
)
def test_a_filter_that_cannot_be_is_named_on_the_page(
    sign_in: Callable[[str], FlaskClient], query: str
) -> None:
    page = sign_in("engineer").get(f"/console/audit?{query}", base_url=BASE)
    assert page.status_code == 400
    assert "The search was not run." in page.text


def test_looking_is_audited_before_anything_is_shown(
    sign_in: Callable[[str], FlaskClient], store: Any, seal: Callable[[], None]
) -> None:
    browser = sign_in("privacy")
    browser.get("/console/audit?patient=one&outcome=refused", base_url=BASE)
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.principal, row.patient) == ("audit-search", "Practitioner/demo-privacy", "one")
    assert row.detail == "outcome patient since"
    seal()
    listed = browser.get("/console/audit", base_url=BASE).text
    browser.get(listed.partition('<tr><th scope="row"><a href="')[2].partition('"')[0], base_url=BASE)
    assert store.audit_rows(limit=1)[0].interaction == "audit-read"
    assert store.audit_rows(limit=1)[0].patient == "one"


@pytest.mark.parametrize("role", ["rn", "pharmacist", "ma", "prescriber"])
def test_other_roles_are_refused_and_the_attempt_is_audited(
    sign_in: Callable[[str], FlaskClient], store: Any, role: str
) -> None:
    assert sign_in(role).get("/console/audit", base_url=BASE).status_code == 403
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.outcome, row.username) == ("audit-search", 403, role)


def test_a_privacy_officer_sees_the_audit_trail_and_nothing_else(sign_in: Callable[[str], FlaskClient]) -> None:
    browser = sign_in("privacy")
    front = browser.get("/console/", base_url=BASE)
    assert front.headers["Location"].endswith("/console/audit")
    page = browser.get("/console/audit", base_url=BASE).text
    assert "Audit trail</a>" in page
    assert "Resources</a>" not in page
    assert browser.get("/console/resources", base_url=BASE).status_code == 403
    assert browser.get("/console/queue", base_url=BASE).status_code == 403


def test_pages_follow_one_another_and_keep_their_filters(
    sign_in: Callable[[str], FlaskClient], fhir: Any, seal: Callable[[], None]
) -> None:
    for _ in range(60):
        fhir.get("Patient/nobody")
    seal()
    browser = sign_in("engineer")
    first = browser.get("/console/audit?outcome=refused", base_url=BASE).text
    assert "50 events on this page" in first
    following = first.partition('<a class="button" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "outcome=refused" in following
    assert "10 events on this page" in browser.get(following, base_url=BASE).text


def test_the_plot_counts_every_row_of_the_span_once(store: Any, seal: Callable[[], None], clock: Any) -> None:
    row = AuditRow(clock(), "Practitioner/p", "app", "read", "Patient", "a", 1, "a", 200, "request-1")
    with store.writing() as writer:
        for hours in range(3):
            writer.audit(replace(row, recorded=clock() - timedelta(hours=30 * hours)))
            writer.audit(replace(row, recorded=clock() - timedelta(hours=30 * hours), outcome=404))
    seal()
    for days, every in ((1, "hour"), (10, "6 hours"), (90, "day"), (500, "7 days"), (5_000, "56 days")):
        since = f"{clock() - timedelta(days=days):%Y-%m-%d}"
        plot = timeline(store, audit_query(Filters(since=since)), clock())
        assert plot is not None
        assert plot.every == every
        assert len(plot.bars) <= 105
        assert all(bar.x >= 0 and bar.x + bar.width <= 1_001 and bar.height <= 90 for bar in plot.bars)
        if days > 4:
            assert (plot.rows, plot.refused) == (6, 3)


def test_a_patient_is_named_by_its_id_alone(clock: Any) -> None:
    assert audit_query(read_filters({"patient": "Patient/one"}, clock())).patient == "one"
    with pytest.raises(FhirError):
        audit_query(read_filters({"patient": "Smith, John"}, clock()))


def test_what_the_page_can_filter_by_has_a_shape_as_an_audit_event() -> None:
    assert [name for name in INTERACTIONS if name not in kinds()] == []
