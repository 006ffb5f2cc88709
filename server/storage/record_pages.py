"""The record of a patient or an encounter, page by page: what belongs to it, then what that refers to.

Members come in the order of the index that lists them, by (type, rid) of a compartment or by the rid of what
refers to an encounter. A rid never changes, so a page that continues behind one neither repeats nor skips what
was there all the time, whatever is written in between. A page costs what the record holds, however many others
there are.
Source: hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.hashing import reference_hash
from server.fhir.search_parameters import main_date_parameter
from server.fhir.visibility import Visibility
from server.storage.answers import Position, Record, RecordPage
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.instants import milliseconds
from server.storage.logic_sql import all_of, any_of
from server.storage.resources import stored_version
from server.storage.search_sql import SearchSql

_COLUMNS = "r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted, r.rid"
# Their main date is a birth date, which says nothing of care.
_BIRTH = ("Patient", "Person", "RelatedPerson")


@dataclass(frozen=True, slots=True)
class _Source:
    """The index that lists the members: alias m, its condition, and the columns that order it."""

    table: str
    where: str
    keys: tuple[str, ...]


def members(
    connection: Connection, record: Record, visible: Visibility, count: int, after: Position | None
) -> RecordPage:
    """See Reader.members."""
    parameters = Parameters(connection.dialect)
    source = _source(record, parameters)
    where = [source.where]
    if after is not None:
        keys = ", ".join(source.keys)
        where.append(f"({keys}) > ({', '.join(parameters.bind(value) for value in after)})")
    if record.types and source.keys[0] == "m.type":
        where.append(f"m.type {parameters.among(sorted(record.types))}")
    where.append(f"r.self_hash <> {parameters.bind(_self_hash(record))}")
    if record.since is not None:
        where.append(f"r.updated >= {parameters.bind(milliseconds(record.since))}")
    if record.care is not None:
        where.append(_in_care(record.care, parameters))
    order = ", ".join(source.keys)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {source.table} m"
        f" {parameters.dialect.follow('resource', 'r', 'r.rid = m.rid')}"
        f" WHERE {all_of([*where, *_shown(record, visible, parameters)])}"
        f" ORDER BY {order} LIMIT {parameters.limit(count + 1)}",
        parameters.values,
    ).fetchall()
    found = rows[:count]
    next_after: Position | None = None
    if len(rows) > count:
        last = found[-1]
        next_after = (last[0], last[7]) if len(source.keys) == 2 else (last[7],)
    return RecordPage(tuple(stored_version(row) for row in found), next_after)


def referred(
    connection: Connection,
    record: Record,
    targets: Collection[str],
    if_new: Collection[str],
    visible: Visibility,
    count: int,
    after: int,
) -> RecordPage:
    """See Reader.referred."""
    if not targets and not if_new:
        return RecordPage((), None)
    parameters = Parameters(connection.dialect)
    always, changed = _hashes(targets), _hashes(if_new)
    row = parameters.alias()
    listed = parameters.among(sorted(always | changed))
    # DISTINCT keeps PostgreSQL from walking all resources in the order that is asked for.
    driver = f"(SELECT DISTINCT {row}.rid FROM resource {row} WHERE {row}.self_hash {listed}) driver"
    where = [f"r.rid > {parameters.bind(after)}"]
    if record.since is not None and changed - always:
        old = parameters.among(sorted(changed - always))
        where.append(f"(r.updated >= {parameters.bind(milliseconds(record.since))} OR NOT (r.self_hash {old}))")
    where += [f"NOT {_is_member(record, parameters)}", _in_no_other_chart(record, parameters)]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {driver}"
        f" {parameters.dialect.follow('resource', 'r', 'r.rid = driver.rid')}"
        f" WHERE {all_of([*where, *_shown(record, visible, parameters)])}"
        f" ORDER BY r.rid LIMIT {parameters.limit(count + 1)}",
        parameters.values,
    ).fetchall()
    found = rows[:count]
    next_after = (found[-1][7],) if len(rows) > count else None
    return RecordPage(tuple(stored_version(row) for row in found), next_after)


def _hashes(targets: Collection[str]) -> frozenset[int]:
    return frozenset(reference_hash(target) for target in targets)


def _self_hash(record: Record) -> int:
    return reference_hash(f"{record.resource_type}/{record.id}")


def _source(record: Record, parameters: Parameters) -> _Source:
    own = parameters.bind(_self_hash(record))
    if record.resource_type == "Patient":
        return _Source("compartment", f"m.patient = {own}", ("m.type", "m.rid"))
    return _Source("token", f"m.hash = {own}", ("m.rid",))


def _is_member(record: Record, parameters: Parameters) -> str:
    """The row r is the focus, or one of those that `members` lists before any filter."""
    source, own = _source(record, parameters), parameters.bind(_self_hash(record))
    key = f"{source.where} AND m.rid = r.rid"
    if len(source.keys) == 2:
        key += " AND m.type = r.type"
    return any_of([f"r.self_hash = {own}", parameters.dialect.exists(f"{source.table} m", key)])


def _in_no_other_chart(record: Record, parameters: Parameters) -> str:
    """The row r is nobody's, or in one of the record's own charts."""
    exists, row = parameters.dialect.exists, parameters.alias()
    nobodys = f"NOT {exists(f'compartment {row}', f'{row}.rid = r.rid')}"
    if not record.patients:
        return nobodys
    own = parameters.among(sorted(reference_hash(f"Patient/{id}") for id in record.patients))
    mine = exists(f"compartment {row}", f"{row}.patient {own} AND {row}.type = r.type AND {row}.rid = r.rid")
    return any_of([nobodys, mine])


def _shown(record: Record, visible: Visibility, parameters: Parameters) -> list[str]:
    """What holds for every row r of the answer."""
    shown = ["r.deleted = 0", SearchSql(visible, parameters).visible("r", None)]
    if record.types:
        shown.append(f"r.type {parameters.among(sorted(record.types))}")
    return shown


def _in_care(care: tuple[int, int], parameters: Parameters) -> str:
    """The row's main date overlaps the range; a row without one is not left out by it."""
    row, (low, high) = parameters.alias(), care
    overlaps = parameters.dialect.exists(
        f"date_value {row}",
        f"{row}.rid = r.rid AND {row}.parameter {parameters.among(_main_dates())} AND {row}.low = r.main_date"
        f" AND {row}.low < {parameters.bind(high)} AND {row}.high > {parameters.bind(low)}",
    )
    undated = ["r.main_date IS NULL", f"r.type {parameters.among(_BIRTH)}"]
    return any_of([*undated, overlaps])


@cache
def _main_dates() -> tuple[int, ...]:
    """The numbers of all parameters that are the main date of a type."""
    found = (main_date_parameter(name) for name in RESOURCE_TYPES if name not in _BIRTH)
    return tuple(sorted({parameter.number for parameter in found if parameter is not None}))
