"""The fast half of validation: is this resource certainly valid?

One closure for each type, made from its table when the type is first met; a primitive's test is a
compiled expression or the membership test of a frozenset, so that most properties cost one C call.
False means "not certain": validation_explain then decides and finds the words. Rare but valid shapes
(contained resources, nulls in arrays) are left to it on purpose. An unknown property or a wrong JSON
type surfaces as one of SHAPE_ERRORS. While another thread is still compiling a type, properties are
missing from its closure, which also only leads to validation_explain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.fhir.validation_codes import accepts_code, accepts_concept
from server.fhir.validation_invariants import INVARIANTS, SHAPE_ERRORS
from server.fhir.validation_primitives import PRIMITIVE_RULES
from server.fhir.validation_references import accepts_target
from server.fhir.validation_tables import Element, Table, table

Accept = Callable[[Any], object]

_compiled: dict[str, Accept] = {}
_checks: dict[str, dict[str, Accept]] = {}  # type -> property -> test


class _Resources(dict[str, Accept]):
    """Resource type -> its closure, compiled on first use."""

    def __missing__(self, name: str) -> Accept:
        if not table(name).is_resource:
            raise KeyError(name)
        self[name] = _acceptor(name)
        return self[name]


_resources = _Resources()


def accepts(resource: Any) -> bool:
    """Whether a resource is certainly valid R4; false when it is invalid or not certain."""
    try:
        return bool(_resources[resource["resourceType"]](resource))
    except SHAPE_ERRORS:
        return False


def accepts_element(element: Element, value: Any) -> bool:
    """Whether one value (not the array) of a complex element is certainly valid."""
    try:
        return bool(_value_test(element)(value))
    except SHAPE_ERRORS:
        return False


def _acceptor(name: str) -> Accept:
    if name not in _compiled:
        checks = _checks[name] = {}
        described = table(name)
        _compiled[name] = _extension(checks) if name == "Extension" else _object(described, checks)
        for element in described.elements.values():
            test = _value_test(element)
            checks[element.name] = _each(test) if element.is_list else test
            if element.is_primitive:
                checks["_" + element.name] = _unsure if element.is_list else _acceptor("Element")
        if described.is_resource:
            checks["resourceType"] = _certain
            if "contained" in checks:
                checks["contained"] = _unsure
    return _compiled[name]


def _certain(value: Any) -> bool:
    return True


def _unsure(value: Any) -> bool:
    return False


def _any_resource(value: Any) -> object:
    return _resources[value["resourceType"]](value)


def _value_test(element: Element) -> Accept:
    if element.type == "Resource":
        return _any_resource
    if element.is_primitive:
        test = PRIMITIVE_RULES[element.type][0]
        more = [accepts_code(element.value_set)] if element.value_set else []
        if more and element.type == "code" and not element.invariants:
            return more[0]
    else:
        test = _acceptor(element.type)
        if element.type == "Reference":
            test = _reference(_checks["Reference"], accepts_target(element.targets))
        more = [accepts_concept(element.value_set)] if element.value_set else []
    more += [INVARIANTS[name] for name in element.invariants]
    for further in more:
        test = _both(test, further)
    return test


def _both(first: Accept, second: Accept) -> Accept:
    return lambda value: first(value) and second(value)


def _each(test: Accept) -> Accept:
    def accept(values: Any) -> bool:
        if type(values) is not list or not values:
            return False
        for value in values:  # noqa: SIM110  all() with a generator costs twice as much
            if not test(value):
                return False
        return True

    return accept


def _reference(checks: dict[str, Accept], accepts_target: Accept) -> Accept:
    def accept(value: dict[str, Any]) -> object:
        for name, item in value.items():
            if not checks[name](item):
                return False
        return accepts_target(value) and (len(value) > 1 or "id" not in value)

    return accept


def _extension(checks: dict[str, Accept]) -> Accept:
    def accept(value: dict[str, Any]) -> bool:
        for name, item in value.items():
            if not checks[name](item):
                return False
        return "url" in value and len(value) - ("id" in value) == 2  # ext-1: url and one of the two

    return accept


def _object(described: Table, checks: dict[str, Accept]) -> Accept:
    required = tuple(name for name in described.required if name not in described.choices)
    required_choices = tuple(name for name in described.required if name in described.choices)
    # `_valueString` counts as well: beside valueString that makes two, which is left to validation_explain.
    choice_of = {
        prefix + name: choice
        for choice, names in described.choices.items()
        for name in names
        for prefix in ("", "_")
    }
    invariants = tuple(INVARIANTS[name] for name in described.invariants)

    def accept(value: dict[str, Any]) -> bool:
        for name, item in value.items():
            if not checks[name](item):
                return False
        return len(value) > 1 or (len(value) == 1 and "id" not in value)  # ele-1

    def accept_by_rules(value: dict[str, Any]) -> bool:
        for name, item in value.items():
            if not checks[name](item):
                return False
        if len(value) < 2 and (not value or "id" in value):
            return False
        for name in required:
            if name not in value:
                return False
        if choice_of:
            chosen = [choice_of[name] for name in value if name in choice_of]
            if len(chosen) > 1 and len(set(chosen)) != len(chosen):
                return False
            for choice in required_choices:
                if choice not in chosen:
                    return False
        for holds in invariants:  # noqa: SIM110
            if not holds(value):
                return False
        return True

    return accept_by_rules if required or choice_of or invariants else accept
