"""Required bindings: is a code, Coding or CodeableConcept in the value set R4 demands.

Only value sets whose codes R4 itself lists, and the rules of validation_primitives (media types,
currencies), are checked; generated/codes.json names the few that are not, with the reason.
Source: hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from server.fhir.validation_primitives import CODE_RULES
from server.fhir.validation_tables import codes

_LISTED_IN_WORDS = 24


@cache
def accepts_code(value_set: str) -> Callable[[Any], object]:
    """A test of codes; it answers true for every text if the value set is not checked."""
    listed = codes(value_set)
    if "rule" in listed:
        return CODE_RULES[listed["rule"]][0]
    if "not checked" in listed:
        return lambda code: type(code) is str
    return frozenset(code for system in listed.values() for code in system).__contains__


@cache
def accepts_concept(value_set: str) -> Callable[[Any], bool]:
    """A test of well-shaped Codings and CodeableConcepts: one coding must be in the value set."""
    listed = codes(value_set)
    if "rule" in listed or "not checked" in listed:
        return lambda concept: True
    pairs = frozenset((system, code) for system, members in listed.items() for code in members)

    def accept(concept: dict[str, Any]) -> bool:
        return any(
            (coding.get("system"), coding.get("code")) in pairs for coding in concept.get("coding", [concept])
        )

    return accept


def words(value_set: str) -> str:
    """What a binding asks for: the codes if they are few, else the value set."""
    listed = codes(value_set)
    if "rule" in listed:
        return CODE_RULES[listed["rule"]][1]
    members = [code for system in listed.values() for code in system]
    if len(members) <= _LISTED_IN_WORDS:
        return f"one of {', '.join(members)} (value set {value_set})"
    return f"a code of the value set {value_set}"
