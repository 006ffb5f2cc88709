"""Conditions of a search -> predicates on any alias of `resource`, and -> lists of candidates.

A predicate asks one row at a time: `EXISTS` probes by (rid, parameter) or (hash, rid), each the cost of one
look-up whatever the number of resources. A candidate list goes the other way, from value to rids; the
planner (`search`) drives a search from the shortest one. Chains and `_has` follow references by integers:
forward through reference_value to self_hash, backward through token by self_hash XOR the parameter's mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.fhir.hashing import compartment_probes, parameter_mask, probes, reference_hash
from server.fhir.search_query import (
    NEGATIONS,
    Chained,
    Clause,
    Condition,
    Has,
    InCompartment,
    MissingValue,
    SearchParameter,
)
from server.fhir.search_rows import row_clauses
from server.fhir.visibility import Visibility
from server.storage.column_sql import COLUMNS
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE, TRUE, all_of, any_of
from server.storage.quantity_sql import quantity_lists
from server.storage.value_sql import ValueTable, token_hashes, value_table
from server.storage.visibility_sql import VisibilitySql

# More hashes than this are compared with those of a resource instead of each being looked up.
_SEEKS = 32
_LISTS = 100  # SQLite joins at most 500 lists; a condition with so many alternatives hardly narrows anything


def xor(left: str, right: str) -> str:
    """Bitwise exclusive or; neither dialect shares an operator for it, both have these two."""
    return f"(({left} | {right}) - ({left} & {right}))"


class Hop(NamedTuple):
    """One link of a chain, to a resource of a type: one that `link` refers to, or not forward, refers from."""

    link: SearchParameter
    resource_type: str
    forward: bool


def _paths(condition: Condition) -> Iterator[tuple[tuple[Hop, ...], Condition]]:
    """Every way through a chain, and what is asked at its end."""
    if isinstance(condition, Chained):
        steps = [(Hop(condition.link, name, True), inner) for name, inner in condition.targets]
    elif isinstance(condition, Has):
        steps = [(Hop(condition.link, condition.resource_type, False), condition.condition)]
    else:
        yield (), condition
        return
    for hop, inner in steps:
        for hops, end in _paths(inner):
            yield (hop, *hops), end


class SearchSql:
    """Predicates for one statement, as one caller may see things."""

    def __init__(self, visible: Visibility, parameters: Parameters) -> None:
        self._parameters = parameters
        self._dialect = parameters.dialect
        self._visibility = VisibilitySql(visible, parameters, self.clause)

    def visible(self, alias: str, resource_type: str | None, *, version: str = "") -> str:
        """See VisibilitySql.predicate."""
        return self._visibility.predicate(alias, resource_type, version=version)

    def condition(self, condition: Condition, alias: str) -> str:
        """When a resource fulfils a condition of a search.

        Raises: FhirError unsupported-search.
        """
        if isinstance(condition, Clause):
            return self.clause(condition, alias)
        if isinstance(condition, InCompartment):
            return self._in_compartment(condition, alias)
        return any_of(self._path(hops, end, alias) for hops, end in _paths(condition))

    def clause(self, clause: Clause, alias: str) -> str:
        """When a resource fulfils a clause."""
        if clause.modifier == "missing":
            return self._missing(clause, alias)
        own = COLUMNS.get(clause.parameter.code)
        if own is not None:
            condition = own(clause, alias, self._parameters)
            return f"NOT ({condition})" if clause.modifier == "not" else condition
        asked = row_clauses(clause)
        table = value_table(asked[0])
        if table.name == "token":
            exists = self._token_exists(table, asked, alias)
        else:
            exists = any_of(self._value_exists(table, one, alias) for one in asked)
        return f"NOT {exists}" if clause.modifier in NEGATIONS else exists

    def _token_exists(self, table: ValueTable, asked: tuple[Clause, ...], alias: str) -> str:
        """When a resource has a token that fulfils any of the clauses."""
        row = self._parameters.alias()
        key = f"{row}.rid = {alias}.rid"
        if len(hashes := set[int]().union(*map(token_hashes, asked))) > _SEEKS:
            packed = self._dialect.packed_any(f"{row}.tokens", hashes, self._parameters.bind)
            return self._dialect.probe("resource", row, key, packed)
        found = (table.conditions(one, lambda name: f"{row}.{name}", self._parameters) for one in asked)
        # The conditions are a part of the key.
        return self._dialect.exists(f"token {row}", all_of([key, any_of(map(any_of, found))]))

    def _value_exists(self, table: ValueTable, asked: Clause, alias: str) -> str:
        """When a resource has a row in one of the other tables that fulfils the clause."""
        row, unindexed = self._parameters.alias(), self._dialect.unindexed
        key = all_of([f"{row}.rid = {alias}.rid", table.of_parameter(asked, row, self._parameters)])
        where = table.conditions(asked, lambda name: unindexed(f"{row}.{name}"), self._parameters)
        return self._dialect.probe(table.name, row, key, any_of(where))

    def _missing(self, clause: Clause, alias: str) -> str:
        missing = any(isinstance(value, MissingValue) and value.missing for value in clause.values)
        if clause.parameter.code in COLUMNS:  # every resource has an id and a time of its last change
            return FALSE if missing else TRUE
        row = self._parameters.alias()
        present = self._parameters.among(sorted(probes(clause.parameter, "", clause.values[0])))
        exists = self._dialect.exists(f"token {row}", f"{row}.hash {present} AND {row}.rid = {alias}.rid")
        return f"NOT {exists}" if missing else exists

    def _path(self, hops: tuple[Hop, ...], end: Condition, alias: str) -> str:
        """When references lead from a resource over the hops to one that fulfils the end; all of them visible.

        One EXISTS however many hops: nested ones would soon be too deep for SQLite's parser.
        """
        source, where, here = "", [], alias
        for hop in hops:
            link, there = self._parameters.alias(), self._parameters.alias()
            if hop.forward:
                table, arrival = "reference_value", f"{there}.self_hash = {link}.target"
                key = f"{link}.rid = {here}.rid AND {link}.parameter = {self._parameters.bind(hop.link.number)}"
            else:
                table, arrival = "token", f"{there}.rid = {link}.rid"
                mask = self._parameters.bind(parameter_mask(hop.link.number))
                key = f"{link}.hash = {xor(f'{here}.self_hash', mask)}"
            if source:
                source += f" {self._dialect.follow(table, link, key)}"
            else:
                source = f"{table} {link}"
                where.append(key)
            source += f" {self._dialect.follow('resource', there, arrival)}"
            where.append(self._is(there, hop.resource_type))
            here = there
        return self._dialect.exists(source, all_of([*where, self.condition(end, here)]))

    def _in_compartment(self, asked: InCompartment, alias: str) -> str:
        row = self._parameters.alias()
        ways = []
        if asked.parameters:
            hashes = self._parameters.among(sorted(compartment_probes(asked)))
            refers = f"{row}.hash {hashes} AND {row}.rid = {alias}.rid"
            ways.append(self._dialect.exists(f"token {row}", refers))
        if asked.itself:
            ways.append(f"{alias}.self_hash = {self._parameters.bind(_self_hash(asked))}")
        return any_of(ways)

    def _is(self, alias: str, resource_type: str) -> str:
        """The row is a current resource of the type that the caller may see."""
        kind = self._parameters.bind(resource_type)
        return f"{alias}.type = {kind} AND {alias}.deleted = 0 AND {self.visible(alias, resource_type)}"

    # -- candidates

    def candidates(self, condition: Condition, resource_type: str) -> tuple[str, ...]:
        """A SELECT of the rids among which all that fulfil the condition are; () where there is no list.

        Rids may repeat, be of other types or of resources that the caller may not see. It is the last one;
        before it stand those that it follows references from, if any.
        """
        if isinstance(condition, Clause):
            rids = self._clause_candidates(condition, resource_type)
            return (rids,) if rids else ()
        if isinstance(condition, InCompartment):
            return self._compartment_candidates(condition)
        return self._path_candidates(condition)

    def _clause_candidates(self, clause: Clause, resource_type: str) -> str:
        if clause.modifier in (*NEGATIONS, "missing", "contains"):
            return ""
        row = self._parameters.alias()
        own = COLUMNS.get(clause.parameter.code)
        if own is not None:
            kind = self._parameters.bind(resource_type)
            condition = own(clause, row, self._parameters)
            return (
                f"SELECT {row}.rid FROM resource {row}"
                f" WHERE {row}.type = {kind} AND {row}.deleted = 0 AND {condition}"
            )
        lists = [found for asked in row_clauses(clause) for found in self._row_lists(asked)]
        return " UNION ALL ".join(lists) if len(lists) <= _LISTS else ""

    def _row_lists(self, asked: Clause) -> list[str]:
        """The rids of the index rows that fulfil a clause, a list for each range of an index."""
        table, row = value_table(asked), self._parameters.alias()
        if table.name == "quantity_value":
            return quantity_lists(asked, row, self._parameters)
        of_parameter = table.of_parameter(asked, row, self._parameters)
        return [
            f"SELECT {row}.rid FROM {table.name} {row} WHERE {all_of([of_parameter, condition])}"
            for condition in table.conditions(asked, lambda name: f"{row}.{name}", self._parameters)
        ]

    def _path_candidates(self, condition: Condition) -> tuple[str, ...]:
        """What the ends' lists lead to, walked backwards over the hops; every stretch of the way is a list."""
        lists, through = [], []
        for hops, end in _paths(condition):
            before = self.candidates(end, hops[-1].resource_type)
            if not before:
                return ()
            stretches = [before[-1], *self._stretches(hops, before[-1])]
            through += stretches[:-1]
            lists.append(stretches[-1])
            if len(through) > _LISTS:
                return ()
        return (*through, " UNION ALL ".join(lists))

    def _stretches(self, hops: tuple[Hop, ...], rids: str) -> Iterator[str]:
        """The lists one hop after the other, from the last one to the first. rids: of the path's end."""
        found, follow = self._parameters.alias(), self._dialect.follow
        source, where, here = f"({rids}) {found}", [], f"{found}.rid"
        for hop in reversed(hops):
            target, link = self._parameters.alias(), self._parameters.alias()
            if hop.forward:
                mask = self._parameters.bind(parameter_mask(hop.link.number))
                source += (
                    f" {follow('resource', target, f'{target}.rid = {here}')}"
                    f" {follow('token', link, f'{link}.hash = ' + xor(f'{target}.self_hash', mask))}"
                )
                where.append(f"{target}.type = {self._parameters.bind(hop.resource_type)}")
                here = f"{link}.rid"
            else:
                number = self._parameters.bind(hop.link.number)
                of_link = f"{link}.rid = {here} AND {link}.parameter = {number}"
                source += (
                    f" {follow('reference_value', link, of_link)}"
                    f" {follow('resource', target, f'{target}.self_hash = {link}.target')}"
                )
                here = f"{target}.rid"
            yield f"SELECT {here} FROM {source} WHERE {all_of(where)}"

    def _compartment_candidates(self, asked: InCompartment) -> tuple[str, ...]:
        row = self._parameters.alias()
        lists = []
        if asked.parameters:
            hashes = self._parameters.among(sorted(compartment_probes(asked)))
            lists.append(f"SELECT {row}.rid FROM token {row} WHERE {row}.hash {hashes}")
        if asked.itself:
            own = self._parameters.bind(_self_hash(asked))
            lists.append(f"SELECT {row}.rid FROM resource {row} WHERE {row}.self_hash = {own}")
        return (" UNION ALL ".join(lists),)

    def visible_candidates(self, resource_type: str) -> tuple[str, bool]:
        """The same for what the caller may see of a type; see VisibilitySql.candidates."""
        return self._visibility.candidates(resource_type)


def _self_hash(asked: InCompartment) -> int:
    return reference_hash(f"{asked.resource_type}/{asked.id}")
