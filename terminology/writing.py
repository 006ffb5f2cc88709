"""Rows into a file that is being built: one version of a code system at a time, streamed, then closed.

Memory does not grow with the release: rows pass through, and what one row says about another is found
in the file itself by code.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from terminology.schema import INDEXES, SCHEMA, TABLES

IS_A = "is-a"
"""The relation that makes a code system's hierarchy, whatever the system itself calls it."""
SHIPPED, LOADED = "shipped", "loaded"
"""Where rows come from: Baton itself, or this deployment's own loads."""
_CHUNK = 5000
_OTHER_NAMES = "(select group_concat(value, ' ') from designation d where d.concept = c.id)"


@dataclass(frozen=True, slots=True)
class SystemRow:
    """A version of a code system, as its source states it."""

    url: str
    version: str
    name: str
    content: str
    """complete, or fragment where codes exist that are not here."""
    licence: str
    notice: str = ""
    kind: str = ""
    """The property that `ConceptRow.kind` is the value of: TTY, billable ..."""
    sha256: str = ""
    """Of the file it was read from."""
    loaded_at: str = ""
    """ISO time of a load; empty for what ships."""
    origin: str = SHIPPED


class DesignationRow(NamedTuple):
    """Another name of a concept; `use` says which (synonym, short, misspelling ...)."""

    code: str
    use: str
    language: str
    value: str


class PropertyRow(NamedTuple):
    """`type` is that of CodeSystem.property: code, string, integer, boolean, dateTime, decimal."""

    code: str
    name: str
    value: str
    type: str


class EdgeRow(NamedTuple):
    """`child` stands in the relation `rel` to `parent`; both are codes of one system."""

    child: str
    rel: str
    parent: str


@dataclass(frozen=True, slots=True)
class ConceptRow:
    """A concept before it is written. `kind` is the system's own main category: RxNorm's TTY and so on."""

    code: str
    display: str
    kind: str = ""
    active: bool = True
    designations: tuple[tuple[str, str], ...] = ()
    """(use, value), in English."""
    properties: tuple[tuple[str, str, str], ...] = ()
    """(name, value, type)"""


class MapRow(NamedTuple):
    """`equivalence` says how the target relates to the source (R4 concept-map-equivalence)."""

    source_system: str
    source: str
    target_system: str
    target: str
    equivalence: str


class MemberRow(NamedTuple):
    """One code of a value set's expansion."""

    system: str
    version: str
    code: str
    display: str


class Writer:
    """Writes one file over one connection; the caller commits."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def create(self) -> None:
        """The tables, in an empty file."""
        self.database.executescript(TABLES)
        self.meta("schema", str(SCHEMA))

    def meta(self, key: str, value: str) -> None:
        self.database.execute("insert or replace into meta values (?, ?)", (key, value))

    def drop_indexes(self) -> None:
        for name in INDEXES:
            self.database.execute(f"drop index if exists {name}")

    def index(self) -> None:
        """The indexes; once all rows are in."""
        for name, columns in INDEXES.items():
            self.database.execute(f"create index if not exists {name} on {columns}")

    def system(self, row: SystemRow) -> int:
        """A new version of a code system, from now on the default of its url; returns its number."""
        self.database.execute("update code_system set is_default = 0 where url = ?", (row.url,))
        values = (row.url, row.version, row.name, row.content, row.licence, row.notice, row.kind, row.sha256)
        return _number_of(
            self.database.execute(
                "insert into code_system (url, version, name, content, licence, notice, kind, sha256,"
                " loaded_at, origin, is_default) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (*values, row.loaded_at, row.origin),
            )
        )

    def concepts(self, system: int, rows: Iterable[ConceptRow]) -> None:
        """Concepts with their names and properties; of two with one code the first is kept."""
        stream = iter(rows)
        while chunk := list(islice(stream, _CHUNK)):
            self.database.executemany(
                "insert or ignore into concept (cs, code, display, kind, active) values (?, ?, ?, ?, ?)",
                ((system, row.code, row.display, row.kind, int(row.active)) for row in chunk),
            )
            self.designations(
                system,
                (
                    DesignationRow(row.code, use, "en", value)
                    for row in chunk
                    for use, value in row.designations
                ),
            )
            self.properties(system, (PropertyRow(row.code, *told) for row in chunk for told in row.properties))

    def designations(self, system: int, rows: Iterable[DesignationRow]) -> None:
        """Further names; those of a code that is not there are passed over."""
        self.database.executemany(
            "insert or ignore into designation select id, ?2, ?3, ?4 from concept where cs = ?5 and code = ?1",
            ((*row, system) for row in rows if row.value),
        )

    def properties(self, system: int, rows: Iterable[PropertyRow]) -> None:
        """Properties; those of a code that is not there are passed over."""
        self.database.executemany(
            "insert or ignore into property select id, ?2, ?3, ?4 from concept where cs = ?5 and code = ?1",
            ((*row, system) for row in rows if row.value),
        )

    def edges(self, system: int, rows: Iterable[EdgeRow]) -> None:
        """Relations; those with an end that is not there are passed over."""
        self.database.executemany(
            "insert or ignore into edge select c.id, ?2, p.id from concept c, concept p"
            " where c.cs = ?4 and c.code = ?1 and p.cs = ?4 and p.code = ?3",
            ((*row, system) for row in rows),
        )

    def name_concepts(self, system: int, rows: Iterable[tuple[str, str, str]]) -> None:
        """(code, display, kind) of concepts that are there."""
        self.database.executemany(
            "update concept set display = ?2, kind = ?3 where cs = ?4 and code = ?1",
            ((*row, system) for row in rows),
        )

    def rename_concepts(self, system: int, rows: Iterable[tuple[str, str]]) -> None:
        """(code, display) of concepts that are there."""
        self.database.executemany(
            "update concept set display = ?2 where cs = ?3 and code = ?1", ((*row, system) for row in rows)
        )

    def count(self, system: int) -> int:
        """How many concepts a system has so far."""
        found = self.database.execute("select count(*) from concept where cs = ?", (system,)).fetchone()
        return int(found[0])

    def ends_of(self, system: int, rel: str) -> tuple[int, int]:
        """How many concepts a relation leads from, and how many it leads to."""
        found = self.database.execute(
            "select count(distinct child), count(distinct parent) from edge join concept on id = child"
            " where cs = ? and rel = ?",
            (system, rel),
        ).fetchone()
        return int(found[0]), int(found[1])

    def remove_system(self, url: str, version: str) -> None:
        """Every row of a version of a code system; nothing if it is not there."""
        found = self.database.execute(
            "select id from code_system where url = ? and version = ?", (url, version)
        ).fetchone()
        if found is None:
            return
        self.database.execute(
            "insert into concept_fts (concept_fts, rowid, display, designations, cs) select 'delete', c.id,"
            f" c.display, {_OTHER_NAMES}, 's' || c.cs from concept c where c.cs = ?",
            found,
        )
        own = "(select id from concept where cs = ?)"
        for table, column in (("designation", "concept"), ("property", "concept"), ("edge", "child")):
            self.database.execute(f"delete from {table} where {column} in {own}", found)
        self.database.execute(f"delete from closure where desc in {own}", found)
        self.database.execute("delete from concept where cs = ?", found)
        self.database.execute("delete from code_system where id = ?", found)

    def loaded(self, kind: str, name: str, version: str, sha256: str, loaded_at: str) -> None:
        """A line of what was loaded, in place of that of another file of the same version."""
        self.database.execute(
            "insert or replace into load values (?, ?, ?, ?, ?)", (kind, name, version, sha256, loaded_at)
        )

    def forget(self, name: str, version: str) -> None:
        """Take the line of a load away again."""
        self.database.execute("delete from load where name = ? and version = ?", (name, version))

    def close(self, system: int) -> None:
        """What follows from the rows of a system once all are in: closure, words, count."""
        self.database.executemany("insert into closure values (?, ?)", self._ancestors(system))
        self.database.execute(
            "insert into concept_fts (rowid, display, designations, cs) select c.id, c.display,"
            f" {_OTHER_NAMES}, 's' || c.cs from concept c where c.cs = ?",
            (system,),
        )
        self.database.execute(
            "update code_system set concepts = (select count(*) from concept where cs = ?1) where id = ?1",
            (system,),
        )

    def _ancestors(self, system: int) -> Iterator[tuple[int, int]]:
        """Every (concept, ancestor) of a system by is-a, without the concept itself; cycles do no harm."""
        parents: dict[int, tuple[int, ...]] = {}
        pairs = self.database.execute(
            "select child, parent from edge join concept on id = child where cs = ? and rel = ?", (system, IS_A)
        )
        for child, parent in pairs:
            parents[child] = (*parents.get(child, ()), parent)
        for concept in sorted(parents):
            found: set[int] = set()
            waiting = list(parents[concept])
            while waiting:
                if (ancestor := waiting.pop()) not in found:
                    found.add(ancestor)
                    waiting += parents.get(ancestor, ())
            for ancestor in sorted(found - {concept}):
                yield concept, ancestor

    def ndcs(self, rows: Iterable[tuple[str, str]], source: str) -> None:
        """(NDC of 11 digits, RxCUI) in place of those of the same source."""
        self.database.execute("delete from ndc where source = ?", (source,))
        self.database.executemany(
            "insert or ignore into ndc values (?, ?, ?)", ((*row, source) for row in rows)
        )

    def classes(self, rows: Iterable[tuple[str, str, str, str, str]]) -> None:
        """(RxCUI of the ingredient, type, class, name of the class, who says so)"""
        self.database.executemany("insert or ignore into class values (?, ?, ?, ?, ?)", rows)

    def concept_map(
        self,
        url: str,
        version: str,
        name: str,
        rows: Iterable[MapRow],
        body: Any = None,
        origin: str = SHIPPED,
    ) -> None:
        """A concept map in place of what was kept under its url. `body`: its resource but for the groups."""
        for (old,) in self.database.execute("select id from concept_map where url = ?", (url,)).fetchall():
            self.database.execute("delete from map where map_id = ?", (old,))
            self.database.execute("delete from concept_map where id = ?", (old,))
        number = _number_of(
            self.database.execute(
                "insert into concept_map (url, version, name, origin, body) values (?, ?, ?, ?, ?)",
                (url, version, name, origin, _json(body or {"resourceType": "ConceptMap", "url": url})),
            )
        )
        self.database.executemany(
            "insert or ignore into map values (?, ?, ?, ?, ?, ?)", ((*row, number) for row in rows)
        )

    def value_set(self, body: Any, members: Iterable[MemberRow] | None, origin: str = SHIPPED) -> None:
        """A ValueSet resource in place of the same version; `members` where its text lists every code."""
        url, version = str(body["url"]), str(body.get("version", ""))
        known = (url, version)
        for (old,) in self.database.execute(
            "select id from value_set where url = ? and version = ?", known
        ).fetchall():
            self.database.execute("delete from vs_member where vs = ?", (old,))
            self.database.execute("delete from value_set where id = ?", (old,))
        number = _number_of(
            self.database.execute(
                "insert into value_set (url, version, name, origin, enumerated, body)"
                " values (?, ?, ?, ?, ?, ?)",
                (*known, str(body.get("name", "")), origin, int(members is not None), _json(body)),
            )
        )
        self.database.executemany(
            "insert into vs_member values (?, ?, ?, ?, ?, ?)",
            ((number, n, *row) for n, row in enumerate(members or ())),
        )


def _number_of(cursor: sqlite3.Cursor) -> int:
    number = cursor.lastrowid
    if number is None:
        raise sqlite3.DatabaseError("a row was not written")
    return number


def _json(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)
