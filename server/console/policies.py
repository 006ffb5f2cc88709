"""Policies in the console: roles and types as a table, and who may do something, by the access decision itself.

Knows neither Flask nor SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.auth.access import PERMISSION, decide
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.errors import FhirError
from server.fhir.visibility import Rule
from server.policy.lifecycle import Machine, machines
from server.policy.roles import Role, roles

OTHERS = "*"
# Interaction -> the question, in words.
QUESTIONS: Mapping[str, str] = {
    "read": "see one",
    "search-type": "search them",
    "create": "add one",
    "update": "change one",
    "delete": "delete one",
}
_LETTERS = (("rs", "see"), ("c", "add"), ("u", "change"), ("d", "delete"))
_WRITES = frozenset("cud")
_SOMEBODY = "anybody"  # stands for the user, the patient and the organization of the question
_ORGANIZATION = f"Organization/{_SOMEBODY}"


@dataclass(frozen=True, slots=True)
class TypeLine:
    """One resource type, "*" for all that have no line: for each role, what it may do, in words."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether somebody may, and how far, in words."""

    who: str
    may: bool
    words: str


def type_lines(text: str = "") -> tuple[TypeLine, ...]:
    """The types that any role names, those with the text in their name; the other types come first."""
    named = sorted({name for role in roles().values() for name in role.types} - {OTHERS})
    wanted = [OTHERS, *(name for name in named if text.casefold() in name.casefold())]
    return tuple(TypeLine(name, tuple(_cell(role, name) for role in roles().values())) for name in wanted)


def _cell(role: Role, name: str) -> str:
    letters = role.types.get(OTHERS, "") if name == OTHERS else role.permissions(name)
    return ", ".join(word for held, word in _LETTERS if set(held) & set(letters)) or "nothing"


def who_may(interaction: str, resource_type: str) -> tuple[Answer, ...]:
    """The answer for every role and for tokens without a user, each with all scopes of its level.

    interaction: one of QUESTIONS.
    """
    return tuple(_answer(who, principal, interaction, resource_type) for who, principal in _askers())


def _askers() -> Iterator[tuple[str, Principal]]:
    everything = parse_scopes("user/*.cruds")
    for role in roles().values():
        belongs_to = _ORGANIZATION if role.partner else None
        yield (
            role.title,
            Principal(
                _SOMEBODY,
                everything,
                user=f"Practitioner/{_SOMEBODY}",
                role=role.name,
                organization=belongs_to,
            ),
        )
    in_chart = parse_scopes("patient/*.cruds")
    yield "An app in one patient's chart", Principal(_SOMEBODY, in_chart, patient=_SOMEBODY)
    system = parse_scopes("system/*.cruds")
    yield "A backend service of our own", Principal(_SOMEBODY, system)
    yield "A partner's backend service", Principal(_SOMEBODY, system, organization=_ORGANIZATION)


def _answer(who: str, principal: Principal, interaction: str, resource_type: str) -> Answer:
    try:
        decision = decide(principal, interaction, resource_type)
    except FhirError as error:
        if error.kind != "forbidden":
            raise
        return Answer(who, False, "no")
    reach = decision.writable if PERMISSION[interaction] in _WRITES else decision.visible
    return Answer(who, True, "yes: " + "; or ".join(dict.fromkeys(map(_words, reach.of(resource_type)))))


def _words(rule: Rule) -> str:
    if rule == Rule():
        return "every one"
    if rule == Rule(referred=True):
        return "what a chart within reach refers to"
    if rule.patients is not None:
        return "in that patient's chart"
    return "within further limits of the access policy"


def all_machines() -> tuple[Machine, ...]:
    """Every lifecycle, by type."""
    return tuple(machine for group in machines().values() for machine in group)
