"""Roles and organizations as data: what a file must say, and that a typing error is never a permission.

Covers server/policy/roles.py, server/policy/roles.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from server.policy.roles import PolicyError, policy, read_policy, role, roles, shipped_policy, use

Json = dict[str, Any]


@pytest.fixture
def document() -> Json:
    found: Json = json.loads(files("server.policy").joinpath("roles.json").read_text("utf-8"))
    return found


@pytest.fixture(autouse=True)
def shipped_afterwards() -> Iterator[None]:
    yield
    use(None)


def test_staff_of_the_house_reach_all_charts_and_staff_of_others_those_they_are_related_to() -> None:
    assert {name for name, held in roles().items() if held.reach == "all"} == {
        "rn",
        "pharmacist",
        "ma",
        "prescriber",
        "supervisor",
        "engineer",
        "clinician",
    }
    assert role("community").reach == "related"
    assert role("community").emergency_minutes == 60


def test_who_may_break_the_glass_has_a_chart_to_open() -> None:
    """A role that reaches every chart has none; and every emergency has a reason to be named."""
    assert all(held.reach != "all" for held in roles().values() if held.emergency_minutes)
    assert shipped_policy().reasons


def test_an_unknown_role_may_do_nothing_and_reaches_the_least() -> None:
    nobody = role("chief")
    assert nobody.permissions("Patient") == ""
    assert nobody.reach == "related"
    assert nobody.emergency_minutes == 0


def test_another_policy_takes_the_place_of_the_whole_file(document: Json) -> None:
    document["roles"] = {"nurse": {"title": "Nurse", "reach": "organization", "types": {"*": "rs"}}}
    document["organizations"] = {"Organization/clinic": "related"}
    use(read_policy(json.dumps(document), "/etc/policy.json"))
    assert set(roles()) == {"nurse"}
    assert role("rn").permissions("Patient") == ""
    assert policy().origin == "/etc/policy.json"
    assert policy().organizations == {"Organization/clinic": "related"}


def spoil(path: str, value: Any) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        *above, last = path.split("/")
        element = document
        for name in above:
            element = element[name]
        if value is None:
            del element[last]
        else:
            element[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spoil("version", None), "version is missing"),
        (spoil("source", ""), "source is missing"),
        (spoil("roles", None), "roles is missing"),
        (spoil("roles", []), "roles is missing"),
        (spoil("roles", ["rn"]), "roles is not an object"),
        (spoil("roles/rn/reach", "everything"), "role rn: reach is one of all, organization, related"),
        (spoil("roles/rn/reach", None), "role rn: reach is one of"),
        (spoil("roles/rn/types/Pateint", "rs"), "role rn: 'Pateint' is not a resource type"),
        (spoil("roles/rn/types/Patient", "sr"), "role rn: Patient: letters of cruds"),
        (spoil("roles/rn/types/Patient", "rsx"), "role rn: Patient: letters of cruds"),
        (spoil("roles/rn/types", None), "role rn: title or types is missing"),
        (spoil("roles/rn/consle", True), "role rn: consle: there is no such key"),
        (spoil("roles/rn/console", "yes"), "role rn: console is true or false"),
        (spoil("roles/rn/emergency_minutes", 1441), "role rn: emergency_minutes"),
        (spoil("roles/rn/emergency_minutes", True), "role rn: emergency_minutes"),
        (spoil("roles/Rn", {"title": "x", "reach": "all", "types": {}}), "'Rn' is no role"),
        (spoil("organizations", {"clinic": "related"}), "organizations: 'clinic'"),
        (spoil("organizations", {"**": "related"}), "organizations: '"),
        (spoil("organizations", {"Organization/1": "none"}), "organizations: 'Organization/1'"),
        (spoil("emergency_reasons", {}), "emergency_reasons is missing"),
        (spoil("emergency_reasons", {"ETREAT": ""}), "emergency_reasons: a code has no words"),
    ],
)
def test_what_nobody_would_understand_is_refused_with_its_place(
    document: Json, change: Callable[[Json], None], said: str
) -> None:
    change(document)
    with pytest.raises(PolicyError, match=said.replace("(", r"\(")):
        read_policy(json.dumps(document), "here")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        read_policy(text, "here")
