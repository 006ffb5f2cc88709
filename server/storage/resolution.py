"""Conditions that speak of value sets and hierarchies -> the token entries that these stand for.

It is done once, before a search runs and as its caller may see definitions and resources; what follows are
ordinary probes. Nothing is resolved to less than it means: what is not known here refuses the search.
Sources: hl7.org/fhir/R4/search.html#token, #recursive
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.fhir.bindings import bound_systems, bound_value_sets
from server.fhir.search_conditions import refusal
from server.fhir.search_query import (
    Chained,
    Clause,
    ConceptValue,
    Condition,
    EntriesValue,
    Has,
    SearchParameter,
    SearchQuery,
    TreeValue,
    UnresolvedValue,
    Value,
    ValueSetValue,
)
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.definitions import Found, Kept, StoredDefinitions
from server.storage.trees import tree_entries
from server.terminology.code_sets import CodeSet, listed
from server.terminology.expansion import NotExpandable, TooCostly, expand
from server.terminology.filters import UnsupportedFilter, require_subsumption
from server.terminology.token_entries import token_entries

# How many entries of expansions a process keeps, at some 60 bytes each.
_KEPT_ENTRIES = 100_000
_SHOWN = 500  # characters of a reason


@dataclass(frozen=True, slots=True)
class _Expanded:
    """The entries of a value set, and what was found of everything it depends on."""

    entries: frozenset[int]
    found: tuple[tuple[tuple[str, str, str], bytes | None], ...]


_EXPANDED = Kept(_KEPT_ENTRIES)


def resolved(connection: Connection, query: SearchQuery, visible: Visibility) -> SearchQuery:
    """The query with nothing left to resolve.

    Raises: FhirError unsupported-search, invalid-search, too-costly.
    """
    resolver = _Resolver(connection, visible)
    parts = tuple(resolver.query(part) for part in query.parts)
    found = resolver.query(query)
    return found if parts == query.parts else replace(found, parts=parts)


class _Resolver:
    def __init__(self, connection: Connection, visible: Visibility) -> None:
        self._connection = connection
        self._visible = visible
        self._definitions = StoredDefinitions(connection, visible)

    def query(self, query: SearchQuery) -> SearchQuery:
        conditions = tuple(self._condition(condition, "") for condition in query.conditions)
        same = all(one is other for one, other in zip(conditions, query.conditions, strict=True))
        return query if same else replace(query, conditions=conditions)

    def _condition(self, condition: Condition, before: str) -> Condition:
        """before: how the condition's name begins in the query, for errors."""
        if isinstance(condition, Clause):
            return self._clause(condition, before)
        if isinstance(condition, Chained):
            name = f"{before}{condition.link.code}."
            targets = tuple((kind, self._condition(inner, name)) for kind, inner in condition.targets)
            same = all(new[1] is old[1] for new, old in zip(targets, condition.targets, strict=True))
            return condition if same else replace(condition, targets=targets)
        if isinstance(condition, Has):
            name = f"{before}_has:{condition.resource_type}:{condition.link.code}:"
            inner = self._condition(condition.condition, name)
            return condition if inner is condition.condition else replace(condition, condition=inner)
        return condition

    def _clause(self, clause: Clause, before: str) -> Clause:
        if not any(isinstance(value, UnresolvedValue) for value in clause.values):
            return clause
        name = f"{before}{clause.parameter.code}:{clause.modifier}"
        try:
            return replace(clause, values=tuple(self._value(clause, value) for value in clause.values))
        except (NotExpandable, UnsupportedFilter) as error:
            raise refusal("unsupported-search", name, str(error)[:_SHOWN]) from error
        except TooCostly as error:
            raise refusal("too-costly", name, str(error)) from error
        except _Unknown as error:
            raise refusal("invalid-search", name, str(error)) from error

    def _value(self, clause: Clause, value: Value) -> Value:
        if isinstance(value, ValueSetValue):
            return EntriesValue.of(self._of_value_set(clause.parameter, value))
        if isinstance(value, ConceptValue):
            return EntriesValue.of(self._of_concept(clause, value))
        if isinstance(value, TreeValue):
            up = clause.modifier == "above"
            return EntriesValue.of(tree_entries(self._connection, self._visible, value, up=up))
        return value

    def _of_value_set(self, parameter: SearchParameter, value: ValueSetValue) -> frozenset[int]:
        if value.id:
            root = self._definitions.value_set_of_id(value.id)
        else:
            root = self._definitions.find("ValueSet", value.url, value.version)
        if root is None:
            raise NotExpandable("the value set is not known to this server")
        bound = bound_value_sets(parameter) if parameter.datatypes == ("code",) else ()
        key = (root.identity, bound)
        kept: _Expanded | None = _EXPANDED.get(key)
        if kept is None or any(_identity(self._definitions.find(*asked)) != was for asked, was in kept.found):
            kept = self._expanded(parameter, root)
            _EXPANDED.put(key, kept, len(kept.entries) + 100)
        return kept.entries

    def _expanded(self, parameter: SearchParameter, root: Found) -> _Expanded:
        definitions = StoredDefinitions(self._connection, self._visible)
        entries = token_entries(parameter, expand(root.definition, definitions))
        return _Expanded(
            entries, tuple((asked, _identity(found)) for asked, found in definitions.asked.items())
        )

    def _of_concept(self, clause: Clause, value: ConceptValue) -> frozenset[int]:
        systems = (value.system,) if value.system else bound_systems(clause.parameter, value.code)
        if not systems:
            raise _Unknown("the element can have no such code")
        found = frozenset[int]()
        for url in systems:
            found |= token_entries(clause.parameter, self._closure(clause.modifier, url, value.code))
        return found

    def _closure(self, modifier: str, url: str, code: str) -> CodeSet:
        system = self._definitions.code_system(url, "")
        if system is None:
            raise NotExpandable("the code system is not known to this server")
        require_subsumption(system)
        codes = (system.above if modifier == "above" else system.below)(code)
        if not codes:
            raise _Unknown("the code system has no such code")
        return listed(url, ((found, "") for found in codes))


class _Unknown(ValueError):
    """A code that does not exist."""


def _identity(found: Found | None) -> bytes | None:
    return None if found is None else found.identity
