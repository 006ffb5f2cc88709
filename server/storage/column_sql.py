"""Parameters answered by columns of the resource itself: `_id` and `_lastUpdated`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.errors import FhirError
from server.fhir.hashing import reference_hash
from server.fhir.search_query import Clause, DateValue, StringValue, TokenValue
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE, any_of

_MILLISECOND = 1_000  # microseconds


def _id_condition(clause: Clause, alias: str, parameters: Parameters) -> str:
    if clause.modifier not in ("", "not"):
        raise FhirError("unsupported-search", f"The search _id:{clause.modifier} is not supported.")
    ids = set()
    for value in clause.values:
        if isinstance(value, TokenValue) and not value.system and value.code is not None:
            ids.add(value.code)
        elif isinstance(value, StringValue):
            ids.add(value.text)
    ids = {id for id in ids if "\0" not in id}
    if not ids:
        return FALSE
    # By hash, which is the unique index; then by text, so that a collision could not answer.
    hashes = sorted(reference_hash(f"{clause.parameter.resource_type}/{id}") for id in ids)
    return f"{alias}.self_hash {parameters.among(hashes)} AND {alias}.id {parameters.among(sorted(ids))}"


def _updated_condition(clause: Clause, alias: str, parameters: Parameters) -> str:
    """`_lastUpdated`: the column is an instant of millisecond precision, [updated, updated + 1 ms).

    The boundaries are turned into whole milliseconds, so that the column itself is compared.
    """
    if clause.modifier:
        raise FhirError("unsupported-search", f"The search _lastUpdated:{clause.modifier} is not supported.")
    alternatives = []
    for value in clause.values:
        if not isinstance(value, DateValue):
            raise TypeError(f"_lastUpdated has no {type(value).__name__}")
        low_up, high_up = -(-value.low // _MILLISECOND), -(-value.high // _MILLISECOND)
        low_down, high_down = value.low // _MILLISECOND, value.high // _MILLISECOND
        from_, below = {
            "eq": (low_up, high_down),
            "ne": (high_down, low_up),
            "gt": (high_down, None),
            "lt": (None, low_up),
            "ge": (min(low_up, high_down), None),
            "le": (None, max(low_up, high_down)),
            "sa": (high_up, None),
            "eb": (None, low_down),
            "ap": (low_down, high_up),
        }[value.prefix]
        parts = [] if from_ is None else [f"{alias}.updated >= {parameters.bind(from_)}"]
        parts += [] if below is None else [f"{alias}.updated < {parameters.bind(below)}"]
        alternatives.append((" OR " if value.prefix == "ne" else " AND ").join(parts))
    return any_of(alternatives)


# Parameter code -> the condition on the resource's own columns that answers it: (clause, alias, parameters).
COLUMNS: Mapping[str, Callable[[Clause, str, Parameters], str]] = {
    "_id": _id_condition,
    "_lastUpdated": _updated_condition,
}
