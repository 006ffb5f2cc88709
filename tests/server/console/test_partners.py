"""The console's pages of partners: found, looked at, suspended with a reason; engineers only look.

Covers server/console/partners.py, partner_views.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from server.auth import partner_changes
from server.auth.actor import OPERATOR
from server.auth.clients import PUBLIC, Registration
from server.auth.tokens import Claims, mint
from server.console.partners import agreements_shown, permissions_shown
from server.policy.partner_agreements import agreement_kinds
from server.storage.authorization import BrowserSessionRow, UserRow
from server.storage.partners import Agreement, Member

TREATMENT = Agreement("treatment", date(2024, 1, 1), date(2024, 12, 31), "Contract 17")


@pytest.fixture
def sunrise(authorization: Any, administrator: Any) -> Any:
    """An active partner with a client and an account; the authorization server's parts."""
    take_on(authorization, "sunrise", "Sunrise Home Health", agreements=(TREATMENT,), contacts=("Intake desk",))
    registration = Registration(
        "records", "Records", PUBLIC, "patient/*.rs", redirect_uris=("https://a.example/",)
    )
    partner_changes.add_partner_client(authorization, OPERATOR, "sunrise", registration)
    authorization.rows.put_user(UserRow("intake", "", "partner", display="Intake desk of Sunrise"))
    authorization.store.partners.add_member("sunrise", Member("user", "intake"), authorization.clock())
    return authorization


def take_on(authorization: Any, partner_id: str, name: str, **more: Any) -> None:
    given = {"kind": "home-health", "purpose": "TREAT", "organization_id": f"org-{partner_id}"}
    partner_changes.add_partner(authorization, OPERATOR, partner_id, name=name, **given | more)


def test_without_a_partner_the_page_says_how_to_take_one_on(engineer: Any) -> None:
    page = engineer.get("partners")
    assert page.status_code == 200
    assert "No partner has been taken on." in page.text
    assert "baton partner add" in page.text


def test_partners_are_listed_by_name_and_narrowed(engineer: Any, authorization: Any) -> None:
    take_on(authorization, "sunrise", "Sunrise Home Health", agreements=(TREATMENT,))
    take_on(authorization, "pantry", "county food bank", kind="food-bank", purpose="COC")
    assert engineer.rows("partners") == ["county food bank", "Sunrise Home Health"]
    assert engineer.rows("partners?text=SUN") == ["Sunrise Home Health"]
    assert engineer.rows("partners?state=invited") == ["county food bank"]
    assert engineer.rows("partners?kind=food-bank&text=county") == ["county food bank"]
    assert engineer.rows("partners?state=nonsense&kind=circus") == ["county food bank", "Sunrise Home Health"]
    assert "No partner matches." in engineer.get("partners?text=zzz").text
    assert "coordination of care" in engineer.get("partners").text


def test_pages_of_partners_follow_one_another(engineer: Any, authorization: Any) -> None:
    names = [f"Partner {number:03}" for number in range(60)]
    for number, name in enumerate(names):
        take_on(authorization, f"p{number}", name)
    path = engineer.next_page("partners?state=invited")
    assert engineer.rows("partners?state=invited") + engineer.rows(path) == names
    assert engineer.next_page(path) == ""


def test_a_page_shows_what_binds_a_partner_and_who_acts_for_it(engineer: Any, sunrise: Any) -> None:
    text = engineer.get("partners/sunrise").text
    for shown in (
        "Sunrise Home Health",
        "Organization/org-sunrise",
        "Home health agency",
        "treatment (<code>TREAT</code>)",
        "Intake desk",
        "Covered entity, for treatment",
        "from 2024-01-01 until 2024-12-31: in force",
        "Contract 17",
        "45 CFR 164.506",
        "with the patient&#39;s consent as well",
        "Records</a>",
        "Intake desk of Sunrise",
        "<b>active</b>, by operator",
    ):
        assert shown in text, shown
    assert "No agreement is in force today" not in text


def test_it_warns_where_no_agreement_is_in_force(engineer: Any, sunrise: Any, clock: Any) -> None:
    clock.advance(days=300)
    now = clock()
    sunrise.rows.add_browser_session(
        BrowserSessionRow(sunrise.hash("later"), "login", "engineer", now, now, now.replace(year=now.year + 1))
    )
    engineer.browser.set_cookie("__Host-baton-web", "later", domain="127.0.0.1", secure=False)
    text = engineer.get("partners/sunrise").text
    assert "No agreement is in force today" in text
    assert "not in force today" in text


def test_it_says_when_the_partner_last_asked(
    engineer: Any, sunrise: Any, seal: Callable[[], None], clock: Any
) -> None:
    assert "none in the sealed audit trail" in engineer.get("partners/sunrise").text
    clock.advance(minutes=5)
    mint(sunrise, Claims("records", "system/*.rs"), sunrise.lifetimes.access_token)
    seal()
    text = engineer.get("partners/sunrise").text
    assert "2024-05-17 12:05 UTC" in text.partition("Last activity")[2][:200]


def test_suspending_asks_why_and_ends_its_access(administrator: Any, sunrise: Any) -> None:
    asked = administrator.get("partners/sunrise/suspend")
    assert asked.status_code == 200
    assert "Suspend Sunrise Home Health?" in asked.text
    assert "Name no patient." in asked.text
    answer = administrator.post("partners/sunrise/suspend", reason="A key leaked")
    assert answer.status_code == 303
    shown = administrator.follow(answer).text
    assert "Its tokens and sessions have ended." in shown
    assert "<b>suspended</b>, by Practitioner/demo-administrator. A key leaked" in shown
    assert sunrise.rows.client("records").disabled
    assert sunrise.rows.user("intake").disabled
    row = sunrise.store.audit_rows(limit=1)[0]
    assert (row.interaction, row.outcome, row.username, row.client_id, row.detail) == (
        "partner-suspend",
        200,
        "administrator",
        "console",
        "sunrise",
    )


def test_a_suspension_without_a_reason_changes_nothing(administrator: Any, sunrise: Any) -> None:
    page = administrator.post("partners/sunrise/suspend", reason=" ")
    assert page.status_code == 422
    assert "Nothing was changed." in page.text
    assert sunrise.store.partners.partner("sunrise").state == "active"


def test_a_suspended_partner_is_resumed_or_ended(administrator: Any, sunrise: Any) -> None:
    administrator.post("partners/sunrise/suspend", reason="why")
    assert "partners/sunrise/suspend" not in administrator.get("partners/sunrise").text
    administrator.post("partners/sunrise/resume")
    assert not sunrise.rows.client("records").disabled
    administrator.post("partners/sunrise/end", reason="Contract ended")
    assert sunrise.store.partners.partner("sunrise").state == "ended"
    assert administrator.get("partners/sunrise/resume").status_code == 404
    assert administrator.post("partners/sunrise/resume").status_code == 422


def test_an_engineer_looks_and_changes_nothing(engineer: Any, sunrise: Any) -> None:
    assert "Suspend" not in engineer.get("partners/sunrise").text
    page = engineer.post("partners/sunrise/suspend", reason="why")
    assert page.status_code == 403
    assert sunrise.store.partners.partner("sunrise").state == "active"
    row = sunrise.store.audit_rows(limit=1)[0]
    assert (row.interaction, row.outcome, row.username) == ("partner-suspend", 403, "engineer")


def test_a_form_from_elsewhere_is_refused(administrator: Any, sunrise: Any) -> None:
    page = administrator.post("partners/sunrise/end", reason="why", csrf_token="guessed")
    assert page.status_code == 403
    assert sunrise.store.partners.partner("sunrise").state == "active"


@pytest.mark.parametrize(
    "path", ["partners/sunset", "partners/Sun%00rise", "partners/sunrise/fly", "partners/a b"]
)
def test_what_is_not_there_is_not_found(administrator: Any, sunrise: Any, path: str) -> None:
    assert administrator.get(path).status_code == 404


def test_every_kind_of_agreement_says_of_every_class_whether_it_goes_out() -> None:
    for name in (*agreement_kinds(), "of no policy"):
        shown = dict(permissions_shown(name))
        assert len(shown) == 4
        assert (
            shown["Psychotherapy notes, and counselling notes of a substance use disorder programme"] == "never"
        )
    assert set(dict(permissions_shown("of no policy")).values()) == {"never"}


def test_agreements_are_shown_the_latest_first(sunrise: Any) -> None:
    partner_changes.agree(sunrise, OPERATOR, "sunrise", Agreement("business-associate", date(2025, 1, 1)))
    shown = agreements_shown(sunrise.store.partners.partner("sunrise"), date(2024, 12, 31))
    assert [(one.title, one.is_in_force) for one in shown] == [
        ("Business associate agreement", False),
        ("Covered entity, for treatment", True),
    ]
