"""A query string to a SearchQuery.

Deliberately stricter than R4's advice: a parameter this server does not answer is an error that lists those it
does, because leaving it out would return other patients' data unasked. `Prefer: handling=lenient` leaves it
out and says so (`ignored`). A bad value or modifier of a known parameter is an error either way.
Source: hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from server.errors import FhirError
from server.fhir.custom_parameters import Known, none_known
from server.fhir.dates import zone
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_conditions import (
    STEPS_MAXIMUM,
    is_known,
    read_condition,
    refusal,
    steps,
    unknown,
)
from server.fhir.search_query import Condition, SearchQuery
from server.fhir.search_results import is_result_parameter, read_results, read_sort
from server.fhir.search_values import Reading

# How many parameters a query may have.
PARAMETERS_MAXIMUM = 200


def parse_search(
    resource_type: str,
    pairs: Iterable[tuple[str, str]],
    *,
    handling: str = "strict",
    time_zone: str = "UTC",
    base_url: str = "",
    count_default: int = 50,
    count_maximum: int = 1_000,
    now: datetime | None = None,
    known: Known = none_known,
) -> SearchQuery:
    """The query that decoded (name, value) pairs ask of a resource type, in their order.

    handling: "lenient" leaves out unknown parameters. time_zone: IANA name of the zone of dates without one.
    base_url: the FHIR base without a trailing slash; references below it are local. now: aware; what `ap`
    on dates measures from (without it `ap` is an overlap). known: the site's own parameters. count is 0 where
    only the total is asked for. Raises: FhirError("unknown-type", "unsupported-search", "invalid-search" or
    "too-costly").
    """
    if resource_type not in RESOURCE_TYPES:
        raise FhirError("unknown-type", "Unknown resource type")
    reading = Reading(base_url + "/" if base_url else "", zone(time_zone), now, known)
    query = _parsed((resource_type,), pairs, handling, reading, count_default, count_maximum)
    (own,) = query.parts
    return replace(query, resource_type=resource_type, conditions=own.conditions, sort=own.sort, parts=())


def parse_search_of_types(
    resource_types: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    *,
    handling: str = "strict",
    time_zone: str = "UTC",
    base_url: str = "",
    count_default: int = 50,
    count_maximum: int = 1_000,
    now: datetime | None = None,
    known: Known = none_known,
) -> SearchQuery:
    """The same asked of several types at once: every parameter must be one of each of them.

    The query has a part for each type, in their order. Arguments and errors as of `parse_search`.
    """
    reading = Reading(base_url + "/" if base_url else "", zone(time_zone), now, known)
    return _parsed(tuple(resource_types), pairs, handling, reading, count_default, count_maximum)


def read_types(texts: Sequence[str]) -> tuple[str, ...]:
    """The types that `_type` names, each once. texts: the values of all `_type` parameters.

    Raises: FhirError("invalid-search").
    """
    if len(texts) > 1:
        raise refusal("invalid-search", "_type", "given more than once")
    names = tuple(dict.fromkeys(texts[0].split(","))) if texts else ()
    if any(name not in RESOURCE_TYPES for name in names):
        raise refusal("invalid-search", "_type", "names of resource types are expected, separated by commas")
    return names


@dataclass(slots=True)
class _Sorted:
    """The pairs of a query by what they are. conditions: of each type."""

    conditions: dict[str, list[Condition]]
    shaping: list[tuple[str, str]]
    applied: list[tuple[str, str]]
    ignored: list[str]


def _parsed(
    resource_types: tuple[str, ...],
    pairs: Iterable[tuple[str, str]],
    handling: str,
    reading: Reading,
    count_default: int,
    count_maximum: int,
) -> SearchQuery:
    found = _Sorted({name: [] for name in resource_types}, [], [], [])
    for number, (name, text) in enumerate(pairs):
        if number >= PARAMETERS_MAXIMUM:
            raise FhirError("too-costly", f"More than {PARAMETERS_MAXIMUM} search parameters")
        if is_result_parameter(name):
            found.shaping.append((name, text))
        elif (
            lacking := next((kind for kind in resource_types if not is_known(kind, name, reading.known)), None)
        ) is None:
            for kind, conditions in found.conditions.items():
                conditions.append(read_condition(kind, name, text, reading))
        elif handling == "lenient":
            found.ignored.append(name)
            continue
        else:
            raise unknown(lacking, name, reading.known)
        found.applied.append((name, text))
    for conditions in found.conditions.values():
        if sum(steps(one) for one in conditions) > STEPS_MAXIMUM + PARAMETERS_MAXIMUM:
            raise FhirError("too-costly", "The chains could mean too much; name the types of their links")
    order = read_sort(resource_types, found.shaping, reading.known)
    return SearchQuery(
        resource_type="",
        parts=tuple(
            SearchQuery(kind, tuple(conditions), order[kind]) for kind, conditions in found.conditions.items()
        ),
        self_parameters=tuple(found.applied),
        ignored=tuple(found.ignored),
        **read_results(resource_types, found.shaping, count_default, count_maximum, reading.known),
    )
