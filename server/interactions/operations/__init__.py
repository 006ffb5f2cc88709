"""The operations of this server, a row each; adding one is adding a row and a module with its handler.

Routes, access, the reading of parameters, audit rows and the CapabilityStatement follow from the rows.
Source: hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.interactions.audit import parameter_names
from server.interactions.call import Call
from server.interactions.operations.break_glass import break_glass
from server.interactions.operations.definition import Level, Operation, Parameter
from server.interactions.operations.everything import everything
from server.interactions.operations.index_progress import index_progress
from server.interactions.operations.lastn import lastn
from server.interactions.operations.match import match
from server.interactions.operations.meta import meta, meta_add, meta_delete
from server.interactions.operations.parameters import read_arguments
from server.interactions.operations.terminology import TERMINOLOGY
from server.interactions.operations.validate import validate
from server.interactions.request import InteractionRequest, InteractionResponse

_R4 = "http://hl7.org/fhir/OperationDefinition/"
_PAGED = (
    Parameter("_since", "instant"),
    Parameter("_type", "code", repeats=True),
    Parameter("_count", "positiveInt"),
    Parameter("_cursor", "string"),
)
_META = (Parameter("meta", "Meta", required=True),)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="everything",
        definition=f"{_R4}Patient-everything",
        levels=("instance",),
        types=("Patient",),
        parameters=(Parameter("start", "date"), Parameter("end", "date"), *_PAGED),
        access="search-type",
        handler=everything,
        elsewhere="it is asked of one Patient; the records of many are an export",
    ),
    Operation(
        name="everything",
        definition=f"{_R4}Encounter-everything",
        levels=("instance",),
        types=("Encounter",),
        parameters=_PAGED,
        access="search-type",
        handler=everything,
        elsewhere="it is asked of one Encounter",
    ),
    Operation(
        name="validate",
        definition=f"{_R4}Resource-validate",
        levels=("type", "instance"),
        parameters=(Parameter("resource", "Resource"), Parameter("mode", "code"), Parameter("profile", "uri")),
        handler=validate,
        elsewhere="it is asked of a type or of one resource",
    ),
    Operation(
        name="meta",
        definition=f"{_R4}Resource-meta",
        levels=("instance", "version"),
        access="read",
        handler=meta,
        elsewhere="it is asked of one resource or of one of its versions",
    ),
    Operation(
        name="meta-add",
        definition=f"{_R4}Resource-meta-add",
        levels=("instance",),
        parameters=_META,
        access="update",
        affects_state=True,
        handler=meta_add,
        elsewhere="it is asked of one resource; versions of the past do not change",
    ),
    Operation(
        name="meta-delete",
        definition=f"{_R4}Resource-meta-delete",
        levels=("instance",),
        parameters=_META,
        access="update",
        affects_state=True,
        handler=meta_delete,
        elsewhere="it is asked of one resource; versions of the past do not change",
    ),
    Operation(
        name="index-progress",
        definition="urn:baton:operation:index-progress",
        levels=("type", "instance"),
        types=("SearchParameter",),
        access="read",
        handler=index_progress,
        elsewhere="it is asked of the type SearchParameter or of one of them",
    ),
    Operation(
        name="lastn",
        definition=f"{_R4}Observation-lastn",
        levels=("type",),
        types=("Observation",),
        parameters=(Parameter("max", "positiveInt"),),
        access="search-type",
        search=True,
        handler=lastn,
        elsewhere="it is asked of the type Observation",
    ),
    Operation(
        name="match",
        definition=f"{_R4}Patient-match",
        levels=("type",),
        types=("Patient",),
        parameters=(
            Parameter("resource", "Resource", required=True),
            Parameter("onlyCertainMatches", "boolean"),
            Parameter("count", "positiveInt"),
        ),
        access="search-type",
        handler=match,
        elsewhere="it is asked of the type Patient",
    ),
    Operation(
        name="break-glass",
        definition="urn:baton:operation:break-glass",
        levels=("instance",),
        types=("Patient",),
        parameters=(
            Parameter("reason", "code", required=True),
            Parameter("comment", "string", required=True),
        ),
        access="read",
        affects_state=True,
        handler=break_glass,
        elsewhere="it is asked of one Patient",
    ),
    *TERMINOLOGY,
)


def _by_name(operations: Iterable[Operation]) -> Mapping[str, tuple[Operation, ...]]:
    found: dict[str, tuple[Operation, ...]] = defaultdict(tuple)
    for operation in operations:
        found[operation.name] += (operation,)
    return dict(found)


_BY_NAME = _by_name(OPERATIONS)


def is_operation(name: str) -> bool:
    """Whether there is an operation of this name, without its dollar sign."""
    return name in _BY_NAME


def find_operation(name: str, resource_type: str, level: Level) -> Operation:
    """The operation of a name as it is offered at a place.

    Raises: FhirError unknown-operation; texts name operations of this server only.
    """
    rows = _BY_NAME.get(name)
    if rows is None:
        raise FhirError("unknown-operation", "this server has no such operation; see [base]/metadata")
    offered = [row for row in rows if row.is_offered_on(resource_type)]
    if not offered:
        types = ", ".join(type for row in rows for type in row.types) or "types that are stored"
        raise FhirError("unknown-operation", f"${name} is offered on {types} only")
    at_level = [row for row in offered if level in row.levels]
    if not at_level:
        raise FhirError("unknown-operation", f"${name} is not offered here: {offered[0].elsewhere}")
    return at_level[0]


def operation_of(request: InteractionRequest) -> Operation:
    """The operation that a request calls. Raises: as `find_operation`."""
    return find_operation(request.operation, request.resource_type, level_of(request))


def level_of(request: InteractionRequest) -> Level:
    """What the request speaks of."""
    if request.version_id:
        return "version"
    if request.id:
        return "instance"
    return "type" if request.resource_type else "system"


def operations_of(resource_type: str) -> tuple[Operation, ...]:
    """The operations that the CapabilityStatement lists for a type."""
    own = {"type", "instance", "version"}
    return tuple(o for o in OPERATIONS if o.is_offered_on(resource_type) and not own.isdisjoint(o.levels))


def system_operations() -> tuple[Operation, ...]:
    """The operations on the whole system."""
    return tuple(operation for operation in OPERATIONS if "system" in operation.levels)


def access_of(request: InteractionRequest) -> str:
    """The interaction whose permission a request needs: an operation's row says it, else its own."""
    if request.interaction != "operation":
        return request.interaction
    return operation_of(request).access or "operation"


def affects_state(request: InteractionRequest) -> bool:
    """Whether the request calls an operation that writes."""
    return request.interaction == "operation" and operation_of(request).affects_state


def operate(call: Call[Any]) -> InteractionResponse:
    """Do what an operation does. Raises: FhirError of its parameters and of the operation itself."""
    operation = operation_of(call.request)
    arguments = read_arguments(call.context, operation, call.request)
    response = operation.handler(call, arguments)
    named = [(name, "") for name in arguments.values] + list(arguments.search)
    return replace(response, detail=parameter_names(named, ()))
