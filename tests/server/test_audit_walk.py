"""A walk over every route of the server: each access leaves a row that names who, what, whose record and how it
ended, and each refusal does. What leaves none is listed here with the reason; a new route has to be on one
side.

Covers server/interactions/audit.py, server/api/exchange.py, server/console, server/demo_ehr, server/auth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.interactions.operations import OPERATIONS
from server.interactions.routes import ROUTES
from server.settings import Settings
from server.storage.audit_values import AuditRow

BASE = "http://127.0.0.1:8000"
FORM = "application/x-www-form-urlencoded"

# Endpoints of pages that show no record, change nothing and are open to everyone, or tell of the server alone.
NOTHING_SHOWN = {
    "front": "leads on",
    "console.home": "leads on",
    "console.queue": "numbers and names of consumers",
    "console.queue_now": "numbers and names of consumers",
    "console.queue_question": "a question before an action",
    "console.search_explain": "a form; what is asked is a search of its own",
    "console.clients": "programs",
    "console.client": "a program and its keys",
    "console.client_keys_page": "leads on",
    "console.client_question": "a question before an action",
    "console.grants": "which program may act in whose name; what it read is in the trail",
    "console.grant_question": "a question before an action",
    "console.keys": "public keys",
    "console.link_question": "a question before an action; of a patient's link it names the EHR",
    "console.partners": "organisations",
    "console.partner": "an organisation, its clients and accounts",
    "console.partner_question": "a question before an action",
    "console.policies": "the policy files",
    "console.emergency": "here of an access that is none; one that is shown is noted (test_emergencies)",
    "brands.bundle": "open to everyone",
    "oauth2_pages.links": "here of a launch that is none; our patients are read through the door",
    "oauth2_pages.decide_link": "likewise",
    "oauth2_pages.password_page": "a form",
    "oauth2_pages.proof_page": "a form",
    "oauth2_pages.code_page": "a form",
    "oauth2_pages.set_up_page": "a form",
    "smart.smart_configuration_document": "open to everyone",
    "smart.openid_configuration_document": "open to everyone",
    "smart.jwks": "public keys",
    "smart.smart_style": "colours",
    "oauth2_pages.login_page": "a form",
    "observability.healthz": "whether the server lives",
    "observability.readyz": "whether the server is ready",
    "observability.metrics_text": "numbers",
}
# Pages of one's own grants and sign-ins: whose they are is the person signed in, and no record is shown.
OWN = {"oauth2_pages.grants", "oauth2_pages.account"}
# Forms of the sign-in and authorization pages: without the secret of the page before they are refused unread.
# So are messages without a token; those with one leave a row (tests/server/api/test_hl7v2.py).
UNREAD = {
    "hl7v2.receive",
    "oauth2_pages.login",
    "oauth2_pages.logout",
    "oauth2_pages.withdraw",
    "oauth2_pages.patient",
    "oauth2_pages.consent",
    "oauth2_pages.decision",
    "oauth2_pages.code",
}

ARGUMENTS = {
    "resource_type": "Patient",
    "id": "one",
    "patient_id": "one",
    "client_id": "nobody",
    "key": "1-1",
    "name": "release",
    "filename": "console.css",
    "path": "Patient/one",
    "number": "1",
    "ticket": "x",
    "grant_id": "x",
    "partner_id": "x",
    "policy": "roles",
    "action": "replay",
}


@pytest.fixture
def rows(store: Any, settings: Settings) -> Callable[[], list[AuditRow]]:
    """The rows since the last call, the oldest first."""
    seen = 0

    def new() -> list[AuditRow]:
        nonlocal seen
        store.ingest_audit(settings.home / "audit")
        everything = list(reversed(store.audit_rows(limit=10_000)))
        fresh, seen = everything[seen:], len(everything)
        return fresh

    return new


@pytest.fixture
def chart(fhir: Any) -> Any:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    fhir.put(
        "Observation/o-one",
        {
            "resourceType": "Observation",
            "id": "o-one",
            "status": "final",
            "code": {"text": "weight"},
            "subject": {"reference": "Patient/one"},
        },
    )
    return fhir


def fhir_requests() -> Iterator[tuple[str, str]]:
    """(method, path) of every route of the FHIR API, operations too."""
    values = {"{type}": "Observation", "{id}": "o-one", "{version_id}": "1"}
    for template, methods in ROUTES.items():
        path = template
        if template.startswith("{compartment}"):
            path = path.replace("{compartment}/{id}", "Patient/one")
        for name, value in values.items():
            path = path.replace(name, value)
        for method in methods:
            yield method, path
    for operation in OPERATIONS:
        type = operation.types[0] if operation.types else "Observation"
        id = "one" if type == "Patient" else "o-one"
        at = {
            "system": "",
            "type": f"{type}/",
            "instance": f"{type}/{id}/",
            "version": f"{type}/{id}/_history/1/",
        }
        for level in operation.levels:
            for method in operation.methods:
                yield method, f"{at[level]}${operation.name}"


FHIR = sorted(set(fhir_requests()) - {("GET", "metadata")})


@pytest.mark.parametrize(("method", "path"), FHIR)
def test_every_fhir_route_leaves_a_row_whoever_asks(
    chart: Any, anonymous: Any, as_token: Any, rows: Callable[[], list[AuditRow]], method: str, path: str
) -> None:
    nobody = as_token("patient/*.cruds", patient="two")
    other = as_token("user/Practitioner.rs", fhir_user="Practitioner/a", role="rn")
    rows()
    form = {"Content_Type": FORM} if path.endswith("_search") else {}
    body = b"" if form else ({"resourceType": "Observation"} if method in ("POST", "PUT", "PATCH") else None)
    for caller, who in (
        (chart, "Client/tests"),
        (anonymous, ""),
        (nobody, "Client/tests"),
        (other, "Practitioner/a"),
    ):
        answer = caller(method, path, body, **form)
        found = rows()
        assert found, (method, path, answer.status)
        assert {row.principal for row in found} == {who}
        assert answer.status in {row.outcome for row in found}
        assert all(row.interaction and row.request_id and row.address == "127.0.0.1" for row in found)
        if answer.status < 300 and b"Patient/one" in answer.body:
            assert "one" in " ".join(row.patient for row in found).split()


def test_what_the_path_names_is_in_the_row_of_a_refusal(
    chart: Any, anonymous: Any, rows: Callable[[], list[AuditRow]]
) -> None:
    rows()
    for path in ("Patient/one", "Patient/one/_history", "Patient/one/Observation", "Patient/one/$everything"):
        assert anonymous.get(path).status == 401
        (row,) = rows()
        assert (row.outcome, row.patient) == (401, "one"), path
    assert anonymous.get("Patient/Zebedee%20Smith").status == 401
    assert rows()[0].patient == ""


def test_every_entry_of_a_batch_leaves_a_row_refused_ones_too(
    chart: Any, rows: Callable[[], list[AuditRow]]
) -> None:
    rows()
    urls = ("Patient/one", "Observation?patient=one", "Patient/nobody", "AuditEvent", "Observation/o-one/$meta")
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    assert chart.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries}).status == 200
    found = [(row.interaction, row.patient, row.outcome) for row in rows()]
    assert found == [
        ("read", "one", 200),
        ("search-type", "one", 200),
        ("read", "nobody", 404),
        ("search-type", "", 403),
        ("operation", "one", 200),
    ]


def _rules(app: Flask) -> list[tuple[str, str, str]]:
    """(method, path, endpoint) of every route that is not the FHIR API's, with arguments filled in."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("fhir.") or rule.endpoint.endswith(".static"):
            continue
        path = re.sub(r"<(?:[a-z_]+:)?([a-z_]+)>", lambda found: ARGUMENTS[found[1]], rule.rule)
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        found += [(method, path, rule.endpoint) for method in sorted(methods)]
    return sorted(found)


def test_every_page_leaves_a_row_or_shows_no_record(
    chart: Any, demo_app: Flask, sign_in: Callable[[str], FlaskClient], rows: Callable[[], list[AuditRow]]
) -> None:
    silent = []
    browser = sign_in("engineer")
    for method, path, endpoint in _rules(demo_app):
        rows()
        query = {"patient": "one", "before": "1", "after": "1"}
        form = {"content_type": FORM} if method == "POST" else {}
        answer = browser.open(path, method=method, base_url=BASE, query_string=query, **form)
        found = rows()
        assert all(row.username in ("engineer", "") for row in found)
        if not found:
            silent.append((method, endpoint, answer.status_code))
    known = NOTHING_SHOWN.keys() | OWN | UNREAD
    assert [entry for entry in silent if entry[1] not in known] == []


def test_every_page_of_a_record_names_who_looked_and_whose_it_is(
    chart: Any, sign_in: Callable[[str], FlaskClient], rows: Callable[[], list[AuditRow]]
) -> None:
    browser = sign_in("engineer")
    for path, client in (
        ("/console/resources/Patient/one", "console"),
        ("/console/resources?type=Observation&query=patient%3Done", "console"),
        ("/ehr/patients/one", "demo-ehr"),
    ):
        rows()
        assert browser.get(path, base_url=BASE).status_code == 200
        found = rows()
        assert {row.username for row in found} == {"engineer"}
        assert {row.client_id for row in found} == {client}
        assert "one" in {row.patient for row in found}


@pytest.mark.parametrize(
    "path",
    ["/console/resources", "/console/queue", "/console/audit", "/console/disclosures", "/console/audit/export"],
)
def test_a_page_that_a_role_may_not_open_leaves_the_refusal(
    sign_in: Callable[[str], FlaskClient], rows: Callable[[], list[AuditRow]], path: str
) -> None:
    browser = sign_in("rn")
    rows()
    assert browser.get(path, base_url=BASE).status_code == 403
    (row,) = rows()
    assert (row.outcome, row.username, row.client_id) == (403, "rn", "console")
    assert row.detail.startswith("console.")


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
def test_an_oauth_request_that_is_refused_leaves_a_row(
    app: Flask, rows: Callable[[], list[AuditRow]], endpoint: str
) -> None:
    rows()
    answer = app.test_client().post(f"/oauth2/{endpoint}", data={"client_id": "nobody"}, base_url=BASE)
    assert 400 <= answer.status_code < 500
    (row,) = rows()
    assert (row.interaction, row.outcome) == (f"{endpoint}-refused", answer.status_code)


def test_a_wrong_password_and_a_bad_authorization_request_leave_a_row(
    app: Flask, rows: Callable[[], list[AuditRow]]
) -> None:
    browser = app.test_client()
    rows()
    assert browser.get("/oauth2/authorize?client_id=nobody", base_url=BASE).status_code == 400
    (row,) = rows()
    assert (row.interaction, row.outcome, row.detail) == ("authorize-refused", 400, "invalid_request")
    form = browser.get("/oauth2/login", base_url=BASE).text
    secret = form.partition('name="csrf" value="')[2].partition('"')[0]
    data = {"csrf": secret, "username": "nobody", "password": "wrong"}
    assert browser.post("/oauth2/login", data=data, base_url=BASE).status_code == 401
    (row,) = rows()
    assert (row.interaction, row.outcome, row.username) == ("login-refused", 401, "")
