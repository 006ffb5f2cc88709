"""What a person may choose in place of a scope that an app asks for, and what is granted then (pure).

A scope of all types may be narrowed to single types, a scope of a type to kinds of its resources (granular
scopes). What is chosen beneath a scope replaces it, so a scope never stands beside one of its own narrowings.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (wildcard and granular scopes),
hl7.org/fhir/us/core/STU7/scopes.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from server.auth.scopes import Scope, format_scope, parse_scope, parse_scopes
from server.fhir.compartments import in_patient_compartment
from server.policy.open_types import open_types
from server.policy.scope_choices import scope_choices


@dataclass(frozen=True, slots=True)
class Option:
    """A scope that may be granted, and the narrower ones that may be granted in its place."""

    scope: Scope
    narrower: tuple[Option, ...] = ()


def options(asked: str) -> tuple[Option, ...]:
    """The resource scopes of a request, each with its narrowings, in the order asked.

    One that another scope of the request covers is no option of its own: refusing it would change nothing.
    """
    return tuple(_option(scope) for scope in _widest(parse_scopes(asked)))


def granted(asked: str, chosen: Collection[str]) -> str:
    """The part of the asked scopes that remains where a person chose these; "" where they chose nothing.

    chosen: scopes as `options` writes them; anything else is passed over. Scopes that are no resource scopes go
    with the flow itself and stay.
    """
    kept = {option.scope.written: tuple(_chosen((option,), chosen)) for option in options(asked)}
    remaining = [scope for scopes in kept.values() for scope in scopes]
    if kept and not remaining:
        return ""
    words: list[str] = []
    for word in asked.split():
        scope = parse_scope(word)
        if word in kept:
            words += [scope.written for scope in kept[word]]
        elif scope is None or any(other.covers(scope) for other in remaining):
            words.append(word)
    return " ".join(dict.fromkeys(words))


def _widest(scopes: Iterable[Scope]) -> list[Scope]:
    """The scopes without those that another one covers; of two that say the same, the first."""
    kept: list[Scope] = []
    for scope in scopes:
        if not any(other.covers(scope) for other in kept):
            kept = [other for other in kept if not scope.covers(other)] + [scope]
    return kept


def _chosen(among: Iterable[Option], chosen: Collection[str]) -> list[Scope]:
    found: list[Scope] = []
    for option in among:
        inner = _chosen(option.narrower, chosen)
        if inner:
            found += inner
        elif option.scope.written in chosen:
            found.append(option.scope)
    return found


def _option(scope: Scope) -> Option:
    if scope.criteria:
        return Option(scope)
    if scope.resource_type != "*":
        return Option(scope, tuple(Option(kind) for kind in _kinds(scope)))
    types = (_of_type(scope, name) for name in scope_choices().types)
    return Option(scope, tuple(_option(narrower) for narrower in types if narrower is not None))


def _of_type(scope: Scope, resource_type: str) -> Scope | None:
    """A scope of all types narrowed to one, in the version it was asked in; None where that opens nothing."""
    permissions, written = scope.permissions, scope.written.rpartition(".")[2]
    if scope.level == "patient" and not in_patient_compartment(resource_type):
        # Nobody's chart: read where the patient's refers to it, never written (`auth.access`).
        permissions = "".join(letter for letter in permissions if letter in "rs")
        if resource_type not in open_types() or not permissions:
            return None
        if permissions != scope.permissions:
            written = permissions
    return Scope(scope.level, resource_type, permissions, (), f"{scope.level}/{resource_type}.{written}")


def _kinds(scope: Scope) -> Iterable[Scope]:
    for kind in scope_choices().kinds.get(scope.resource_type, ()):
        criteria = (kind.criterion,)
        written = format_scope(scope.level, scope.resource_type, scope.permissions, criteria)
        yield Scope(scope.level, scope.resource_type, scope.permissions, criteria, written)
