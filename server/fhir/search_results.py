"""The parameters that shape a search's result: paging, order, includes, totals and summaries.

Source: hl7.org/fhir/R4/search.html#Summary, #sort, #count, #include, #total, #elements
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.fhir.custom_parameters import Known
from server.fhir.search_conditions import refusal
from server.fhir.search_includes import includes
from server.fhir.search_parameters import sortable
from server.fhir.search_query import SearchParameter, SortKey

# Result parameters and whether each may be repeated. `_format` and `_pretty` are the HTTP layer's.
RESULT_PARAMETERS: Mapping[str, bool] = {
    "_count": False,
    "_elements": True,
    "_format": True,
    "_include": True,
    "_pretty": True,
    "_revinclude": True,
    "_sort": True,
    "_summary": False,
    "_total": False,
    "_totalMethod": False,
}
# Modifiers of result parameters.
_MODIFIERS: Mapping[str, tuple[str, ...]] = {
    "_include": ("iterate", "recurse"),
    "_revinclude": ("iterate", "recurse"),
}
_TOTALS = ("none", "estimate", "accurate")
# What a common client (fhirpy) asks instead of R4's `_total`: the same by other names.
_TOTAL_METHODS = {"count": "accurate", "estimate": "estimate", "none": "none"}
_SUMMARIES = ("true", "text", "data", "count", "false")
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


def is_result_parameter(name: str) -> bool:
    """Whether a name, with or without a modifier, is one of the result parameters."""
    return name.split(":")[0] in RESULT_PARAMETERS


def read_results(
    resource_types: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    count_default: int,
    count_maximum: int,
    known: Known,
) -> dict[str, Any]:
    """The fields of a SearchQuery that result parameters set, all but the order.

    resource_types: those that are searched. Raises: FhirError("unsupported-search" or "invalid-search").
    """
    given = _given(pairs)
    fields: dict[str, Any] = {"count": min(count_default, count_maximum)}
    if "_count" in given:
        fields["count"] = min(_count(given["_count"][0]), count_maximum)
    if "_total" in given:
        fields["total"] = _one_of("_total", given["_total"][0], _TOTALS)
    if "_totalMethod" in given:
        if "_total" in given:
            raise refusal("invalid-search", "_totalMethod", "_total already says how to count")
        asked = _one_of("_totalMethod", given["_totalMethod"][0], tuple(_TOTAL_METHODS))
        fields["total"] = _TOTAL_METHODS[asked]
    if "_summary" in given:
        fields["summary"] = _one_of("_summary", given["_summary"][0], _SUMMARIES)
    if "_elements" in given:
        fields["elements"] = tuple(dict.fromkeys(_elements(given["_elements"])))
        if fields.get("summary", "false") not in ("false", "count"):
            raise refusal("invalid-search", "_elements", "_summary already says which elements")
    fields["includes"] = includes(resource_types, pairs, known)
    if fields["includes"] and fields.get("summary") == "text":
        raise refusal("invalid-search", "_summary", "text does not go with _include and _revinclude")
    return fields


def read_sort(
    resource_types: Sequence[str], pairs: Sequence[tuple[str, str]], known: Known
) -> dict[str, tuple[SortKey, ...]]:
    """The sort keys of each type, the same codes for all: `_sort` may list several and be repeated.

    Raises: FhirError("unsupported-search") for a parameter that has no order, or not the same one everywhere.
    """
    texts = [text for name, text in pairs if name == "_sort"]
    codes: dict[str, bool] = {}
    for part in ",".join(texts).split(",") if texts else ():
        codes.setdefault(part.removeprefix("-"), part.startswith("-"))
    keys = {name: _sortable(name, codes, known) for name in resource_types}
    for code in codes:
        # Values are compared across the types.
        kinds = {known[code].type if code in known else "" for known in keys.values()}
        if kinds and (len(kinds) > 1 or "" in kinds):
            raise _without_order(keys)
    return {
        name: tuple(SortKey(known[code], descending) for code, descending in codes.items())
        for name, known in keys.items()
    }


def _sortable(resource_type: str, codes: Iterable[str], known: Known) -> Mapping[str, SearchParameter]:
    """What a type is sorted by; with what is defined here only where it is asked for."""
    shipped = sortable(resource_type)
    return shipped if shipped.keys() >= set(codes) else sortable(resource_type, known)


def _without_order(keys: Mapping[str, Mapping[str, Any]]) -> Exception:
    first, *rest = keys.values()
    common = [
        code
        for code, parameter in first.items()
        if all(code in other and other[code].type == parameter.type for other in rest)
    ]
    what = next(iter(keys)) if not rest else "a search of these types"
    return refusal(
        "unsupported-search", "_sort", f"{what} sorts by {', '.join(common)}, each with - or without"
    )


def _given(pairs: Sequence[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Parameter -> its values, with no modifier that it has not and repeated only where it may be."""
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        code, colon, modifier = name.partition(":")
        offered = _MODIFIERS.get(code, ())
        if colon and modifier not in offered:
            listed = ", ".join(f":{one}" for one in offered[:1]) or "none"
            raise refusal("unsupported-search", name, f"modifier not supported. Of this parameter: {listed}")
        if code in given and not RESULT_PARAMETERS[code]:
            raise refusal("invalid-search", name, "given more than once")
        given.setdefault(code, []).append(text)
    return given


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise refusal("invalid-search", "_count", "a whole number from 0 is expected")
    return int(text)


def _one_of(name: str, text: str, values: tuple[str, ...]) -> str:
    if text not in values:
        raise refusal("invalid-search", name, f"one of {', '.join(values)} is expected")
    return text


def _elements(texts: list[str]) -> Iterable[str]:
    for name in ",".join(texts).split(","):
        if not _ELEMENT.fullmatch(name):
            raise refusal(
                "invalid-search",
                "_elements",
                "names of elements at the top of the resource are expected, separated by commas",
            )
        yield name
