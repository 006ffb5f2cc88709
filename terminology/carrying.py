"""What a deployment loaded itself, taken over into a file that another version of Baton builds."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from terminology.schema import SCHEMA
from terminology.systems import RXNORM
from terminology.writing import LOADED, Writer

_SHIFTED = {
    "designation": ("concept", "concept + ?1, use, lang, value"),
    "property": ("concept", "concept + ?1, name, value, type"),
    "edge": ("child", "child + ?1, rel, parent + ?1"),
    "closure": ("desc", "desc + ?1, anc + ?1"),
}
"""Table -> the column that names its concept, and its columns with the numbers of concepts moved up."""


def loads(path: Path) -> tuple[str, ...]:
    """What was loaded into a file, one word a release; nothing where the tables are of another schema."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        try:
            (schema,) = database.execute("select value from meta where key = 'schema'").fetchone()
            if schema != str(SCHEMA):
                return ()
            found = database.execute("select kind, name, version, sha256 from load order by 1, 2, 3").fetchall()
        except (sqlite3.DatabaseError, TypeError):
            return ()
    return tuple(" ".join(row) for row in found)


def edition(base: str, carried: tuple[str, ...]) -> str:
    """Short name of a file of the shipped tables with some loads; that of the tables alone without any."""
    return hashlib.sha256("\n".join((base, *carried)).encode()).hexdigest()[:16] if carried else base


def carry_over(writer: Writer, old: Path) -> None:
    """The loads of `old` into the file that `writer` builds, each the default of its system again."""
    database = writer.database
    database.commit()
    database.execute("attach ? as old", (f"{old.resolve().as_uri()}?mode=ro&immutable=1",))
    systems = database.execute(
        "select id, url, version from old.code_system where origin = ? order by is_default, id", (LOADED,)
    ).fetchall()
    for number, url, version in systems:
        writer.remove_system(url, version)
        database.execute("update code_system set is_default = 0 where url = ?", (url,))
        database.execute(
            "insert into code_system (url, version, name, content, licence, notice, sha256, loaded_at, origin,"
            " kind, is_default, concepts) select url, version, name, content, licence, notice, sha256,"
            " loaded_at, origin, kind, is_default, concepts from old.code_system where id = ?",
            (number,),
        )
        _concepts(database, number, url, version)
    if any(url == RXNORM for _, url, _ in systems):
        database.execute("delete from ndc")
        database.execute("insert into ndc select * from old.ndc")
    _maps_and_sets(database)
    database.execute("insert into load select * from old.load")
    database.commit()
    database.execute("detach old")


def _concepts(database: sqlite3.Connection, number: int, url: str, version: str) -> None:
    """Concepts keep their order and move up behind those that are there, with all that names them."""
    (shift,) = database.execute("select coalesce(max(id), 0) from concept").fetchone()
    (system,) = database.execute(
        "select id from code_system where url = ? and version = ?", (url, version)
    ).fetchone()
    database.execute(
        "insert into concept select id + ?1, ?2, code, display, kind, active from old.concept where cs = ?3",
        (shift, system, number),
    )
    for table, (column, moved) in _SHIFTED.items():
        database.execute(
            f"insert into {table} select {moved} from old.{table}"
            f" where {column} in (select id from old.concept where cs = ?2)",
            (shift, number),
        )
    database.execute(
        "insert into concept_fts (rowid, display, designations, cs) select c.id, c.display,"
        " (select group_concat(value, ' ') from designation d where d.concept = c.id), 's' || c.cs"
        " from concept c where c.cs = ?",
        (system,),
    )


def _maps_and_sets(database: sqlite3.Connection) -> None:
    """Loaded concept maps and value sets, in place of shipped ones of the same name."""
    for table, parts, key, same in (
        ("concept_map", "map", "map_id", "n.url = o.url"),
        ("value_set", "vs_member", "vs", "n.url = o.url and n.version = o.version"),
    ):
        replaced = f"select n.id from {table} n join old.{table} o on {same} where o.origin = '{LOADED}'"
        database.execute(f"delete from {parts} where {key} in ({replaced})")
        database.execute(f"delete from {table} where id in ({replaced})")
        (shift,) = database.execute(f"select coalesce(max(id), 0) from {table}").fetchone()
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")][1:]
        names = ", ".join(columns)
        database.execute(
            f"insert into {table} (id, {names}) select id + ?1, {names} from old.{table} where origin = ?2",
            (shift, LOADED),
        )
        told = [row[1] for row in database.execute(f"pragma table_info({parts})")]
        moved = ", ".join(f"{name} + ?1" if name == key else name for name in told)
        database.execute(
            f"insert into {parts} select {moved} from old.{parts}"
            f" where {key} in (select id from old.{table} where origin = ?2)",
            (shift, LOADED),
        )
