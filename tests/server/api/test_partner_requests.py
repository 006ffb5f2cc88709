"""A partner over HTTP: its system gets a token, reads what is nobody's chart, no chart, and is audited by name.

Covers hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html for partners; server/auth/partners.py,
server/interactions/audit.py, server/console for people of partners.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from server.auth import partner_changes
from server.auth.actor import OPERATOR
from server.auth.clients import ASYMMETRIC, PUBLIC, Registration
from server.auth.tokens import Claims, mint
from server.settings import Settings
from server.storage.audit_values import AuditRow
from server.storage.authorization import UserRow
from server.storage.partners import Agreement, Member

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE = "system/*.cruds"
AGREEMENT = Agreement("treatment", date(2024, 1, 1), date(2024, 12, 31))
CALLBACK = "https://app.example/callback"


@pytest.fixture
def records(smart: Any, fhir: Any) -> str:
    """The client of an active partner, whose Organization is stored."""
    fhir.put("Organization/sunrise", {"resourceType": "Organization", "id": "sunrise", "name": "Sunrise"})
    take_on(smart)
    jwks = {"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in smart.keys.values()]}
    registration = Registration("records", "Sunrise records", ASYMMETRIC, SCOPE, backend=True, jwks=jwks)
    partner_changes.add_partner_client(smart.context, OPERATOR, "sunrise", registration)
    return "records"


def take_on(smart: Any, **more: Any) -> None:
    partner_changes.add_partner(
        smart.context,
        OPERATOR,
        "sunrise",
        name="Sunrise Home Health",
        kind="home-health",
        purpose="TREAT",
        organization_id="sunrise",
        **{"agreements": (AGREEMENT,)} | more,
    )


def ask(smart: Any, client_id: str = "records", scope: str = SCOPE) -> Any:
    return smart.token(
        grant_type="client_credentials",
        scope=scope,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=smart.assertion(client_id),
    )


def token(smart: Any) -> str:
    page = ask(smart)
    assert page.status == 200, page.text
    return str(json.loads(page.text)["access_token"])


@pytest.fixture
def rows(smart: Any, settings: Settings) -> Callable[[], list[AuditRow]]:
    """The rows since the last call, the oldest first."""
    seen = 0

    def new() -> list[AuditRow]:
        nonlocal seen
        smart.context.store.ingest_audit(settings.home / "audit")
        everything = list(reversed(smart.context.store.audit_rows(limit=1_000)))
        fresh, seen = everything[seen:], len(everything)
        return fresh

    return new


def test_its_system_reads_what_is_nobodys_chart_and_no_chart(smart: Any, records: str) -> None:
    held = token(smart)
    assert smart.fhir("Organization/sunrise", held).status == 200
    assert json.loads(smart.fhir("Organization", held).text)["total"] == 1
    for path in (
        "Patient/one",
        "Patient",
        "Patient?_id=one&_revinclude=Encounter:subject",
        "Encounter/stay",
        "Patient/one/$everything",
        "AuditEvent",
        "Binary/x",
    ):
        page = smart.fhir(path, held)
        assert page.status == 403, (path, page.text)
        outcome = json.loads(page.text)
        assert outcome["issue"][0]["code"] == "forbidden"
    everything = smart.fhir("?_type=Organization", held)
    assert everything.status == 200
    assert "Amber" not in smart.fhir("Organization?_has:Encounter:service-provider:_id=stay", held).text


def test_its_system_writes_nothing(smart: Any, records: str, app: Any) -> None:
    headers = {"Authorization": f"Bearer {token(smart)}", "Content-Type": "application/fhir+json"}
    for path, body in (
        ("Organization/sunrise", {"resourceType": "Organization", "id": "sunrise", "name": "Other"}),
        ("Task/new", {"resourceType": "Task", "id": "new", "status": "requested", "intent": "order"}),
    ):
        answer = app.test_client().put(
            f"/fhir/{path}", base_url="http://127.0.0.1:8000", data=json.dumps(body), headers=headers
        )
        assert answer.status_code == 403
        assert answer.get_json(force=True)["issue"][0]["code"] == "forbidden"


def test_its_requests_are_audited_as_its_own_with_the_purpose(
    smart: Any, records: str, rows: Callable[[], list[AuditRow]]
) -> None:
    rows()
    held = token(smart)
    smart.fhir("Organization/sunrise", held)
    smart.fhir("Patient?name=Amber", held)
    issued, read, refused = rows()
    for row in (issued, read, refused):
        assert (row.principal, row.client_id, row.purpose) == ("Organization/sunrise", "records", "TREAT")
    assert [row.interaction for row in (issued, read, refused)] == ["token-issue", "read", "search-type"]
    assert [row.outcome for row in (issued, read, refused)] == [200, 200, 403]
    assert "Amber" not in str(refused)


def test_a_person_of_a_partner_is_audited_by_name_with_the_organization_beside(
    smart: Any, records: str, rows: Callable[[], list[AuditRow]]
) -> None:
    context = smart.context
    context.rows.put_user(UserRow("intake", "", "partner", practitioner_id="prac-rn"))
    context.store.partners.add_member("sunrise", Member("user", "intake"), context.clock())
    claims = Claims("our-app", "user/*.rs", username="intake", fhir_user="Practitioner/prac-rn", role="partner")
    held = mint(context, claims, context.lifetimes.access_token)
    rows()
    assert smart.fhir("Organization?name=Sunrise", held).status == 200
    assert smart.fhir("Patient/one", held).status == 403
    found, refused = rows()
    assert (found.principal, found.username, found.purpose) == ("Practitioner/prac-rn", "intake", "TREAT")
    assert found.detail.startswith("name")
    for row in (found, refused):
        assert "Organization/sunrise" in str(row)


@pytest.mark.parametrize("change", [partner_changes.suspend, partner_changes.end])
def test_shutting_it_out_ends_its_tokens_and_its_client(
    smart: Any, records: str, oauth_error: Any, change: Any
) -> None:
    held = token(smart)
    change(smart.context, OPERATOR, "sunrise", "A key leaked")
    assert smart.fhir("Organization/sunrise", held).status == 401
    oauth_error(ask(smart), 401, "invalid_client")


def test_a_partner_that_was_only_invited_gets_no_token(smart: Any, oauth_error: Any) -> None:
    take_on(smart, agreements=())
    jwks = {"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in smart.keys.values()]}
    registration = Registration("records", "Sunrise records", ASYMMETRIC, SCOPE, backend=True, jwks=jwks)
    partner_changes.add_partner_client(smart.context, OPERATOR, "sunrise", registration)
    oauth_error(ask(smart), 401, "invalid_client")
    partner_changes.agree(smart.context, OPERATOR, "sunrise", AGREEMENT)
    assert ask(smart).status == 200


def test_an_agreement_that_has_run_out_lets_nobody_in(
    smart: Any, records: str, clock: Any, oauth_error: Any
) -> None:
    held = token(smart)
    clock.advance(days=300)
    assert smart.fhir("Organization/sunrise", held).status == 401
    oauth_error(ask(smart), 401, "invalid_client")


class TestPeople:
    @pytest.fixture
    def intake(self, smart: Any, records: str) -> Any:
        """A browser in which somebody of the partner is signed in, as the nurse's password allows."""
        nurse = smart.context.rows.user("rn")
        smart.context.rows.put_user(UserRow("intake", nurse.password_hash, "partner"))
        smart.context.store.partners.add_member("sunrise", Member("user", "intake"), smart.context.clock())
        browser = smart.browser()
        assert browser.sign_in("intake").status == 303
        return browser

    def test_they_sign_in_and_see_no_patient_to_choose(self, smart: Any, intake: Any) -> None:
        client = smart.client(PUBLIC, redirect_uris=(CALLBACK,))
        page = smart.authorize(intake, client)
        assert page.status == 200
        assert "Amber" not in page.text
        assert "Birch" not in page.text

    def test_the_console_is_closed_to_them_whatever_their_role(self, smart: Any, intake: Any) -> None:
        assert intake.get("/console/resources").status == 403
        row = smart.context.rows.user("intake")
        smart.context.rows.put_user(UserRow("intake", row.password_hash, "engineer"))
        page = intake.get("/console/clients")
        assert page.status == 403
        assert "not for the people of partner organisations" in page.text

    def test_a_suspension_signs_them_out_and_lets_them_in_no_more(self, smart: Any, intake: Any) -> None:
        assert intake.get("/oauth2/grants").status == 200
        partner_changes.suspend(smart.context, OPERATOR, "sunrise", "why")
        assert intake.get("/oauth2/grants").status == 303
        assert smart.browser().sign_in("intake").status == 401

    def test_the_end_of_the_agreement_does_the_same(self, smart: Any, intake: Any, clock: Any) -> None:
        clock.advance(days=300)
        assert smart.browser().sign_in("intake").status == 401
