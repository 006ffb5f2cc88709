"""Does a resource fulfil a search? The rules of matching in memory, without a database.

Decides granular scopes on single resources and subscriptions' filters, and is the second opinion that the
store's SQL is tested against.
Source: hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.fhir.dates import date_range, zone
from server.fhir.folding import fold
from server.fhir.hashing import link_hash, probes, reference_hash, unit_probe
from server.fhir.index_rows import DateRow, IndexRows, QuantityRow
from server.fhir.index_values import index_values
from server.fhir.search_query import (
    Chained,
    Clause,
    Condition,
    DateValue,
    Has,
    MissingValue,
    NumberValue,
    QuantityValue,
    SearchQuery,
    StringValue,
    TokenValue,
    Value,
)


@dataclass(frozen=True, slots=True)
class Indexed:
    """A resource with its index rows. local_zone: IANA name for dates without a zone."""

    resource: Mapping[str, Any]
    rows: IndexRows
    local_zone: str = "UTC"


def indexed(resource: Mapping[str, Any], *, base_url: str = "", time_zone: str = "UTC") -> Indexed:
    """A validated resource made ready for many questions. Arguments as of `index_values`."""
    return Indexed(resource, index_values(resource, base_url=base_url, time_zone=time_zone), time_zone)


def matches(subject: Indexed, asked: SearchQuery | Condition, among: Sequence[Indexed] = ()) -> bool:
    """Whether a resource fulfils a condition, or all conditions of a query for its type.

    among: the resources that chains and `_has` may reach.
    """
    if isinstance(asked, SearchQuery):
        return subject.resource["resourceType"] == asked.resource_type and all(
            matches(subject, condition, among) for condition in asked.conditions
        )
    if isinstance(asked, Chained):
        return any(
            matches(other, condition, among)
            for resource_type, condition in asked.targets
            for other in among
            if other.resource["resourceType"] == resource_type and _refers(subject, asked.link.number, other)
        )
    if isinstance(asked, Has):
        return any(
            matches(other, asked.condition, among)
            for other in among
            if other.resource["resourceType"] == asked.resource_type
            and _refers(other, asked.link.number, subject)
        )
    return _fulfils_clause(subject, asked)


def fulfils(
    resource_type: str,
    resource: Mapping[str, Any],
    clause: Clause,
    *,
    base_url: str = "",
    time_zone: str = "UTC",
) -> bool:
    """Whether one resource of a type fulfils one clause."""
    if resource.get("resourceType") != resource_type:
        return False
    return _fulfils_clause(indexed(resource, base_url=base_url, time_zone=time_zone), clause)


def _refers(source: Indexed, parameter: int, target: Indexed) -> bool:
    resource = target.resource
    local = reference_hash(f"{resource['resourceType']}/{resource.get('id', '')}")
    return link_hash(parameter, local) in source.rows.tokens


def _fulfils_clause(subject: Indexed, clause: Clause) -> bool:
    found = any(_fulfils_value(subject, clause, value) for value in clause.values)
    return not found if clause.modifier == "not" else found


def _fulfils_value(subject: Indexed, clause: Clause, value: Value) -> bool:
    parameter, rows = clause.parameter, subject.rows
    if parameter.code == "_id":
        return isinstance(value, TokenValue) and subject.resource.get("id") == value.code
    if parameter.code == "_lastUpdated":
        updated = subject.resource.get("meta", {}).get("lastUpdated")
        if updated is None or not isinstance(value, DateValue):
            return False
        low, high = date_range(updated, zone(subject.local_zone))
        return _DATE_RULES[value.prefix](value, DateRow(parameter.number, low, high))
    if isinstance(value, MissingValue):
        return value.missing is not any(probe in rows.tokens for probe in probes(parameter, "", value))
    if isinstance(value, StringValue):
        return any(
            _fulfils_text(clause.modifier, value.text, row.normal, row.exact)
            for row in rows.strings
            if row.parameter == parameter.number
        )
    if isinstance(value, DateValue):
        return any(
            _DATE_RULES[value.prefix](value, row) for row in rows.dates if row.parameter == parameter.number
        )
    if isinstance(value, NumberValue | QuantityValue):
        number = value.number if isinstance(value, QuantityValue) else value
        unit = unit_probe(value) if isinstance(value, QuantityValue) else None
        return any(
            _NUMBER_RULES[number.prefix](number, row)
            for row in rows.quantities
            if row.parameter == parameter.number and unit in (None, row.unit)
        )
    return any(probe in rows.tokens for probe in probes(parameter, clause.modifier, value))


def _fulfils_text(modifier: str, text: str, normal: str, exact: str) -> bool:
    if modifier == "exact":
        return exact == text
    return fold(text) in normal if modifier == "contains" else normal.startswith(fold(text))


def _same_date(value: DateValue, row: DateRow) -> bool:
    return value.low <= row.low and row.high <= value.high


_DATE_RULES: Mapping[str, Callable[[DateValue, DateRow], bool]] = {
    "eq": _same_date,
    "ne": lambda value, row: not _same_date(value, row),
    "gt": lambda value, row: row.high > value.high,
    "lt": lambda value, row: row.low < value.low,
    "ge": lambda value, row: row.high > value.high or _same_date(value, row),
    "le": lambda value, row: row.low < value.low or _same_date(value, row),
    "sa": lambda value, row: row.low >= value.high,
    "eb": lambda value, row: row.high <= value.low,
    "ap": lambda value, row: row.low < value.high and row.high > value.low,
}


def _same_number(value: NumberValue, row: QuantityRow) -> bool:
    return float(value.low) <= row.low and row.high < float(value.high)


_NUMBER_RULES: Mapping[str, Callable[[NumberValue, QuantityRow], bool]] = {
    "eq": _same_number,
    "ne": lambda value, row: not _same_number(value, row),
    "gt": lambda value, row: row.high > float(value.value),
    "lt": lambda value, row: row.low < float(value.value),
    "ge": lambda value, row: row.high >= float(value.value),
    "le": lambda value, row: row.low <= float(value.value),
    "sa": lambda value, row: row.low > float(value.value),
    "eb": lambda value, row: row.high < float(value.value),
    "ap": lambda value, row: row.low < float(value.high) and row.high >= float(value.low),
}
