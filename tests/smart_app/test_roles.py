"""Who signs: the role of a person by what the EHR says of them.

Covers: domain 3.6 (role gate).
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.decide import role_rule
from smart_app.roles import display_name, role_of

DEGREES = "http://terminology.hl7.org/CodeSystem/v2-0360"


def qualified(code: str = "", text: str = "", system: str = DEGREES) -> dict[str, Any]:
    concept: dict[str, Any] = {"coding": [{"system": system, "code": code}]} if code else {}
    return {"qualification": [{"code": {**concept, "text": text} if text else concept}]}


@pytest.mark.parametrize(
    ("practitioner", "role"),
    [
        (qualified("RN"), "rn"),
        (qualified("RPH"), "pharmacist"),
        (qualified("PharmD"), "pharmacist"),
        (qualified("MD"), "prescriber"),
        (qualified("MDA"), "ma"),
        (qualified(text="Care  Management Supervisor"), "supervisor"),
        (qualified("MA"), ""),  # Master of Arts
        (qualified("RN", system="urn:other"), ""),
        (qualified(text="nurse"), ""),  # may be a licensed practical nurse, who does not sign
        ({}, ""),
        ({"qualification": "RN"}, ""),
        ({"qualification": [None, {"code": None}]}, ""),
    ],
)
def test_a_qualification_gives_a_role(practitioner: dict[str, Any], role: str) -> None:
    assert role_of(practitioner) == role


def test_the_role_at_work_goes_before_the_degree() -> None:
    work = {"code": [{"coding": [{"system": "http://snomed.info/sct", "code": "46255001"}]}]}
    assert role_of(qualified("RN"), [work]) == "pharmacist"
    assert role_of(qualified("RN"), [{**work, "active": False}]) == "rn"


def test_every_role_of_the_table_is_one_of_reconciliation() -> None:
    for practitioner in (qualified("RN"), qualified("RPH"), qualified("MD")):
        assert role_rule(role_of(practitioner)).may_sign
    assert not role_rule(role_of(qualified("MDA"))).may_sign
    assert role_rule(role_of(qualified("MDA"))).may_draft
    assert not role_rule("").may_draft


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ({"text": "Dr. A. Example"}, "Dr. A. Example"),
        ({"family": "Example", "given": ["Nora", "B."], "prefix": ["Ms."]}, "Ms. Nora B. Example"),
        ({"family": "Example", "suffix": ["RN"]}, "Example, RN"),
        ({}, ""),
    ],
)
def test_a_person_has_the_name_people_use(name: dict[str, Any], shown: str) -> None:
    assert display_name({"name": [name]}) == shown
