"""What an agreement permits is data: closed where it says nothing, in codes of HL7, each with its source.

Covers server/policy/partner_agreements.py with its three files, and the roles of administrators and partners.
"""

from __future__ import annotations

import re

import pytest

from server.policy.partner_agreements import (
    BASES,
    agreement_kinds,
    document_of,
    partner_kinds,
    purposes_of_use,
    record_classes,
)
from server.policy.roles import role, roles
from server.terminology.shipped import code_system

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ORGANIZATION_TYPE = "http://terminology.hl7.org/CodeSystem/organization-type"


def test_purposes_are_those_of_hl7_with_its_words() -> None:
    system = code_system(ACT_REASON)
    assert system is not None
    known = system.below("PurposeOfUse")
    assert set(purposes_of_use()) < set(known)
    assert {code: system.concepts[code].display for code in purposes_of_use()} == purposes_of_use()


def test_no_partner_breaks_the_glass_or_asks_in_the_patients_place() -> None:
    system = code_system(ACT_REASON)
    assert system is not None
    assert not {"BTG", *system.below("PATRQT")} & set(purposes_of_use())


def test_kinds_of_partner_are_types_of_organizations() -> None:
    system = code_system(ORGANIZATION_TYPE)
    assert system is not None
    assert {kind.type for kind in partner_kinds().values()} <= set(system.concepts)
    assert {"home-health", "behavioural-health", "food-bank", "payer"} <= set(partner_kinds())


@pytest.mark.parametrize("kind", agreement_kinds().values(), ids=lambda kind: kind.name)
def test_an_agreement_names_its_basis_its_day_and_known_purposes_and_classes(kind) -> None:
    assert re.search(r"\d\d CFR", kind.source)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kind.effective)
    assert kind.purposes
    assert set(kind.purposes) <= set(purposes_of_use())
    assert set(kind.permits) <= set(record_classes())
    assert set(kind.permits.values()) <= set(BASES)


def test_what_an_agreement_does_not_name_never_goes_out() -> None:
    for kind in agreement_kinds().values():
        assert kind.basis("a class of tomorrow") == "never"
        assert kind.basis("psychotherapy-notes") == "never"


def test_records_of_a_substance_use_programme_go_out_by_agreement_to_its_service_organization_alone() -> None:
    free = {name for name, kind in agreement_kinds().items() if kind.basis("part-2") == "agreement"}
    assert free == {"part-2-qsoa"}


def test_a_community_organisation_gets_nothing_without_consent() -> None:
    assert set(agreement_kinds()["community-consent"].permits.values()) == {"consent"}


@pytest.mark.parametrize(
    "name", ["partner_agreements", "partner_kinds", "purposes_of_use", "roles", "open_types"]
)
def test_a_policy_says_where_it_comes_from(name: str) -> None:
    document = document_of(name)
    assert document.version
    assert document.source
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document.effective)


def test_an_administrator_changes_clients_and_partners_and_sees_no_patient() -> None:
    administrator = role("administrator")
    assert administrator.console
    assert administrator.administers
    for closed in ("Patient", "Observation", "AuditEvent", "Task"):
        assert administrator.permissions(closed) == ""
    assert [name for name, held in roles().items() if held.administers] == ["administrator"]


def test_an_engineer_looks_and_changes_nothing() -> None:
    assert role("engineer").console
    assert not role("engineer").administers


def test_a_role_for_partners_opens_no_page_of_ours() -> None:
    for held in roles().values():
        if held.partner:
            assert not held.console
            assert not held.administers
            assert held.permissions("AuditEvent") == ""
