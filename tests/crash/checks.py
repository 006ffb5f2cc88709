"""What must be true of a database after a crash, whatever the database: said once, for every kind of kill.

`Evidence` is read from the tables in one snapshot; each check returns its findings as sentences, none is good.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ledger import CONDITION, MARK, Entry, Ledger, Request

from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode
from server.storage.database_store import DatabaseStore
from server.storage.index_tables import RELATIONS, TABLES, compartment_hashes

# Every row of the trail, waiting to be sealed or sealed.
_AUDIT = "SELECT request_id, outcome FROM audit UNION ALL SELECT request_id, outcome FROM audit_chain"


@dataclass(frozen=True, slots=True)
class Version:
    """One row of the history, with its bytes."""

    resource_type: str
    id: str
    version: int
    method: str
    body: bytes
    updated: int
    current: bool

    @property
    def mark(self) -> str:
        return _identifier(self.body, MARK)


@dataclass(frozen=True, slots=True)
class Evidence:
    versions: tuple[Version, ...]
    audit: dict[str, int]  # request id -> rows of interactions that were done
    waiting: frozenset[tuple[str, str, int]]  # events still to be told of: type, id, version


def evidence(store: DatabaseStore) -> Evidence:
    """Everything the checks look at, of one moment."""
    with store.database.reading() as connection:
        versions = connection.execute(
            "SELECT r.type, r.id, v.version, v.method, coalesce(v.body, r.body), v.updated, v.body IS NULL"
            " FROM version v JOIN resource r ON r.rid = v.rid ORDER BY r.rid, v.version"
        ).fetchall()
        audit = connection.execute(
            f"SELECT request_id, count(*) FROM ({_AUDIT}) a WHERE outcome < 400 GROUP BY request_id"
        ).fetchall()
        waiting = connection.execute(
            "SELECT type, resource_id, version FROM outbox"
            " UNION SELECT type, resource_id, version FROM delivery"
        ).fetchall()
    return Evidence(
        tuple(Version(*row[:4], bytes(row[4]), row[5], bool(row[6])) for row in versions),
        dict(audit),
        frozenset((row[0], row[1], row[2]) for row in waiting),
    )


def findings(ledger: Ledger, found: Evidence) -> list[str]:
    """Everything that is wrong, in words. Empty: nothing acknowledged was lost and nothing is half there."""
    return [*ledger.faults, *_history(found), *_requests(ledger, found), *_conditions(ledger, found)]


def _history(found: Evidence) -> Iterator[str]:
    """Version ids are 1, 2, 3 ... without a gap, times do not go back, and the last one is the current one."""
    histories: dict[tuple[str, str], list[Version]] = {}
    for version in found.versions:
        histories.setdefault((version.resource_type, version.id), []).append(version)
    for key, history in histories.items():
        if [version.version for version in history] != list(range(1, len(history) + 1)):
            yield f"{key} has the versions {[version.version for version in history]}"
        if any(a.updated > b.updated for a, b in itertools.pairwise(history)):
            yield f"{key} has times that go back"
        if [version.current for version in history] != [False] * (len(history) - 1) + [True]:
            yield f"{key} has not exactly its last version as the current one"
        for version in history:
            if version.method != "DELETE" and json.loads(version.body)["meta"]["versionId"] != str(
                version.version
            ):
                yield f"{key} version {version.version} holds another version's content"


def _requests(ledger: Ledger, found: Evidence) -> Iterator[str]:
    """Acknowledged: all there, exactly. Refused: nothing. Unknown: all or nothing. And nothing unasked for."""
    by_mark: dict[str, list[Version]] = {}
    deletions = {(v.resource_type, v.id, v.version): v for v in found.versions if v.method == "DELETE"}
    for version in found.versions:
        if version.method != "DELETE":
            by_mark.setdefault(version.mark, []).append(version)
    for request in ledger.requests:
        if request.entries:
            there = [_there(entry, by_mark, deletions) for entry in request.entries]
            yield from _one(request, there, found.audit.get(request.request_id, 0))
    for mark in by_mark:
        yield f"a version with the mark {mark!r} was asked for by nobody"
    for key in deletions:
        yield f"{key} is a deletion that was asked for by nobody"


def _there(
    entry: Entry, by_mark: dict[str, list[Version]], deletions: dict[tuple[str, str, int], Version]
) -> list[Version]:
    """The versions an entry has become; taken out of what is still to be explained."""
    if entry.content is not None:
        return by_mark.pop(entry.mark, [])
    deletion = deletions.pop((entry.resource_type, entry.id, entry.version), None)
    return [deletion] if deletion else []


def _one(request: Request, there: list[list[Version]], audited: int) -> Iterator[str]:
    name = f"{request.interaction} {request.request_id} ({request.outcome}, {request.status})"
    counts = {len(versions) for versions in there}
    done = counts == {1}
    if counts - {0, 1}:
        yield f"{name} was done more than once"
    elif len(counts) > 1:
        yield f"{name} is half there: {[len(versions) for versions in there]}"
    elif request.outcome == "refused" and done:
        yield f"{name} was refused and done"
    elif request.outcome == "acknowledged" and request.wrote != done:
        yield f"{name} is {'there although it only found' if done else 'lost'}"
    if request.outcome == "acknowledged" or done:
        if audited != len(request.entries):
            yield f"{name} has {audited} audit rows for {len(request.entries)} entries"
    elif audited > bool(request.condition):  # that it found what was there is audited as well
        yield f"{name} has audit rows and was not done"
    if done:
        references = {
            entry.full_url: f"{entry.resource_type}/{versions[0].id}"
            for entry, versions in zip(request.entries, there, strict=True)
            if entry.full_url
        }
        for entry, versions in zip(request.entries, there, strict=True):
            yield from (f"{name}: {text}" for text in _content(request, entry, versions[0], references))


def _content(request: Request, entry: Entry, version: Version, references: dict[str, str]) -> Iterator[str]:
    """The version holds what was sent, and the very bytes that were acknowledged."""
    if request.outcome == "acknowledged" and (entry.id, entry.version) != (version.id, version.version):
        yield f"acknowledged as {entry.id}/{entry.version}, kept as {version.id}/{version.version}"
    if entry.stored and entry.stored != version.body:
        yield "the bytes are not those that were acknowledged"
    if entry.content is None:
        return
    sent = {name: value for name, value in entry.content.items() if name != "id"}
    if "subject" in sent:
        sent["subject"] = {"reference": references.get(sent["subject"]["reference"])}
    kept = {name: value for name, value in json.loads(version.body).items() if name not in ("id", "meta")}
    if sent != kept:
        yield "the content is not what was sent"


def _conditions(ledger: Ledger, found: Evidence) -> Iterator[str]:
    """Under one condition there is one resource, and every answer names it."""
    made: dict[str, set[str]] = {}
    for version in found.versions:
        if version.method != "DELETE" and (value := _identifier(version.body, CONDITION)):
            made.setdefault(f"{CONDITION}|{value}", set()).add(version.id)
    for condition, ids in made.items():
        if len(ids) > 1:
            yield f"{condition} has {len(ids)} resources"
    for request in ledger.requests:
        asked = request.condition and request.outcome == "acknowledged"
        if asked and {request.entries[0].id} != made.get(request.condition):
            yield f"{request.condition} was answered with an id it does not have"


def delivery(found: Evidence, delivered: Iterable[tuple[str, str, int]]) -> list[str]:
    """Every version was told of or is still to be told of, and of one resource never a later one first.

    delivered: in the order in which a consumer was told, repetitions included.
    """
    told: dict[tuple[str, str], list[int]] = {}
    for resource_type, id, version in delivered:
        numbers = told.setdefault((resource_type, id), [])
        if version not in numbers:  # at least once: a repetition is no news
            numbers.append(version)
    wrong = [f"{key} was told of as {numbers}" for key, numbers in told.items() if numbers != sorted(numbers)]
    written = {(version.resource_type, version.id, version.version) for version in found.versions}
    known = {(*key, number) for key, numbers in told.items() for number in numbers}
    wrong += [f"the event of {key} is lost" for key in written - known - found.waiting]
    unasked = (known | found.waiting) - written
    wrong += [f"there is an event of {key}, which does not exist" for key in unasked]
    return wrong


def search_findings(store: DatabaseStore, *, base_url: str, time_zone: str) -> list[str]:
    """Search agrees with content: the index rows of every live resource are those of its stored bytes."""
    wrong = []
    with store.database.reading() as connection:
        tokens = _rows(connection, "token", ("hash",))
        compartments = _rows(connection, "compartment", ("patient",))
        values = {table.name: _rows(connection, table.name, table.columns) for table in (*TABLES, *RELATIONS)}
        resources = connection.execute("SELECT rid, type, id, deleted, body, tokens FROM resource").fetchall()
    for rid, resource_type, id, deleted, body, packed in resources:
        name = f"{resource_type}/{id}"
        index = IndexRows()
        if not deleted:
            index = index_values(decode(body), base_url=base_url, time_zone=time_zone)
        hashes = {row[0] for row in tokens.pop(rid, set())}
        if not hashes == store.database.dialect.unpack(packed) == index.tokens:
            wrong.append(f"{name} has other tokens than its content")
        for table in (*TABLES, *RELATIONS):
            wanted = set(table.rows(index))
            if values[table.name].pop(rid, set()) != wanted:
                wrong.append(f"{name} has other rows in {table.name} than its content")
        patients = {row[0] for row in compartments.pop(rid, set())}
        if not deleted and patients != compartment_hashes(index):
            wrong.append(f"{name} is in other compartments than its content")
    for table, left in (("token", tokens), ("compartment", compartments), *values.items()):
        wrong += [f"{table} has rows of {rid}, which is no resource" for rid in left]
    return wrong


def _rows(connection: Any, table: str, columns: tuple[str, ...]) -> dict[int, set[tuple[Any, ...]]]:
    grouped: dict[int, set[tuple[Any, ...]]] = {}
    for row in connection.execute(f"SELECT rid, {', '.join(columns)} FROM {table}").fetchall():
        grouped.setdefault(row[0], set()).add(tuple(row[1:]))
    return grouped


def _identifier(body: bytes, system: str) -> str:
    for identifier in json.loads(body).get("identifier", ()):
        if identifier["system"] == system:
            return str(identifier["value"])
    return ""


def audit_findings(store: DatabaseStore, ledger: Ledger) -> list[str]:
    """Everything that was answered stands in the trail once, reads and refusals too.

    To be asked when every segment is in the table. A refusal for want of room (507) may be without a
    row: there was no room for it either.
    """
    with store.database.reading() as connection:
        rows = connection.execute(
            f"SELECT request_id, count(*) FROM ({_AUDIT}) a GROUP BY request_id"
        ).fetchall()
    audited = dict(rows)
    wrong = []
    for request in ledger.requests:
        count = audited.get(request.request_id, 0)
        wanted = 1 if request.outcome == "refused" or not request.entries else len(request.entries)
        if request.outcome != "unknown" and count != wanted and not (request.status == 507 and count == 0):
            wrong.append(f"{request.interaction} ({request.status}) has {count} audit rows, not {wanted}")
        elif count > wanted + (
            request.status == 503
        ):  # a commit in doubt: perhaps done, and said to be refused
            wrong.append(f"{request.interaction}, never answered, has {count} audit rows")
    return wrong
