"""Histories: the versions of an instance, a type or the system, newest first.

Source: hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from datetime import datetime

from server.fhir.hashing import reference_hash
from server.fhir.visibility import Visibility
from server.storage.answers import HISTORY_TOTAL_CAP, HistoryPage
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.instants import milliseconds
from server.storage.logic_sql import all_of
from server.storage.resources import stored_version
from server.storage.search_sql import SearchSql

_COLUMNS = "r.type, r.id, v.version, v.updated, coalesce(v.body, r.body), v.method, v.method = 'DELETE', v.seq"


def history(
    connection: Connection,
    resource_type: str | None,
    id: str | None,
    visible: Visibility,
    *,
    since: datetime | None,
    at: tuple[datetime, datetime] | None,
    count: int,
    after: int | None,
) -> HistoryPage:
    """One page. An instance is ordered by version number, a type or the system by time, then by arrival."""
    parameters = Parameters(connection.dialect)
    follow = parameters.dialect.follow
    instance = resource_type is not None and id is not None
    if instance:
        # One resource and then its versions; otherwise versions in order and then their resources.
        source = f"resource r {follow('version', 'v', 'v.rid = r.rid')}"
        order = "v.version"
        keyset = "v.version < (SELECT seen.version FROM version seen WHERE seen.seq = {after})"
        where = [
            f"r.self_hash = {parameters.bind(reference_hash(f'{resource_type}/{id}'))}",
            f"r.type = {parameters.bind(resource_type)}",
            f"r.id = {parameters.bind(id)}",
        ]
    else:
        source = f"version v {follow('resource', 'r', 'r.rid = v.rid')}"
        order = "v.updated DESC, v.seq"
        keyset = (
            "(v.updated, v.seq) < (SELECT seen.updated, seen.seq FROM version seen WHERE seen.seq = {after})"
        )
        where = []
        if resource_type is not None:
            where.append(f"v.type = {parameters.bind(resource_type)}")
    if since is not None:
        where.append(f"v.updated >= {parameters.bind(milliseconds(since))}")
    if at is not None:
        first, last = (parameters.bind(milliseconds(moment)) for moment in at)
        where.append(f"v.updated <= {last}")
        where.append(
            "NOT "
            + parameters.dialect.exists(
                "version later",
                f"later.rid = v.rid AND later.version > v.version AND later.updated <= {first}",
            )
        )
    where.append(SearchSql(visible, parameters).visible("r", resource_type, version="v.version"))
    total = _total(connection, source, where, parameters, None if instance else HISTORY_TOTAL_CAP)
    if after is not None:
        where.append(keyset.format(after=parameters.bind(after)))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {source} WHERE {all_of(where)}"
        f" ORDER BY {order} DESC LIMIT {parameters.limit(count + 1)}",
        parameters.values,
    ).fetchall()
    page = rows[:count]
    return HistoryPage(
        versions=tuple(stored_version(row) for row in page),
        next_after=page[-1][7] if page and len(rows) > count else None,
        total=total,
    )


def _total(
    connection: Connection, source: str, where: list[str], parameters: Parameters, cap: int | None
) -> int | None:
    limit = "" if cap is None else f" LIMIT {cap + 1}"
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {all_of(where)}{limit}) counted",
        parameters.values,
    ).fetchone()
    return None if cap is not None and row[0] > cap else int(row[0])
