"""For whom a partner's system acts: its organization and the teams it takes part in, nobody else.

Covers server/interactions/acting.py for clients of partners; people are covered by test_lifecycle.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from server.app import make_context
from server.auth.access import Decision, decide
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.fhir.visibility import NOTHING
from server.interactions.acting import acting
from server.interactions.call import Call
from server.interactions.request import InteractionRequest

ORGANIZATION = "Organization/sunrise"


@pytest.fixture
def acts(settings: Any, store: Any, clock: Any, fhir: Any) -> Any:
    """`acts(reference, scope, organization)`: whether a client without a user acts for whom it names."""
    for id in ("sunrise", "other"):
        fhir.put(f"Organization/{id}", {"resourceType": "Organization", "id": id, "name": id})
    for id, member, status in (
        ("ours", ORGANIZATION, "active"),
        ("past", ORGANIZATION, "inactive"),
        ("theirs", "Organization/other", "active"),
    ):
        team = {"resourceType": "CareTeam", "id": id, "status": status}
        fhir.put(f"CareTeam/{id}", team | {"participant": [{"member": {"reference": member}}]})

    def ask(reference: str, scope: str = "system/*.cruds", organization: str | None = ORGANIZATION) -> bool:
        principal = Principal("records", parse_scopes(scope), organization=organization)
        with store.writing() as writer:
            call = Call(
                context=make_context(settings, store, clock=clock),
                principal=principal,
                request=InteractionRequest("update", "Task", "t"),
                unit=writer,
                decision=Decision(NOTHING),
                decide=partial(decide, principal),
                caller=(),
            )
            return acting(call)(reference)

    return ask


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (ORGANIZATION, True),
        ("Organization/other", False),
        ("CareTeam/ours", True),
        ("CareTeam/past", False),
        ("CareTeam/theirs", False),
        ("Practitioner/anybody", False),
        ("https://elsewhere.example/fhir/Organization/sunrise", False),
        ("#contained", False),
    ],
)
def test_a_partners_system_acts_for_its_organization_and_its_teams(
    acts: Any, reference: str, expected: bool
) -> None:
    assert acts(reference) is expected


def test_a_system_of_our_own_acts_for_anyone(acts: Any) -> None:
    assert acts("Organization/other", organization=None)


@pytest.mark.parametrize("organization", [None, ORGANIZATION])
def test_without_a_user_and_a_system_scope_nobody_acts(acts: Any, organization: str | None) -> None:
    assert not acts(ORGANIZATION, "patient/*.cruds", organization)
