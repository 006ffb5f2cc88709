"""Searching the sealed audit rows: a page by keyset, a total, and counts over time for a plot.

The usual conditions have an index whose end is the order of the page, so a page costs about its rows; others
are asked row by row in that order, under the time limit of every search. What waits to be sealed is not
searched: it is there within seconds, and `baton audit verify` says how much waits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from server.errors import FhirError
from server.storage.answers import Total
from server.storage.audit_rows import COLUMNS, audit_row, column_list
from server.storage.audit_values import AuditCondition, AuditCount, AuditPage, AuditQuery, AuditRange, AuditTest
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.instants import instant, milliseconds
from server.storage.logic_sql import FALSE, all_of, any_of

# Field of AuditQuery -> column.
_EQUAL = {
    "principal": "principal",
    "client_id": "client_id",
    "interaction": "interaction",
    "resource_type": "type",
    "id": "resource_id",
    "username": "username",
    "request_id": "request_id",
    "organization": "organization",
}
REFUSED = 400  # written into the SQL, so that the index of refusals answers


def search(connection: Connection, query: AuditQuery) -> AuditPage:
    """See Store.search_audit."""
    parameters = Parameters(connection.dialect)
    source, moment, number, where = _source(query, parameters)
    comes, order = (">", "ASC") if query.ascending else ("<", "DESC")
    if query.after is not None:
        recorded, sequence = (parameters.bind(value) for value in query.after)
        where.append(f"({moment}, {number}) {comes} ({recorded}, {sequence})")
    rows = connection.execute(
        f"SELECT a.sequence, {column_list('a')} FROM {source} WHERE {all_of(where)}"
        f" ORDER BY {moment} {order}, {number} {order} LIMIT {parameters.bind(query.count + 1)}",
        parameters.values,
    ).fetchall()
    page = rows[: query.count]
    return AuditPage(
        rows=tuple((row[0], audit_row(row[1:])) for row in page),
        next_after=(page[-1][1], page[-1][0]) if page and len(rows) > query.count else None,
    )


def total(connection: Connection, query: AuditQuery, cap: int | None) -> Total:
    """See Store.audit_total."""
    parameters = Parameters(connection.dialect)
    source, _, _, where = _source(query, parameters)
    limit = "" if cap is None else f" LIMIT {parameters.bind(cap + 1)}"
    found = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 AS found FROM {source} WHERE {all_of(where)}{limit}) AS counted",
        parameters.values,
    ).fetchone()[0]
    return Total(found, True) if cap is None or found <= cap else Total(cap, False)


def counts(connection: Connection, query: AuditQuery, width: timedelta) -> tuple[AuditCount, ...]:
    """See Store.count_audit."""
    every = _counted(connection, query, width)
    if query.outcome == "refused":
        refused = every
    elif query.outcome == "done":
        refused = {}
    elif query.outcome:
        refused = every if _status(query.outcome) >= REFUSED else {}
    else:
        refused = _counted(connection, replace(query, outcome="refused"), width)
    span = width // timedelta(milliseconds=1)
    return tuple(
        AuditCount(instant(start * span), count, refused.get(start, 0))
        for start, count in sorted(every.items())
    )


def _counted(connection: Connection, query: AuditQuery, width: timedelta) -> dict[int, int]:
    parameters = Parameters(connection.dialect)
    source, moment, _, where = _source(query, parameters)
    span = width // timedelta(milliseconds=1)
    rows = connection.execute(
        f"SELECT {moment} / {span} AS span, count(*) FROM {source} WHERE {all_of(where)} GROUP BY span",
        parameters.values,
    ).fetchall()
    return dict(rows)


def _source(query: AuditQuery, parameters: Parameters) -> tuple[str, str, str, list[str]]:
    """FROM, the columns that order the rows, and WHERE."""
    source, moment, number, where = "audit_chain a", "a.recorded", "a.sequence", []
    if any("\0" in text for text in (query.patient, *(getattr(query, field) for field in _EQUAL))):
        raise FhirError("invalid-search", "a condition holds a character that no row has")
    if query.patient:
        source = "audit_patient p CROSS JOIN audit_chain a"
        moment, number = "p.recorded", "p.sequence"
        where += [f"p.patient = {parameters.bind(query.patient)}", "a.sequence = p.sequence"]
    if query.since is not None:
        where.append(f"{moment} >= {parameters.bind(milliseconds(query.since))}")
    if query.until is not None:
        where.append(f"{moment} < {parameters.bind(milliseconds(query.until))}")
    for field, column in _EQUAL.items():
        if value := getattr(query, field):
            where.append(f"a.{column} = {parameters.bind(value)}")
    if query.outcome == "refused":
        where.append(f"a.outcome >= {REFUSED}")
    elif query.outcome == "done":
        where.append(f"a.outcome < {REFUSED}")
    elif query.outcome:
        where.append(f"a.outcome = {parameters.bind(_status(query.outcome))}")
    where += [_condition(condition, parameters) for condition in query.conditions]
    return source, moment, number, where or ["1 = 1"]


def _condition(condition: AuditCondition, parameters: Parameters) -> str:
    return any_of(all_of(_tested(test, parameters) for test in alternative) for alternative in condition)


def _tested(test: AuditTest | AuditRange, parameters: Parameters) -> str:
    column = "a.sequence" if test.field == "sequence" else f"a.{COLUMNS[test.field]}"
    if isinstance(test, AuditRange):
        bounds = ((">=", test.low), ("<", test.high))
        return all_of(
            f"{column} {sign} {parameters.bind(bound)}" for sign, bound in bounds if bound is not None
        )
    values = tuple(value for value in test.values if not (isinstance(value, str) and "\0" in value))
    if not values:
        return all_of(()) if test.negated else FALSE
    if test.field == "patient":
        row = parameters.alias()
        named = f"{row}.patient {parameters.among(values)} AND {row}.recorded = a.recorded"
        held = parameters.dialect.exists(f"audit_patient {row}", f"{named} AND {row}.sequence = a.sequence")
    else:
        held = f"{column} {parameters.among(values)}"
    return f"NOT ({held})" if test.negated else held


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 3):
        raise FhirError("invalid-search", "an outcome is done, refused, or an HTTP status")
    return int(text)
