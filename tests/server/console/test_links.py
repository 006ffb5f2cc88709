"""The console's pages of links: what waits, and what an administrator decides.

Covers server/console/links.py and link_views.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey

from server.auth.context import AuthContext
from server.auth.trusted_issuers import NewIssuer, issuer_row, put_issuer
from server.storage.identity_link_rows import LinkRow

BASE = "http://127.0.0.1:8000"
ISS = "https://other.example"
KEY = RSAKey.generate_key(2048, {"kid": "a", "use": "sig"})


@pytest.fixture
def links(authorization: AuthContext, fhir: Any) -> Any:
    """A trusted EHR with one user and one patient proposed."""
    asked = NewIssuer(
        issuer=ISS,
        audience="us",
        clients=("app",),
        scope="patient/List.rs",
        label="Other hospital",
        jwks={"keys": [KEY.as_dict(private=False)]},
    )
    put_issuer(authorization, issuer_row(asked, authorization.clock()), "issuer-add")
    fhir.put("Practitioner/demo-rn", {"resourceType": "Practitioner", "id": "demo-rn"})
    tables, now = authorization.store.identity_links, authorization.clock()
    made = {"by": "launch", "display": "Nora Example (synthetic)"}
    tables.propose(LinkRow("s1", "staff", ISS, "Practitioner/a", "", "proposed", now, "Client/app", made=made))
    tables.propose(
        LinkRow("p1", "patient", ISS, "theirs", "", "proposed", now, "Client/app", made={"by": "launch"})
    )
    return tables


@pytest.fixture
def browser(sign_in: Callable[[str], FlaskClient], links: Any) -> FlaskClient:
    sign_in("rn")  # whose account a user there can be
    return sign_in("engineer")


def get(browser: FlaskClient, path: str = "") -> Any:
    return browser.get(f"/console/links{path}", base_url=BASE)


def send(browser: FlaskClient, name: str, **form: str) -> Any:
    token = re.search(r'name="csrf_token" value="([^"]+)"', get(browser).text)
    assert token is not None
    return browser.post(f"/console/links/{name}", base_url=BASE, data={"csrf_token": token[1], **form})


def test_the_page_shows_issuers_and_what_waits(browser: FlaskClient) -> None:
    page = get(browser).text
    for shown in (
        "Other hospital",
        ISS,
        "Practitioner/a",
        "Nora Example (synthetic)",
        "theirs",
        "patient/List.rs",
    ):
        assert shown in page
    assert get(browser, "?state=confirmed").text.count("No link is confirmed.") == 1
    assert get(browser, "?state=nothing").status_code == 404


def test_an_administrator_confirms_who_a_user_there_is(browser: FlaskClient, links: Any, store: Any) -> None:
    question = get(browser, "/confirm?target=s1").text
    assert "Nora Example (synthetic)" in question
    assert '<option value="rn">' in question
    answer = send(browser, "confirm", target="s1", account="rn")
    assert answer.status_code == 303
    assert "The link is confirmed." in browser.get(answer.headers["Location"], base_url=BASE).text
    link = links.confirmed("staff", ISS, "Practitioner/a")
    assert (link.link_id, link.here, link.decided_by) == ("s1", "rn", "Practitioner/demo-engineer")
    (row,) = [row for row in store.audit_rows(limit=20) if row.interaction == "link-confirm"]
    assert (row.principal, row.username) == ("Practitioner/demo-engineer", "engineer")


def test_patients_are_not_confirmed_here(browser: FlaskClient, links: Any) -> None:
    assert get(browser, "/confirm?target=p1").status_code == 404
    assert send(browser, "confirm", target="p1", account="one").status_code == 404
    assert links.confirmed("patient", ISS, "theirs") is None


@pytest.mark.parametrize("account", ["", "nobody", "engineer"])
def test_an_account_that_cannot_act_is_not_linked(browser: FlaskClient, links: Any, account: str) -> None:
    assert send(browser, "confirm", target="s1", account=account).status_code in (404, 409)
    assert links.confirmed("staff", ISS, "Practitioner/a") is None


def test_a_proposal_is_refused_and_a_link_revoked_after_a_question(browser: FlaskClient, links: Any) -> None:
    assert "Refuse" in get(browser, "/refuse?target=p1").text
    assert send(browser, "refuse", target="p1").status_code == 303
    assert send(browser, "refuse", target="p1").status_code == 404
    send(browser, "confirm", target="s1", account="rn")
    assert "ends at once" in get(browser, "/revoke?target=s1").text
    assert send(browser, "revoke", target="s1").status_code == 303
    assert links.link("s1").state == "revoked"


def test_an_ehr_is_shut_out(browser: FlaskClient, links: Any) -> None:
    assert "Other hospital" in get(browser, f"/disable-issuer?target={ISS}").text
    assert send(browser, "disable-issuer", target=ISS).status_code == 303
    assert links.issuer(ISS).disabled
    assert send(browser, "disable-issuer", target=ISS).status_code == 404
    assert "shut out" in get(browser).text


def test_there_is_nothing_else_to_do(browser: FlaskClient) -> None:
    assert get(browser, "/delete?target=s1").status_code == 404
    assert send(browser, "delete", target="s1").status_code == 404
    assert browser.post("/console/links/refuse", base_url=BASE, data={"target": "p1"}).status_code == 403


def test_without_the_console_nobody_looks(sign_in: Callable[[str], FlaskClient], links: Any) -> None:
    for role in ("rn", "privacy"):
        assert get(sign_in(role)).status_code == 403
