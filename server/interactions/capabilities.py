"""capabilities: the CapabilityStatement, made from the route table, the search registry and the limits.

Nothing in it is written down twice: what it claims is what the tables that do the work say.
Sources: hl7.org/fhir/R4/capabilitystatement.html, hl7.org/fhir/R4/http.html#capabilities,
hl7.org/fhir/smart-app-launch/STU2.2/conformance.html (oauth-uris)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from server.errors import FhirError
from server.fhir.compartments import COMPARTMENTS, RESOURCE_TYPES
from server.fhir.custom_parameters import CustomParameters, Known
from server.fhir.json_codec import encode
from server.fhir.search_includes import includable
from server.fhir.search_parameters import all_answered, parameters, sortable
from server.fhir.search_query import SearchParameter
from server.fhir.unstored import UNSTORED
from server.interactions.audit_event import TYPE
from server.interactions.audit_event_search import ANSWERED, ORDERS
from server.interactions.audit_events import HANDLERS
from server.interactions.operations import operations_of, system_operations
from server.interactions.operations.definition import Operation
from server.interactions.patch_formats import PATCH_FORMATS
from server.interactions.request import Context, InteractionRequest, InteractionResponse, Limits
from server.interactions.routes import ROUTES
from server.interactions.terminology_capabilities import terminology_capabilities
from server.interactions.version import instant
from server.policy.if_match_required import if_match_required

FHIR_VERSION = "4.0.1"
FORMATS = ("application/fhir+json", "application/json", "json")
# Of the whole server: all of it is what is normative of it, too (hl7.org/fhir/R4/http.html#capabilities).
_MODES = ("full", "normative", "terminology")
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_LIMITS_URL = "urn:baton:limits"
# On a resource: a search parameter that `_sort` takes.
_SORTABLE_URL = "urn:baton:sortable"
# What a search of any type takes beside the type's own parameters; `_type` is for searches of several types.
_ALL_TYPES = ("_has", "_list", "_type")
# system-restful-interaction has a code for these only.
_OF_THE_SYSTEM = frozenset({"transaction", "batch", "search-system", "history-system"})


def capabilities(context: Context, request: InteractionRequest) -> InteractionResponse:
    """What this server does, open to everyone: its CapabilityStatement, or, where `mode` asks for it, its
    TerminologyCapabilities.

    Raises: FhirError unavailable, invalid-search (mode).
    """
    modes = [value for name, value in request.query if name == "mode"]
    if any(mode not in _MODES for mode in modes) or len(modes) > 1:
        raise FhirError("invalid-search", f"mode is one of {', '.join(_MODES)}", "http.mode")
    if modes == ["terminology"]:
        return InteractionResponse(200, terminology_capabilities(context))
    return InteractionResponse(200, capability_statement(context))


def capability_statement(context: Context) -> bytes:
    """The CapabilityStatement. A search parameter that was defined here is in it as soon as it is answered."""
    with context.store.reading() as reader:
        custom = reader.custom_parameters()
        ready = {state.number for state in reader.parameter_states() if state.ready} if custom.by_type else ()
    own = tuple(p for of_type in custom.by_type.values() for p in of_type.values() if p.number in ready)
    date = instant(context.clock())[:10]
    return _statement(context.base_url, context.software_version, context.limits, date, own)


@lru_cache(maxsize=4)
def _statement(
    base_url: str, software_version: str, limits: Limits, date: str, own: tuple[SearchParameter, ...]
) -> bytes:
    by_type: dict[str, dict[str, SearchParameter]] = defaultdict(dict)
    for parameter in own:
        by_type[parameter.resource_type][parameter.code] = parameter
    answered = CustomParameters(by_type=by_type)
    statement: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Baton"},
        "implementation": {"description": "Baton FHIR R4 server", "url": base_url},
        "fhirVersion": FHIR_VERSION,
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [
            {
                "extension": [_limits(limits)],
                "mode": "server",
                "security": _security(base_url.removesuffix("/fhir")),
                "resource": _resources(lambda: answered),
                "interaction": [{"code": code} for code in _system_interactions()],
                **_operations(system_operations()),
                "searchParam": [{"name": name, "type": "special"} for name in _ALL_TYPES],
                "compartment": [
                    f"http://hl7.org/fhir/CompartmentDefinition/{code.lower()}" for code in COMPARTMENTS
                ],
            }
        ],
    }
    if software_version:
        statement["software"]["version"] = software_version
    return encode(statement)


def _limits(limits: Limits) -> dict[str, Any]:
    """The published limits: bytes, entries and rows, named as in docs/reference/limits.md."""
    return {
        "url": _LIMITS_URL,
        "extension": [
            {"url": name.replace("_", "-"), "valueInteger": value} for name, value in asdict(limits).items()
        ],
    }


def _security(origin: str) -> dict[str, Any]:
    endpoints = {name: f"{origin}/oauth2/{name}" for name in ("authorize", "token", "introspect", "revoke")}
    return {
        "extension": [
            {
                "url": _OAUTH_URIS,
                "extension": [{"url": name, "valueUri": url} for name, url in endpoints.items()],
            }
        ],
        "cors": True,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                        "display": "SMART-on-FHIR",
                    }
                ],
                "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
            }
        ],
    }


def _operations(operations: Iterable[Operation]) -> dict[str, Any]:
    """The element `operation`, left out where it would be empty."""
    listed = [{"name": operation.name, "definition": operation.definition} for operation in operations]
    return {"operation": listed} if listed else {}


def _interaction(code: str) -> dict[str, str]:
    """R4 has an element for conditional updates and deletes, but none for conditional patches."""
    return {"code": code, "documentation": "also conditional"} if code == "patch" else {"code": code}


def _type_interactions() -> list[str]:
    codes = [
        code
        for template, methods in ROUTES.items()
        if template.startswith("{type}")
        for code in methods.values()
    ]
    return list(dict.fromkeys(codes))


def _system_interactions() -> list[str]:
    codes: list[str] = []
    for template, methods in ROUTES.items():
        if not template.startswith("{type}"):
            for code in methods.values():
                codes += ("transaction", "batch") if code == "bundle" else (code,)
    return [code for code in dict.fromkeys(codes) if code in _OF_THE_SYSTEM]


def _resources(known: Known) -> list[dict[str, Any]]:
    referring: dict[str, list[str]] = defaultdict(list)
    for resource_type in sorted(RESOURCE_TYPES - UNSTORED):
        for code, parameter in sorted(all_answered(resource_type, known).items()):
            if includable(parameter):
                for target in parameter.targets:
                    referring[target].append(f"{resource_type}:{code}")
    return [
        _audit_events() if name == TYPE else _resource(name, referring[name], known)
        for name in sorted(RESOURCE_TYPES)
    ]


def _audit_events() -> dict[str, Any]:
    """What can be asked of AuditEvents, which are no resources that are stored."""
    known = parameters(TYPE)
    return {
        "extension": [{"url": _SORTABLE_URL, "valueCode": code} for code in sorted(ORDERS)],
        "type": TYPE,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{TYPE}",
        "documentation": "What the server itself recorded: read and searched, never created, changed or"
        " deleted. The latest event comes first; events are found some seconds after they happened.",
        "interaction": [{"code": code} for code in HANDLERS],
        "versioning": "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical"],
        "searchParam": [
            {"name": code, "definition": known[code].url, "type": known[code].type} for code in sorted(ANSWERED)
        ],
        **_operations(operations_of(TYPE)),
    }


def _resource(resource_type: str, referring: list[str], known: Known) -> dict[str, Any]:
    answered = sorted(all_answered(resource_type, known).items())
    ordered = sorted(sortable(resource_type, known))
    includes = [f"{resource_type}:{code}" for code, parameter in answered if includable(parameter)]
    resource: dict[str, Any] = {
        "extension": [{"url": _SORTABLE_URL, "valueCode": code} for code in ordered],
        "type": resource_type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{resource_type}",
        "interaction": [_interaction(code) for code in _type_interactions()],
        "versioning": "versioned-update" if resource_type in if_match_required() else "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": includes,
        "searchRevInclude": referring,
        "searchParam": [
            {"name": code, "definition": parameter.url, "type": parameter.type} for code, parameter in answered
        ],
        **_operations(operations_of(resource_type)),
    }
    return {name: value for name, value in resource.items() if value != []}
