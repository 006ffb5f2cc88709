"""SMART scopes in plain words, for the consent page (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from server.auth.scopes import Scope, parse_scope

# Types people have a word for; any other is shown by its FHIR name, taken apart.
_TYPES = {
    "*": "Everything",
    "AllergyIntolerance": "Allergies",
    "CarePlan": "Care plans",
    "CareTeam": "Care teams",
    "Condition": "Problems and diagnoses",
    "Coverage": "Insurance",
    "Device": "Devices",
    "DiagnosticReport": "Reports of tests and imaging",
    "DocumentReference": "Documents and notes",
    "Encounter": "Visits and hospital stays",
    "EpisodeOfCare": "Episodes of care",
    "Goal": "Goals",
    "Immunization": "Vaccinations",
    "List": "Lists, such as medication lists",
    "Location": "Places",
    "Medication": "Medication products",
    "MedicationDispense": "Pharmacy fills",
    "MedicationRequest": "Prescriptions and medication orders",
    "MedicationStatement": "Medications taken",
    "Observation": "Results, vital signs and other observations",
    "Organization": "Organizations",
    "Patient": "Personal details",
    "Practitioner": "Clinicians",
    "Procedure": "Procedures",
    "Provenance": "Who recorded what",
    "ServiceRequest": "Referrals and orders",
    "Task": "Tasks",
}
_LEVELS = {
    "patient": "In this patient's record",
    "user": "In every record you may use",
}
_OF_OTHERS = {
    _LEVELS["patient"]: "In one patient's record",
    _LEVELS["user"]: "In every record the person may use",
}
_VERBS = (("rs", "see"), ("c", "add"), ("u", "change"), ("d", "delete"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its tick box. number: for the element's id."""

    number: int
    scope: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    entries: tuple[Entry, ...]


def consent_groups(scopes: Iterable[str]) -> tuple[Group, ...]:
    """The resource scopes of a request, by what they reach."""
    numbered = [(number, parsed) for number, word in enumerate(scopes) if (parsed := parse_scope(word))]
    return tuple(
        Group(title, tuple(_entry(number, scope) for number, scope in numbered if scope.level == level))
        for level, title in _LEVELS.items()
        if any(scope.level == level for _, scope in numbered)
    )


def scope_sentences(scope: str) -> tuple[str, ...]:
    """What a granted scope lets a program do, told to others: a sentence for each set of records it reaches."""
    return tuple(
        f"{_OF_OTHERS[group.title]}: {', '.join(f'{one.title} ({one.text.lower()})' for one in group.entries)}."
        for group in consent_groups(scope.split())
    )


def _entry(number: int, scope: Scope) -> Entry:
    title = _TYPES.get(scope.resource_type)
    if title is None:
        words = re.findall(r"[A-Z][a-z]*", scope.resource_type)
        title = " ".join([words[0], *(word.lower() for word in words[1:])])
    verbs = [verb for letters, verb in _VERBS if set(letters) & set(scope.permissions)]
    text = " and ".join([", ".join(verbs[:-1]), verbs[-1]] if len(verbs) > 1 else verbs).capitalize()
    if scope.criteria:
        limits = "; ".join(f"{name} {value.rpartition('|')[2]}" for name, value in scope.criteria)
        text += f", only where {limits}"
    return Entry(number, scope.written, title, text)
