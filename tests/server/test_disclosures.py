"""The accounting of disclosures: what went out to partners, by the rule, as operators and privacy officers get
it.

Covers server/disclosures.py, server/console/disclosures_views.py, `baton audit disclosures`. Source: 45 CFR
164.528.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from server import audit_command, command_context
from server.audit_verification import verify
from server.disclosures import as_csv, disclosures, recipients
from server.settings import Settings
from server.storage.audit_values import AuditRow

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def partners(store: Any, fhir: Any, seal_trail: Callable[[], None], clock: Any) -> Any:
    """What partners and others did with the record of one patient, over seven years."""
    fhir.put(
        "Organization/county",
        {
            "resourceType": "Organization",
            "id": "county",
            "name": "County health department",
            "address": [{"line": ["1 Main Street"], "city": "Springfield", "postalCode": "12345"}],
        },
    )
    fhir.put("Organization/formula", {"resourceType": "Organization", "id": "formula", "name": '=cmd|"x"'})
    row = AuditRow(
        recorded=clock() - timedelta(days=10),
        principal="Client/registry",
        client_id="registry",
        interaction="search-type",
        resource_type="Observation",
        id="",
        version_id=0,
        patient="one two",
        outcome=200,
        request_id="request-1",
        purpose="PUBHLTH",
        results=3,
        organization="Organization/county",
    )
    rows = [
        row,
        replace(row, recorded=clock() - timedelta(days=9), interaction="read", id="o-1", results=1),
        replace(row, recorded=clock() - timedelta(days=8), purpose="TREAT", organization="Organization/clinic"),
        replace(row, recorded=clock() - timedelta(days=7), purpose="", organization="Organization/formula"),
        replace(row, recorded=clock() - timedelta(days=6), outcome=403),
        replace(row, recorded=clock() - timedelta(days=5), interaction="update", id="o-1"),
        replace(row, recorded=clock() - timedelta(days=4), organization=""),
        replace(row, recorded=clock() - timedelta(days=3), patient="two"),
        replace(row, recorded=clock() - timedelta(days=2), principal="Patient/one", patient="one"),
        replace(row, recorded=clock() - timedelta(days=7 * 365)),
    ]
    with store.writing() as writer:
        for one in rows:
            writer.audit(one)
    seal_trail()
    return store


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Callable[..., Result]:
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    return lambda *arguments: CliRunner().invoke(audit_command.audit, [str(argument) for argument in arguments])


def test_what_counts_is_what_went_out_to_a_partner_for_another_purpose_than_care(
    partners: Any, clock: Any
) -> None:
    since = clock() - timedelta(days=6 * 365)
    found = list(disclosures(partners, "one", since=since, until=None))
    assert [(one.recipient, one.purpose, one.resources) for one in found] == [
        ("Organization/formula", "", 3),
        ("Organization/county", "PUBHLTH", 1),
        ("Organization/county", "PUBHLTH", 3),
    ]
    assert [one.what for one in found] == ["search of Observation", "Observation/o-1", "search of Observation"]
    assert [one.purpose_text for one in found] == ["not stated", "public health", "public health"]
    assert all(not one.excluded and one.app == "registry" and not one.person for one in found)


def test_everything_shows_what_does_not_count_and_why(partners: Any) -> None:
    found = list(disclosures(partners, "one", since=None, until=None, everything=True))
    reasons = {
        one.recipient if one.excluded.endswith("(i)") else one.person: one.excluded
        for one in found
        if one.excluded
    }
    assert reasons == {"Organization/clinic": "164.528(a)(1)(i)", "Patient/one": "164.528(a)(1)(ii)"}
    assert len(found) == 6  # with the one of seven years ago


def test_disclosures_to_one_partner_for_one_purpose_are_told_together(partners: Any, clock: Any) -> None:
    groups = recipients(disclosures(partners, "one", since=clock() - timedelta(days=100), until=None))
    (county,) = [group for group in groups if group.recipient == "Organization/county"]
    assert (county.times, county.resources, county.purpose_text) == (2, 4, "public health")
    assert county.first < county.last


def test_a_cell_cannot_pass_for_a_formula(partners: Any) -> None:
    found = list(disclosures(partners, "one", since=None, until=None))
    text = "".join(as_csv(found, {"Organization/formula": '=cmd|"x"'}))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["recipient_name"] == '\'=cmd|"x"'
    assert len(rows) == len(found)


def test_the_operators_command_prints_names_and_leaves_a_row(partners: Any, baton: Any, store: Any) -> None:
    # The clock of commands is that of the host, so the time is named.
    asked = ("disclosures", "Patient/one", "--since", "2020-01-01")
    result = baton(*asked, "--json")
    assert result.exit_code == 0, result.output
    first = [json.loads(line) for line in result.stdout.splitlines()][-1]
    assert first["recipient_name"] == "County health department, 1 Main Street, Springfield, 12345"
    words = baton(*asked)
    assert "public health" in words.stdout
    assert "Organization/clinic" not in words.stdout
    assert "164.528(a)(1)(i)" in baton(*asked, "--all").stdout
    assert baton(*asked, "--csv").stdout.startswith("recipient_name,recorded,recipient,")
    rows = [row for row in store.audit_rows(limit=50) if row.interaction == "disclosures-read"]
    assert {(row.principal, row.patient) for row in rows} == {("operator", "one")}
    assert {row.detail for row in rows} == {"", "everything"}
    assert baton("disclosures", "Smith, John").exit_code == 2


def test_the_page_shows_recipients_and_each_disclosure(
    partners: Any, sign_in: Callable[[str], FlaskClient], store: Any
) -> None:
    browser = sign_in("privacy")
    page = browser.get("/console/disclosures?patient=Patient/one", base_url=BASE)
    assert page.status_code == 200
    assert "County health department, 1 Main Street" in page.text
    assert "Organization/clinic" not in page.text
    assert "3 disclosures, the latest first" in page.text
    everything = browser.get("/console/disclosures?patient=one&all=1", base_url=BASE).text
    assert "no, 164.528(a)(1)(i)" in everything
    row = next(row for row in store.audit_rows(limit=20) if row.interaction == "disclosures-read")
    assert (row.username, row.patient) == ("privacy", "one")
    paper = browser.get("/console/disclosures/print?patient=one", base_url=BASE)
    assert paper.status_code == 200
    assert "Purpose: public health. 2 times" in paper.text


@pytest.mark.parametrize(
    "query", ["patient=Smith%20J", "patient=one&since=yesterday", "patient=one&until=2026-02-31"]
)
def test_a_form_that_cannot_be_is_answered_in_words(sign_in: Callable[[str], FlaskClient], query: str) -> None:
    page = sign_in("privacy").get(f"/console/disclosures?{query}", base_url=BASE)
    assert page.status_code == 400
    assert "The accounting was not made." in page.text


def test_nothing_is_said_where_nothing_went_out(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("privacy").get("/console/disclosures?patient=nobody", base_url=BASE)
    assert (page.status_code, "went out to a partner" in page.text) == (200, True)


def test_the_partner_is_part_of_what_is_sealed(partners: Any, settings: Settings) -> None:
    folder = settings.home / "audit"
    before = verify(partners.database, folder, ())
    with partners.database.writing() as connection:
        connection.execute(
            "UPDATE audit_chain SET organization = '' WHERE organization = 'Organization/clinic'"
        )
    after = verify(partners.database, folder, ())
    assert after.finding_count == before.finding_count + 1
