"""Scopes in the words of the consent page and of the page of granted access."""

from __future__ import annotations

from server.api.scope_words import Held, Holding, consent_groups, held_groups

LAB = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
VITAL = "category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"


def test_a_type_offers_its_kinds_by_name() -> None:
    (group,) = consent_groups("openid patient/Observation.rs")
    (entry,) = group.entries
    assert (group.title, entry.title, entry.text) == (
        "In this patient's record",
        "Results, vital signs and other observations",
        "See",
    )
    assert entry.narrower[0].title == "Laboratory results"
    assert entry.narrower[0].scope == f"patient/Observation.rs?{LAB}"


def test_a_wildcard_says_that_it_reaches_what_comes_later_and_offers_types() -> None:
    (group,) = consent_groups("user/*.cruds")
    (entry,) = group.entries
    assert entry.title == "Everything"
    assert entry.text == "See, add, change and delete, also what is added to records later"
    titles = [inner.title for inner in entry.narrower]
    assert titles[:2] == ["Allergies", "Appointments"]
    observations = next(inner for inner in entry.narrower if inner.scope == "user/Observation.cruds")
    assert observations.narrower[0].title == "Laboratory results"


def test_every_box_of_a_page_has_an_id_of_its_own() -> None:
    ids: list[str] = []
    pending = [
        entry
        for group in consent_groups("patient/*.rs user/*.rs patient/Observation.write")
        for entry in group.entries
    ]
    for entry in pending:
        ids.append(entry.id)
        pending += entry.narrower
    assert len(set(ids)) == len(ids) > 100


def test_a_granular_scope_says_its_limit() -> None:
    (group,) = consent_groups(f"patient/Observation.rs?{LAB} patient/Task.rs?status=requested&code=x")
    assert [entry.text for entry in group.entries] == [
        "See, only Laboratory results",
        "See, only where code is x; where status is requested",
    ]


def test_a_type_without_a_word_of_its_own_is_taken_apart() -> None:
    (group,) = consent_groups("user/BiologicallyDerivedProduct.rs")
    assert group.entries[0].title == "Biologically derived product"


def test_what_is_held_names_the_kinds_of_a_type_together() -> None:
    kinds = f"patient/Observation.rs?{LAB} patient/Observation.rs?{VITAL}"
    assert held_groups(f"launch patient/Patient.read {kinds} user/Task.cu") == (
        Held(
            "In this patient's record",
            (
                Holding("Personal details", "see", ()),
                Holding(
                    "Results, vital signs and other observations",
                    "see",
                    ("Laboratory results", "Vital signs"),
                ),
            ),
        ),
        Held("In every record you may use", (Holding("Tasks", "add and change", ()),)),
    )


def test_a_whole_type_beside_a_kind_of_it_is_the_whole_type() -> None:
    (held,) = held_groups(f"patient/Observation.rs?{LAB} patient/Observation.rs")
    assert held.holdings == (Holding("Results, vital signs and other observations", "see", ()),)
