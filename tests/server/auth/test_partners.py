"""Partners are taken on, agreed with, suspended and ended; only one that is bound now acts.

Covers server/auth/partners.py, partner_changes.py, partner_description.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server.auth import partner_changes as changes
from server.auth.accounts import AccountError, add_account
from server.auth.actor import OPERATOR, Actor
from server.auth.client_changes import register
from server.auth.clients import PUBLIC, SYMMETRIC, Registration, RegistrationError
from server.auth.partner_changes import PartnerError
from server.auth.partner_description import described, lines
from server.auth.partners import Acting, PartnerClosed, acting_for, may_act
from server.auth.tokens import Authenticator, Claims, mint
from server.storage.authorization import BrowserSessionRow
from server.storage.partners import Agreement, PartnerRow

TODAY = date(2024, 5, 17)  # of the tests' clock
TREATMENT = Agreement("treatment", date(2024, 1, 1))
ADMINISTRATOR = Actor("User/admin", "admin", "console")
PASSWORD = "long enough for an account"


@pytest.fixture
def context(authorization: Any, app: Any) -> Any:
    return authorization


def take_on(context: Any, partner_id: str = "sunrise", **more: Any) -> PartnerRow:
    given: dict[str, Any] = {
        "name": partner_id.title(),
        "kind": "home-health",
        "purpose": "TREAT",
        "organization_id": f"org-{partner_id}",
        "agreements": (TREATMENT,),
    }
    return changes.add_partner(context, OPERATOR, partner_id, **given | more)


def add_client(context: Any, partner_id: str = "sunrise", client_id: str = "app", **more: Any) -> None:
    registration = Registration(
        client_id=client_id,
        name=client_id,
        kind=PUBLIC,
        scope="patient/*.rs",
        redirect_uris=("https://app.example/cb",),
        **more,
    )
    changes.add_partner_client(context, OPERATOR, partner_id, registration)


def add_user(
    context: Any, partner_id: str = "sunrise", username: str = "intake", role: str = "partner"
) -> None:
    changes.add_partner_user(context, OPERATOR, partner_id, username, PASSWORD, role=role)


def events(context: Any, count: int = 20) -> list[str]:
    """The last audit rows of changes, oldest first: event and detail."""
    rows = reversed(context.store.audit_rows(limit=count))
    return [f"{row.interaction} {row.detail}".rstrip() for row in rows]


class TestActing:
    def test_what_belongs_to_no_partner_acts_for_none(self, context: Any) -> None:
        take_on(context)
        assert acting_for(context, "another", "rn") is None
        assert acting_for(context, "") is None
        assert may_act(context, "another")

    def test_a_client_and_a_person_act_for_their_partner_and_its_purpose(self, context: Any) -> None:
        take_on(context)
        add_client(context)
        add_user(context)
        acting = Acting("Organization/org-sunrise", "TREAT", None)
        assert acting_for(context, "app") == acting
        assert acting_for(context, "our own app", "intake") == acting
        assert acting_for(context, "app", "intake") == acting
        assert acting_for(context, "app", "a nurse of ours") == acting

    def test_a_client_of_one_partner_does_not_act_for_the_people_of_another(self, context: Any) -> None:
        take_on(context)
        take_on(context, "pantry", kind="food-bank")
        add_client(context)
        add_user(context, "pantry")
        with pytest.raises(PartnerClosed):
            acting_for(context, "app", "intake")

    @pytest.mark.parametrize(
        ("starts", "ends", "lets_in"),
        [
            (TODAY, None, True),
            (TODAY, TODAY, True),
            (TODAY - timedelta(9), TODAY, True),
            (TODAY + timedelta(1), None, False),
            (TODAY - timedelta(9), TODAY - timedelta(1), False),
        ],
    )
    def test_an_agreement_lets_in_from_its_first_day_to_its_last(
        self, context: Any, starts: date, ends: date | None, lets_in: bool
    ) -> None:
        take_on(context, agreements=(Agreement("treatment", starts, ends),))
        add_client(context)
        assert may_act(context, "app") is lets_in

    def test_acting_ends_with_the_last_agreement_that_covers_the_purpose(self, context: Any) -> None:
        take_on(
            context,
            agreements=(
                Agreement("treatment", date(2024, 1, 1), date(2024, 6, 30)),
                Agreement("business-associate", date(2024, 5, 1), date(2024, 12, 31)),
            ),
        )
        add_client(context)
        acting = acting_for(context, "app")
        assert acting is not None
        assert acting.until == datetime(2025, 1, 1, tzinfo=UTC)

    def test_an_agreement_that_does_not_cover_the_purpose_lets_nobody_in(self, context: Any) -> None:
        row = take_on(context)
        add_client(context)
        context.store.partners.change(replace(row, agreements=(Agreement("public-health", date(2024, 1, 1)),)))
        assert not may_act(context, "app")
        context.store.partners.change(replace(row, agreements=(Agreement("of no policy", date(2024, 1, 1)),)))
        assert not may_act(context, "app")

    def test_one_that_is_only_invited_is_let_in_nowhere(self, context: Any) -> None:
        take_on(context, agreements=())
        add_client(context)
        assert not may_act(context, "app")
        changes.agree(context, OPERATOR, "sunrise", TREATMENT)
        assert may_act(context, "app")


class TestTokens:
    def token(self, context: Any, lifetime: timedelta = timedelta(hours=1), **claims: Any) -> str:
        return mint(context, Claims(client_id="app", scope="system/*.rs", **claims), lifetime)

    def test_a_principal_names_the_organization_and_the_purpose(self, context: Any) -> None:
        take_on(context)
        add_client(context)
        principal = Authenticator(context).principal(self.token(context))
        assert principal is not None
        assert principal.organization == principal.name == "Organization/org-sunrise"
        assert principal.purpose == "TREAT"
        assert principal.client_id == "app"

    def test_a_persons_principal_is_named_by_the_person(self, context: Any) -> None:
        take_on(context)
        add_user(context)
        principal = Authenticator(context).principal(self.token(context, username="intake", role="partner"))
        assert principal is not None
        assert (principal.name, principal.organization) == ("User/intake", "Organization/org-sunrise")

    @pytest.mark.parametrize("change", [changes.suspend, changes.end])
    def test_shutting_out_ends_every_token_at_once(self, context: Any, change: Any) -> None:
        take_on(context)
        add_client(context)
        add_user(context)
        authenticator = Authenticator(context)
        tokens = [self.token(context), self.token(context, username="intake", role="partner")]
        assert all(authenticator.principal(token) for token in tokens)
        change(context, OPERATOR, "sunrise", "leaked")
        assert [authenticator.principal(token) for token in tokens] == [None, None]

    def test_a_token_ends_with_the_agreement_though_nobody_does_anything(
        self, context: Any, clock: Any
    ) -> None:
        take_on(context, agreements=(Agreement("treatment", date(2024, 1, 1), TODAY),))
        add_client(context)
        authenticator = Authenticator(context)
        token = self.token(context, timedelta(hours=24))
        clock.now = datetime(2024, 5, 17, 23, 59, 59, tzinfo=UTC)
        assert authenticator.principal(token) is not None
        clock.now = datetime(2024, 5, 18, tzinfo=UTC)
        assert authenticator.principal(token) is None
        assert Authenticator(context).principal(token) is None

    def test_tokens_do_not_come_back_with_the_partner(self, context: Any) -> None:
        take_on(context)
        add_client(context)
        authenticator, token = Authenticator(context), self.token(context)
        changes.suspend(context, OPERATOR, "sunrise", "leaked")
        changes.resume(context, OPERATOR, "sunrise")
        assert authenticator.principal(token) is None
        assert authenticator.principal(self.token(context)) is not None


class TestStates:
    def test_it_is_active_with_an_agreement_and_invited_without(self, context: Any) -> None:
        assert take_on(context).state == "active"
        assert take_on(context, "pantry", agreements=()).state == "invited"

    def test_suspending_disables_what_is_its_own_and_resuming_enables_just_that(self, context: Any) -> None:
        take_on(context)
        for client_id in ("one", "two"):
            add_client(context, client_id=client_id)
        add_user(context)
        context.rows.disable_client("two", context.clock())
        now = context.clock()
        context.rows.add_browser_session(
            BrowserSessionRow(b"s" * 32, "login", "intake", now, now, now + timedelta(hours=1))
        )
        row = changes.suspend(context, ADMINISTRATOR, "sunrise", "A key leaked")
        assert (row.state, row.held_clients, row.held_users) == ("suspended", ("one",), ("intake",))
        assert [context.rows.client(id).disabled for id in ("one", "two")] == [True, True]
        assert context.rows.user("intake").disabled
        assert context.rows.browser_session(b"s" * 32) is None
        changes.resume(context, ADMINISTRATOR, "sunrise", "New key")
        assert [context.rows.client(id).disabled for id in ("one", "two")] == [False, True]
        assert not context.rows.user("intake").disabled

    def test_the_history_says_when_by_whom_and_why(self, context: Any, clock: Any) -> None:
        take_on(context, agreements=())
        clock.advance(days=1)
        changes.agree(context, OPERATOR, "sunrise", TREATMENT)
        clock.advance(days=1)
        row = changes.end(context, ADMINISTRATOR, "sunrise", " Contract ended ")
        assert [(change.state, change.by, change.reason) for change in row.history] == [
            ("invited", "operator", ""),
            ("active", "operator", ""),
            ("ended", "User/admin", "Contract ended"),
        ]
        assert row.history[-1].at == clock()
        assert context.store.partners.partner("sunrise") == replace(
            row, history=context.store.partners.partner("sunrise").history
        )

    @pytest.mark.parametrize(
        ("state", "refused"),
        [
            ("invited", {"suspend", "resume"}),
            ("active", {"resume"}),
            ("suspended", {"suspend"}),
            ("ended", {"suspend", "resume", "end", "agree"}),
        ],
    )
    def test_a_state_follows_only_where_it_may(self, context: Any, state: str, refused: set[str]) -> None:
        acts = {
            "suspend": lambda: changes.suspend(context, OPERATOR, "sunrise", "why"),
            "resume": lambda: changes.resume(context, OPERATOR, "sunrise"),
            "end": lambda: changes.end(context, OPERATOR, "sunrise", "why"),
            "agree": lambda: changes.agree(context, OPERATOR, "sunrise", TREATMENT),
        }
        found = set()
        row = take_on(context)
        for name, act in acts.items():
            context.store.partners.change(replace(row, state=state))
            try:
                act()
            except PartnerError:
                assert context.store.partners.partner("sunrise").state == state
                found.add(name)
        assert found == refused

    def test_one_that_is_shut_out_gets_no_new_client_and_no_new_account(self, context: Any) -> None:
        take_on(context)
        changes.suspend(context, OPERATOR, "sunrise", "why")
        with pytest.raises(PartnerError):
            add_client(context)
        with pytest.raises(PartnerError):
            add_user(context)
        assert context.rows.client("app") is None
        assert context.rows.user("intake") is None

    def test_another_end_of_an_agreement_replaces_the_one_of_before(self, context: Any) -> None:
        take_on(context)
        ended = replace(TREATMENT, ends=date(2024, 5, 1))
        assert changes.agree(context, OPERATOR, "sunrise", ended).agreements == (ended,)
        later = Agreement("treatment", date(2024, 5, 2))
        assert changes.agree(context, OPERATOR, "sunrise", later).agreements == (ended, later)


class TestRefusals:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": "two\nlines"},
            {"kind": "circus"},
            {"purpose": "BTG"},
            {"organization_id": "no id!"},
            {"contacts": ("",)},
            {"contacts": ("x",) * 21},
            {"agreements": (Agreement("handshake", TODAY),)},
            {"agreements": (Agreement("payer", TODAY),)},  # does not cover treatment
            {"agreements": (Agreement("treatment", TODAY, TODAY - timedelta(1)),)},
        ],
    )
    def test_what_cannot_be_a_partner_changes_nothing(self, context: Any, wrong: dict[str, Any]) -> None:
        with pytest.raises(PartnerError):
            take_on(context, **wrong)
        assert context.store.partners.partner("sunrise") is None
        assert events(context) == []

    @pytest.mark.parametrize("partner_id", ["", "Sunrise", "-a", "a-", "a b", "a\0", "x" * 49, "ä"])
    def test_a_short_name_has_a_form(self, context: Any, partner_id: str) -> None:
        with pytest.raises(PartnerError):
            take_on(context, partner_id)
        with pytest.raises(PartnerError):
            changes.suspend(context, OPERATOR, partner_id, "why")

    def test_a_partner_and_an_organisation_are_taken_on_once(self, context: Any) -> None:
        take_on(context)
        with pytest.raises(PartnerError):
            take_on(context)
        with pytest.raises(PartnerError):
            take_on(context, "again", organization_id="org-sunrise")

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x07"])
    def test_shutting_out_needs_a_reason(self, context: Any, reason: str) -> None:
        take_on(context)
        add_client(context)
        with pytest.raises(PartnerError):
            changes.suspend(context, OPERATOR, "sunrise", reason)
        assert may_act(context, "app")

    @pytest.mark.parametrize("role", ["rn", "engineer", "administrator", "privacy", "clinician", "nonsense"])
    def test_people_of_partners_have_no_role_of_ours(self, context: Any, role: str) -> None:
        take_on(context)
        with pytest.raises(PartnerError):
            add_user(context, role=role)
        assert context.rows.user("intake") is None
        assert may_act(context, "", "intake")
        assert context.store.partners.all_members("sunrise") == ()

    def test_an_account_or_a_client_of_ours_does_not_become_a_partners(self, context: Any) -> None:
        take_on(context)
        add_account(context, "intake", PASSWORD, role="rn")
        with pytest.raises(AccountError):
            add_user(context)
        registration = Registration("app", "Ours", PUBLIC, "user/*.rs", redirect_uris=("https://a.example/cb",))
        register(context, OPERATOR, registration)
        with pytest.raises(PartnerError):
            add_client(context)
        assert context.store.partners.all_members("sunrise") == ()
        assert (context.rows.user("intake").role, context.rows.client("app").name) == ("rn", "Ours")

    def test_nobody_becomes_a_partners_twice(self, context: Any) -> None:
        take_on(context)
        take_on(context, "pantry", kind="food-bank")
        add_user(context)
        with pytest.raises(PartnerError):
            add_user(context, "pantry")

    def test_a_partners_client_is_never_trusted(self, context: Any) -> None:
        take_on(context)
        with pytest.raises(PartnerError):
            add_client(context, trusted=True)
        assert context.rows.client("app") is None

    def test_a_client_that_cannot_be_registered_is_no_member(self, context: Any) -> None:
        take_on(context)
        registration = Registration("app", "App", SYMMETRIC, "patient/*.rs")
        with pytest.raises(RegistrationError):
            changes.add_partner_client(context, OPERATOR, "sunrise", registration)
        assert context.store.partners.all_members("sunrise") == ()


def test_every_change_stands_in_the_audit_trail_with_who_did_it(context: Any) -> None:
    take_on(context, agreements=())
    changes.agree(context, OPERATOR, "sunrise", TREATMENT)
    add_client(context)
    add_user(context)
    changes.suspend(context, ADMINISTRATOR, "sunrise", "A reason that is not repeated there")
    changes.resume(context, ADMINISTRATOR, "sunrise")
    changes.end(context, ADMINISTRATOR, "sunrise", "over")
    assert events(context) == [
        "partner-add sunrise",
        "partner-agree sunrise treatment",
        "partner-client-add sunrise",
        "user-add partner",
        "partner-user-add sunrise",
        "client-disable sunrise",
        "user-disable sunrise",
        "partner-suspend sunrise",
        "client-enable sunrise",
        "user-enable sunrise",
        "partner-resume sunrise",
        "client-disable sunrise",
        "user-disable sunrise",
        "partner-end sunrise",
    ]
    last = context.store.audit_rows(limit=3)
    assert {row.principal for row in last} == {"User/admin"}
    assert [row.client_id for row in last] == ["console", "console", "app"]
    assert [row.username for row in last] == ["admin", "intake", "admin"]


def test_a_partner_is_described_for_programs_and_for_people(context: Any) -> None:
    row = take_on(context, contacts=("Intake desk",))
    add_client(context)
    members = context.store.partners.all_members("sunrise")
    shown = described(row, members)
    assert shown["partner"] == "sunrise"
    assert shown["organization"] == "Organization/org-sunrise"
    assert shown["agreements"] == [{"kind": "treatment", "from": "2024-01-01", "until": None, "document": ""}]
    assert (shown["clients"], shown["users"]) == (["app"], [])
    assert "clients" not in described(row)
    assert "\n".join(lines(row, members)).splitlines() == [
        "sunrise  Sunrise  active  Organization/org-sunrise",
        "asks for TREAT (treatment)",
        "agreement  treatment from 2024-01-01",
        "contact  Intake desk",
        "client  app",
        "2024-05-17 12:00 UTC  active by operator",
    ]
