"""The resources a resource is a part of, or that are parts of it, as entries of the token index.

Followed level by level through resources that the caller may see; what lies behind a hidden one is not found,
as if that one were not there. Source: hl7.org/fhir/R4/search.html#recursive
"""

from __future__ import annotations

from server.fhir.hashing import parameter_mask, reference_hash
from server.fhir.search_modifiers import HIERARCHIES
from server.fhir.search_parameters import parameter
from server.fhir.search_query import SearchParameter, TreeValue
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.search_sql import SearchSql
from server.terminology.definitions import TooCostly

# Published (docs/reference/limits.md): resources of a hierarchy, and its levels.
RESOURCES_MAXIMUM, LEVELS_MAXIMUM = 10_000, 100


def tree_entries(connection: Connection, visible: Visibility, value: TreeValue, *, up: bool) -> frozenset[int]:
    """The reference_hash of the resource and of all below it, or above where up. Raises: TooCostly."""
    found: set[int] = set()
    for resource_type in value.types:
        link = parameter(resource_type, HIERARCHIES[resource_type])
        assert link is not None  # the table names parameters of R4
        level = {reference_hash(f"{resource_type}/{value.id}")}
        found |= level
        for _ in range(LEVELS_MAXIMUM):
            level = _next_level(connection, visible, link, level, up) - found
            found |= level
            if len(found) > RESOURCES_MAXIMUM:
                raise TooCostly(f"more than {RESOURCES_MAXIMUM} resources are parts of it")
            if not level:
                break
        else:
            raise TooCostly(f"more than {LEVELS_MAXIMUM} levels")
    return frozenset(found)


def _next_level(
    connection: Connection, visible: Visibility, link: SearchParameter, level: set[int], up: bool
) -> set[int]:
    """The self_hash of the resources directly above or below those of a level."""
    parameters = Parameters(connection.dialect)
    sql, follow = SearchSql(visible, parameters), parameters.dialect.follow
    kind = parameters.bind(link.resource_type)

    def seen(alias: str) -> str:
        return f"{alias}.type = {kind} AND {alias}.deleted = 0 AND {sql.visible(alias, link.resource_type)}"

    limit = parameters.limit(RESOURCES_MAXIMUM + 1)
    if up:
        number = parameters.bind(link.number)
        to_link = follow("reference_value", "l", f"l.rid = c.rid AND l.parameter = {number}")
        statement = (
            f"SELECT p.self_hash FROM resource c {to_link} {follow('resource', 'p', 'p.self_hash = l.target')}"
            f" WHERE c.self_hash {parameters.among(sorted(level))}"
            f" AND {seen('c')} AND {seen('p')} LIMIT {limit}"
        )
    else:
        mask = parameter_mask(link.number)
        hashes = parameters.among(sorted(hash ^ mask for hash in level))
        statement = (
            f"SELECT c.self_hash FROM token l {follow('resource', 'c', 'c.rid = l.rid')}"
            f" WHERE l.hash {hashes} AND {seen('c')} LIMIT {limit}"
        )
    return {row[0] for row in connection.execute(statement, parameters.values).fetchall()}
