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
from server.fhir.hashing import compartment_probes, link_hash, probes, reference_hash
from server.fhir.index_rows import DateRow, IndexRows, QuantityRow
from server.fhir.index_values import index_values
from server.fhir.search_query import (
    NEGATIONS,
    Amount,
    AmountPair,
    Chained,
    Clause,
    Condition,
    DateValue,
    Has,
    InCompartment,
    MissingValue,
    SearchQuery,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from server.fhir.search_rows import row_clauses
from server.fhir.uri_paths import uri_below, uris_above


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
    if isinstance(asked, InCompartment):
        own = asked.itself and subject.resource.get("id") == asked.id
        return own or any(probe in subject.rows.tokens for probe in compartment_probes(asked))
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
    found = any(
        _fulfils_value(subject, asked, value) for asked in row_clauses(clause) for value in asked.values
    )
    return not found if clause.modifier in NEGATIONS else found


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
    if isinstance(value, Amount | AmountPair):
        return any(_fulfils_amount(value, row) for row in rows.quantities if row.parameter == parameter.number)
    if isinstance(value, UriValue) and clause.modifier:
        return any(
            _fulfils_uri(clause.modifier, value.uri, row.uri)
            for row in rows.uris
            if row.parameter == parameter.number
        )
    return any(probe in rows.tokens for probe in probes(parameter, clause.modifier, value))


def _fulfils_uri(modifier: str, asked: str, uri: str) -> bool:
    if modifier == "above":
        return uri in uris_above(asked)
    same, start = uri_below(asked)
    return uri == same or (start is not None and uri.startswith(start))


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


def _fulfils_amount(value: Amount | AmountPair, row: QuantityRow) -> bool:
    if isinstance(value, AmountPair):
        first, second = row._replace(high=row.low), row._replace(low=row.high)
        return _fulfils_amount(value.first, first) and _fulfils_amount(value.second, second)
    return value.unit in (None, row.unit) and _NUMBER_RULES[value.prefix](value, row)


def _same_number(value: Amount, row: QuantityRow) -> bool:
    return value.low <= row.low and row.high < value.high


_NUMBER_RULES: Mapping[str, Callable[[Amount, QuantityRow], bool]] = {
    "eq": _same_number,
    "ne": lambda value, row: not _same_number(value, row),
    "gt": lambda value, row: row.high > value.value,
    "lt": lambda value, row: row.low < value.value,
    "ge": lambda value, row: row.high >= value.value,
    "le": lambda value, row: row.low <= value.value,
    "sa": lambda value, row: row.low > value.value,
    "eb": lambda value, row: row.high < value.value,
    "ap": lambda value, row: row.low < value.high and row.high >= value.low,
}
