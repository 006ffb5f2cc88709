"""The registry of search parameters: what exists, what it selects, and what this server answers.

All of R4's parameters are known, with a few of US Core that R4 lacks, each with a number for ever
(`parameter_numbers.json`). Indexing, searching and the CapabilityStatement ask here. Loaded a resource type
at a time, when it is first asked for.
Source: hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType

from server.fhir.custom_parameters import Known, none_known
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.generated.search import ANY_TARGET
from server.fhir.search_query import SearchParameter

# Parameter types whose values order a result: text, time and amount; a token's code has no order.
_SORTABLE_TYPES = frozenset({"string", "date", "number", "quantity", "uri"})


def parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """All parameters known for a type, by code, supported or not. Raises: KeyError for an unknown type."""
    return _known(resource_type)[0]


def supported(resource_type: str) -> Mapping[str, SearchParameter]:
    """The parameters this server answers, by code: what the CapabilityStatement lists."""
    return _known(resource_type)[1]


def answered(resource_type: str, code: str, known: Known) -> SearchParameter | None:
    """The parameter of a code that this server answers, shipped or defined here; None where there is none.

    known: asked only for what is not shipped. Raises: KeyError for an unknown type.
    """
    return supported(resource_type).get(code) or known().of(resource_type).get(code)


def all_answered(resource_type: str, known: Known = none_known) -> Mapping[str, SearchParameter]:
    """All that this server answers, shipped and defined here, by code. Raises: KeyError for an unknown type."""
    shipped, own = supported(resource_type), known().of(resource_type)
    return {**shipped, **own} if own else shipped


def orders(parameter: SearchParameter) -> bool:
    """Whether `_sort` takes it: `_id`, and all of type string, date, number, quantity and uri."""
    return parameter.code == "_id" or parameter.type in _SORTABLE_TYPES


def parameter(resource_type: str, code: str) -> SearchParameter | None:
    """The parameter of a type by its code, None where there is none."""
    return _known(resource_type)[0].get(code)


def sortable(resource_type: str, known: Known = none_known) -> Mapping[str, SearchParameter]:
    """The parameters `_sort` takes, by code."""
    shipped = _known(resource_type)[2]
    own = {code: found for code, found in known().of(resource_type).items() if orders(found)}
    return {**shipped, **own} if own else shipped


def main_date_parameter(resource_type: str) -> SearchParameter | None:
    """The parameter whose only value stands in the hot column main_date."""
    number = generated_module(resource_type).MAIN_DATE
    return next((p for p in parameters(resource_type).values() if p.number == number), None)


@cache
def generated_module(resource_type: str) -> ModuleType:
    """The generated module of a type. Raises: KeyError for an unknown type."""
    if resource_type not in RESOURCE_TYPES:
        raise KeyError(resource_type)
    return import_module(f"server.fhir.generated.search.{resource_type.lower()}")


_ByCode = Mapping[str, SearchParameter]


@cache
def _known(resource_type: str) -> tuple[_ByCode, _ByCode, _ByCode]:
    every: dict[str, SearchParameter] = {}
    taken: dict[str, SearchParameter] = {}
    module = generated_module(resource_type)
    for row in module.PARAMETERS:
        number, code, kind, expression, url, targets, datatypes, is_supported = row
        every[code] = SearchParameter(
            number=number,
            code=code,
            type=kind,
            resource_type=resource_type,
            expression=expression,
            url=url,
            targets=ANY_TARGET if targets is None else targets,
            datatypes=datatypes,
            parts=module.PARTS.get(number, ()),
            components=_components(module, number, resource_type),
        )
        if is_supported:
            taken[code] = every[code]
    ordered = {c: p for c, p in taken.items() if orders(p)}
    return MappingProxyType(every), MappingProxyType(taken), MappingProxyType(ordered)


def _components(module: ModuleType, number: int, resource_type: str) -> tuple[SearchParameter, ...]:
    """Each selects what the parameter of its code selects, and so has its binding."""
    parts = module.COMPONENTS.get(number, ())
    expressions = {row[1]: row[3] for row in module.PARAMETERS} if parts else {}
    return tuple(
        SearchParameter(
            number=number,
            code=code,
            type=kind,
            resource_type=resource_type,
            expression=expressions.get(code, ""),
            url="",
            targets=ANY_TARGET if targets is None else targets,
            datatypes=datatypes,
        )
        for code, kind, targets, datatypes in parts
    )
