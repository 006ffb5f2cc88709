"""`_include` and `_revinclude`: what the matches of a page refer to, and what refers to them.

Each included resource is visible to the caller in its own right, appears once, and is never one of the matches.
Source: hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from server.fhir.hashing import link_hash, reference_hash
from server.fhir.search_query import Include
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.resources import stored_version
from server.storage.search_sql import SearchSql
from server.storage.versions import StoredVersion

_COLUMNS = "r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted, r.rid"


@dataclass(frozen=True, slots=True)
class Included:
    """truncated: there were more than the maximum."""

    versions: tuple[StoredVersion, ...]
    truncated: bool


def included(
    connection: Connection,
    includes: Sequence[Include],
    matches: Mapping[int, StoredVersion],
    visible: Visibility,
    maximum: int,
) -> Included:
    """What the includes bring to the matches (rid -> version), at most `maximum` resources.

    Includes without `iterate` start from the matches; those with it also from what was included before, until
    nothing new appears.
    """
    known = dict(matches)
    found: dict[int, StoredVersion] = {}
    start: Mapping[int, StoredVersion] = matches
    current = includes
    while start and current:
        fresh: dict[int, StoredVersion] = {}
        for include in current:
            # One more than there is room for tells whether some are left out: only what is new may count.
            limit = maximum - len(found) - len(fresh) + 1
            seen = [*known, *fresh]
            fresh.update(_follow(connection, include, start, visible, seen, limit))
            if len(found) + len(fresh) > maximum:
                kept = [*found.values(), *fresh.values()][:maximum]
                return Included(tuple(kept), True)
        found |= fresh
        known |= fresh
        start = fresh
        current = [include for include in includes if include.iterate]
    return Included(tuple(found.values()), False)


def _follow(
    connection: Connection,
    include: Include,
    start: Mapping[int, StoredVersion],
    visible: Visibility,
    seen: Collection[int],
    limit: int,
) -> list[tuple[int, StoredVersion]]:
    parameters = Parameters(connection.dialect)
    sql = (_backward if include.reverse else _forward)(include, start, visible, parameters)
    if not sql:
        return []
    if seen:
        sql += f" AND NOT (r.rid {parameters.among(sorted(seen))})"
    sql += f" ORDER BY r.rid LIMIT {parameters.limit(limit)}"
    rows = connection.execute(sql, parameters.values).fetchall()
    return [(row[7], stored_version(row)) for row in rows]


def _forward(
    include: Include, start: Mapping[int, StoredVersion], visible: Visibility, parameters: Parameters
) -> str:
    sources = sorted(
        rid for rid, version in start.items() if include.source_type in ("", version.resource_type)
    )
    if not sources:
        return ""
    links = f"SELECT DISTINCT l.target FROM reference_value l WHERE l.rid {parameters.among(sources)}"
    if include.parameter is not None:
        links += f" AND l.parameter = {parameters.bind(include.parameter.number)}"
    return (
        f"SELECT {_COLUMNS} FROM ({links}) link"
        f" {parameters.dialect.follow('resource', 'r', 'r.self_hash = link.target')}"
        f" WHERE {_shown(include.target_type, visible, parameters)}"
    )


def _backward(
    include: Include, start: Mapping[int, StoredVersion], visible: Visibility, parameters: Parameters
) -> str:
    targets = [
        reference_hash(f"{version.resource_type}/{version.id}")
        for version in start.values()
        if include.target_type in (None, version.resource_type)
    ]
    if not targets:
        return ""
    if include.parameter is not None:
        number = include.parameter.number
        hashes = parameters.among(sorted(link_hash(number, target) for target in targets))
        through_parameter = ""
    else:
        # Any reference anywhere in the resource, then only those that a search parameter selects.
        hashes = parameters.among(sorted(targets))
        through_parameter = " AND " + parameters.dialect.exists(
            "reference_value l", f"l.rid = r.rid AND l.target {parameters.among(sorted(targets))}"
        )
    return (
        f"SELECT {_COLUMNS} FROM (SELECT DISTINCT k.rid FROM token k WHERE k.hash {hashes}) link"
        f" {parameters.dialect.follow('resource', 'r', 'r.rid = link.rid')}"
        f" WHERE {_shown(include.source_type or None, visible, parameters)}{through_parameter}"
    )


def _shown(resource_type: str | None, visible: Visibility, parameters: Parameters) -> str:
    """The row r is a current resource (of the type, if one is given) that the caller may see."""
    shown = f"r.deleted = 0 AND {SearchSql(visible, parameters).visible('r', resource_type)}"
    if resource_type is None:
        return shown
    return f"{shown} AND r.type = {parameters.bind(resource_type)}"
