"""From reasons to a score and a grade.

The score is the probability that both are one person, by the weights of the model. The grade `certain` is not a
matter of score: only rules give it, so that no sum of small agreements makes two people one.
Source: hl7.org/fhir/R4/extension-match-grade.html, valueset-match-grade.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from server.interactions.operations.matching.compare import Reason
from server.interactions.operations.matching.model import Model

Grade = Literal["certain", "probable", "possible", "certainly-not"]
GRADES: tuple[Grade, ...] = ("certain", "probable", "possible", "certainly-not")


@dataclass(frozen=True, slots=True)
class Judgement:
    """score: 0 to 1."""

    grade: Grade
    score: float
    reasons: tuple[Reason, ...]


def judge(reasons: Sequence[Reason], model: Model) -> Judgement:
    """The grade that the reasons add up to."""
    score = round(_probability(reasons, model), 4)
    return Judgement(_grade(reasons, score, model), score, tuple(reasons))


def _probability(reasons: Sequence[Reason], model: Model) -> float:
    bits, shared = model.prior, 0.0
    for reason in reasons:
        weight = model.weights[reason.element][reason.outcome]
        if reason.element in model.household and weight > 0:
            shared += weight
        else:
            bits += weight
    bits += min(shared, model.household_most)
    return float(1 / (1 + 2**-bits))


def _grade(reasons: Sequence[Reason], score: float, model: Model) -> Grade:
    differing = {reason.element for reason in reasons if reason.outcome == "differs"}
    if not differing and _is_certain(reasons):
        return "certain"
    if score < model.possible:
        return "certainly-not"
    if score < model.probable or differing & model.at_most_possible:
        return "possible"
    return "probable"


def _is_certain(reasons: Sequence[Reason]) -> bool:
    """Nothing differs, and either an identifier agrees with birth date and first name, or the whole name and
    the birth date agree and a number or address that is not everybody's does as well."""
    by_element = {reason.element: reason for reason in reasons}

    def whole(element: str) -> bool:
        return element in by_element and by_element[element].whole

    def agrees(element: str) -> bool:
        return element in by_element and by_element[element].outcome == "agrees"

    if not whole("birthDate"):
        return False
    if agrees("identifier") and agrees("given") and "family" in by_element:
        return True
    named = whole("family") and whole("given")
    return named and any(whole(element) for element in ("phone", "email", "address"))
