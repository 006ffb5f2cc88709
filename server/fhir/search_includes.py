"""`_include` and `_revinclude`, with `:iterate`, `*` and types: what to bring along with the matches.

`:recurse` is what STU3 called `:iterate`. Source: hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Sequence

from server.fhir.custom_parameters import Known
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_conditions import refusal
from server.fhir.search_parameters import all_answered, answered
from server.fhir.search_query import Include, SearchParameter
from server.fhir.unstored import UNSTORED

INCLUDES_MAXIMUM = 50
_BY_URL = frozenset({"canonical", "uri"})


def includable(parameter: SearchParameter) -> bool:
    """Whether a parameter names resources by Type/id. A canonical names one by its url and is not followed."""
    return parameter.type == "reference" and not _BY_URL.issuperset(parameter.datatypes)


def includes(
    resource_types: Sequence[str], pairs: Sequence[tuple[str, str]], known: Known
) -> tuple[Include, ...]:
    """What the pairs of a query string ask to include. resource_types: those that are searched.

    Raises: FhirError("invalid-search" or "too-costly").
    """
    found = []
    for name, text in pairs:
        code, _, modifier = name.partition(":")
        if code == "_include":
            found.append(_forward(resource_types, text, known, iterate=bool(modifier)))
        elif code == "_revinclude":
            found.append(_backward(resource_types, text, known, iterate=bool(modifier)))
    if len(found) > INCLUDES_MAXIMUM:
        raise refusal("too-costly", "_include", f"more than {INCLUDES_MAXIMUM} includes")
    return tuple(dict.fromkeys(found))


def _forward(resource_types: Sequence[str], text: str, known: Known, *, iterate: bool) -> Include:
    if text == "*":
        return Include("", None, iterate=iterate)
    source, parameter, target = _parts("_include", text, known)
    if source not in resource_types and not iterate:
        raise refusal(
            "invalid-search",
            "_include",
            f"{source} is not searched; _include:iterate starts from what is included, too",
        )
    return Include(source, parameter, target, iterate=iterate)


def _backward(resource_types: Sequence[str], text: str, known: Known, *, iterate: bool) -> Include:
    if text == "*":
        return Include("", None, reverse=True, iterate=iterate)
    source, parameter, target = _parts("_revinclude", text, known)
    if iterate:
        return Include(source, parameter, target, reverse=True, iterate=True)
    searched = ", ".join(resource_types) if len(resource_types) < 4 else "a type that is searched"
    if target is not None and target not in resource_types:
        raise refusal("invalid-search", "_revinclude", f"the target must be {searched}")
    if parameter is not None and not set(resource_types).intersection(parameter.targets):
        raise refusal("invalid-search", "_revinclude", f"{parameter.code} does not refer to {searched}")
    return Include(source, parameter, target, reverse=True)


def _parts(name: str, text: str, known: Known) -> tuple[str, SearchParameter | None, str | None]:
    source, *rest = text.split(":")
    if source not in RESOURCE_TYPES or len(rest) not in (1, 2):
        raise refusal("invalid-search", name, "Type:parameter or Type:parameter:Target is expected")
    parameter = None if rest[0] == "*" else answered(source, rest[0], known)
    if rest[0] != "*" and (parameter is None or not includable(parameter)):
        listed = ", ".join(c for c, p in all_answered(source, known).items() if includable(p)) or "none"
        raise refusal("invalid-search", name, f"unknown reference. {source} has: {listed}")
    target = rest[1] if len(rest) == 2 and rest[1] else None
    if target is not None and target not in RESOURCE_TYPES:
        raise refusal("invalid-search", name, "unknown target type")
    for unstored in UNSTORED.intersection((source, target or "")):
        raise refusal("unsupported-search", name, f"{unstored} is searched on its own only")
    return source, parameter, target
