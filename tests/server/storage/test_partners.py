"""Partner organisations as they are kept: whole, one for an organisation, each client and account with one.

Covers server/storage/partners.py, partner_tables.py, folded_names.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage.folded_names import beginning, folded
from server.storage.partners import (
    Agreement,
    Member,
    PartnerQuery,
    PartnerRow,
    PartnerTaken,
    StateChange,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
SUNRISE = PartnerRow(
    partner_id="sunrise",
    name="Sunrise Home Health",
    organization_id="org-1",
    kind="home-health",
    purpose="TREAT",
    state="active",
    created=NOW,
    agreements=(
        Agreement("treatment", date(2026, 1, 1), date(2028, 12, 31), "Contract 17"),
        Agreement("part-2-qsoa", date(2026, 2, 1)),
    ),
    contacts=("Intake desk", "Zuständig für Verträge"),
    history=(StateChange(NOW, "invited", "operator"), StateChange(NOW, "active", "User/admin", "signed")),
    held_clients=("one",),
    held_users=("two",),
)


def named(partner_id: str, name: str, **more: Any) -> PartnerRow:
    return PartnerRow(
        partner_id,
        name,
        f"org-{partner_id}",
        more.get("kind", "payer"),
        "HPAYMT",
        more.get("state", "active"),
        NOW,
    )


def test_a_partner_reads_back_whole(store: Any) -> None:
    store.partners.add(SUNRISE)
    assert store.partners.partner("sunrise") == SUNRISE
    assert store.partners.partner("sunset") is None
    changed = replace(SUNRISE, state="suspended", name="Sunrise", agreements=())
    store.partners.change(changed)
    assert store.partners.partner("sunrise") == changed


def test_an_id_and_an_organisation_are_taken_once(store: Any) -> None:
    store.partners.add(SUNRISE)
    with pytest.raises(PartnerTaken):
        store.partners.add(replace(SUNRISE, organization_id="org-2"))
    with pytest.raises(PartnerTaken):
        store.partners.add(replace(SUNRISE, partner_id="another"))
    assert store.partners.partner("another") is None


def test_the_organisation_of_an_ended_partner_is_free_again(store: Any) -> None:
    store.partners.add(replace(SUNRISE, state="ended"))
    store.partners.add(replace(SUNRISE, partner_id="again"))
    assert store.partners.partner("again") is not None


def test_a_client_and_an_account_act_for_one_partner(store: Any) -> None:
    store.partners.add(SUNRISE)
    store.partners.add(named("payer", "Payer"))
    store.partners.add_member("sunrise", Member("client", "app"), NOW)
    store.partners.add_member("payer", Member("user", "app"), NOW)  # an account of the same name is another one
    with pytest.raises(PartnerTaken):
        store.partners.add_member("payer", Member("client", "app"), NOW)
    of = store.partners.of
    assert [row.partner_id for row in of([Member("client", "app")])] == ["sunrise"]
    assert [row.partner_id for row in of([Member("user", "app")])] == ["payer"]
    assert {row.partner_id for row in of([Member("client", "app"), Member("user", "app")])} == {
        "sunrise",
        "payer",
    }
    assert of([Member("client", "another"), Member("user", "")]) == ()


def test_of_a_client_and_an_account_of_one_partner_it_is_told_once(store: Any) -> None:
    store.partners.add(SUNRISE)
    members = (Member("client", "app"), Member("user", "rn"))
    for member in members:
        store.partners.add_member("sunrise", member, NOW)
    assert store.partners.of(members) == (SUNRISE,)
    assert store.partners.all_members("sunrise") == members


def test_members_come_in_pages(store: Any) -> None:
    store.partners.add(SUNRISE)
    for number in range(5):
        store.partners.add_member("sunrise", Member("client", f"c{number}"), NOW)
    assert store.partners.members("sunrise", "client", count=2) == ("c0", "c1")
    assert store.partners.members("sunrise", "client", count=9, after="c1") == ("c2", "c3", "c4")
    assert store.partners.members("sunrise", "user", count=9) == ()


def test_every_change_raises_the_security_epoch(store: Any) -> None:
    epochs = [store.authorization.security_epoch()]
    for change in (
        lambda: store.partners.add(SUNRISE),
        lambda: store.partners.change(SUNRISE),
        lambda: store.partners.add_member("sunrise", Member("client", "app"), NOW),
    ):
        change()
        epochs.append(store.authorization.security_epoch())
    assert epochs == sorted(set(epochs))


def test_a_page_is_in_the_order_of_names_and_the_next_one_goes_on(store: Any) -> None:
    for number, name in enumerate(("beta", "Alpha", "alpha", "Gamma", "álpha")):
        store.partners.add(named(f"p{number}", name))
    seen: list[str] = []
    query = PartnerQuery(count=2)
    while True:
        page = store.partners.page(query)
        seen += [row.name for row in page.rows]
        if page.next_after is None:
            break
        query = replace(query, after=page.next_after)
    assert seen == ["Alpha", "alpha", "beta", "Gamma", "álpha"]


def test_filters_narrow_a_page(store: Any) -> None:
    store.partners.add(named("a", "Alpha", state="suspended"))
    store.partners.add(named("b", "alpine", kind="hospital"))
    store.partners.add(named("c", "Beta", kind="hospital"))

    def found(**query: Any) -> list[str]:
        return [row.partner_id for row in store.partners.page(PartnerQuery(**query)).rows]

    assert found() == ["a", "b", "c"]
    assert found(text="ALP") == ["a", "b"]
    assert found(text="%") == found(text="alp%") == []
    assert found(kind="hospital") == ["b", "c"]
    assert found(state="suspended") == ["a"]
    assert found(text="al", kind="hospital", state="active") == ["b"]


@pytest.mark.sqlite("PostgreSQL shows its plans in another way")
@pytest.mark.parametrize(
    "where", ["", "state = 'active'", "kind = 'payer'", "name_key >= 'a' AND name_key < 'b'"]
)
def test_a_page_is_read_along_an_index_and_never_sorted(store: Any, where: str) -> None:
    sql = f"SELECT * FROM partner {f'WHERE {where}' if where else ''} ORDER BY name_key, partner_id LIMIT 50"
    with store.database.reading() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    assert len(plan) == 1, plan
    assert "USING INDEX partner_" in plan[0]


@given(st.text(max_size=8), st.text(max_size=4))
def test_what_begins_like_a_text_lies_between_its_bounds(name: str, rest: str) -> None:
    low, high = beginning(name)
    longer = folded(name + rest)
    assert low.encode("utf-8", "replace") <= longer.encode("utf-8", "replace")
    if not longer.startswith(low + "\U0010ffff"):
        assert longer < high
    assert longer.isascii() is False or longer == longer.lower()
