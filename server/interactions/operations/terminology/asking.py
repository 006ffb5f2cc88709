"""What the terminology operations have in common: which definition is meant, which code, and how it is refused.

A definition is named by its canonical url, sent along, or is the one in the URL. What is not known here, or may
not be seen, is not-found; what is known and cannot be answered from what is known is refused with the reason.
Source: hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.validation import validate
from server.interactions.answer import absent, gone
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.parameters import place_of
from server.interactions.request import InteractionResponse
from server.storage.definitions import StoredDefinitions
from server.storage.interface import Reader
from server.terminology.code_systems import read_code_system
from server.terminology.code_validation import Coded
from server.terminology.composition import Composer
from server.terminology.concept_maps import ConceptMap, read_concept_map
from server.terminology.concepts import CodeSystem
from server.terminology.definitions import NotExpandable, TooCostly, split_canonical
from server.terminology.filters import UnsupportedFilter
from server.terminology.value_sets import ValueSet, read_value_set

_SHOWN = 500  # characters of a reason
_READ: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "CodeSystem": read_code_system,
    "ValueSet": read_value_set,
    "ConceptMap": read_concept_map,
}
_NAMES = {"CodeSystem": "code system", "ValueSet": "value set", "ConceptMap": "concept map"}


@dataclass(frozen=True, slots=True)
class Asking:
    """One call of a terminology operation, with the definitions that its caller may use."""

    call: Call[Reader]
    arguments: Arguments
    definitions: StoredDefinitions

    def value_set(self) -> ValueSet:
        """The value set that is meant. Raises: as `_definition`."""
        found: ValueSet = self._definition("ValueSet", "valueSet", "valueSetVersion")
        return found

    def code_system(self) -> CodeSystem:
        """The code system that is meant by resource or url. Raises: as `_definition`."""
        found: CodeSystem = self._definition("CodeSystem", "codeSystem", "version")
        return found

    def concept_map(self) -> ConceptMap:
        """The concept map that is meant. Raises: as `_definition`."""
        found: ConceptMap = self._definition("ConceptMap", "conceptMap", "conceptMapVersion")
        return found

    def system(self, coded: Coded, version: str = "") -> CodeSystem:
        """The code system of a code; at `CodeSystem/id` that one. Raises: FhirError required, not-found,
        invalid-search (the code is of another system)."""
        if self.call.request.id:
            found = self.code_system()
            if coded.system not in ("", found.url):
                raise FhirError("invalid-search", "the code is of another code system than the one in the URL")
            return found
        if not coded.system:
            raise FhirError(
                "required", "the code system is needed: system, or a coding with one", self.place("system")
            )
        system = self.definitions.code_system(coded.system, version or coded.version)
        if system is None:
            raise _unknown("CodeSystem", self.place("system"))
        return system

    def coded(self, code: str = "code", coding: str = "coding", system: str = "system") -> Coded:
        """The one code that was sent, as a code or as a Coding. Raises: FhirError required, invalid-request."""
        one = self.arguments.one
        if (one(code) is None) == (one(coding) is None):
            raise FhirError("required", f"one of {code} and {coding} is needed", self.place(code))
        if one(coding) is not None:
            found = coded_of(one(coding))
            if not found.code:
                raise FhirError("required", "the Coding has no code", self.place(coding))
            return found
        return Coded(one(system) or "", one(code))

    def place(self, name: str) -> str:
        """The expression of a parameter."""
        return place_of(self.call.request, name)

    def is_given(self, *names: str) -> bool:
        """Whether any of the parameters is given."""
        return any(self.arguments.one(name) is not None for name in names)

    def _definition(self, resource_type: str, resource: str, version: str) -> Any:
        """The definition of the URL, of a resource that was sent, or of a canonical url.

        Raises: FhirError required (none, or several), not-found, deleted, invalid-resource.
        """
        request, one = self.call.request, self.arguments.one
        if request.id:
            if self.is_given("url", resource):
                raise FhirError("invalid-search", "the URL says already which one is meant", self.place("url"))
            return self._stored(resource_type)
        if self.is_given("url") is self.is_given(resource):
            raise FhirError("required", f"one of url and {resource} is needed", self.place("url"))
        if one(resource) is not None:
            return _READ[resource_type](self._sent(resource_type, one(resource), resource))
        url, stated = split_canonical(one("url"))
        lookup = {
            "CodeSystem": self.definitions.code_system,
            "ValueSet": self.definitions.value_set,
            "ConceptMap": self.definitions.concept_map,
        }
        found = lookup[resource_type](url, stated or one(version) or "")
        if found is None:
            raise _unknown(resource_type, self.place("url"))
        return found

    def _stored(self, resource_type: str) -> Any:
        stored = self.call.unit.read(resource_type, self.call.request.id, self.call.decision.visible)
        if stored is None:
            raise absent(resource_type)
        if stored.deleted:
            raise gone(self.call.context, stored)
        found = self.definitions.of_id(resource_type, self.call.request.id)
        assert found is not None  # it was read a moment ago, in this snapshot
        return found.definition

    def _sent(self, resource_type: str, resource: dict[str, Any], name: str) -> dict[str, Any]:
        if resource.get("resourceType") != resource_type:
            raise FhirError("invalid-request", f"a {resource_type} is expected", self.place(name))
        faults = validate(resource)
        if any(fault.severity in ("error", "fatal") for fault in faults):
            raise FhirError("invalid-resource", issues=tuple(faults))
        return resource


@contextmanager
def asking(call: Call[Reader], arguments: Arguments) -> Iterator[Asking]:
    """The call with its definitions; what these do not answer becomes a FhirError.

    Raises: FhirError not-determinable, too-costly.
    """
    with call.unit.definitions(call.decision.visible) as definitions:
        try:
            yield Asking(call, arguments, definitions)
        except (NotExpandable, UnsupportedFilter) as error:
            raise FhirError("not-determinable", str(error)[:_SHOWN]) from error
        except TooCostly as error:
            raise FhirError("too-costly", str(error)) from error


def coded_of(coding: Mapping[str, Any]) -> Coded:
    """A Coding as a value."""
    return Coded(
        coding.get("system", ""), coding.get("code", ""), coding.get("version", ""), coding.get("display", "")
    )


def parameters(rows: list[dict[str, Any]]) -> InteractionResponse:
    """The answer of an operation that gives values."""
    return InteractionResponse(200, encode({"resourceType": "Parameters", "parameter": rows}))


def used(composer: Composer) -> list[tuple[str, str]]:
    """(url, version) of the code systems that an answer rests on, in their order."""
    found = {(s.url, s.version): None for s in composer.systems.values() if s is not None}
    return list(found)


def _unknown(resource_type: str, where: str) -> FhirError:
    return FhirError("not-found", f"the {_NAMES[resource_type]} is not known to this server", where)
