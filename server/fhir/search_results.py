"""The parameters that shape a search's result: paging, order, includes, totals and summaries.

Source: hl7.org/fhir/R4/search.html#Summary, #sort, #count, #include, #total, #elements
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_conditions import refusal
from server.fhir.search_parameters import sortable, supported
from server.fhir.search_query import Include, SearchParameter, SortKey

# Result parameters and whether each may be repeated. `_format` and `_pretty` are the HTTP layer's.
RESULT_PARAMETERS: Mapping[str, bool] = {
    "_count": False,
    "_elements": True,
    "_format": True,
    "_include": True,
    "_pretty": True,
    "_revinclude": True,
    "_sort": False,
    "_summary": False,
    "_total": False,
}
_TOTALS = ("none", "estimate", "accurate")
_SUMMARIES = ("true", "text", "data", "count", "false")
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}(?:\.[A-Za-z][A-Za-z0-9]{0,63}){0,8}")
INCLUDES_MAXIMUM = 50


def is_result_parameter(name: str) -> bool:
    """Whether a name, with or without a modifier, is one of the result parameters."""
    return name.split(":")[0] in RESULT_PARAMETERS


def read_results(
    resource_type: str, pairs: Sequence[tuple[str, str]], count_default: int, count_maximum: int
) -> dict[str, Any]:
    """The fields of a SearchQuery that result parameters set.

    Raises: FhirError("unsupported-search" or "invalid-search").
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        code, colon, _ = name.partition(":")
        if colon:
            raise refusal("unsupported-search", name, "modifier not supported")
        if code in given and not RESULT_PARAMETERS[code]:
            raise refusal("invalid-search", name, "given more than once")
        given.setdefault(code, []).append(text)
    fields: dict[str, Any] = {"count": min(count_default, count_maximum)}
    if "_count" in given:
        fields["count"] = min(_count(given["_count"][0]), count_maximum)
    if "_sort" in given:
        fields["sort"] = tuple(_sort(resource_type, given["_sort"][0]))
    if "_total" in given:
        fields["total"] = _one_of("_total", given["_total"][0], _TOTALS)
    if "_summary" in given:
        fields["summary"] = _one_of("_summary", given["_summary"][0], _SUMMARIES)
    if "_elements" in given:
        fields["elements"] = tuple(dict.fromkeys(_elements(given["_elements"])))
    includes = [_include(resource_type, text) for text in given.get("_include", ())]
    includes += [_revinclude(resource_type, text) for text in given.get("_revinclude", ())]
    if len(includes) > INCLUDES_MAXIMUM:
        raise refusal("too-costly", "_include", f"more than {INCLUDES_MAXIMUM} includes")
    fields["includes"] = tuple(dict.fromkeys(includes))
    return fields


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise refusal("invalid-search", "_count", "a whole number from 0 is expected")
    return int(text)


def _one_of(name: str, text: str, values: tuple[str, ...]) -> str:
    if text not in values:
        raise refusal("invalid-search", name, f"one of {', '.join(values)} is expected")
    return text


def _sort(resource_type: str, text: str) -> Iterable[SortKey]:
    keys = sortable(resource_type)
    seen = set()
    for part in text.split(","):
        code = part.removeprefix("-")
        if code not in keys:
            raise refusal(
                "unsupported-search",
                "_sort",
                f"{resource_type} sorts by {', '.join(keys)}, each with - or without",
            )
        if code not in seen:
            seen.add(code)
            yield SortKey(keys[code], descending=part.startswith("-"))


def _elements(texts: list[str]) -> Iterable[str]:
    for name in ",".join(texts).split(","):
        if not _ELEMENT.fullmatch(name):
            raise refusal("invalid-search", "_elements", "names of elements are expected, separated by commas")
        yield name


def _include(resource_type: str, text: str) -> Include:
    if text == "*":
        return Include(resource_type, None)
    source, parameter, target = _include_parts("_include", text)
    if source != resource_type:
        raise refusal("invalid-search", "_include", f"the first part must be {resource_type}")
    return Include(resource_type, parameter, target)


def _revinclude(resource_type: str, text: str) -> Include:
    if text == "*":
        raise refusal("unsupported-search", "_revinclude", "Type:parameter or Type:* is expected")
    source, parameter, target = _include_parts("_revinclude", text)
    if target not in (None, resource_type):
        raise refusal("invalid-search", "_revinclude", f"the target must be {resource_type}")
    if parameter is not None and resource_type not in parameter.targets:
        raise refusal("invalid-search", "_revinclude", f"{parameter.code} does not refer to {resource_type}")
    return Include(source, parameter, target, reverse=True)


def _include_parts(name: str, text: str) -> tuple[str, SearchParameter | None, str | None]:
    source, *rest = text.split(":")
    if source not in RESOURCE_TYPES or len(rest) not in (1, 2):
        raise refusal("invalid-search", name, "Type:parameter or Type:parameter:Target is expected")
    references = {code: p for code, p in supported(source).items() if p.type == "reference"}
    parameter = references.get(rest[0])
    if parameter is None and rest[0] != "*":
        listed = ", ".join(references) or "none"
        raise refusal("invalid-search", name, f"unknown reference. {source} has: {listed}")
    target = rest[1] if len(rest) == 2 and rest[1] else None
    if target is not None and target not in RESOURCE_TYPES:
        raise refusal("invalid-search", name, "unknown target type")
    return source, parameter, target
