"""The policies of oversight: what counts as a disclosure, how long rows stay, who reviews and who reads the
trail.

Covers server/policy/disclosures.py, audit_retention.py, emergency_review.py, audit_readers.py, audit_events.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from server.policy.audit_events import kind, kinds
from server.policy.audit_readers import audit_readers
from server.policy.audit_retention import kept_since, retention_years
from server.policy.disclosures import accounting
from server.policy.emergency_review import emergency_review
from server.policy.roles import roles

LEAP = datetime(2028, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("purpose", "principal", "excluded"),
    [
        ("TREAT", "Practitioner/x", "164.528(a)(1)(i)"),
        ("HPAYMT", "Client/x", "164.528(a)(1)(i)"),
        ("HOPERAT", "Client/x", "164.528(a)(1)(i)"),
        ("HDIRECT", "Client/x", "164.528(a)(1)(v)"),
        ("PUBHLTH", "Client/x", ""),
        ("HRESCH", "Client/x", ""),
        ("", "Client/x", ""),
        ("NEW", "Client/x", ""),
        ("PUBHLTH", "Patient/p", "164.528(a)(1)(ii)"),
        ("PUBHLTH", "Patient/other", ""),
    ],
)
def test_what_the_rule_leaves_out_is_left_out_and_nothing_else(
    purpose: str, principal: str, excluded: str
) -> None:
    assert accounting().excluded(purpose, principal, "p") == excluded


def test_a_purpose_that_is_not_known_is_told_by_its_code_and_none_as_not_stated() -> None:
    assert accounting().purpose("NEW").title == "NEW"
    assert accounting().purpose("").title == "not stated"


def test_an_accounting_and_the_rows_it_is_made_of_reach_six_years_back() -> None:
    assert accounting().years == 6
    assert retention_years() >= accounting().years
    assert accounting().since(LEAP) == datetime(2022, 2, 28, 12, tzinfo=UTC)
    assert kept_since(LEAP) == datetime(2022, 2, 28, 12, tzinfo=UTC)


def test_reviewers_are_roles_that_see_the_audit_trail() -> None:
    assert emergency_review().reviewers
    for name in emergency_review().reviewers:
        assert "s" in roles()[name].permissions("AuditEvent")


def test_no_token_of_a_patient_or_a_partner_reads_the_trail() -> None:
    policy = audit_readers()
    assert not policy.levels["patient"].opens
    assert not policy.organizations


def test_every_kind_has_a_type_an_action_and_agents() -> None:
    for name, found in kinds().items():
        assert found.action in set("CRUDE"), name
        assert found.type.system
        assert found.client.code
        assert found.server.code
    assert kind("of-a-later-release") == kinds()[""]
