"""A condition of a search in words, as it was understood: names and numbers, never a value."""

from __future__ import annotations

from server.fhir.search_query import Chained, Clause, Condition, InCompartment


def describe(condition: Condition) -> str:
    """One line; for example `patient > Patient: family:exact (string, 2 values)`."""
    if isinstance(condition, Clause):
        parameter = condition.parameter
        name = f"{parameter.code}:{condition.modifier}" if condition.modifier else parameter.code
        count = len(condition.values)
        return f"{name} ({parameter.type}, {count} value{'' if count == 1 else 's'})"
    if isinstance(condition, InCompartment):
        codes = [parameter.code for parameter in condition.parameters] + ["itself"] * condition.itself
        return f"in the {condition.resource_type} compartment, by {' or '.join(codes)}"
    if isinstance(condition, Chained):
        ways = " or ".join(f"{name}: {describe(inner)}" for name, inner in condition.targets)
        return f"{condition.link.code} > {ways}"
    return f"{condition.resource_type}.{condition.link.code} < {describe(condition.condition)}"
