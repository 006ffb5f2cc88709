"""The console's page of grants: what people have allowed, in words, and its revocation.

Covers server/console/grant_views.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.auth.tokens import Claims, mint
from server.storage.authorization import ClientRow

SCOPE = "openid fhirUser patient/Observation.rs user/Task.crus"


@pytest.fixture
def growth(authorization: Any) -> str:
    """A token of a nurse for an app."""
    authorization.rows.put_client(ClientRow("growth", "Growth chart", "public", authorization.clock()))
    return grant(authorization)


def grant(authorization: Any, **claims: Any) -> str:
    given: dict[str, Any] = {
        "client_id": "growth",
        "scope": SCOPE,
        "username": "rn",
        "patient": "secret-patient",
    }
    return mint(authorization, Claims(**given | claims), timedelta(hours=1))


def id_of(authorization: Any, token: str) -> str:
    return authorization.rows.token(authorization.hash(token)).grant_id


def test_without_a_grant_the_page_says_so(engineer: Any) -> None:
    assert "No program has access in anybody's name." in engineer.get("grants").text


def test_a_grant_is_told_in_words_without_whose_chart(engineer: Any, growth: str) -> None:
    text = engineer.get("grants").text
    for shown in (
        "rn",
        "Growth chart",
        "In one patient&#39;s record: Results, vital signs and other observations (see).",
        "In every record the person may use: ",
        "Tasks (see, add and change)",
    ):
        assert shown in text, shown
    assert "secret-patient" not in text
    assert growth not in text


def test_grants_are_narrowed_by_account_and_client(engineer: Any, authorization: Any, growth: str) -> None:
    grant(authorization, username="ma")
    grant(authorization, client_id="other")
    assert sorted(engineer.rows("grants")) == ["ma", "rn", "rn"]
    assert engineer.rows("grants?user=ma") == ["ma"]
    assert sorted(engineer.rows("grants?client=growth")) == ["ma", "rn"]
    assert engineer.rows("grants?client=growth&user=rn") == ["rn"]
    assert "No standing grant matches." in engineer.get("grants?user=nobody").text
    assert engineer.get("grants?user=%00").status_code == 200


def test_pages_of_grants_follow_one_another(engineer: Any, authorization: Any, growth: str) -> None:
    for number in range(70):
        grant(authorization, username=f"u{number}")
    path = engineer.next_page("grants?client=growth")
    found = engineer.rows("grants?client=growth") + engineer.rows(path)
    assert len(found) == len(set(found)) == 71
    assert engineer.next_page(path) == ""


def test_what_ended_or_is_a_services_own_is_not_listed(
    engineer: Any, authorization: Any, growth: str, clock: Any
) -> None:
    grant(authorization, username="")
    authorization.rows.revoke_grant(id_of(authorization, growth), clock())
    assert engineer.rows("grants") == []


def test_revoking_asks_first_and_ends_every_token(administrator: Any, authorization: Any, growth: str) -> None:
    grant_id = id_of(authorization, growth)
    asked = administrator.get(f"grants/{grant_id}/revoke")
    assert "Revoke what rn has allowed Growth chart?" in asked.text
    assert authorization.rows.grant(grant_id).revoked is None
    answer = administrator.post(f"grants/{grant_id}/revoke")
    assert answer.status_code == 303
    assert "Every token made from it has ended." in administrator.follow(answer).text
    assert authorization.rows.token(authorization.hash(growth)).revoked is not None
    row = authorization.store.audit_rows(limit=1)[0]
    assert (row.interaction, row.outcome, row.principal, row.username, row.client_id, row.patient) == (
        "grant-revoke",
        200,
        "Practitioner/demo-administrator",
        "rn",
        "growth",
        "secret-patient",
    )


def test_an_engineer_revokes_nothing(engineer: Any, authorization: Any, growth: str) -> None:
    grant_id = id_of(authorization, growth)
    assert "Revoke" not in engineer.get("grants").text
    assert engineer.post(f"grants/{grant_id}/revoke").status_code == 403
    assert authorization.rows.grant(grant_id).revoked is None
    row = authorization.store.audit_rows(limit=1)[0]
    assert (row.interaction, row.outcome, row.username) == ("grant-revoke", 403, "engineer")


def test_a_form_from_elsewhere_is_refused(administrator: Any, authorization: Any, growth: str) -> None:
    grant_id = id_of(authorization, growth)
    assert administrator.post(f"grants/{grant_id}/revoke", csrf_token="guessed").status_code == 403
    assert authorization.rows.grant(grant_id).revoked is None


def test_a_services_own_grant_and_an_unknown_one_are_not_found(administrator: Any, authorization: Any) -> None:
    own = id_of(authorization, grant(authorization, username=""))
    for grant_id in (own, "nothing", "%00"):
        assert administrator.get(f"grants/{grant_id}/revoke").status_code == 404
        assert administrator.post(f"grants/{grant_id}/revoke").status_code == 404
