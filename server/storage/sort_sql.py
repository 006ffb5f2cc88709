"""Order of a search: sort keys as SQL, and the condition that continues after a given row.

Ascending by a parameter with several values takes its first, descending its last; a date counts by its start.
Resources without a value come last either way. Text is compared by its bytes. Ties are broken by rid, so that
the order is total and paging by key neither repeats nor skips a row.
Source: hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.errors import FhirError
from server.fhir.search_parameters import main_date_parameter
from server.fhir.search_query import SortKey
from server.storage.dialect import Parameters

RID = "r.rid"  # what breaks ties, and the order where none is asked for

After = tuple[str | int | float | None, ...]

_TABLE_COLUMNS = {
    "date": ("date_value", "low"),
    "string": ("string_value", "normal"),
    "number": ("quantity_value", "low"),
    "quantity": ("quantity_value", "low"),
    "uri": ("uri_value", "uri"),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key: its expression on the alias r, direction, whether it can be missing.

    indexed: an index of resource holds its order for one type.
    """

    expression: str
    descending: bool
    nullable: bool
    indexed: bool


def sort_keys(keys: Sequence[SortKey], parameters: Parameters) -> tuple[Key, ...]:
    """The keys of a search in their order, the final tie-break by rid included.

    Raises: FhirError unsupported-search for a parameter that has no order.
    """
    found = [_key(key, parameters) for key in keys]
    return (*found, Key(RID, False, False, not found))


def _key(key: SortKey, parameters: Parameters) -> Key:
    parameter = key.parameter
    if parameter.code == "_id":
        return Key("r.id", key.descending, False, False)
    if parameter.code == "_lastUpdated":
        return Key("r.updated", key.descending, False, True)
    main_date = main_date_parameter(parameter.resource_type)
    if main_date is not None and main_date.number == parameter.number:
        return Key("r.main_date", key.descending, True, True)
    if parameter.type not in _TABLE_COLUMNS:
        raise FhirError("unsupported-search", f"Sorting by {parameter.code} is not supported.")
    table, column = _TABLE_COLUMNS[parameter.type]
    row = parameters.alias()
    which = "max" if key.descending else "min"
    return Key(
        f"(SELECT {which}({row}.{column}) FROM {table} {row} WHERE {row}.rid = r.rid"
        f" AND {row}.parameter {parameters.among(parameter.parts or (parameter.number,))})",
        key.descending,
        True,
        False,
    )


def order_by(keys: Sequence[Key], columns: Sequence[str]) -> str:
    """ORDER BY of the keys, which stand in the given columns or expressions."""
    return ", ".join(
        f"{column} {'DESC' if key.descending else 'ASC'}{' NULLS LAST' if key.nullable else ''}"
        for key, column in zip(keys, columns, strict=True)
    )


def continues(keys: Sequence[Key], after: After, parameters: Parameters) -> str:
    """When a row comes after the row with these key values."""
    alternatives, equal = [], ""
    for key, value in zip(keys, after, strict=True):
        if value is None:  # missing comes last: only the later keys can distinguish
            equal += f"{key.expression} IS NULL AND "
            continue
        placeholder = parameters.bind(value)
        beyond = f"{key.expression} {'<' if key.descending else '>'} {placeholder}"
        if key.nullable:
            beyond = f"({beyond} OR {key.expression} IS NULL)"
        alternatives.append(equal + beyond)
        equal += f"{key.expression} = {placeholder} AND "
    return "(" + " OR ".join(f"({alternative})" for alternative in alternatives) + ")"


def check_position(keys: Sequence[Key], after: After) -> None:
    """Raises: FhirError invalid-search if the values cannot be those of the keys."""
    required = len(after) == len(keys) and all(
        key.nullable or value is not None for key, value in zip(keys, after, strict=True)
    )
    if not required:
        raise FhirError("invalid-search", "The page does not belong to this search.")


def at_or_after(key: Key, value: str | int | float, parameters: Parameters) -> str:
    """What `continues` implies for the first key; it lets that key's index start where the last page ended."""
    return f"{key.expression} {'<=' if key.descending else '>='} {parameters.bind(value)}"
