"""Lifecycles of care as data: every machine is whole, and every move of every machine is judged by it.

Covers: states, who sets them and what they need of referrals (HL7 SDOH Clinical Care IG STU 2.1), requests
(hl7.org/fhir/R4/request.html), goals and episodes of care.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from server.fhir.validation_tables import codes, table
from server.policy.lifecycle import Machine, is_governed, judge, machine_of, machines

TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
ALL = [machine for group in machines().values() for machine in group]
PAIRS = [
    (machine, before, after)
    for machine in ALL
    for before, after in itertools.product(sorted(machine.moves), repeat=2)
]


def one_of(machine: Machine, state: str) -> dict[str, Any]:
    """A resource the machine governs, in a state, with everything any state needs."""
    made: dict[str, Any] = {
        "resourceType": machine.resource_type,
        machine.state: state,
        "requester": {"reference": "Practitioner/asks"},
        "owner": {"reference": "Practitioner/does"},
        "focus": {"reference": "ServiceRequest/1"},
        "for": {"reference": "Patient/1"},
        "authoredOn": "2026-01-01",
        "statusReason": {"text": "a reason"},
        "output": [{"type": {"text": "done"}, "valueString": "done"}],
    }
    if machine.codes:
        system, code = min(machine.codes).split("|")
        made["code"] = {"coding": [{"system": system, "code": code}]}
    elif machine.profiles:
        made["meta"] = {"profile": [min(machine.profiles)]}
    return made


def anybody(reference: str) -> bool:
    return True


def nobody(reference: str) -> bool:
    return False


def rules(issues: Any) -> list[str]:
    """The rule that each issue names, without its version."""
    assert all(issue.code == "business-rule" for issue in issues)
    return [issue.diagnostics.partition("(rule ")[2].partition(",")[0] for issue in issues]


def named(machine_id: str) -> Machine:
    return next(machine for machine in ALL if machine.id == machine_id)


def test_the_resources_of_care_have_a_lifecycle_and_others_have_none() -> None:
    assert set(machines()) == {"Task", "ServiceRequest", "CarePlan", "Goal", "EpisodeOfCare"}
    assert {machine.id for machine in machines()["Task"]} == {
        "task-referral",
        "task-clarify",
        "task-outreach",
        "task-patient",
    }
    assert not is_governed("Observation")


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.id)
def test_every_machine_says_where_it_comes_from_and_since_when(machine: Machine) -> None:
    assert machine.title
    assert machine.version
    assert machine.source
    assert len(machine.effective) == len("2026-01-01")


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.id)
def test_every_machine_knows_every_state_that_r4_has_and_no_other(machine: Machine) -> None:
    element = table(machine.resource_type).elements[machine.state]
    known = {code for group in codes(element.value_set).values() for code in group}
    assert set(machine.moves) == known
    assert {target for following in machine.moves.values() for target in following} <= known
    assert set(machine.content) <= known


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.id)
def test_every_machine_names_elements_that_exist_and_parties_it_declares(machine: Machine) -> None:
    elements = table(machine.resource_type).elements
    paths = [path for groups in machine.content.values() for group in groups for path in group]
    assert {path.partition(".")[0] for path in paths} <= set(elements)
    assert set(machine.parties.values()) <= set(elements)
    setters = {party for following in machine.moves.values() for by in following.values() for party in by}
    handing_over = {party for by in machine.handed_over_by.values() for party in by}
    assert setters | machine.open | handing_over <= set(machine.parties)
    assert set(machine.handed_over_by) == set(machine.parties)


def test_no_two_machines_are_for_the_same_resources() -> None:
    for group in machines().values():
        for first, second in itertools.combinations(group, 2):
            assert not first.codes & second.codes
            assert not first.profiles & second.profiles
            assert first.codes or first.profiles


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.id)
def test_everything_can_be_marked_as_an_error_and_nothing_comes_back_from_that(machine: Machine) -> None:
    assert machine.moves["entered-in-error"] == {}
    assert all(
        "entered-in-error" in machine.moves[state] for state in set(machine.moves) - {"entered-in-error"}
    )


@pytest.mark.parametrize(
    ("machine", "before", "after"), PAIRS, ids=lambda part: part.id if isinstance(part, Machine) else part
)
def test_exactly_the_moves_of_the_data_are_allowed(machine: Machine, before: str, after: str) -> None:
    issues = judge(one_of(machine, before), one_of(machine, after), anybody)
    if before == after or after in machine.moves[before]:
        assert issues == ()
    else:
        assert rules(issues) == [f"{machine.id}-move"]
        (issue,) = issues
        assert issue.expression == f"{machine.resource_type}.{machine.state}"
        assert all(target in issue.diagnostics for target in machine.moves[before])


@pytest.mark.parametrize(
    ("machine_id", "path"),
    [
        ("task-referral", "draft requested accepted in-progress completed"),
        ("task-referral", "requested rejected"),
        ("task-referral", "requested received accepted on-hold in-progress failed"),
        ("task-referral", "accepted cancelled"),
        ("task-clarify", "requested accepted completed"),
        ("task-outreach", "requested in-progress failed"),
        ("task-outreach", "requested in-progress completed"),
        ("task-patient", "ready in-progress on-hold in-progress completed"),
        ("service-request", "draft active on-hold active completed"),
        ("service-request", "active revoked"),
        ("care-plan", "draft active on-hold active revoked"),
        ("care-plan", "active completed"),
        ("goal", "proposed planned active on-hold active completed"),
        ("goal", "proposed accepted active cancelled"),
        ("goal", "proposed rejected"),
        ("episode-of-care", "planned waitlist active onhold active finished"),
        ("episode-of-care", "active cancelled"),
    ],
)
def test_the_ways_of_care_can_be_gone(machine_id: str, path: str) -> None:
    machine = named(machine_id)
    for before, after in itertools.pairwise(path.split()):
        assert judge(one_of(machine, before), one_of(machine, after), anybody) == (), (before, after)


@pytest.mark.parametrize(
    ("machine_id", "before", "after"),
    [
        ("task-referral", "requested", "in-progress"),
        ("task-referral", "requested", "completed"),
        ("task-referral", "accepted", "completed"),
        ("task-referral", "rejected", "accepted"),
        ("task-referral", "completed", "in-progress"),
        ("task-patient", "ready", "completed"),
        ("task-outreach", "completed", "in-progress"),
        ("service-request", "draft", "completed"),
        ("service-request", "completed", "active"),
        ("care-plan", "revoked", "active"),
        ("care-plan", "draft", "completed"),
        ("goal", "proposed", "completed"),
        ("goal", "cancelled", "active"),
        ("episode-of-care", "planned", "finished"),
        ("episode-of-care", "finished", "active"),
    ],
)
def test_short_cuts_and_ways_back_cannot(machine_id: str, before: str, after: str) -> None:
    machine = named(machine_id)
    assert rules(judge(one_of(machine, before), one_of(machine, after), anybody)) == [f"{machine_id}-move"]


@pytest.mark.parametrize(
    ("before", "after", "asks", "does"),
    [
        ("draft", "requested", True, False),
        ("requested", "accepted", False, True),
        ("requested", "rejected", False, True),
        ("requested", "cancelled", True, False),
        ("accepted", "cancelled", True, True),
        ("accepted", "in-progress", False, True),
        ("in-progress", "completed", False, True),
        ("in-progress", "entered-in-error", True, False),
    ],
)
def test_a_state_is_set_by_the_party_it_belongs_to(before: str, after: str, asks: bool, does: bool) -> None:
    machine = named("task-referral")
    for who, may in (("Practitioner/asks", asks), ("Practitioner/does", does), ("Practitioner/other", False)):
        issues = judge(one_of(machine, before), one_of(machine, after), lambda named, who=who: named == who)
        assert rules(issues) == ([] if may else ["task-referral-setter"]), who


def test_only_who_asked_for_a_service_changes_its_state() -> None:
    machine = named("service-request")
    assert rules(judge(one_of(machine, "active"), one_of(machine, "on-hold"), nobody)) == [
        "service-request-setter"
    ]
    assert judge(one_of(machine, "active"), one_of(machine, "active") | {"note": [{"text": "x"}]}, nobody) == ()


def test_an_unowned_referral_is_claimed_for_oneself_or_by_anyone() -> None:
    machine = named("task-referral")
    open_ = {name: value for name, value in one_of(machine, "requested").items() if name != "owner"}
    mine = one_of(machine, "accepted")
    assert judge(open_, mine, lambda named: named == "Practitioner/does") == ()
    assert rules(judge(open_, mine, nobody)) == ["task-referral-setter"]
    assert judge(open_, open_ | {"status": "accepted"}, nobody) == ()


def test_an_owned_referral_is_not_taken_over_by_naming_oneself() -> None:
    machine = named("task-referral")
    taken = one_of(machine, "accepted") | {"owner": {"reference": "Practitioner/thief"}}
    issues = judge(one_of(machine, "requested"), taken, lambda named: named == "Practitioner/thief")
    assert rules(issues) == ["task-referral-party"]


@pytest.mark.parametrize(("element", "asks", "does"), [("requester", True, False), ("owner", True, True)])
def test_nobody_makes_itself_a_party_before_moving(element: str, asks: bool, does: bool) -> None:
    before = one_of(named("task-referral"), "requested")
    others = [{"reference": "Practitioner/other"}, {"display": "Somebody"}]
    for other in [*others, None] if element == "owner" else others:  # a referral needs a requester
        after = {name: value for name, value in before.items() if name != element}
        after |= {element: other} if other else {}
        for who, may in (
            ("Practitioner/asks", asks),
            ("Practitioner/does", does),
            ("Practitioner/other", False),
        ):
            issues = judge(before, after, lambda named, who=who: named == who)
            assert rules(issues) == ([] if may else ["task-referral-party"]), who
            assert [issue.expression for issue in issues] == ([] if may else [f"Task.{element}"])
    assert judge(before, before | {element: before[element] | {"display": "A name"}}, nobody) == ()


def test_where_nobody_is_named_as_requester_nobody_is_the_requester() -> None:
    machine = named("service-request")
    asked, held = one_of(machine, "active"), one_of(machine, "on-hold")
    del asked["requester"], held["requester"]
    assert rules(judge(asked, held, anybody)) == ["service-request-setter"]
    assert judge(asked, one_of(machine, "on-hold"), anybody) == ()


@pytest.mark.parametrize("unnamed", [{"display": "Dr. Who"}, {"identifier": {"value": "1"}}])
def test_a_party_named_without_a_reference_is_none_that_can_be_compared(unnamed: dict[str, Any]) -> None:
    machine = named("task-referral")
    before = one_of(machine, "requested") | {"owner": unnamed}
    assert rules(judge(before, before | {"status": "accepted"}, nobody)) == ["task-referral-setter"]


@pytest.mark.parametrize(
    ("before", "after", "without", "path"),
    [
        ("requested", "rejected", ["statusReason"], "Task.statusReason.text"),
        ("requested", "cancelled", ["statusReason"], "Task.statusReason.text"),
        ("accepted", "on-hold", ["statusReason"], "Task.statusReason.text"),
        ("in-progress", "failed", ["statusReason"], "Task.statusReason.text"),
        ("in-progress", "completed", ["output", "statusReason"], "Task.output"),
        ("draft", "requested", ["focus"], "Task.focus"),
        ("draft", "requested", ["authoredOn"], "Task.authoredOn"),
    ],
)
def test_what_a_state_needs_has_to_be_there(before: str, after: str, without: list[str], path: str) -> None:
    machine = named("task-referral")
    lacking = {name: value for name, value in one_of(machine, after).items() if name not in without}
    (issue,) = judge(one_of(machine, before), lacking, anybody)
    assert rules([issue]) == ["task-referral-content"]
    assert issue.expression == path


@pytest.mark.parametrize("one", [{"output": [{"valueString": "done"}]}, {"statusReason": {"text": "no need"}}])
def test_a_completion_has_an_output_or_a_reason(one: dict[str, Any]) -> None:
    machine = named("task-referral")
    done = one_of(machine, "completed")
    del done["output"], done["statusReason"]
    assert judge(one_of(machine, "in-progress"), done | one, anybody) == ()


def test_a_reason_is_said_in_words() -> None:
    machine = named("task-referral")
    coded = one_of(machine, "rejected") | {"statusReason": {"coding": [{"code": "x"}]}}
    assert rules(judge(one_of(machine, "requested"), coded, anybody)) == ["task-referral-content"]


def test_what_a_state_needs_is_not_taken_away_while_it_lasts() -> None:
    machine = named("task-referral")
    held = one_of(machine, "on-hold")
    bare = {name: value for name, value in held.items() if name != "statusReason"}
    assert rules(judge(held, bare, anybody)) == ["task-referral-content"]
    # It came so, as a first version may; that is no reason to refuse a note.
    assert judge(bare, bare | {"note": [{"text": "x"}]}, anybody) == ()


def test_a_resource_of_no_machine_moves_freely() -> None:
    task = {"resourceType": "Task", "status": "completed", "code": {"text": "fulfill"}}
    assert machine_of(task) is None
    assert judge(task, task | {"status": "draft"}, nobody) == ()
    assert judge({"resourceType": "Observation"}, {"resourceType": "Observation"}, nobody) == ()


@pytest.mark.parametrize(
    "kind",
    [{"code": {"coding": [{"system": TASK_CODE, "code": "abort"}]}}, {}],
)
def test_a_resource_is_not_taken_out_of_its_machine_to_be_moved_outside(kind: dict[str, Any]) -> None:
    before = one_of(named("task-referral"), "completed")
    after = {name: value for name, value in before.items() if name != "code"} | kind
    assert rules(judge(before, after, anybody)) == ["task-referral-kind"]
    assert judge(before, after, anybody)[0].expression == "Task.code"
    assert judge(after, before, nobody) == ()  # coming under one is as a first version


def test_a_profile_says_the_kind_whatever_its_version() -> None:
    machine = named("task-patient")
    task = one_of(machine, "ready")
    versioned = task | {"meta": {"profile": [None, f"{min(machine.profiles)}|2.1.0"]}}
    assert machine_of(versioned) is machine
    assert rules(judge(task, task | {"meta": {}}, anybody)) == ["task-patient-kind"]


def test_a_state_that_is_none_can_become_any_and_none_becomes_it() -> None:
    machine = named("goal")
    nothing = {"resourceType": "Goal", "_lifecycleStatus": {"extension": [{"url": "urn:x", "valueCode": "y"}]}}
    assert judge(nothing, one_of(machine, "completed"), nobody) == ()
    assert rules(judge(one_of(machine, "active"), nothing, anybody)) == ["goal-move"]


def test_no_words_repeat_what_the_resource_says() -> None:
    for machine, before, after in PAIRS:
        secret = one_of(machine, after) | {
            "description": "Zebedee",
            "requester": {"reference": "Patient/zebedee"},
        }
        for issue in judge(one_of(machine, before), secret, nobody):
            assert "zebedee" not in f"{issue.diagnostics} {issue.expression}".lower()
