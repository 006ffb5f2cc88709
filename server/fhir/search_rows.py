"""Which index rows answer a clause: the clause again, as it is asked of the rows of one parameter number.

Storage and the evaluator in memory both ask here, and `index_ranges` and `index_composites` write by the same
rules, so that what is indexed and what is looked for cannot part.
Source: hl7.org/fhir/R4/search.html#quantity, #combining
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from math import inf, nextafter

from server.fhir.hashing import canonical_number, dimension_hash, probes, unit_hash
from server.fhir.search_query import (
    Amount,
    AmountPair,
    Chained,
    Clause,
    CompositeValue,
    Condition,
    EntriesValue,
    Has,
    NumberValue,
    QuantityValue,
    SearchParameter,
    SearchQuery,
    Value,
)
from server.fhir.units import UCUM, Unit, unit

# Parameter types whose clauses are asked in another form than they are read in.
_REWRITTEN = frozenset({"number", "quantity", "composite"})


def row_clauses(clause: Clause) -> tuple[Clause, ...]:
    """Clauses of which any one must be fulfilled by a row that carries its parameter's number.

    Their parameters are neither composite nor made of parts, their numbers and quantities are Amounts. All are
    answered by rows of one kind.
    """
    parameter = clause.parameter
    if clause.modifier == "missing" or not (parameter.parts or parameter.type in _REWRITTEN):
        return (clause,)
    asked: dict[SearchParameter, list[Value]] = {}
    for number in parameter.parts or (parameter.number,):
        own = replace(parameter, number=number, parts=())
        for value in clause.values:
            for one, rewritten in _asked(own, value):
                asked.setdefault(one, []).append(rewritten)
    return tuple(Clause(one, clause.modifier, tuple(values)) for one, values in asked.items())


def _asked(parameter: SearchParameter, value: Value) -> Iterator[tuple[SearchParameter, Value]]:
    if isinstance(value, CompositeValue):
        yield from _asked_beside(parameter, value)
    elif isinstance(value, QuantityValue):
        if value.system is None:
            as_written = None if value.code is None else unit_hash(None, value.code)
            yield parameter, _amount(value.number, as_written, None)
        else:
            known = unit(value.code or "") if value.system == UCUM else None
            hash = (
                unit_hash(value.system, value.code or "") if known is None else dimension_hash(known.dimension)
            )
            number = canonical_number(parameter.number)
            yield replace(parameter, number=number), _amount(value.number, hash, known)
    elif isinstance(value, NumberValue):
        yield parameter, _amount(value, 0, None)
    else:
        yield parameter, value


def _asked_beside(parameter: SearchParameter, value: CompositeValue) -> Iterator[tuple[SearchParameter, Value]]:
    """What stands beside a token is asked of rows whose number is the token's entry."""
    parts = list(zip(parameter.components, value.values, strict=True))
    at = next(n for n, (component, _) in enumerate(parts) if component.type == "token")
    component, token = parts.pop(at)
    for entry in probes(replace(component, number=parameter.number), "", token):
        if len(parts) == 1:
            yield from _asked(replace(parts[0][0], number=entry), parts[0][1])
        else:
            first, second = (_amount(part, 0, None) for _, part in parts if isinstance(part, NumberValue))
            yield replace(parts[0][0], number=entry), AmountPair(first, second)


def _amount(number: NumberValue, hash: int | None, measure: Unit | None) -> Amount:
    """Whatever the rounding, the range holds the number itself."""

    def converted(exact: Decimal) -> float:
        return float(exact) if measure is None else measure.canonical(exact)

    value = converted(number.value)
    low, high = min(converted(number.low), value), max(converted(number.high), nextafter(value, inf))
    return Amount(number.prefix, value, low, high, hash)


# Of schema 5: rows that an older database holds only once its resources have been indexed again (`reindex`).


def asks_new_rows(query: SearchQuery) -> SearchParameter | None:
    """A parameter of the search that rows answer which schema 5 brought, None where there is none."""
    for part in query.parts or (query,):
        found = [parameter for condition in part.conditions for parameter in _new(condition)]
        found += [key.parameter for key in part.sort if _is_due(key.parameter)]
        if found:
            return found[0]
    return None


def _new(condition: Condition) -> Iterator[SearchParameter]:
    if isinstance(condition, Chained):
        for _, inner in condition.targets:
            yield from _new(inner)
    elif isinstance(condition, Has):
        yield from _new(condition.condition)
    elif isinstance(condition, Clause):
        parameter, values = condition.parameter, condition.values
        of_a_system = any(isinstance(value, QuantityValue) and value.system is not None for value in values)
        # MIME types without their parameters and versions of canonicals came with it too.
        below = condition.modifier == "below" and any(isinstance(value, EntriesValue) for value in values)
        if of_a_system or parameter.type == "composite" or below or _is_due(parameter):
            yield parameter


def _is_due(parameter: SearchParameter) -> bool:
    return parameter.resource_type == "Task" and parameter.code == "due"
