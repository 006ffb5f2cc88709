"""The access decision: scopes, roles, organizations, relationships, compartments.

Covers docs/reference/access.md, hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html and
hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.access import PERMISSION, Decision, clauses, decide, may_write, resource_types
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.errors import FhirError
from server.fhir.compartments import PATIENT_COMPARTMENT
from server.fhir.hashing import reference_hash
from server.fhir.index_values import index_values
from server.fhir.visibility import NOTHING, Limit, Rule
from server.policy.open_types import open_types
from server.policy.relationships import relationship_policy
from server.policy.roles import REACHES, policy, role, roles, use

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
OWN = Rule(patients=frozenset({"one"}))
REFERRED = Rule(referred=True)
ALL = Rule()


def who(scope: str, **claims: Any) -> Principal:
    return Principal("app", parse_scopes(scope), **claims)


def refused(principal: Principal, interaction: str, resource_type: str = "") -> bool:
    try:
        decide(principal, interaction, resource_type)
    except FhirError as error:
        return error.kind == "forbidden"
    return False


def test_a_refusal_is_403_and_names_type_and_interaction() -> None:
    with pytest.raises(FhirError) as refusal:
        decide(who("patient/Patient.r", patient="one"), "update", "Task")
    assert refusal.value.status == 403
    assert refusal.value.headers == {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    assert "update on Task" in refusal.value.diagnostics


class TestPatientScopes:
    nurse = who("patient/*.cruds", patient="one")

    def test_they_reach_the_compartment_of_the_launch_patient(self) -> None:
        assert decide(self.nurse, "search-type", "Observation").visible.of("Observation") == (OWN,)
        assert decide(self.nurse, "read", "Patient").visible.of("Patient") == (OWN,)
        assert decide(self.nurse, "read", "Task").visible.of("Task") == (OWN,)

    @pytest.mark.parametrize(
        "resource_type", ["Practitioner", "Organization", "Location", "Medication", "ValueSet"]
    )
    def test_types_of_no_compartment_are_read_where_referred_to_and_never_written(
        self, resource_type: str
    ) -> None:
        assert decide(self.nurse, "read", resource_type).visible.of(resource_type) == (REFERRED,)
        for interaction in ("create", "update", "delete"):
            assert refused(self.nurse, interaction, resource_type)

    def test_a_reference_opens_no_type_that_may_hold_somebody_elses_data(self) -> None:
        """Whoever writes into a chart can make it refer to anything."""
        outside = resource_types() - PATIENT_COMPARTMENT.keys()
        closed = {"Binary", "Bundle", "Contract", "GuidanceResponse", "MessageHeader", "Parameters"}
        assert open_types() < outside
        assert closed < outside - open_types()
        for resource_type in outside - open_types():
            assert refused(self.nurse, "read", resource_type)
            assert decide(self.nurse, "read", "Patient").visible.of(resource_type) == ()

    def test_joined_types_are_restricted_in_the_same_decision(self) -> None:
        visible = decide(self.nurse, "search-type", "Observation").visible
        assert visible.of("Condition") == (OWN,)
        assert visible.of("Practitioner") == (REFERRED,)

    def test_without_a_patient_they_reach_nothing(self) -> None:
        lost = who("patient/*.cruds")
        assert all(refused(lost, interaction, "Observation") for interaction, p in PERMISSION.items() if p)
        assert refused(lost, "search-system")

    def test_types_and_permissions_outside_are_refused(self) -> None:
        narrow = who("patient/Observation.rs", patient="one")
        assert not refused(narrow, "read", "Observation")
        assert refused(narrow, "read", "Condition")
        assert refused(narrow, "create", "Observation")
        assert decide(narrow, "read", "Observation").visible.of("Condition") == ()
        reading = who("patient/Observation.r", patient="one")
        assert refused(reading, "search-type", "Observation")
        assert not refused(reading, "vread", "Observation")

    def test_a_write_finds_what_may_be_read_and_changes_what_may_be_written(self) -> None:
        mixed = who("patient/Observation.rs patient/Task.u", patient="one")
        decision = decide(mixed, "update", "Task")
        assert decision.visible.of("Task") == (OWN,)
        assert decision.writable.of("Task") == (OWN,)
        assert decision.visible.of("Observation") == (OWN,)
        assert decision.writable.of("Observation") == ()


class TestPartners:
    """Of a partner's client or person, whatever the scopes: what is nobody's chart, for reading alone.

    A chart opens to a partner once a relationship of its organization to that chart can be told; until then
    none does.
    """

    ORGANIZATION = "Organization/partner"
    TOKENS = (
        who("system/*.cruds", organization=ORGANIZATION),
        who("user/*.cruds", user="Practitioner/p", role="clinician", organization=ORGANIZATION),
        who("user/*.cruds", user="Practitioner/p", role="partner", organization=ORGANIZATION),
        who("patient/*.cruds", patient="one", organization=ORGANIZATION),
    )

    @pytest.mark.parametrize("principal", TOKENS, ids=["system", "clinician", "partner", "patient"])
    def test_every_type_that_may_be_somebodys_chart_is_closed(self, principal: Principal) -> None:
        for resource_type in resource_types() - open_types():
            for interaction, permission in PERMISSION.items():
                if permission:
                    assert refused(principal, interaction, resource_type), (interaction, resource_type)
        assert set(decide(principal, "search-system").visible.rules) <= open_types()
        assert decide(principal, "read", "Organization").visible.of("Patient") == ()

    @pytest.mark.parametrize("principal", TOKENS, ids=["system", "clinician", "partner", "patient"])
    def test_nothing_is_written_and_nothing_is_defined(self, principal: Principal) -> None:
        for resource_type in resource_types():
            for interaction in ("create", "update", "patch", "delete"):
                assert refused(principal, interaction, resource_type)

    def test_what_is_nobodys_chart_is_read(self) -> None:
        for resource_type in open_types():
            assert decide(self.TOKENS[0], "read", resource_type).visible.of(resource_type) == (ALL,)

    def test_a_partners_role_reaches_nothing_without_a_partner(self) -> None:
        for scopes in ("user/*.cruds", "patient/*.cruds", "patient/*.rs user/Organization.rs"):
            lost = who(scopes, user="Practitioner/p", role="partner", patient="one")
            for resource_type in resource_types():
                assert refused(lost, "read", resource_type)

    def test_without_a_partner_nothing_changes(self) -> None:
        assert decide(who("system/*.cruds"), "read", "Patient").visible.whole("Patient")


class TestGranularScopes:
    def test_criteria_become_clauses_and_scopes_add_up(self) -> None:
        principal = who(
            f"patient/Observation.rs?category={LAB} patient/Observation.rs?category=social-history",
            patient="one",
        )
        rules = decide(principal, "search-type", "Observation").visible.of("Observation")
        assert len(rules) == 2
        assert all(rule.patients == {"one"} and len(rule.criteria) == 1 for rule in rules)
        assert {rule.criteria[0].parameter.code for rule in rules} == {"category"}

    def test_an_unrestricted_scope_makes_the_others_needless(self) -> None:
        principal = who(f"system/Observation.rs?category={LAB} system/Observation.rs")
        assert decide(principal, "read", "Observation").visible.of("Observation") == (ALL,)

    @pytest.mark.parametrize(
        "criteria",
        ["nonsense=x", "_count=1", "_include=Observation:subject", "birthdate=1950", "date=notadate"],
    )
    def test_criteria_that_say_nothing_of_the_type_close_the_scope(self, criteria: str) -> None:
        assert refused(who(f"patient/Observation.rs?{criteria}", patient="one"), "read", "Observation")

    @pytest.mark.parametrize(
        "criterion",
        [
            ("code:in", "http://hl7.org/fhir/ValueSet/observation-codes"),
            ("code:not-in", "ValueSet/1"),
            ("category:below", LAB),
            ("category:above", LAB),
            ("encounter:below", "Encounter/1"),
        ],
    )
    def test_criteria_whose_meaning_is_stored_close_the_scope(self, criterion: tuple[str, str]) -> None:
        """Who may store value sets, or parts of a hierarchy, would decide on access."""
        assert clauses("Observation", (criterion,)) is None
        assert clauses("Observation", (("category", LAB), criterion)) is None
        name, value = criterion
        assert refused(who(f"patient/Observation.rs?{name}={value}", patient="one"), "read", "Observation")

    def test_a_wildcard_reaches_the_types_that_know_its_criteria(self) -> None:
        principal = who("patient/*.rs?category=laboratory", patient="one")
        assert not refused(principal, "read", "Observation")
        assert refused(principal, "read", "Patient")

    def test_writing_must_keep_the_criteria(self) -> None:
        principal = who(f"patient/Observation.crus?category={LAB}", patient="one")
        decision = decide(principal, "create", "Observation")
        system, _, code = LAB.partition("|")
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"system": system, "code": code}]}],
            "code": {"text": "x"},
            "subject": {"reference": "Patient/one"},
        }
        assert writes(decision, observation)
        assert not writes(
            decision, observation | {"category": [{"coding": [{"system": system, "code": "exam"}]}]}
        )
        assert not writes(decision, {k: v for k, v in observation.items() if k != "category"})


class TestUserScopes:
    def test_they_reach_what_the_role_may(self) -> None:
        nurse = who("user/*.cruds", user="Practitioner/1", role="rn")
        assert decide(nurse, "read", "Patient").visible.of("Patient") == (ALL,)
        assert not refused(nurse, "create", "MedicationStatement")
        assert refused(nurse, "create", "MedicationRequest")
        assert refused(nurse, "delete", "Task")
        assert refused(nurse, "read", "AuditEvent")

    def test_orders_are_written_by_prescribers_alone(self) -> None:
        writers = {
            name
            for name in roles()
            if not refused(who("user/*.cruds", user="Practitioner/1", role=name), "create", "MedicationRequest")
        }
        assert writers == {"prescriber", "clinician"}

    def test_signed_medication_lists_are_not_written_by_assistants(self) -> None:
        assistant = who("user/*.cruds", user="Practitioner/1", role="ma")
        assert refused(assistant, "update", "MedicationStatement")
        assert not refused(assistant, "update", "Task")

    def test_an_engineer_reads_everything_and_writes_nothing(self) -> None:
        engineer = who("user/*.cruds", user="Practitioner/1", role="engineer")
        assert decide(engineer, "search-type", "Patient").visible.of("AuditEvent") == (ALL,)
        assert all(refused(engineer, name, "Patient") for name in ("create", "update", "patch", "delete"))
        assert role("engineer").console
        assert not role("rn").console

    @pytest.mark.parametrize(
        "claims", [{}, {"role": "rn"}, {"user": "Practitioner/1"}, {"user": "Practitioner/1", "role": "x"}]
    )
    def test_without_user_or_role_they_reach_nothing(self, claims: dict[str, str]) -> None:
        assert refused(who("user/*.cruds", **claims), "read", "Patient")

    def test_a_patient_in_the_context_does_not_narrow_them(self) -> None:
        nurse = who("user/*.rs patient/*.rs", user="Practitioner/1", role="rn", patient="one")
        assert decide(nurse, "read", "Patient").visible.of("Patient") == (ALL,)


def test_system_scopes_reach_every_resource_of_their_types() -> None:
    service = who("system/Encounter.rs system/Task.crus")
    assert decide(service, "search-type", "Encounter").visible.of("Encounter") == (ALL,)
    assert decide(service, "create", "Task").writable.of("Task") == (ALL,)
    assert refused(service, "read", "Patient")
    assert refused(service, "create", "Encounter")


def test_context_scopes_reach_nothing() -> None:
    assert refused(
        who("openid fhirUser launch/patient", patient="one", user="Practitioner/1"), "read", "Patient"
    )


def test_bundles_and_capabilities_allow_nothing_by_themselves() -> None:
    for interaction in ("batch", "transaction", "capabilities"):
        assert decide(who(""), interaction).visible.of("Patient") == ()


def writes(decision: Decision, resource: dict[str, Any]) -> bool:
    rows = index_values(resource, base_url="http://x/fhir", time_zone="UTC")
    return may_write(decision, resource["resourceType"], rows, resource, lambda limits: False)


class TestNewVersions:
    decision = decide(who("patient/*.cruds", patient="one"), "create", "Task")

    def task(self, *patients: str) -> dict[str, Any]:
        resource: dict[str, Any] = {"resourceType": "Task", "status": "requested", "intent": "order"}
        if patients:
            resource["for"] = {"reference": f"Patient/{patients[0]}"}
        if len(patients) > 1:
            resource["requester"] = {"reference": f"Patient/{patients[1]}"}
        return resource

    def test_a_patient_token_writes_into_its_own_chart(self) -> None:
        assert writes(self.decision, self.task("one"))

    def test_never_into_another_or_into_none(self) -> None:
        assert not writes(self.decision, self.task("two"))
        assert not writes(self.decision, self.task())

    def test_never_into_two_charts_at_once(self) -> None:
        group = {
            "resourceType": "Appointment",
            "status": "booked",
            "participant": [
                {"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in ("one", "two")
            ],
        }
        assert not writes(decide(who("patient/*.cruds", patient="one"), "create", "Appointment"), group)
        assert writes(decide(who("system/*.cruds"), "create", "Appointment"), group)

    def test_a_patient_is_its_own_chart(self) -> None:
        decision = decide(who("patient/*.cruds", patient="one"), "update", "Patient")
        assert writes(decision, {"resourceType": "Patient", "id": "one"})
        assert not writes(decision, {"resourceType": "Patient", "id": "two"})


@given(
    scope=st.lists(
        st.builds(
            "{}/{}.{}".format,
            st.sampled_from(["patient", "user", "system"]),
            st.sampled_from(["*", "Patient", "Observation", "Practitioner"]),
            st.sampled_from(["r", "rs", "cruds", "s", "cud", "read", "write"]),
        ),
        max_size=4,
    ).map(" ".join),
    patient=st.sampled_from([None, "one"]),
    user=st.sampled_from([None, "Practitioner/1"]),
    held=st.sampled_from(["", "rn", "engineer"]),
    interaction=st.sampled_from(sorted(name for name, letter in PERMISSION.items() if letter)),
    resource_type=st.sampled_from(["Patient", "Observation", "Practitioner", "Task"]),
)
def test_a_decision_agrees_with_reading_the_scopes_one_by_one(
    scope: str, patient: str | None, user: str | None, held: str, interaction: str, resource_type: str
) -> None:
    """An oracle that knows nothing of Visibility: which of three resources each scope reaches."""
    principal = who(scope, patient=patient, user=user, role=held)
    letter = PERMISSION[interaction]
    unrestricted = own = referred = False
    for item in principal.scopes:
        if not item.allows(resource_type, letter):
            continue
        if item.level == "system":
            unrestricted = True
        elif item.level == "user":
            unrestricted |= user is not None and letter in role(held).permissions(resource_type)
        elif user is not None and letter not in role(held).permissions(resource_type):
            continue  # a member of staff who was launched into a chart is still one
        elif patient is not None and resource_type != "Practitioner":
            own = True
        elif patient is not None and letter in "rs":
            referred = True
    if not (unrestricted or own or referred):
        assert refused(principal, interaction, resource_type)
        return
    decision = decide(principal, interaction, resource_type)
    rules = (decision.writable if letter in "cud" else decision.visible).of(resource_type)
    assert (ALL in rules) == unrestricted
    if not unrestricted:
        assert set(rules) == ({OWN} if own else {REFERRED})


def test_every_role_names_real_types_and_letters_in_order() -> None:
    for held in roles().values():
        for resource_type, letters in held.types.items():
            assert resource_type == "*" or resource_type in resource_types()
            assert letters == "".join(letter for letter in "cruds" if letter in letters)


HOUSE = "Organization/house"
MINE, OURS = Limit(), Limit(organizations=True)


@pytest.fixture
def reaching() -> Iterator[Any]:
    """`reaching("related", house="organization")`: a role `it` with that reach that may do everything, and how
    far an organization narrows its staff."""

    def put(reach: str, **narrowed: str) -> None:
        held = {"it": replace(role("rn"), name="it", types={"*": "cruds"}, reach=reach)}
        organizations = {name if name == "*" else f"Organization/{name}": to for name, to in narrowed.items()}
        use(replace(policy(), roles={**roles(), **held}, organizations=organizations))

    yield put
    use(None)


def nurse(scope: str = "user/*.cruds", **claims: Any) -> Principal:
    return who(scope, user="Practitioner/1", role="it", **claims)


class TestRelationships:
    def test_a_role_limits_every_type_of_a_chart_and_no_other(self, reaching: Any) -> None:
        reaching("related")
        visible = decide(nurse(), "read", "Patient", at=5).visible
        for resource_type in resource_types():
            rules = visible.of(resource_type)
            if resource_type in open_types():
                assert rules == (ALL,), resource_type
            elif resource_type in PATIENT_COMPARTMENT:
                assert rules == (Rule(limits=(MINE,)),), resource_type
            else:
                assert rules == (), resource_type
        assert (visible.caller, visible.at) == (reference_hash("Practitioner/1"), 5)

    @pytest.mark.parametrize(
        ("reach", "narrowed", "limits"),
        [
            ("all", {}, ()),
            ("organization", {}, (OURS,)),
            ("related", {}, (MINE,)),
            ("all", {"house": "organization"}, (Limit(True, frozenset({reference_hash(HOUSE)})),)),
            ("all", {"house": "related"}, (Limit(False, frozenset({reference_hash(HOUSE)})),)),
            ("all", {"house": "all"}, ()),
            ("organization", {"house": "organization"}, (OURS,)),
            ("organization", {"house": "related"}, (OURS, Limit(False, frozenset({reference_hash(HOUSE)})))),
            ("related", {"house": "organization"}, (MINE,)),
            ("all", {"*": "related"}, (MINE,)),
            ("all", {"*": "related", "house": "all"}, (Limit(but=frozenset({reference_hash(HOUSE)})),)),
            (
                "all",
                {"*": "related", "house": "organization"},
                (
                    Limit(True, of=frozenset({reference_hash(HOUSE)})),
                    Limit(but=frozenset({reference_hash(HOUSE)})),
                ),
            ),
            ("related", {"*": "organization"}, (MINE,)),
        ],
    )
    def test_organizations_narrow_and_never_widen(
        self, reaching: Any, reach: str, narrowed: dict[str, str], limits: tuple[Limit, ...]
    ) -> None:
        reaching(reach, **narrowed)
        assert decide(nurse(), "read", "Patient", at=5).visible.of("Patient") == (Rule(limits=limits),)

    def test_what_may_be_anybodys_is_open_only_to_who_is_not_limited(self, reaching: Any) -> None:
        reaching("all", house="related")
        narrowed = Limit(False, frozenset({reference_hash(HOUSE)}))
        assert decide(nurse(), "read", "Binary", at=5).visible.of("Binary") == (Rule(limits=(narrowed,)),)
        reaching("related")
        assert refused(nurse(), "read", "Binary")

    def test_a_launch_keeps_patient_and_relationship(self, reaching: Any) -> None:
        reaching("related")
        launched = nurse("patient/*.cruds", patient="one")
        visible = decide(launched, "read", "Patient", at=5).visible
        assert visible.of("Observation") == (replace(OWN, limits=(MINE,)),)
        assert visible.of("Practitioner") == (REFERRED,)

    @pytest.mark.parametrize("user", ["Patient/one", "RelatedPerson/one", None])
    def test_who_is_no_staff_has_neither_role_nor_relationship(self, reaching: Any, user: str | None) -> None:
        reaching("related")
        own = who("patient/*.rs", patient="one", user=user)
        assert decide(own, "read", "Patient", at=5).visible.of("Patient") == (OWN,)

    def test_a_user_scope_without_a_role_reaches_nothing_whoever_the_user_is(self) -> None:
        for user in ("Patient/one", "RelatedPerson/one", "Practitioner/1"):
            assert refused(who("user/*.rs", user=user), "read", "Patient")

    def test_services_have_none(self, reaching: Any) -> None:
        reaching("related")
        visible = decide(who("system/*.rs", role="it"), "read", "Patient", at=5).visible
        assert visible.of("Patient") == (ALL,)

    def test_without_a_moment_no_limit_can_be_kept(self, reaching: Any) -> None:
        reaching("related")
        assert decide(nurse(), "read", "Patient").visible.at is None

    def test_a_decision_is_made_anew_for_every_moment(self, reaching: Any) -> None:
        reaching("related")
        principal = nurse()
        moments = [decide(principal, "update", "Task", at=at) for at in (1, 2)]
        assert [(each.visible.at, each.writable.at) for each in moments] == [(1, 1), (2, 2)]

    def test_who_is_limited_never_writes_who_belongs_where(self, reaching: Any) -> None:
        assert relationship_policy().types & open_types() == {"PractitionerRole"}
        for reach, narrowed in (("related", {}), ("organization", {}), ("all", {"house": "related"})):
            reaching(reach, **narrowed)
            for interaction in ("create", "update", "patch", "delete"):
                assert refused(nurse(), interaction, "PractitionerRole")
            assert decide(nurse(), "read", "PractitionerRole", at=5).visible.of("PractitionerRole") == (ALL,)
        reaching("all")
        assert not refused(nurse(), "create", "PractitionerRole")

    def test_a_write_asks_for_the_limits_of_its_rule_and_of_no_other(self, reaching: Any) -> None:
        reaching("organization", house="related")
        asked: list[tuple[Limit, ...]] = []

        def keeps(limits: tuple[Limit, ...]) -> bool:
            asked.append(limits)
            return True

        decision = decide(nurse(), "create", "Task", at=5)
        task = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "for": {"reference": "Patient/x"},
        }
        assert may_write(decision, "Task", index_values(task), task, keeps)
        assert asked == [(OURS, Limit(False, frozenset({reference_hash(HOUSE)})))]


@given(
    scope=st.lists(
        st.builds(
            "{}/{}.{}".format,
            st.sampled_from(["patient", "user", "system"]),
            st.sampled_from(["*", "Patient", "Observation", "Practitioner", "Binary", "PractitionerRole"]),
            st.sampled_from(["r", "rs", "cruds", "cud"]),
        ),
        max_size=3,
    ).map(" ".join),
    patient=st.sampled_from([None, "one"]),
    reach=st.sampled_from(REACHES),
    narrowed=st.sampled_from(
        [
            {},
            {"house": "organization"},
            {"house": "related", "barn": "organization"},
            {"*": "related", "barn": "all"},
        ]
    ),
    interaction=st.sampled_from(["read", "search-type", "create", "update"]),
    resource_type=st.sampled_from(["Patient", "Observation", "Practitioner", "Binary", "PractitionerRole"]),
)
def test_a_layer_more_never_shows_more(
    scope: str, patient: str | None, reach: str, narrowed: dict[str, str], interaction: str, resource_type: str
) -> None:
    """What limits refuse may have been allowed, never the other way; each rule is one from before, limited."""

    def decided(reach: str, narrowed: dict[str, str]) -> Decision:
        held = replace(role("rn"), name="it", types={"*": "cruds"}, reach=reach)
        organizations = {name if name == "*" else f"Organization/{name}": to for name, to in narrowed.items()}
        use(replace(policy(), roles={"it": held}, organizations=organizations))
        try:
            return decide(nurse(scope, patient=patient), interaction, resource_type, at=5)
        except FhirError:
            return Decision(NOTHING)
        finally:
            use(None)

    free, limited = decided("all", {}), decided(reach, narrowed)
    for wide, narrow in ((free.visible, limited.visible), (free.writable, limited.writable)):
        for name in resource_types():
            for rule in narrow.of(name):
                assert ALL in wide.of(name) or replace(rule, limits=()) in wide.of(name), name
