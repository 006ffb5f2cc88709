"""Which resources relate whom to whose chart, from when until when.

The second opinion at the end reads CareTeam, EpisodeOfCare, Task and PractitionerRole as the standard words
them, and knows nothing of the file. Covers server/policy/relationships.py, server/policy/relationships.json.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.dates import EARLIEST, LATEST, microseconds
from server.fhir.hashing import reference_hash
from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM, Relations
from server.fhir.index_values import index_values
from server.fhir.validation import RESOURCE_TYPES
from server.policy.relationships import relationship_policy

Json = dict[str, Any]
PATIENT = {"reference": "Patient/p"}
NURSE = {"reference": "Practitioner/n"}


def made(resource: Json) -> Relations:
    found = index_values({"id": "it", **resource}).relations
    assert found is not None
    return found


def related(resource: Json) -> set[tuple[str, str]]:
    """(actor, patient) by their names; whoever is not among these is a hash that nobody expects."""
    names = {
        reference_hash(name): name
        for name in (
            "Patient/p",
            "Patient/q",
            "Patient/it",
            "Practitioner/n",
            "PractitionerRole/r",
            "Organization/o",
            "CareTeam/t",
        )
    }
    return {(names[row.actor], names[row.patient]) for row in made(resource).relationships}


def day(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


MAKES = {
    "care team": {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": PATIENT,
        "participant": [{"member": NURSE}],
    },
    "care team of an organization": {
        "resourceType": "CareTeam",
        "subject": PATIENT,
        "managingOrganization": [{"reference": "Organization/o"}],
    },
    "care manager": {
        "resourceType": "EpisodeOfCare",
        "status": "active",
        "patient": PATIENT,
        "careManager": NURSE,
    },
    "team of an episode": {
        "resourceType": "EpisodeOfCare",
        "status": "onhold",
        "patient": PATIENT,
        "team": [{"reference": "CareTeam/t"}],
    },
    "organization of an episode": {
        "resourceType": "EpisodeOfCare",
        "status": "planned",
        "patient": PATIENT,
        "managingOrganization": {"reference": "Organization/o"},
    },
    "stay": {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": PATIENT,
        "participant": [{"individual": {"reference": "PractitionerRole/r"}}],
    },
    "task": {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": PATIENT,
        "owner": {"reference": "PractitionerRole/r"},
    },
    "care plan": {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": PATIENT,
        "careTeam": [{"reference": "CareTeam/t"}],
    },
    "appointment": {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2026-02-01T10:00:00Z",
        "end": "2026-02-01T11:00:00Z",
        "participant": [{"actor": PATIENT, "status": "accepted"}, {"actor": NURSE, "status": "accepted"}],
    },
    "general practitioner": {"resourceType": "Patient", "generalPractitioner": [NURSE]},
    "organization of a patient": {
        "resourceType": "Patient",
        "managingOrganization": {"reference": "Organization/o"},
    },
}
ACTORS = {
    "care team of an organization": "Organization/o",
    "organization of an episode": "Organization/o",
    "organization of a patient": "Organization/o",
    "team of an episode": "CareTeam/t",
    "care plan": "CareTeam/t",
    "stay": "PractitionerRole/r",
    "task": "PractitionerRole/r",
}


@pytest.mark.parametrize("name", MAKES)
def test_a_resource_relates_whom_it_names_to_its_patient(name: str) -> None:
    patient = "Patient/it" if MAKES[name]["resourceType"] == "Patient" else "Patient/p"
    assert related(MAKES[name]) == {(ACTORS.get(name, "Practitioner/n"), patient)}


OVER = {
    "CareTeam": "inactive",
    "EpisodeOfCare": "finished",
    "Encounter": "cancelled",
    "Task": "completed",
    "CarePlan": "completed",
    "Appointment": "cancelled",
}


@pytest.mark.parametrize("name", [name for name in MAKES if MAKES[name]["resourceType"] in OVER])
def test_what_is_over_or_was_a_mistake_relates_nobody(name: str) -> None:
    for state in (OVER[MAKES[name]["resourceType"]], "entered-in-error"):
        assert made({**MAKES[name], "status": state}) == Relations()


def test_the_doctor_of_a_record_that_is_not_in_use_is_not_related() -> None:
    assert made({**MAKES["general practitioner"], "active": False}) == Relations()


def test_periods_of_the_team_and_of_the_part_both_bound_it() -> None:
    team = {
        **MAKES["care team"],
        "period": {"start": "2026-01-10", "end": "2026-03-31"},
        "participant": [{"member": NURSE, "period": {"start": "2026-02-01", "end": "2026-12-31"}}],
    }
    (row,) = made(team).relationships
    assert (row.starts, row.until) == (day("2026-02-01"), day("2026-04-01"))
    never = {**team, "participant": [{"member": NURSE, "period": {"start": "2026-05-01"}}]}
    assert made(never) == Relations()


def test_without_periods_it_has_no_bounds() -> None:
    (row,) = made(MAKES["care team"]).relationships
    assert (row.starts, row.until) == (EARLIEST, LATEST)


def test_who_was_there_during_a_stay_follows_up_for_thirty_days() -> None:
    stay = {**MAKES["stay"], "status": "finished", "period": {"start": "2026-01-01", "end": "2026-01-05"}}
    (row,) = made(stay).relationships
    assert row.until == day("2026-01-06") + timedelta(days=30) // timedelta(microseconds=1)
    assert made({**stay, "period": {"start": "2026-01-01"}}) == Relations()


def test_only_staff_teams_and_organizations_of_this_server_are_related() -> None:
    for other in ("Patient/q", "RelatedPerson/x", "http://elsewhere.org/Practitioner/n", "#n", "urn:uuid:1"):
        assert made({**MAKES["care team"], "participant": [{"member": {"reference": other}}]}) == Relations()
    group = {**MAKES["care team"], "subject": {"reference": "Group/g"}}
    assert made(group) == Relations()


def test_a_team_without_a_subject_has_members_and_one_with_a_subject_relates_them_itself() -> None:
    team = {key: value for key, value in MAKES["care team"].items() if key != "subject"}
    (row,) = made(team).memberships
    assert (row.member, row.party, row.kind) == (
        reference_hash("Practitioner/n"),
        reference_hash("CareTeam/it"),
        TEAM,
    )
    assert made(team).relationships == ()
    assert made(MAKES["care team"]).memberships == ()


def test_a_role_is_of_a_person_and_works_for_an_organization() -> None:
    role = {
        "resourceType": "PractitionerRole",
        "practitioner": NURSE,
        "organization": {"reference": "Organization/o"},
        "period": {"end": "2026-12-31"},
    }
    person, itself, house = map(reference_hash, ("Practitioner/n", "PractitionerRole/it", "Organization/o"))
    assert {(row.member, row.party, row.kind) for row in made(role).memberships} == {
        (person, itself, ROLE),
        (itself, person, ROLE),
        (person, house, ORGANIZATION),
        (itself, house, ORGANIZATION),
    }
    assert {row.until for row in made(role).memberships} == {day("2027-01-01")}
    assert made({**role, "active": False}) == Relations()


def test_other_types_never_relate_anybody() -> None:
    assert index_values({"resourceType": "Observation", "id": "o", "subject": PATIENT}).relations is None
    assert relationship_policy().types <= set(RESOURCE_TYPES)


def test_a_resource_that_would_relate_too_many_is_refused() -> None:
    crowd = [{"actor": {"reference": f"Patient/p{n}"}, "status": "accepted"} for n in range(150)]
    crowd += [{"actor": {"reference": f"Practitioner/n{n}"}, "status": "accepted"} for n in range(150)]
    with pytest.raises(FhirError) as refused:
        made({**MAKES["appointment"], "participant": crowd})
    assert refused.value.kind == "too-costly"


# -- the second opinion

MOMENTS = ["2024-01-01", "2024-06-15", "2025-01-01", "2026-01-01"]
periods = st.fixed_dictionaries(
    {}, optional={"start": st.sampled_from(MOMENTS), "end": st.sampled_from(MOMENTS)}
)
names = st.sampled_from(["Practitioner/a", "PractitionerRole/b", "Organization/c", "Patient/d", "CareTeam/e"])
members = st.fixed_dictionaries(
    {"member": st.fixed_dictionaries({"reference": names})}, optional={"period": periods}
)
teams = st.fixed_dictionaries(
    {"resourceType": st.just("CareTeam"), "id": st.just("t")},
    optional={
        "status": st.sampled_from(["active", "inactive", "proposed"]),
        "subject": st.sampled_from([{"reference": "Patient/p"}, {"reference": "Patient/q"}]),
        "period": periods,
        "participant": st.lists(members, min_size=1, max_size=4),
    },
)


def holds(period: Json, moment: str) -> bool:
    return period.get("start", "") <= moment <= period.get("end", "9999")


@given(
    team=teams, moment=st.sampled_from(["2023-05-05", "2024-03-03", "2024-12-12", "2025-05-05", "2027-01-01"])
)
def test_a_team_relates_its_members_of_the_moment_and_nobody_else(team: Json, moment: str) -> None:
    now = day(moment) + 1
    expected = set()
    if team.get("status", "active") == "active" and holds(team.get("period", {}), moment):
        for part in team.get("participant", ()):
            name = part["member"]["reference"]
            if holds(part.get("period", {}), moment) and not name.startswith("Patient/"):
                expected.add(name)
    rows = made(team)
    sides = {reference_hash(name): name for name in ("Practitioner/a", "PractitionerRole/b", "Organization/c")}
    sides[reference_hash("CareTeam/e")] = "CareTeam/e"
    if "subject" in team:
        found = {sides[row.actor] for row in rows.relationships if row.starts <= now < row.until}
        assert {row.patient for row in rows.relationships} <= {reference_hash(team["subject"]["reference"])}
        assert rows.memberships == ()
    else:
        found = {sides[row.member] for row in rows.memberships if row.starts <= now < row.until}
        assert rows.relationships == ()
    assert found == expected
