"""Issuers, links, tickets and what grants rest on, on both databases.

Covers server/storage/identity_links.py and the migration that makes its tables.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage import open_store
from server.storage.identity_link_rows import (
    CONFIRMED,
    PROPOSED,
    REFUSED,
    REVOKED,
    IssuerRow,
    LinkRow,
    TicketRow,
    issuer_basis,
    link_basis,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ISS = "https://other.example"


@pytest.fixture
def links(database_url: str) -> Any:
    store = open_store(database_url)
    store.upgrade()
    yield store.identity_links
    store.close()


def link(id: str, *, state: str = PROPOSED, here: str = "", **more: Any) -> LinkRow:
    row = LinkRow(id, "patient", ISS, "theirs", here, state, NOW, "Client/app", made={"by": "launch"})
    return replace(row, **more)


ISSUER = IssuerRow(
    issuer=ISS,
    fhir_base=f"{ISS}/fhir",
    label="Other",
    created=NOW,
    audience="us",
    clients=("app", "other"),
    algorithms=("RS256",),
    scope="patient/List.rs",
    npi_claim="npi",
    jwks={"keys": [{"kid": "a"}]},
    jwks_uri=f"{ISS}/jwks",
    jwks_fetched=NOW,
)


def test_an_issuer_comes_back_as_it_was_kept(links: Any) -> None:
    assert links.issuer(ISS) is None
    links.put_issuer(ISSUER)
    assert links.issuer(ISS) == ISSUER
    changed = replace(ISSUER, disabled=True, jwks_fetched=None, jwks={}, jwks_uri="")
    links.put_issuer(changed)
    assert links.issuers() == (changed,)
    assert links.issuer(ISS, hold=True) == changed


def test_a_link_goes_from_proposed_to_confirmed_to_revoked(links: Any) -> None:
    assert links.propose(link("1")) == link("1")
    assert links.propose(link("2", made={"by": "launch", "display": "Nora"})).link_id == "1"  # it waits already
    assert links.propose(link("2", made={"by": "launch", "display": ""})).made["display"] == "Nora"
    decided = link(
        "3", state=CONFIRMED, here="ours", decided=NOW, decided_by="Practitioner/x", made={"by": "match"}
    )
    kept = links.confirm(decided)
    assert kept == replace(decided, link_id="1")
    assert links.confirmed("patient", ISS, "theirs") == kept == links.link("1")
    assert links.propose(link("4")) == kept
    assert links.confirm(replace(decided, link_id="5", here="another")) is None
    assert links.end("1", REFUSED, NOW, "x") is None  # it is no proposal any more
    ended = links.end("1", REVOKED, NOW + timedelta(hours=1), "Practitioner/y")
    assert (ended.state, ended.decided_by, ended.here) == (REVOKED, "Practitioner/y", "ours")
    assert links.end("1", REVOKED, NOW, "x") is None
    assert links.confirmed("patient", ISS, "theirs") is None


def test_a_name_is_of_its_kind_and_issuer(links: Any) -> None:
    assert links.confirm(link("1", state=CONFIRMED, here="ours"))
    assert links.confirmed("staff", ISS, "theirs") is None
    assert links.confirmed("patient", f"{ISS}/", "theirs") is None
    assert links.confirm(link("2", kind="staff", state=CONFIRMED, here="rn"))


def test_links_are_listed_newest_first_by_what_is_asked_for(links: Any) -> None:
    for number in range(3):
        row = link(str(number), there=f"t{number}", created=NOW + timedelta(minutes=number))
        links.propose(row)
    links.end("1", REFUSED, NOW, "x")
    assert [row.link_id for row in links.links(limit=9)] == ["2", "1", "0"]
    assert [row.link_id for row in links.links(limit=9, state=PROPOSED, kind="patient")] == ["2", "0"]
    assert [row.link_id for row in links.links(limit=1)] == ["2"]


def test_of_many_confirmations_at_once_one_holds(database_url: str) -> None:
    store = open_store(database_url)
    store.upgrade()
    links = store.identity_links
    links.propose(link("0"))
    rows = [link(str(number), state=CONFIRMED, here=f"ours-{number}") for number in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        kept = [row for row in pool.map(links.confirm, rows) if row is not None]
    assert len(kept) == 1
    assert links.confirmed("patient", ISS, "theirs") == kept[0]
    store.close()


def test_a_ticket_is_found_by_its_hash_until_it_is_purged(links: Any) -> None:
    row = TicketRow(
        b"t" * 32, NOW, NOW, ISS, "app", "Practitioner/a", "A", {"resourceType": "Patient", "id": "x"}
    )
    links.add_ticket(row)
    assert links.ticket(b"t" * 32) == row
    assert links.ticket(b"u" * 32) is None
    assert links.purge(NOW + timedelta(hours=23)) == 0
    assert links.purge(NOW + timedelta(hours=25)) == 1
    assert links.ticket(b"t" * 32) is None


def test_grants_are_found_by_what_they_rest_on_until_their_tokens_are_long_over(links: Any) -> None:
    links.add_bases("g1", (issuer_basis(ISS), link_basis("1")), NOW)
    links.add_bases("g2", (issuer_basis(ISS), link_basis("2")), NOW)
    assert set(links.grants_on(issuer_basis(ISS))) == {"g1", "g2"}
    assert links.grants_on(link_basis("2")) == ("g2",)
    assert links.grants_on(link_basis("3")) == ()
    links.purge(NOW + timedelta(days=2))
    assert links.grants_on(issuer_basis(ISS)) == ()


def test_a_proposal_nobody_decides_on_is_forgotten_after_a_month(links: Any) -> None:
    links.propose(link("1"))
    links.confirm(link("2", there="other", state=CONFIRMED, here="ours"))
    links.purge(NOW + timedelta(days=29))
    assert links.link("1") is not None
    links.purge(NOW + timedelta(days=31))
    assert links.link("1") is None
    assert links.link("2") is not None
