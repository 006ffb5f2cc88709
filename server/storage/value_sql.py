"""One function a type of search parameter: the values of a clause -> conditions on a row of its index table.

`TABLES` says which table answers which type; composites and the like have become clauses on plain values before
(`search_rows`). A condition speaks of one index row by its alias; `search_sql`
asks whether a resource has such a row, or lists the resources that have one.
Source: hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.errors import FhirError
from server.fhir.folding import fold
from server.fhir.hashing import probes
from server.fhir.search_query import (
    Clause,
    DateValue,
    StringValue,
    UriValue,
)
from server.fhir.uri_paths import uri_below, uris_above
from server.storage.dialect import Parameters
from server.storage.logic_sql import TRUE
from server.storage.quantity_sql import quantity_conditions

# How a condition names a column of the index row: plainly in a list of candidates, where an index answers it;
# hidden from the planner in a probe, which finds its rows by rid and parameter.
Column = Callable[[str], str]
# (clause, column, parameters) -> alternatives, each of which may use an index of its own
Conditions = Callable[[Clause, Column, Parameters], list[str]]

_LAST_CHARACTER = "\U0010ffff"
_NUL = "\0"  # in no stored text, so that a value with one matches nothing


@dataclass(frozen=True, slots=True)
class ValueTable:
    """name: of the table. conditions: when a row of it matches. modifiers: those it answers.

    Every table but `token`, whose hashes include it, has the parameter's number in a column of its own.
    """

    name: str
    conditions: Conditions
    modifiers: frozenset[str]

    def of_parameter(self, clause: Clause, row: str, parameters: Parameters) -> str:
        """The row is one of the clause's parameter."""
        return TRUE if self.name == "token" else f"{row}.parameter = {parameters.bind(clause.parameter.number)}"


def token_conditions(clause: Clause, column: Column, parameters: Parameters) -> list[str]:
    """Tokens, references, and uris that are equal: any of the hashes."""
    hashes = token_hashes(clause)
    return [f"{column('hash')} {parameters.among(sorted(hashes))}"] if hashes else []


def token_hashes(clause: Clause) -> set[int]:
    """The hashes of which a resource that fulfils a clause on tokens has any."""
    return {hash for value in clause.values for hash in probes(clause.parameter, clause.modifier, value)}


def string_conditions(clause: Clause, column: Column, parameters: Parameters) -> list[str]:
    """Starts with (the default, and `:text`), `:contains`, `:exact`.

    `:exact` looks among the rows of the same folded form, which is what the index is ordered by.
    """
    alternatives = []
    for value in clause.values:
        if not isinstance(value, StringValue):
            raise TypeError(f"a string parameter has no {type(value).__name__}")
        if _NUL in value.text:
            continue
        text = fold(value.text)
        if clause.modifier == "exact":
            same = parameters.dialect.text_equals(column("normal"), text, parameters.bind)
            condition = f"{same} AND {column('exact')} = {parameters.bind(value.text)}"
        elif clause.modifier == "contains":
            condition = parameters.dialect.contains(column("normal"), parameters.bind(text))
        else:
            condition = starts_with(column("normal"), text, parameters)
        alternatives.append(condition)
    return alternatives


def starts_with(column: str, text: str, parameters: Parameters) -> str:
    """The column starts with the text: a range of the index, bytewise."""
    return parameters.dialect.text_between(column, text, text + _LAST_CHARACTER, parameters.bind)


def uri_conditions(clause: Clause, column: Column, parameters: Parameters) -> list[str]:
    """`:below` (the uri or one under it by its path) and `:above` (the uri or one of those it is under)."""
    alternatives = []
    for value in clause.values:
        if not isinstance(value, UriValue):
            raise TypeError(f"a uri parameter has no {type(value).__name__}")
        if _NUL in value.uri:
            continue
        if clause.modifier == "below":
            same, start = uri_below(value.uri)
            alternatives.append(parameters.dialect.text_equals(column("uri"), same, parameters.bind))
            if start is not None:
                alternatives.append(starts_with(column("uri"), start, parameters))
        else:
            alternatives += [
                parameters.dialect.text_equals(column("uri"), above, parameters.bind)
                for above in uris_above(value.uri)
            ]
    return alternatives


def date_conditions(clause: Clause, column: Column, parameters: Parameters) -> list[str]:
    """Dates as ranges: both the parameter's and the resource's are [low, high).

    Source: hl7.org/fhir/R4/search.html#prefix
    """
    alternatives = []
    for value in clause.values:
        if not isinstance(value, DateValue):
            raise TypeError(f"a date parameter has no {type(value).__name__}")
        low, high = parameters.bind(value.low), parameters.bind(value.high)
        condition = DATE_CONDITIONS[value.prefix].format(
            low=column("low"), high=column("high"), from_=low, to=high
        )
        alternatives.append(condition)
    return alternatives


# Prefix -> when [low, high) of a resource matches [from, to) of the search. The terms in front that are
# implied by the others bound the range of the index that has to be read; a unary plus keeps SQLite from
# answering the alternatives by two index scans of their own.
DATE_CONDITIONS = {
    "eq": "{low} >= {from_} AND {low} < {to} AND {high} <= {to}",
    "ne": "({low} < {from_} OR {high} > {to})",
    "gt": "{high} > {to}",
    "lt": "{low} < {from_}",
    "ge": "{high} > {from_} AND (+{high} > {to} OR +{low} >= {from_})",
    "le": "{low} < {to} AND (+{low} < {from_} OR +{high} <= {to})",
    "sa": "{low} >= {to}",
    "eb": "{high} <= {from_}",
    "ap": "{low} < {to} AND {high} > {from_}",
}


_TOKEN = ValueTable("token", token_conditions, frozenset({"", "not"}))
_TEXT = ValueTable("string_value", string_conditions, frozenset({"text"}))
_URI = ValueTable("uri_value", uri_conditions, frozenset({"above", "below"}))
_QUANTITY = ValueTable("quantity_value", quantity_conditions, frozenset({""}))

# Parameter type -> the tables that answer it, by modifier.
TABLES: dict[str, tuple[ValueTable, ...]] = {
    "token": (
        ValueTable(
            "token", token_conditions, frozenset({"", "not", "of-type", "in", "not-in", "above", "below"})
        ),
        _TEXT,
    ),
    "reference": (ValueTable("token", token_conditions, frozenset({"", "identifier", "above", "below"})),),
    "uri": (_TOKEN, _URI),
    "string": (ValueTable("string_value", string_conditions, frozenset({"", "exact", "contains"})),),
    "date": (ValueTable("date_value", date_conditions, frozenset({""})),),
    "number": (_QUANTITY,),
    "quantity": (_QUANTITY,),
}


def value_table(clause: Clause) -> ValueTable:
    """The table that answers a clause. Raises: FhirError unsupported-search where none does."""
    for table in TABLES.get(clause.parameter.type, ()):
        if clause.modifier in table.modifiers:
            return table
    name = f"{clause.parameter.code}:{clause.modifier}" if clause.modifier else clause.parameter.code
    raise FhirError("unsupported-search", f"The search {name} is not supported.")
