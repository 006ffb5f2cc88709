"""A query string to a SearchQuery.

Deliberately stricter than R4's advice: a parameter this server does not answer is an error that lists those it
does, because leaving it out would return other patients' data unasked. `Prefer: handling=lenient` leaves it
out and says so (`ignored`). A bad value or modifier of a known parameter is an error either way.
Source: hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.errors import FhirError
from server.fhir.dates import zone
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_conditions import is_known, read_condition, unknown
from server.fhir.search_query import Condition, SearchQuery
from server.fhir.search_results import is_result_parameter, read_results
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
) -> SearchQuery:
    """The query that decoded (name, value) pairs ask of a resource type, in their order.

    handling: "lenient" leaves out unknown parameters. time_zone: IANA name of the zone of dates without one.
    base_url: the FHIR base without a trailing slash; references below it are local. now: aware; what `ap`
    on dates measures from (without it `ap` is an overlap). count is 0 where only the total is asked for.
    Raises: FhirError("unknown-type", "unsupported-search", "invalid-search" or "too-costly").
    """
    if resource_type not in RESOURCE_TYPES:
        raise FhirError("unknown-type", "Unknown resource type")
    reading = Reading(base_url + "/" if base_url else "", zone(time_zone), now)
    conditions: list[Condition] = []
    shaping: list[tuple[str, str]] = []
    applied: list[tuple[str, str]] = []
    ignored: list[str] = []
    for number, (name, text) in enumerate(pairs):
        if number >= PARAMETERS_MAXIMUM:
            raise FhirError("too-costly", f"More than {PARAMETERS_MAXIMUM} search parameters")
        if is_result_parameter(name):
            shaping.append((name, text))
        elif is_known(resource_type, name):
            conditions.append(read_condition(resource_type, name, text, reading))
        elif handling == "lenient":
            ignored.append(name)
            continue
        else:
            raise unknown(resource_type, name)
        applied.append((name, text))
    return SearchQuery(
        resource_type=resource_type,
        conditions=tuple(conditions),
        self_parameters=tuple(applied),
        ignored=tuple(ignored),
        **read_results(resource_type, shaping, count_default, count_maximum),
    )
