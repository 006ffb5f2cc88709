"""The weights of `weights.json`, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Model:
    """weights: element -> outcome -> bits. household: elements that together weigh at most household_most.
    probable, possible: lowest scores. at_most_possible, at_most_probable: elements whose difference caps the
    grade. The rest is what agreement says nothing in, folded."""

    version: str
    weights: Mapping[str, Mapping[str, float]]
    household: frozenset[str]
    household_most: float
    prior: float
    probable: float
    possible: float
    at_most_possible: frozenset[str]
    at_most_probable: frozenset[str]
    shared_types: frozenset[str]
    no_given: frozenset[str]
    no_family: frozenset[str]
    no_birth_dates: frozenset[str]
    no_identifiers: frozenset[str]


@cache
def model() -> Model:
    """The model this server matches by."""
    document = json.loads(files(__package__).joinpath("weights.json").read_text("utf-8"))
    unknown = document["placeholders"]
    return Model(
        version=document["version"],
        weights=document["weights"],
        household=frozenset(document["household"]["elements"]),
        household_most=document["household"]["most"],
        prior=document["prior"]["bits"],
        probable=document["grades"]["probable"],
        possible=document["grades"]["possible"],
        at_most_possible=frozenset(document["at_most_possible"]),
        at_most_probable=frozenset(document["at_most_probable"]),
        shared_types=frozenset(document["shared_identifier_types"]["codes"]),
        no_given=frozenset(unknown["given"]),
        no_family=frozenset(unknown["family"]),
        no_birth_dates=frozenset(unknown["birth_dates"]),
        no_identifiers=frozenset(unknown["identifiers"]),
    )
