"""What a person may choose from where an app asks for much, read from `scope_choices.json` (pure data).

Source: hl7.org/fhir/us/core/STU7/scopes.html (granular scopes by category); the file names the code systems.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Kind:
    """Resources of a type that have one value in one search parameter. title: what people call them.

    required: US Core asks a server to support its granular scope.
    """

    parameter: str
    system: str
    code: str
    title: str
    required: bool

    @property
    def criterion(self) -> tuple[str, str]:
        """The search parameter and its value, as a granular scope holds them."""
        return self.parameter, f"{self.system}|{self.code}"


@dataclass(frozen=True, slots=True)
class ScopeChoices:
    """types: type -> what people call its resources, in their order. kinds: type -> the kinds told apart."""

    types: Mapping[str, str]
    kinds: Mapping[str, tuple[Kind, ...]]


@cache
def scope_choices() -> ScopeChoices:
    """The choices of the file."""
    document = json.loads(files(__package__).joinpath("scope_choices.json").read_text("utf-8"))
    return ScopeChoices(
        types=document["types"],
        kinds={name: tuple(Kind(**row) for row in rows) for name, rows in document["kinds"].items()},
    )


def kind_of(resource_type: str, criterion: tuple[str, str]) -> Kind | None:
    """The kind that a criterion of a granular scope stands for, None for any other criterion."""
    return next(
        (kind for kind in scope_choices().kinds.get(resource_type, ()) if kind.criterion == criterion), None
    )
