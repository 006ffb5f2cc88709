"""What an operation is: one row, from which its routes, access, parameters and capability are made.

Source: hl7.org/fhir/R4/operations.html, hl7.org/fhir/R4/operationdefinition.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from server.fhir.unstored import UNSTORED
from server.interactions.call import Call
from server.interactions.request import InteractionName, InteractionResponse

Level = Literal["system", "type", "instance", "version"]

# Types of parameters that are no primitives: they come in a body only.
COMPLEX = frozenset({"Resource", "Meta", "Coding", "CodeableConcept"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input. type: a key of `parameters.TYPES`. repeats: it may be given more than once."""

    name: str
    type: str
    required: bool = False
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs of one call, read. values: by name, as their type says. written: the primitive ones as they
    would stand in a URL, for links. search: search parameters of an operation that takes them, likewise."""

    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    written: tuple[tuple[str, str], ...] = ()
    search: tuple[tuple[str, str], ...] = ()

    def one(self, name: str) -> Any:
        """The value of a parameter that does not repeat, None where it is not given."""
        given = self.values.get(name, ())
        return given[0] if given else None

    def every(self, name: str) -> tuple[Any, ...]:
        """All values of a parameter in their order."""
        return self.values.get(name, ())


# A call and its arguments -> the answer. The call's decision is the one for the operation's `access`.
Handler = Callable[[Call[Any], Arguments], InteractionResponse]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it is offered on some types.

    name: without the dollar sign. definition: the canonical URL of its OperationDefinition. types: the resource
    types it is offered on, () for all; of no meaning at the level of the system. access: the interaction whose
    permission on the type in the URL it needs, "" for none but a token. search: it takes search parameters of
    the type beside its own. elsewhere: what to do at a level where it is not offered.
    """

    name: str
    definition: str
    levels: tuple[Level, ...]
    handler: Handler
    types: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    access: InteractionName | Literal[""] = ""
    affects_state: bool = False
    search: bool = False
    elsewhere: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """GET only where nothing changes and primitive parameters suffice."""
        needs_body = any(p.required and p.type in COMPLEX for p in self.parameters)
        return ("POST",) if self.affects_state or needs_body else ("GET", "POST")

    def is_offered_on(self, resource_type: str) -> bool:
        """Whether it is one of the operations of a type ("" for the system)."""
        if self.access and resource_type in UNSTORED:
            return False
        return not self.types or not resource_type or resource_type in self.types
