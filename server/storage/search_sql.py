"""Conditions of a search -> predicates on any alias of `resource`, and -> lists of candidates.

A predicate asks one row at a time: `EXISTS` probes by (rid, parameter) or (hash, rid), each the cost of one
look-up whatever the number of resources. A candidate list goes the other way, from value to rids; the
planner (`search`) drives a search from the shortest one. Chains and `_has` follow references by integers:
forward through reference_value to self_hash, backward through token by self_hash XOR the parameter's mask.
"""

from __future__ import annotations

from server.errors import FhirError
from server.fhir.hashing import parameter_mask, presence_hash, reference_hash
from server.fhir.search_query import (
    Chained,
    Clause,
    Condition,
    DateValue,
    Has,
    MissingValue,
    QuantityValue,
    StringValue,
    TokenValue,
)
from server.fhir.visibility import Visibility
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE, TRUE, all_of, any_of
from server.storage.value_sql import value_table
from server.storage.visibility_sql import VisibilitySql

_MILLISECOND = 1_000  # microseconds
_LISTS = 100  # SQLite joins at most 500 lists; a condition with so many alternatives hardly narrows anything


def xor(left: str, right: str) -> str:
    """Bitwise exclusive or; neither dialect shares an operator for it, both have these two."""
    return f"(({left} | {right}) - ({left} & {right}))"


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
        if isinstance(condition, Chained):
            return self._chained(condition, alias)
        return self._has(condition, alias)

    def clause(self, clause: Clause, alias: str) -> str:
        """When a resource fulfils a clause."""
        if clause.modifier == "missing":
            return self._missing(clause, alias)
        own = _COLUMNS.get(clause.parameter.code)
        if own is not None:
            condition = own(clause, alias, self._parameters)
            return f"NOT ({condition})" if clause.modifier == "not" else condition
        table = value_table(clause)
        row = self._parameters.alias()
        unindexed = self._parameters.dialect.unindexed

        def column(name: str) -> str:
            plain = f"{row}.{name}"
            return plain if name == "hash" else unindexed(plain)

        key = all_of([f"{row}.rid = {alias}.rid", table.of_parameter(clause, row, self._parameters)])
        where = any_of(table.conditions(clause, column, self._parameters))
        if table.name == "token":  # the condition is a part of the key
            exists = self._dialect.exists(f"token {row}", all_of([key, where]))
        else:
            exists = self._dialect.probe(table.name, row, key, where)
        return f"NOT {exists}" if clause.modifier == "not" else exists

    def _missing(self, clause: Clause, alias: str) -> str:
        missing = any(isinstance(value, MissingValue) and value.missing for value in clause.values)
        if clause.parameter.code in _COLUMNS:  # every resource has an id and a time of its last change
            return FALSE if missing else TRUE
        row = self._parameters.alias()
        present = self._parameters.bind(presence_hash(clause.parameter.number))
        exists = self._dialect.exists(f"token {row}", f"{row}.hash = {present} AND {row}.rid = {alias}.rid")
        return f"NOT {exists}" if missing else exists

    def _chained(self, chained: Chained, alias: str) -> str:
        ways = []
        for resource_type, condition in chained.targets:
            link, target = self._parameters.alias(), self._parameters.alias()
            target_of = self._dialect.follow("resource", target, f"{target}.self_hash = {link}.target")
            ways.append(
                self._dialect.exists(
                    f"reference_value {link} {target_of}",
                    f"{link}.rid = {alias}.rid"
                    f" AND {link}.parameter = {self._parameters.bind(chained.link.number)}"
                    f" AND {self._is(target, resource_type)} AND {self.condition(condition, target)}",
                )
            )
        return any_of(ways)

    def _has(self, has: Has, alias: str) -> str:
        link, source = self._parameters.alias(), self._parameters.alias()
        mask = self._parameters.bind(parameter_mask(has.link.number))
        source_of = self._dialect.follow("resource", source, f"{source}.rid = {link}.rid")
        return self._dialect.exists(
            f"token {link} {source_of}",
            f"{link}.hash = {xor(f'{alias}.self_hash', mask)}"
            f" AND {self._is(source, has.resource_type)} AND {self.condition(has.condition, source)}",
        )

    def _is(self, alias: str, resource_type: str) -> str:
        """The row is a current resource of the type that the caller may see."""
        kind = self._parameters.bind(resource_type)
        return f"{alias}.type = {kind} AND {alias}.deleted = 0 AND {self.visible(alias, resource_type)}"

    # -- candidates

    def candidates(self, condition: Condition, resource_type: str | None) -> tuple[str, ...]:
        """A SELECT of the rids among which all that fulfil the condition are; () where there is no list.

        Rids may repeat, be of other types or of resources that the caller may not see. It is the last one;
        before it stand those that it follows references from, if any.
        """
        if isinstance(condition, Clause):
            rids = self._clause_candidates(condition, resource_type)
            return (rids,) if rids else ()
        if isinstance(condition, Chained):
            return self._chained_candidates(condition)
        return self._has_candidates(condition)

    def _clause_candidates(self, clause: Clause, resource_type: str | None) -> str:
        if clause.modifier in ("not", "missing", "contains"):
            return ""
        row = self._parameters.alias()
        own = _COLUMNS.get(clause.parameter.code)
        if own is not None:
            if resource_type is None:
                return ""
            kind = self._parameters.bind(resource_type)
            condition = own(clause, row, self._parameters)
            return (
                f"SELECT {row}.rid FROM resource {row}"
                f" WHERE {row}.type = {kind} AND {row}.deleted = 0 AND {condition}"
            )
        table = value_table(clause)
        conditions = table.conditions(clause, lambda name: f"{row}.{name}", self._parameters)
        if len(conditions) > _LISTS:
            return ""
        of_parameter = table.of_parameter(clause, row, self._parameters)
        if table.name == "quantity_value":
            return self._of_units(clause, row, conditions)
        return " UNION ALL ".join(
            f"SELECT {row}.rid FROM {table.name} {row} WHERE {all_of([of_parameter, condition])}"
            for condition in conditions
        )

    def _of_units(self, clause: Clause, row: str, conditions: list[str]) -> str:
        """Rids of quantities. Their indexes begin with the unit: a search that names none asks for each.

        The units are few, and found by as many steps through the index.
        """
        number = self._parameters.bind(clause.parameter.number)
        at = self._parameters.alias()
        next_unit = (
            f"(SELECT {at}.unit FROM quantity_value {at} WHERE {at}.parameter = {number}"
            f" AND {at}.unit {{after}} ORDER BY {at}.unit LIMIT 1)"
        )
        first, following = next_unit.format(after=f">= {-(2**63)}"), next_unit.format(after="> units.unit")
        every = (
            f"(WITH RECURSIVE units (unit) AS (SELECT {first} UNION ALL"
            f" SELECT {following} FROM units WHERE units.unit IS NOT NULL)"
            f" SELECT unit FROM units WHERE unit IS NOT NULL) u"
        )
        lists = []
        for value, condition in zip(clause.values, conditions, strict=True):
            key = f"{row}.parameter = {number} AND {condition}"
            if isinstance(value, QuantityValue) and value.code is not None:
                lists.append(f"SELECT {row}.rid FROM quantity_value {row} WHERE {key}")
            else:
                of_unit = self._dialect.follow("quantity_value", row, f"{key} AND {row}.unit = u.unit")
                lists.append(f"SELECT {row}.rid FROM {every} {of_unit}")
        return " UNION ALL ".join(lists)

    def _chained_candidates(self, chained: Chained) -> tuple[str, ...]:
        lists: list[str] = []
        through: list[str] = []
        mask = self._parameters.bind(parameter_mask(chained.link.number))
        for resource_type, condition in chained.targets:
            before = self.candidates(condition, resource_type)
            if not before:
                return ()
            through += before
            found, target, link = (self._parameters.alias() for _ in range(3))
            follow = self._dialect.follow
            lists.append(
                f"SELECT {link}.rid FROM ({before[-1]}) {found}"
                f" {follow('resource', target, f'{target}.rid = {found}.rid')}"
                f" {follow('token', link, f'{link}.hash = ' + xor(f'{target}.self_hash', mask))}"
                f" WHERE {target}.type = {self._parameters.bind(resource_type)}"
            )
        return (*through, " UNION ALL ".join(lists)) if len(lists) <= _LISTS else ()

    def _has_candidates(self, has: Has) -> tuple[str, ...]:
        through = self.candidates(has.condition, has.resource_type)
        if not through:
            return ()
        found, link, target = (self._parameters.alias() for _ in range(3))
        number, follow = self._parameters.bind(has.link.number), self._dialect.follow
        link_of = f"{link}.rid = {found}.rid AND {link}.parameter = {number}"
        return (
            *through,
            f"SELECT {target}.rid FROM ({through[-1]}) {found} {follow('reference_value', link, link_of)}"
            f" {follow('resource', target, f'{target}.self_hash = {link}.target')}",
        )

    def visible_candidates(self, resource_type: str) -> tuple[str, bool]:
        """The same for what the caller may see of a type; see VisibilitySql.candidates."""
        return self._visibility.candidates(resource_type)


# -- parameters answered by columns of the resource itself


def _id_condition(clause: Clause, alias: str, parameters: Parameters) -> str:
    if clause.modifier not in ("", "not"):
        raise FhirError("unsupported-search", f"The search _id:{clause.modifier} is not supported.")
    ids = set()
    for value in clause.values:
        if isinstance(value, TokenValue) and not value.system and value.code is not None:
            ids.add(value.code)
        elif isinstance(value, StringValue):
            ids.add(value.text)
    ids = {id for id in ids if "\0" not in id}
    if not ids:
        return FALSE
    # By hash, which is the unique index; then by text, so that a collision could not answer.
    hashes = sorted(reference_hash(f"{clause.parameter.resource_type}/{id}") for id in ids)
    return f"{alias}.self_hash {parameters.among(hashes)} AND {alias}.id {parameters.among(sorted(ids))}"


def _updated_condition(clause: Clause, alias: str, parameters: Parameters) -> str:
    """`_lastUpdated`: the column is an instant of millisecond precision, [updated, updated + 1 ms).

    The boundaries are turned into whole milliseconds, so that the column itself is compared.
    """
    if clause.modifier:
        raise FhirError("unsupported-search", f"The search _lastUpdated:{clause.modifier} is not supported.")
    alternatives = []
    for value in clause.values:
        if not isinstance(value, DateValue):
            raise TypeError(f"_lastUpdated has no {type(value).__name__}")
        low_up, high_up = -(-value.low // _MILLISECOND), -(-value.high // _MILLISECOND)
        low_down, high_down = value.low // _MILLISECOND, value.high // _MILLISECOND
        from_, below = {
            "eq": (low_up, high_down),
            "ne": (high_down, low_up),
            "gt": (high_down, None),
            "lt": (None, low_up),
            "ge": (min(low_up, high_down), None),
            "le": (None, max(low_up, high_down)),
            "sa": (high_up, None),
            "eb": (None, low_down),
            "ap": (low_down, high_up),
        }[value.prefix]
        parts = [] if from_ is None else [f"{alias}.updated >= {parameters.bind(from_)}"]
        parts += [] if below is None else [f"{alias}.updated < {parameters.bind(below)}"]
        alternatives.append((" OR " if value.prefix == "ne" else " AND ").join(parts))
    return any_of(alternatives)


# Parameter code -> the condition on the resource's own columns that answers it.
_COLUMNS = {"_id": _id_condition, "_lastUpdated": _updated_condition}
