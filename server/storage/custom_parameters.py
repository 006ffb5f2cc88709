"""Search parameters that the site defines: kept, known to every process at once, and complete before they
answer.

A change of any makes a new set with an epoch that no other set ever had, and puts every resource of the types
concerned on the list of what is indexed again (`reindex`); a search by a parameter is refused as long as its
row stands there. Three things make it complete when that row is gone:

1. Every write says with the set of which epoch its index rows were made, and the very statement that writes
   the resource asks whether it is still that one (`resources`). If not, nothing is written and the interaction
   is done again with the set of now. So no process needs to be told, and no write asks a question of its own.
2. Whoever changes the set waits until all who are writing have ended, and lets nobody write before the change
   is committed. SQLite has one writer at a time. On PostgreSQL the change locks the table `resource` against
   writers; a statement that writes takes its own lock on the table before it takes the snapshot in which it
   looks at the epoch, so that it comes wholly before the change or wholly after it.
3. The last resource to be indexed again is read after that. What was written before the change has a rid up to
   it; what is written after it was made with the new set. A step of the work is a writer like the others and
   asks the same question as its first statement, so that rows of an older set never replace newer ones, and a
   step that began before its own work was begun anew does not count.

A changed definition is another parameter: it has a number of its own, so that its index rows and those of the
one before it are never taken for each other. Rows of parameters that are gone are removed the same way.
Source of the lock's order: the comment before PortalDefineQuery in PostgreSQL's exec_simple_query
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import randbits

from server.errors import FhirError
from server.fhir.custom_parameters import CustomParameters, is_custom
from server.fhir.search_query import Chained, Clause, Condition, Has, SearchParameter, SearchQuery
from server.storage import reindex
from server.storage.database import Connection, Row
from server.storage.dialect import Parameters

_EPOCH = 'SELECT epoch FROM custom_parameter_set WHERE "only" = 1'
# In one statement, so that the set is that of the epoch whatever is committed meanwhile.
_SET = """
SELECT s.epoch, c.number, c.type, c.code, c.definition
FROM custom_parameter_set s LEFT JOIN custom_parameter c ON c.number > 0 ORDER BY c.type, c.code"""
_OWN = "SELECT number, type, code, definition FROM custom_parameter WHERE id = :id"
_INSERT = """
INSERT INTO custom_parameter (number, id, type, code, what, definition, done)
VALUES (:number, :id, :type, :code, :what, :definition, 0)"""
_NEXT_SET = """
UPDATE custom_parameter_set SET epoch = :epoch, last_number = last_number + :count RETURNING last_number"""
_STATES = """
SELECT c.id, c.type, c.code, c.number, c.done, r.position, r.last
FROM custom_parameter c LEFT JOIN reindex r ON r.what = c.what"""

# The condition that a write is made with the set of now; `:epoch` is that of its rows.
OF_NOW = f"({_EPOCH}) = :epoch"


@dataclass(frozen=True, slots=True)
class ParameterState:
    """A parameter and how far it is. id: of its resource. done: resources indexed again for it so far.

    position, last: rids, as of reindex.Progress; both 0 where all is done.
    """

    id: str
    resource_type: str
    code: str
    number: int
    done: int
    position: int = 0
    last: int = 0

    @property
    def ready(self) -> bool:
        """Whether a search by it finds everything."""
        return not self.last

    @property
    def percent(self) -> int:
        """How much of what is stored has been gone through."""
        return 100 if self.ready else self.position * 100 // self.last


class KnownParameters:
    """What this process knows of the set. It may be out of date: a write made with it is then refused."""

    def __init__(self) -> None:
        self._latest: CustomParameters | None = None

    @property
    def latest(self) -> CustomParameters | None:
        """The set that was read last; None where it has to be read."""
        return self._latest

    def forget(self) -> None:
        """Somebody was refused: read it before it is used again."""
        self._latest = None

    def of(self, connection: Connection) -> CustomParameters:
        """The set as the snapshot or transaction sees it; only the epoch is read where it is known."""
        epoch = connection.execute(_EPOCH).fetchone()[0]
        latest = self._latest
        if latest is None or latest.epoch != epoch:
            latest = self._latest = read_set(connection)
        return latest


def read_set(connection: Connection) -> CustomParameters:
    """The set as it stands in the database."""
    rows = connection.execute(_SET).fetchall()
    by_type: dict[str, dict[str, SearchParameter]] = defaultdict(dict)
    for _, number, resource_type, code, definition in rows:
        if number is not None:
            by_type[resource_type][code] = _parameter(number, resource_type, code, definition)
    return CustomParameters(rows[0][0], by_type) if by_type else CustomParameters(rows[0][0])


def is_defined(connection: Connection, id: str) -> bool:
    """Whether a SearchParameter resource defines parameters."""
    return bool(connection.execute(_OWN, {"id": id}).fetchall())


def change(connection: Connection, wanted: Mapping[str, tuple[SearchParameter, ...]], most: int) -> None:
    """Let resources define exactly these parameters: id -> one a base type. The last thing in its transaction.

    most: how many there may be in all. Raises: FhirError business-rule (a code is taken), too-costly.
    """
    dropped: list[tuple[str, int, str]] = []
    added: list[tuple[str, SearchParameter, str]] = []
    for id, parameters in wanted.items():
        present = {row[1]: row for row in connection.execute(_OWN, {"id": id}).fetchall()}
        meant = {one.resource_type: (one, _definition(one)) for one in parameters}
        for number, resource_type, code, definition in present.values():
            same = meant.get(resource_type)
            if same is None or (same[0].code, same[1]) != (code, definition):
                dropped.append((id, number, resource_type))
            else:
                del meant[resource_type]
        added += [(id, one, definition) for one, definition in meant.values()]
    if not dropped and not added:
        return
    if lock := connection.dialect.keep_writers_out:
        connection.execute(lock)
    connection.executemany(
        "DELETE FROM custom_parameter WHERE number = :number", [{"number": number} for _, number, _ in dropped]
    )
    last = connection.execute(_NEXT_SET, {"epoch": randbits(62), "count": len(added)}).fetchone()[0]
    _check(connection, added, most)
    for place, (id, one, definition) in enumerate(added, 1 - len(added)):
        row = {"number": last + place, "id": id, "type": one.resource_type, "code": one.code}
        connection.execute(_INSERT, {**row, "what": _what(id, one.resource_type), "definition": definition})
    again = [(id, kind) for id, _, kind in dropped] + [(id, one.resource_type) for id, one, _ in added]
    for id, kind in dict.fromkeys(again):
        reindex.begin(connection, _what(id, kind), kind)


def states(connection: Connection, id: str = "") -> tuple[ParameterState, ...]:
    """How far the parameters are: of one SearchParameter resource, or all; by type and code."""
    where, values = (" WHERE c.id = :id", {"id": id}) if id else ("", {})
    rows = connection.execute(f"{_STATES}{where} ORDER BY c.type, c.code", values).fetchall()
    return _read(rows)


def require_ready(connection: Connection, query: SearchQuery) -> None:
    """Raises: FhirError not-ready for a search by a parameter for which not everything is indexed yet."""
    asked = {one.number: one for one in custom_parameters_of(query)}
    if not asked:
        return
    parameters = Parameters(connection.dialect)
    where = f" WHERE c.number {parameters.among(sorted(asked))} AND r.last > 0 ORDER BY c.number"
    row = connection.execute(_STATES + where, parameters.values).fetchone()
    if row is not None:
        (state,) = _read([row])
        raise FhirError(
            "not-ready",
            f"Search parameter {state.code} of {state.resource_type} was defined here not long ago, and what"
            f" was stored before is still being indexed for it ({state.percent} %). Until that is done it would"
            " not find everything.",
            f"http.{state.code}",
        )


def _read(rows: Sequence[Row]) -> tuple[ParameterState, ...]:
    return tuple(
        ParameterState(id, resource_type, code, number, done, position or 0, last or 0)
        for id, resource_type, code, number, done, position, last in rows
    )


def custom_parameters_of(query: SearchQuery) -> list[SearchParameter]:
    """The site's own parameters that a search asks: in conditions, chains, its order and includes."""
    found: list[SearchParameter] = []
    for part in (query, *query.parts):
        for condition in part.conditions:
            found += _named(condition)
        found += [key.parameter for key in part.sort]
        found += [include.parameter for include in part.includes if include.parameter is not None]
    return [one for one in found if is_custom(one)]


def _named(condition: Condition) -> list[SearchParameter]:
    if isinstance(condition, Chained):
        inner = [one for _, below in condition.targets for one in _named(below)]
        return [condition.link, *inner]
    if isinstance(condition, Has):
        return [condition.link, *_named(condition.condition)]
    return [condition.parameter] if isinstance(condition, Clause) else []


def _check(connection: Connection, added: list[tuple[str, SearchParameter, str]], most: int) -> None:
    present = connection.execute("SELECT type, code FROM custom_parameter").fetchall()
    taken = {(resource_type, code) for resource_type, code in present}
    for _, one, _ in added:
        if (one.resource_type, one.code) in taken:
            raise FhirError(
                "business-rule",
                f"another active SearchParameter defines {one.code} of {one.resource_type}",
                "SearchParameter.code",
            )
        taken.add((one.resource_type, one.code))
    if added and len(taken) > most:
        raise FhirError(
            "too-costly",
            f"more than {most} search parameters would be defined here (limit: custom-search-parameters)",
            "SearchParameter.base",
        )


def _what(id: str, resource_type: str) -> str:
    return f"SearchParameter/{id}/{resource_type}"


def _definition(one: SearchParameter) -> str:
    told = {"type": one.type, "expression": one.expression, "url": one.url}
    return json.dumps({**told, "targets": one.targets, "datatypes": one.datatypes})


def _parameter(number: int, resource_type: str, code: str, definition: str) -> SearchParameter:
    told = json.loads(definition)
    return SearchParameter(
        number=number,
        code=code,
        type=told["type"],
        resource_type=resource_type,
        expression=told["expression"],
        url=told["url"],
        targets=tuple(told["targets"]),
        datatypes=tuple(told["datatypes"]),
    )
