"""The console's page of policies: what they say and where from, and who may do something by them.

Covers server/console/policies.py, policy_views.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.auth.access import decide, resource_types
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.console.policies import QUESTIONS, type_lines, who_may
from server.errors import FhirError
from server.policy.if_match_required import if_match_required
from server.policy.lifecycle import machines
from server.policy.roles import roles


def test_every_policy_says_version_day_and_source(engineer: Any) -> None:
    page = engineer.get("policies")
    assert page.status_code == 200
    assert page.text.count("effective 20") == 4
    for shown in (
        "NCQA HEDIS",
        "CarePlan, EpisodeOfCare, Goal, List, Task",
        "ActivityDefinition",
        "Business associate agreement",
        "Registered nurse",
        *(machine.title for group in machines().values() for machine in group),
    ):
        assert shown in page.text, shown
    assert set(if_match_required()) == {"CarePlan", "EpisodeOfCare", "Goal", "List", "Task"}


def test_the_table_says_what_the_roles_say() -> None:
    lines = {line.name: dict(zip(roles(), line.cells, strict=True)) for line in type_lines()}
    assert lines["*"]["rn"] == "see"
    assert lines["*"]["administrator"] == "nothing"
    assert lines["MedicationStatement"]["rn"] == "see, add, change"
    assert lines["MedicationStatement"]["ma"] == "see"
    assert lines["AuditEvent"]["rn"] == "nothing"
    assert lines["AuditEvent"]["privacy"] == "see"
    assert set(lines) - {"*"} == {name for role in roles().values() for name in role.types} - {"*"}


def test_types_are_narrowed_by_a_part_of_their_name(engineer: Any) -> None:
    assert [line.name for line in type_lines("medication")] == [
        "*",
        "MedicationRequest",
        "MedicationStatement",
    ]
    text = engineer.get("policies?text=medicationr").text
    assert '<th scope="row">MedicationRequest</th>' in text
    assert '<th scope="row">CareTeam</th>' not in text


@pytest.mark.parametrize("interaction", QUESTIONS)
@pytest.mark.parametrize(
    "resource_type", ["Observation", "AuditEvent", "Practitioner", "MedicationRequest", "Binary"]
)
def test_the_answer_is_the_access_decision_for_each_role(interaction: str, resource_type: str) -> None:
    answers = {answer.who: answer for answer in who_may(interaction, resource_type)}
    assert len(answers) == len(roles()) + 3
    for role in roles().values():
        organization = "Organization/o" if role.partner else None
        scopes = parse_scopes("user/*.cruds")
        principal = Principal("app", scopes, user="Practitioner/p", role=role.name, organization=organization)
        try:
            decide(principal, interaction, resource_type)
            expected = True
        except FhirError:
            expected = False
        assert answers[role.title].may is expected, role.name
        assert answers[role.title].words.startswith("yes: " if expected else "no")


def test_who_may_is_asked_on_the_page(engineer: Any) -> None:
    text = engineer.get("policies?may=create&type=MedicationStatement").text
    answer = text.partition('aria-label="Answer"')[2].partition("</table>")[0]
    for shown in (
        '<th scope="row">Registered nurse</th><td data-label="Answer">yes: every one</td>',
        '<th scope="row">Medical assistant</th><td data-label="Answer">no</td>',
        '<th scope="row">An app in one patient&#39;s chart</th><td data-label="Answer">yes: in that patient',
        '<th scope="row">A partner&#39;s backend service</th><td data-label="Answer">no</td>',
    ):
        assert shown in answer, shown


def test_a_chart_is_closed_to_partners_and_what_is_nobodys_is_open() -> None:
    def of(resource_type: str) -> list[bool]:
        answers = {answer.who: answer.may for answer in who_may("read", resource_type)}
        return [answers["A partner's backend service"], answers["Staff of a partner organisation"]]

    assert of("Patient") == of("Task") == [False, False]
    assert of("Organization") == [True, True]


@pytest.mark.parametrize("query", ["may=fly&type=Patient", "may=read&type=Unicorn", "may=read", "type=Patient"])
def test_a_question_that_makes_no_sense_is_refused(engineer: Any, query: str) -> None:
    page = engineer.get(f"policies?{query}")
    assert page.status_code == 422
    assert "The question was not asked." in page.text


def test_every_question_can_be_asked_of_every_type() -> None:
    for resource_type in sorted(resource_types())[::12]:
        for interaction in QUESTIONS:
            assert who_may(interaction, resource_type)
