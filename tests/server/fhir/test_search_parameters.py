"""The registry knows R4's search parameters, their numbers never change, and what is generated is current.

Covers hl7.org/fhir/R4/searchparameter-registry.html.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import server.fhir
from server.fhir import generate_search
from server.fhir.generate_search_paths import Structures, alternatives, paths
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.generated.search import ANY_TARGET, PATIENT_COMPARTMENT
from server.fhir.search_parameters import main_date_parameter, parameter, parameters, sortable, supported

FHIR = Path(server.fhir.__file__).parent
NUMBERS: dict[str, int] = json.loads((FHIR / "parameter_numbers.json").read_text("utf-8"))

# How many numbers a release gave out, and what for: they are in stored index rows. Add a line when numbers
# are added; a line never changes.
GIVEN_OUT = [
    (3018, "6152cdcf01cc9c1671f5c6b1491baf8d26d957c5e016f76c86f479093a244f16"),
    (3019, "328484085e0140df36f78d818e5aab11bff75a6bed2353ded7b724323a1e23d0"),
]


@pytest.mark.parametrize(("count", "digest"), GIVEN_OUT)
def test_a_number_that_was_given_out_never_changes(count: int, digest: str) -> None:
    rows = sorted((number, name) for name, number in NUMBERS.items())[:count]
    text = "\n".join(f"{number} {name}" for number, name in rows)
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_numbers_count_up_from_one_and_the_last_are_recorded_here() -> None:
    assert sorted(NUMBERS.values()) == list(range(1, len(NUMBERS) + 1))
    assert GIVEN_OUT[-1][0] == len(NUMBERS)


def test_generated_files_are_what_the_generator_writes() -> None:
    for file, text in generate_search.generate().items():
        assert file.read_text("utf-8") == text, f"{file.name}: run `make generate`"


def test_all_parameters_of_r4_are_known_on_every_type_they_are_for() -> None:
    definitions = gzip.decompress((FHIR / "definitions" / "search-parameters.ndjson.gz").read_bytes())
    wanted = {
        (base, row["code"], row["type"], row["url"])
        for row in map(json.loads, definitions.decode().splitlines())
        for given in row["base"]
        for base in (RESOURCE_TYPES if given in ("Resource", "DomainResource") else [given])
    }
    known = {(t, p.code, p.type, p.url) for t in RESOURCE_TYPES for p in parameters(t).values()}
    assert wanted <= known
    assert set(generate_search.read_definitions().structures.resource_types) == RESOURCE_TYPES
    assert len(RESOURCE_TYPES) == 146
    ours = {(t, code) for t, code, _, _ in known - wanted}
    assert ours == {
        ("CareTeam", "role"),
        ("Condition", "asserted-date"),
        ("Encounter", "discharge-disposition"),
        ("Goal", "description"),
        ("Task", "due"),
    }


def test_what_is_not_answered_is_not_listed() -> None:
    left_out = {
        (p.type, code if p.type in ("string", "token") else "*")
        for t in RESOURCE_TYPES
        for code, p in parameters(t).items()
        if code not in supported(t)
    }
    assert left_out == {
        ("special", "*"),
        ("string", "_text"),
        ("string", "_content"),
        ("string", "phonetic"),
        ("token", "_query"),
    }


@pytest.mark.parametrize("resource_type", sorted(RESOURCE_TYPES))
def test_parameters_of_a_type_are_complete(resource_type: str) -> None:
    for code, found in supported(resource_type).items():
        assert found == parameter(resource_type, code)
        assert found.resource_type == resource_type
        assert found.number == NUMBERS[f"{resource_type}.{code}"]
        assert found.datatypes or found.components or code in ("_id", "_lastUpdated")
        assert bool(found.components) == (found.type == "composite")
        if found.type == "reference":
            assert found.targets or found.datatypes == ("canonical",)
        else:
            assert found.targets == ()
        assert set(found.targets) <= RESOURCE_TYPES
        if found.folds_case and found.type == "token":  # no code system's codes are folded by accident
            assert set(found.datatypes) == {"string"}
    assert set(sortable(resource_type)) <= set(supported(resource_type))
    assert {"_id", "_lastUpdated"} <= set(sortable(resource_type))
    assert set(PATIENT_COMPARTMENT.get(resource_type, ())) <= set(supported(resource_type))


def test_a_main_date_has_at_most_one_value_so_that_its_column_sorts_like_the_parameter() -> None:
    inputs = generate_search.read_definitions()
    by_url = {definition["url"]: definition for definition in inputs.parameters}
    named = {t: p for t in RESOURCE_TYPES if (p := main_date_parameter(t)) is not None}
    assert {"Observation", "Encounter", "MedicationRequest", "Task", "CarePlan"} <= set(named)
    assert set(PATIENT_COMPARTMENT) - set(named) <= {
        "AppointmentResponse",
        "BodyStructure",
        "Coverage",
        "Device",
        "DeviceUseStatement",
        "EnrollmentRequest",
        "Group",
        "MolecularSequence",
        "SupplyDelivery",
    }
    for resource_type, found in named.items():
        assert found.type == "date"
        for path in paths(by_url[found.url]["expression"], resource_type, inputs.structures):
            assert not any(step.many for step in path.steps), f"{resource_type}.{found.code}"


def test_an_unknown_type_has_no_parameters() -> None:
    with pytest.raises(KeyError):
        parameters("Nothing")
    assert "Parameters" not in ANY_TARGET


def test_only_the_types_asked_for_are_loaded() -> None:
    program = (
        "import sys; from server.fhir.search_parameters import supported; supported('Patient');"
        "print(sum(name.startswith('server.fhir.generated.search.') for name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"


# The FHIRPath subset ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def structures() -> Structures:
    return generate_search.read_definitions().structures


@pytest.mark.parametrize(
    ("expression", "resource_type", "expected"),
    [
        ("Patient.name.family", "Patient", ["name*/family string"]),
        ("Observation.value as Quantity", "Observation", ["valueQuantity Quantity"]),
        ("(Observation.value as CodeableConcept).text", "Observation", ["valueCodeableConcept/text string"]),
        ("Condition.onset.as(Age)", "Condition", ["onsetAge Age"]),
        ("Goal.target.due.ofType(date)", "Goal", ["target*/dueDate date"]),
        ("Patient.telecom.where(system='phone')", "Patient", ["telecom*[system=phone] ContactPoint"]),
        ("Task.for.where(resolve() is Patient)", "Task", ["for Reference is Patient"]),
        ("Bundle.entry[0].resource", "Bundle", ["entry*[0]/resource Resource"]),
        ("Patient.contact.name | Person.name", "Person", ["name* HumanName"]),
        ("Questionnaire.item.item.item.linkId", "Questionnaire", ["item*/item*/item*/linkId string"]),
        (
            "Patient.deceased.exists() and Patient.deceased != false",
            "Patient",
            ["deceasedBoolean boolean exists", "deceasedDateTime dateTime exists"],
        ),
        ("name | alias", "InsurancePlan", ["name string", "alias* string"]),
    ],
)
def test_the_expressions_r4_uses_are_understood(
    expression: str, resource_type: str, expected: list[str], structures: Structures
) -> None:
    shown = []
    for path in paths(expression, resource_type, structures):
        steps = "/".join(
            step.key
            + "*" * step.many
            + ("[0]" if step.first else "")
            + (f"[{step.where[0]}={step.where[1]}]" if step.where else "")
            for step in path.steps
        )
        is_type = f" is {path.resolves}" if path.resolves else ""
        shown.append(f"{steps} {path.datatype}{is_type}{' exists' if path.exists else ''}")
    assert shown == expected


@pytest.mark.parametrize("expression", ["Patient.nothing", "Patient.name.first()", "Patient.name.where(use)"])
def test_an_expression_outside_the_subset_is_an_error(expression: str, structures: Structures) -> None:
    with pytest.raises(ValueError):
        paths(expression, "Patient", structures)


def test_a_type_is_told_only_its_own_part_of_an_expression() -> None:
    assert alternatives("Patient.name | (Person.name as HumanName)", "Person") == "(Person.name as HumanName)"
