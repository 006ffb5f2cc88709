"""Conditions that speak of value sets and hierarchies -> the token entries that these stand for.

It is done once, before a search runs and as its caller may see definitions and resources; what follows are
ordinary probes. Nothing is resolved to less than it means: what is not known here refuses the search.
Sources: hl7.org/fhir/R4/search.html#token, #recursive
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

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
    UnresolvedValue,
    Value,
    ValueSetValue,
    is_unresolved,
)
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.definitions import Found, Kept, StoredDefinitions
from server.storage.trees import tree_entries
from server.storage.vocabulary import Vocabulary, current_vocabulary
from server.terminology.code_sets import CodeSet, listed
from server.terminology.definitions import Budget, NotExpandable, TooCostly
from server.terminology.expansion import expand
from server.terminology.filters import UnsupportedFilter, require_subsumption
from server.terminology.token_entries import token_entries

# Published (docs/reference/limits.md): value sets, concepts and hierarchies of a search; what they stand for.
VALUES_MAXIMUM, ENTRIES_MAXIMUM = 100, 50_000
# How many entries of expansions a process keeps, at some 60 bytes each.
_KEPT_ENTRIES = 100_000
_SHOWN = 500  # characters of a reason


@dataclass(frozen=True, slots=True)
class _Expanded:
    """The entries of a value set, and what was found of everything it depends on."""

    entries: frozenset[int]
    found: tuple[tuple[tuple[str, str, str], bytes | None], ...]


_EXPANDED = Kept(_KEPT_ENTRIES)


def resolved(
    connection: Connection, query: SearchQuery, visible: Visibility, folder: Path | None = None
) -> SearchQuery:
    """The query with nothing left to resolve. folder: of the terminology's file.

    Raises: FhirError unsupported-search, invalid-search, too-costly.
    """
    resolver = _Resolver(connection, visible, current_vocabulary(folder))
    parts = tuple(resolver.query(part) for part in query.parts)
    return replace(resolver.query(query), parts=parts)


class _Resolver:
    def __init__(self, connection: Connection, visible: Visibility, vocabulary: Vocabulary | None) -> None:
        self._connection = connection
        self._visible = visible
        self._vocabulary = vocabulary
        self._definitions = StoredDefinitions(connection, visible, vocabulary)
        self._budget = Budget()
        self._done: dict[tuple[str, Value, tuple[str, ...]], EntriesValue] = {}

    def query(self, query: SearchQuery) -> SearchQuery:
        return replace(query, conditions=tuple(self._condition(c, "") for c in query.conditions))

    def _condition(self, condition: Condition, before: str) -> Condition:
        """before: how the condition's name begins in the query, for errors."""
        if not is_unresolved(condition):
            return condition
        if isinstance(condition, Chained):
            name = f"{before}{condition.link.code}."
            targets = tuple((kind, self._condition(inner, name)) for kind, inner in condition.targets)
            return replace(condition, targets=targets)
        if isinstance(condition, Has):
            name = f"{before}_has:{condition.resource_type}:{condition.link.code}:"
            return replace(condition, condition=self._condition(condition.condition, name))
        assert isinstance(condition, Clause)  # no other condition has values
        return self._clause(condition, before)

    def _clause(self, clause: Clause, before: str) -> Clause:
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
        if not isinstance(value, UnresolvedValue):
            return value
        key = (clause.modifier, value, _bound(clause.parameter))
        if key not in self._done:
            self._done[key] = EntriesValue.of(self._entries(clause, value))
            if len(self._done) > VALUES_MAXIMUM:
                raise TooCostly(f"more than {VALUES_MAXIMUM} value sets or hierarchies in one search")
            if sum(len(done.entries) for done in self._done.values()) > ENTRIES_MAXIMUM:
                raise TooCostly(f"more than {ENTRIES_MAXIMUM} codes or resources in one search")
        return self._done[key]

    def _entries(self, clause: Clause, value: UnresolvedValue) -> frozenset[int]:
        if isinstance(value, ValueSetValue):
            return self._of_value_set(clause.parameter, value)
        if isinstance(value, ConceptValue):
            return self._of_concept(clause, value)
        return tree_entries(self._connection, self._visible, value, up=clause.modifier == "above")

    def _of_value_set(self, parameter: SearchParameter, value: ValueSetValue) -> frozenset[int]:
        if value.id:
            root = self._definitions.of_id("ValueSet", value.id)
        else:
            root = self._definitions.find("ValueSet", value.url, value.version)
        if root is None:
            raise NotExpandable("the value set is not known to this server")
        key = (root.identity, _bound(parameter))
        kept: _Expanded | None = _EXPANDED.get(key)
        if kept is None or any(_identity(self._definitions.find(*asked)) != was for asked, was in kept.found):
            kept = self._expanded(parameter, root)
            _EXPANDED.put(key, kept, len(kept.entries) + 100)
        return kept.entries

    def _expanded(self, parameter: SearchParameter, root: Found) -> _Expanded:
        definitions = StoredDefinitions(self._connection, self._visible, self._vocabulary)
        entries = token_entries(parameter, expand(root.definition, definitions, self._budget))
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
        codes = islice((system.above if modifier == "above" else system.below)(code), ENTRIES_MAXIMUM + 1)
        found = listed(url, codes)
        if not found.codes:
            raise _Unknown("the code system has no such code")
        return found


class _Unknown(ValueError):
    """A code that does not exist."""


def _bound(parameter: SearchParameter) -> tuple[str, ...]:
    """What besides a set of codes its entries depend on."""
    return bound_value_sets(parameter) if parameter.datatypes == ("code",) else ()


def _identity(found: Found | None) -> bytes | None:
    return None if found is None else found.identity
