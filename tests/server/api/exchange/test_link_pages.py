"""Connecting a chart of another EHR: the app asks, a person signs in, compares and confirms; nothing by itself.

Covers server/auth/link_proposals.py, server/auth/identity_links.py, server/api/link_pages.py,
server/api/link_candidates.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.auth.identity_links import end
from server.storage.authorization import UserRow
from server.storage.identity_link_rows import REVOKED

ISS = "https://other.example"
THEIRS = {
    "resourceType": "Patient",
    "id": "theirs-1",
    "name": [{"family": "Amber", "given": ["Tessa"]}],
    "birthDate": "1950-02-03",
    "gender": "female",
    "identifier": [{"system": "urn:example:numbers", "value": "A-77"}],
}


@pytest.fixture
def charts(stranger: Any, fhir: Any, build: Any) -> Any:
    """Here: "one" is the patient of the launch, "two" has the same name and another birth date."""
    for id, born, number in (("one", "1950-02-03", "A-77"), ("two", "1951-02-03", "B-12")):
        patient = build.patient(
            id=id,
            name=[{"family": "Amber", "given": ["Tessa"]}],
            birthDate=born,
            gender="female",
            identifier=[{"system": "urn:example:numbers", "value": number}],
        )
        assert fhir.put(f"Patient/{id}", patient).status == 200
    return stranger


def asked(stranger: Any, **changes: Any) -> str:
    """The path of the page that the app was given."""
    page = stranger.propose(**changes)
    assert page.status == 201, page.text
    body = json.loads(page.text)
    assert body["expires_in"] == 900
    assert page.headers["Cache-Control"] == "no-store"
    return urlsplit(body["link_uri"]).path


def signed_in(stranger: Any, username: str = "rn") -> Any:
    browser = stranger.smart.browser()
    browser.sign_in(username)
    return browser


def press(browser: Any, path: str, **fields: str) -> Any:
    """Press a button of the page, as its form sends it."""
    csrf = dict(browser.get(path).fields)["csrf"]
    return browser.post(path, {"csrf": csrf, **fields})


# -- asking


def test_the_answer_is_the_same_whoever_is_here(charts: Any) -> None:
    nobody = {**THEIRS, "name": [{"family": "Nobody", "given": ["Here"]}], "birthDate": "1999-01-01"}
    pages = [charts.propose(patient) for patient in (THEIRS, nobody)]
    assert [page.status for page in pages] == [201, 201]
    assert [sorted(json.loads(page.text)) for page in pages] == [["expires_in", "link_uri"]] * 2


def test_a_proposal_links_nobody(charts: Any, oauth_error: Callable[..., None], store: Any) -> None:
    asked(charts)
    assert {(row.kind, row.there, row.here, row.state) for row in store.identity_links.links(limit=9)} == {
        ("staff", "Practitioner/their-nurse", "", "proposed"),
        ("patient", "theirs-1", "", "proposed"),
    }
    oauth_error(charts.exchange(), 400, "invalid_grant")


def test_asking_twice_makes_one_proposal(charts: Any, store: Any) -> None:
    asked(charts)
    asked(charts)
    assert len(store.identity_links.links(limit=9)) == 2


def test_a_link_keeps_no_demographics(charts: Any, store: Any) -> None:
    browser, path = signed_in(charts), asked(charts)
    press(browser, path, decision="patient", patient="one", compared="yes")
    rows = store.identity_links.links(limit=9, kind="patient")
    assert "Amber" not in str(rows)
    assert "1950" not in str(rows)


@pytest.mark.parametrize(
    "patient",
    [
        "",
        "{}",
        "[]",
        '{"resourceType":"Patient"}',
        '{"resourceType":"Person","id":"a"}',
        '{"resourceType":"Patient","id":"a","gender":"x"}',
        "[" * 900,
    ],
    ids=["nothing", "empty", "list", "no id", "no Patient", "not valid", "deep"],
)
def test_what_is_no_patient_is_refused(stranger: Any, oauth_error: Callable[..., None], patient: str) -> None:
    oauth_error(stranger.propose(patient), 400, "invalid_request")


def test_only_a_good_id_token_of_a_client_that_may_exchange_can_ask(
    stranger: Any, oauth_error: Callable[..., None], audited: Callable[..., Any]
) -> None:
    oauth_error(stranger.propose(id_token=stranger.id_token(aud="other")), 400, "invalid_grant")
    assert audited("exchange-refused")[0].detail == "audience"
    oauth_error(stranger.propose(nonce="another"), 400, "invalid_grant")
    oauth_error(stranger.propose(client=stranger.another_client()), 400, "invalid_grant")
    backend = stranger.another_client(exchange=False, backend=True)
    oauth_error(stranger.propose(client=backend), 400, "unauthorized_client")
    oauth_error(stranger.propose(client_assertion="a.b.c"), 401, "invalid_client")


# -- the page


def test_the_page_asks_for_a_sign_in_and_comes_back(charts: Any) -> None:
    path = asked(charts)
    browser = charts.smart.browser()
    first = browser.get(path)
    assert first.status == 303
    assert first.location.startswith("/oauth2/login?next=")
    assert browser.sign_in("rn", next=path).location == path
    assert browser.get(path).status == 200


def test_both_records_stand_side_by_side_with_what_differs(charts: Any) -> None:
    page = signed_in(charts).get(asked(charts))
    assert "Nora Example (synthetic)" in page.text
    one, two = page.text.split("<article")[1:]
    assert "certain" in one.split("</h3>")[0]
    assert '<tr class="differs">' in two
    assert "1951-02-03" in two
    assert "certain" not in two.split("</h3>")[0]
    assert page.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/oauth2/links/nothing", "/oauth2/links/" + "x" * 200, "/oauth2/links/%C3%A9"]
)
def test_an_address_nobody_was_given_is_not_there(charts: Any, path: str) -> None:
    assert charts.smart.browser().get(path).status == 404


def test_the_address_is_good_for_fifteen_minutes(charts: Any, clock: Any) -> None:
    path = asked(charts)
    clock.advance(minutes=15, seconds=1)
    assert charts.smart.browser().get(path).status == 404


def test_an_issuer_that_is_shut_out_has_no_page(charts: Any) -> None:
    from server.auth.trusted_issuers import disable_issuer

    path = asked(charts)
    disable_issuer(charts.context, ISS)
    assert signed_in(charts).get(path).status == 404


def test_who_may_see_no_patients_sees_none_here(charts: Any) -> None:
    rows = charts.context.rows
    before = rows.user("rn")
    rows.put_user(UserRow("visitor", before.password_hash, role="privacy", practitioner_id="prac-rn"))
    browser, path = signed_in(charts, "visitor"), asked(charts)
    page = browser.get(path)
    assert page.status == 200
    assert "Your role sees no patients here" in page.text
    assert "A-77" not in page.text
    assert "1951" not in page.text
    for fields in ({"decision": "patient", "patient": "one", "compared": "yes"}, {"decision": "none"}):
        assert press(browser, path, **fields).status == 409


# -- confirming


def test_after_both_are_confirmed_the_exchange_succeeds(charts: Any, audited: Callable[..., Any]) -> None:
    path = asked(charts)
    browser = signed_in(charts)
    assert press(browser, path, decision="me").status == 303
    assert press(browser, path, decision="patient", patient="one", compared="yes").status == 303
    assert json.loads(charts.exchange().text)["patient"] == "one"
    rows = audited("link-confirm")
    assert [(row.principal, row.username, row.patient) for row in rows] == [
        ("Practitioner/prac-rn", "rn", "one"),
        ("Practitioner/prac-rn", "rn", ""),
    ]
    (link,) = charts.context.store.identity_links.links(limit=9, kind="patient")
    assert (link.made["by"], link.made["grade"]) == ("match", "certain")
    assert "identifier agrees (same system and value)" in link.made["reasons"]
    page = browser.get(path)
    assert "This user there is you here" in page.text
    assert "is connected with a record here" in page.text


def test_nobody_becomes_somebodys_account_by_a_page_that_was_open_before(charts: Any, clock: Any) -> None:
    browser = signed_in(charts)
    clock.advance(seconds=5)
    path = asked(charts)
    answer = press(browser, path, decision="me")
    assert answer.status == 303
    assert "again=1" in answer.location
    assert charts.context.store.identity_links.confirmed("staff", ISS, "Practitioner/their-nurse") is None


def test_without_having_compared_nothing_is_confirmed(charts: Any) -> None:
    browser, path = signed_in(charts), asked(charts)
    assert press(browser, path, decision="patient", patient="one").status == 409
    assert charts.context.store.identity_links.confirmed("patient", ISS, "theirs-1") is None


@pytest.mark.parametrize("patient", ["nobody", "", "two/../one", "rn"])
def test_only_a_candidate_can_be_confirmed(charts: Any, patient: str) -> None:
    browser, path = signed_in(charts), asked(charts)
    assert press(browser, path, decision="patient", patient=patient, compared="yes").status == 409
    assert charts.context.store.identity_links.confirmed("patient", ISS, "theirs-1") is None


def test_a_record_that_was_merged_cannot_be_confirmed(charts: Any, fhir: Any) -> None:
    merged = json.loads(json.dumps(THEIRS)) | {
        "id": "one",
        "link": [{"other": {"reference": "Patient/two"}, "type": "replaced-by"}],
    }
    fhir.put("Patient/one", merged)
    browser, path = signed_in(charts), asked(charts)
    assert "was merged into another" in browser.get(path).text
    assert press(browser, path, decision="patient", patient="one", compared="yes").status == 409


def test_a_form_of_another_page_does_nothing(charts: Any) -> None:
    browser, path = signed_in(charts), asked(charts)
    answer = browser.post(path, {"decision": "patient", "patient": "one", "compared": "yes", "csrf": "guessed"})
    assert answer.status == 303
    assert answer.location.startswith("/oauth2/login")
    assert charts.context.store.identity_links.confirmed("patient", ISS, "theirs-1") is None


def test_none_of_these_refuses_the_proposal_and_a_new_launch_asks_again(charts: Any, store: Any) -> None:
    browser, path = signed_in(charts), asked(charts)
    assert press(browser, path, decision="none").status == 303
    assert [row.state for row in store.identity_links.links(limit=9, kind="patient")] == ["refused"]
    assert "no record here is of this patient" in browser.get(path).text
    asked(charts)
    assert [row.state for row in store.identity_links.links(limit=9, kind="patient", state="proposed")] == [
        "proposed"
    ]


def test_a_link_that_holds_is_not_replaced_by_another_confirmation(charts: Any) -> None:
    browser, path = signed_in(charts), asked(charts)
    link = charts.link_patient(here="two")
    assert press(browser, path, decision="patient", patient="one", compared="yes").status == 409
    assert charts.context.store.identity_links.confirmed("patient", ISS, "theirs-1").here == "two"
    assert end(charts.context, link.link_id, REVOKED, principal="operator")


def test_an_account_without_practitioner_cannot_be_somebody_there(charts: Any) -> None:
    before = charts.context.rows.user("rn")
    charts.context.rows.put_user(UserRow("clerk", before.password_hash, role="rn"))
    path = asked(charts)
    assert press(signed_in(charts, "clerk"), path, decision="me").status == 409
    assert charts.context.store.identity_links.confirmed("staff", ISS, "Practitioner/their-nurse") is None


def test_whose_user_is_linked_elsewhere_learns_no_name(charts: Any) -> None:
    charts.link_staff(username="engineer")
    page = signed_in(charts).get(asked(charts))
    assert "connected with another account here" in page.text
    assert "engineer" not in page.text
