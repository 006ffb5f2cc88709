"""Numbers and quantities: conditions on a row of quantity_value, and lists of the rows that fulfil them.

Nearly all rows are points, whose lower end is their upper one. So the index by the lower end answers for them;
rows that reach over a range have one more, by the upper end, that no point costs anything in.
Source: hl7.org/fhir/R4/search.html#number, #quantity
"""

from __future__ import annotations

from collections.abc import Callable

from server.fhir.search_query import Amount, AmountPair, Clause
from server.storage.dialect import Parameters
from server.storage.logic_sql import all_of, any_of

Column = Callable[[str], str]

# Prefix -> alternatives of when a row [low, high], taken exactly, matches. Each reads a range of one index:
# those with low < high the one by the upper end. Only `eq`, `ne` and `ap` look at the precision [from, to) in
# which the search was written, the others at its value.
_ALTERNATIVES = {
    "eq": ("{low} >= {from_} AND {low} < {to} AND {high} < {to}",),
    "ne": (
        "{low} < {from_}",
        "{low} >= {to}",
        "{low} < {high} AND {high} >= {to} AND +{low} >= {from_} AND +{low} < {to}",
    ),
    "gt": ("{low} > {value}", "{low} < {high} AND {high} > {value} AND +{low} <= {value}"),
    "ge": ("{low} >= {value}", "{low} < {high} AND {high} >= {value} AND +{low} < {value}"),
    "lt": ("{low} < {value}",),
    "le": ("{low} <= {value}",),
    "sa": ("{low} > {value}",),
    "eb": ("{low} < {value} AND {high} < {value}",),
    "ap": (
        "{low} >= {from_} AND {low} < {to}",
        "{low} < {high} AND {high} >= {from_} AND +{low} < {from_}",
    ),
}


def quantity_conditions(clause: Clause, column: Column, parameters: Parameters) -> list[str]:
    """When a row of the clause's parameter matches one of its values."""
    return [found for value in clause.values for found in _conditions(value, column, parameters)]


def quantity_lists(clause: Clause, row: str, parameters: Parameters) -> list[str]:
    """Rids of the rows that match. The indexes begin with the unit: a search that names none asks for each."""
    number = f"{row}.parameter = {parameters.bind(clause.parameter.number)}"
    lists = []
    for value in clause.values:
        for condition in _conditions(value, lambda name: f"{row}.{name}", parameters):
            key = f"{number} AND {condition}"
            if isinstance(value, Amount) and value.unit is None:
                every = _units(clause, parameters)
                of_unit = parameters.dialect.follow("quantity_value", row, f"{key} AND {row}.unit = u.unit")
                lists.append(f"SELECT {row}.rid FROM {every} {of_unit}")
            else:
                lists.append(f"SELECT {row}.rid FROM quantity_value {row} WHERE {key}")
    return lists


def _conditions(value: object, column: Column, parameters: Parameters) -> list[str]:
    if isinstance(value, AmountPair):
        # The row has one number in place of either end; the index finds the first.
        second = _compared(value.second, column("high"), column("high"), parameters)
        unit = f"{column('unit')} = {parameters.bind(value.first.unit)}"
        first = _compared(value.first, column("low"), column("low"), parameters)
        return [all_of([unit, found, any_of(second)]) for found in first]
    if not isinstance(value, Amount):
        raise TypeError(f"a quantity parameter has no {type(value).__name__}")
    found = _compared(value, column("low"), column("high"), parameters)
    if value.unit is None:
        return found
    unit = f"{column('unit')} = {parameters.bind(value.unit)}"
    return [f"{unit} AND {condition}" for condition in found]


def _compared(amount: Amount, low: str, high: str, parameters: Parameters) -> list[str]:
    bound = {
        "from_": parameters.bind(amount.low),
        "to": parameters.bind(amount.high),
        "value": parameters.bind(amount.value),
    }
    return [text.format(low=low, high=high, **bound) for text in _ALTERNATIVES[amount.prefix]]


def _units(clause: Clause, parameters: Parameters) -> str:
    """The units of a parameter's rows: they are few, and found by as many steps through the index."""
    number, at = parameters.bind(clause.parameter.number), parameters.alias()
    next_unit = (
        f"(SELECT {at}.unit FROM quantity_value {at} WHERE {at}.parameter = {number}"
        f" AND {at}.unit {{after}} ORDER BY {at}.unit LIMIT 1)"
    )
    first, following = next_unit.format(after=f">= {-(2**63)}"), next_unit.format(after="> units.unit")
    return (
        f"(WITH RECURSIVE units (unit) AS (SELECT {first} UNION ALL"
        f" SELECT {following} FROM units WHERE units.unit IS NOT NULL)"
        f" SELECT unit FROM units WHERE unit IS NOT NULL) u"
    )
