"""Code systems, concepts, hierarchies, maps and value sets of the terminology's file, as reads.

What FHIR's terminology operations need of it: hl7.org/fhir/R4/terminology-service.html. Every read is
answered from the one read-only file; a `Concepts` may be shared between threads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from terminology.coded import (
    Coded,
    CodeSystemInfo,
    Concept,
    Designation,
    Member,
    Page,
    Property,
    Relation,
    Translation,
)
from terminology.connection import Connection
from terminology.maps import NDC_TO_RXNORM, RXNORM_TO_INGREDIENT, MapsAndSets
from terminology.store import open_store
from terminology.systems import RXNORM
from terminology.writing import IS_A

__all__ = [
    "NDC_TO_RXNORM",
    "RXNORM_TO_INGREDIENT",
    "CodeSystemInfo",
    "Coded",
    "Concept",
    "Concepts",
    "Designation",
    "Member",
    "Page",
    "Property",
    "Relation",
    "Translation",
    "open_concepts",
]
_WORD = re.compile(r"[^\W_]+")


def _coded(info: CodeSystemInfo, row: Sequence[Any]) -> Coded:
    return Coded(info.url, info.version, row[0], row[1], row[2], bool(row[3]))


class Concepts(MapsAndSets):
    """Reads of a built file."""

    def __init__(self, path: Path) -> None:
        super().__init__(Connection(path))
        self.path = path

    @cached_property
    def edition(self) -> str:
        """What the file was built from, in one short word: the release of answers."""
        return str(self._db.one("select value from meta where key = 'edition'")[0])

    @cached_property
    def _systems(self) -> dict[tuple[str, str | None], tuple[int, CodeSystemInfo]]:
        found: dict[tuple[str, str | None], tuple[int, CodeSystemInfo]] = {}
        for row in self._db.all(
            "select id, url, version, name, content, licence, notice, concepts, is_default, origin, sha256,"
            " loaded_at, kind from code_system order by url, is_default desc, version desc"
        ):
            url, version, name, content, licence, notice, concepts, default, origin, sha256, at, kind = row[1:]
            info = CodeSystemInfo(
                url, version, name, content, licence, notice, concepts, bool(default), origin, sha256, at, kind
            )
            found[info.url, info.version] = row[0], info
            if info.is_default:
                found[info.url, None] = row[0], info
        return found

    def systems(self) -> tuple[CodeSystemInfo, ...]:
        """Every version of every code system, by url, the default version first."""
        return tuple(info for (_, version), (_, info) in self._systems.items() if version is not None)

    def system(self, url: str, version: str | None = None) -> CodeSystemInfo | None:
        """A version of a code system, the default one where none is named; None if it is not there."""
        found = self._systems.get((url, version or None))
        return found[1] if found else None

    def _number(self, url: str, version: str | None) -> int:
        """The number of a version in the file; 0, that no row has, where there is none."""
        found = self._systems.get((url, version or None))
        return found[0] if found else 0

    def find(self, system: str, code: str, version: str | None = None) -> Coded | None:
        """A concept without what hangs on it; None if the file does not have the code."""
        if (held := self._systems.get((system, version or None))) is None:
            return None
        number, info = held
        row = self._db.one(
            "select code, display, kind, active from concept where cs = ? and code = ?", number, code
        )
        return _coded(info, row) if row else None

    def lookup(self, system: str, code: str, version: str | None = None) -> Concept | None:
        """A concept with everything that is known of it; None if the file does not have the code."""
        if (held := self._systems.get((system, version or None))) is None:
            return None
        number, info = held
        row = self._db.one(
            "select id, code, display, kind, active from concept where cs = ? and code = ?", number, code
        )
        if row is None:
            return None
        up = [
            Relation(*found)
            for found in self._db.all(
                "select rel, code, display from edge join concept on id = parent where child = ?"
                " order by rel, code",
                row[0],
            )
        ]
        down = self._db.all(
            "select rel, code, display from edge join concept on id = child where parent = ? and rel = ?"
            " order by code",
            row[0],
            IS_A,
        )
        return Concept(
            system=info.url,
            version=info.version,
            code=row[1],
            display=row[2],
            kind=row[3],
            active=bool(row[4]),
            properties=(
                *(self._drug_properties(code) if info.url == RXNORM and info.is_default else ()),
                *((Property(info.kind, row[3], "code"),) if info.kind and row[3] else ()),
                *(
                    Property(*found)
                    for found in self._db.all(
                        "select name, value, type from property where concept = ?", row[0]
                    )
                ),
            ),
            designations=tuple(
                Designation(*found)
                for found in self._db.all("select use, lang, value from designation where concept = ?", row[0])
            ),
            parents=tuple(relation for relation in up if relation.name == IS_A),
            children=tuple(Relation(*found) for found in down),
            relations=tuple(relation for relation in up if relation.name != IS_A),
        )

    def _drug_properties(self, rxcui: str) -> list[Property]:
        """What a drug's name and relations come to (`release`), as properties of its concept."""
        row = self._db.one("select body from drug where code = ?", rxcui)
        if row is None:
            return []
        _, components, product, brand, form, release, route, package, _ = json.loads(row[0])
        strengths = (
            f"{name} {value} {unit}" + (f"/{per}" if per else "")
            for _, name, value, unit, per in components
            if value and unit
        )
        told = (
            ("brand", brand),
            ("dose-form", form),
            ("release", release),
            ("route", route),
            ("package", package),
        )
        return [
            *(Property("strength", strength, "string") for strength in strengths),
            *(Property(name, value, "string") for name, value in told if value),
            *([Property("generic-product", product, "code")] if product and product != rxcui else []),
        ]

    def designations(self, system: str, code: str, version: str | None = None) -> tuple[Designation, ...]:
        """Further names of a concept; empty for a code that the file does not have."""
        return tuple(
            Designation(*found)
            for found in self._db.all(
                "select use, lang, value from designation where concept ="
                " (select id from concept where cs = ? and code = ?)",
                self._number(system, version),
                code,
            )
        )

    def is_a(self, system: str, ancestor: str, descendant: str, version: str | None = None) -> bool:
        """Whether a concept is the other or below it. False, too, where one of them is not known."""
        number = self._number(system, version)
        if ancestor == descendant:
            return self.find(system, ancestor, version) is not None
        return (
            self._db.one(
                "select 1 from closure where desc = (select id from concept where cs = ?1 and code = ?3)"
                " and anc = (select id from concept where cs = ?1 and code = ?2)",
                number,
                ancestor,
                descendant,
            )
            is not None
        )

    def ancestors(self, system: str, code: str, version: str | None = None) -> tuple[Coded, ...]:
        """Everything above a concept by is-a, without itself, by code."""
        return self._listed(
            system,
            version,
            "join closure on id = anc where desc = (select id from concept where cs = ?1 and code = ?2)",
            code,
        )

    def descendants(
        self, system: str, code: str, version: str | None = None, count: int | None = None, offset: int = 0
    ) -> tuple[Coded, ...]:
        """Everything below a concept by is-a, without itself, by code; `count` None: all of it."""
        return self._listed(
            system,
            version,
            "join closure on id = desc where anc = (select id from concept where cs = ?1 and code = ?2)",
            code,
            count=count,
            offset=offset,
        )

    def every(
        self,
        system: str,
        version: str | None = None,
        kinds: Sequence[str] = (),
        count: int | None = None,
        offset: int = 0,
    ) -> tuple[Coded, ...]:
        """The concepts of a system by code, of these kinds only where some are named; `count` None: all."""
        if not kinds:
            return self._listed(system, version, "where cs = ?1", count=count, offset=offset)
        marks = ", ".join(f"?{n}" for n in range(2, len(kinds) + 2))
        return self._listed(
            system, version, f"where cs = ?1 and kind in ({marks})", *kinds, count=count, offset=offset
        )

    def kinds(self, system: str, version: str | None = None) -> tuple[str, ...]:
        """The kinds that the concepts of a system have, in order."""
        rows = self._db.all(
            "select distinct kind from concept where cs = ? order by kind", self._number(system, version)
        )
        return tuple(row[0] for row in rows)

    def property_names(self, system: str, version: str | None = None) -> tuple[str, ...]:
        """The properties that a system's concepts have."""
        rows = self._db.all(
            "select distinct name from property join concept on id = concept where cs = ? order by name",
            self._number(system, version),
        )
        info = self.system(system, version)
        return (*((info.kind,) if info and info.kind else ()), *(row[0] for row in rows))

    def relation_names(self, system: str, version: str | None = None) -> tuple[str, ...]:
        """The relations that a system's concepts stand in, is-a among them where it has a hierarchy."""
        rows = self._db.all(
            "select distinct rel from edge where child in (select id from concept where cs = ?) order by rel",
            self._number(system, version),
        )
        return tuple(row[0] for row in rows)

    def with_property(
        self, system: str, name: str, values: Sequence[str] | None = None, version: str | None = None
    ) -> tuple[Coded, ...]:
        """Concepts that have a property, with one of these values where some are given; by code."""
        info = self.system(system, version)
        if info is not None and name == info.kind:
            return self.every(
                system, version, kinds=values or [kind for kind in self.kinds(system, version) if kind]
            )
        if values is None:
            return self._listed(
                system, version, "where cs = ?1 and id in (select concept from property where name = ?2)", name
            )
        marks = ", ".join(f"?{n}" for n in range(3, len(values) + 3))
        return self._listed(
            system,
            version,
            f"where cs = ?1 and id in (select concept from property where name = ?2 and value in ({marks}))",
            name,
            *values,
        )

    def with_relation(
        self, system: str, name: str, codes: Sequence[str], version: str | None = None
    ) -> tuple[Coded, ...]:
        """Concepts that stand in a relation to one of these codes; by code."""
        marks = ", ".join(f"?{n}" for n in range(3, len(codes) + 3))
        return self._listed(
            system,
            version,
            "where id in (select child from edge join concept p on p.id = parent"
            f" where rel = ?2 and p.cs = ?1 and p.code in ({marks}))",
            name,
            *codes,
        )

    def _listed(
        self,
        system: str,
        version: str | None,
        condition: str,
        *values: str,
        count: int | None = None,
        offset: int = 0,
    ) -> tuple[Coded, ...]:
        if (held := self._systems.get((system, version or None))) is None:
            return ()
        number, info = held
        window = f" limit {-1 if count is None else max(count, 0)} offset {max(offset, 0)}"
        rows = self._db.all(
            f"select code, display, kind, active from concept {condition} order by code{window}",
            number,
            *values,
        )
        return tuple(_coded(info, row) for row in rows)

    def search(
        self, system: str, words: str, count: int = 20, offset: int = 0, version: str | None = None
    ) -> Page:
        """Concepts in whose names every word begins some word; the shortest display first.

        Words without a letter or digit ask for nothing, and nothing is found.
        """
        held = self._systems.get((system, version or None))
        asked = _WORD.findall(words)
        if held is None or not asked:
            return Page((), 0)
        number, info = held
        # Quoted, each word is a string to FTS5 whatever it holds; the system's own word keeps others out.
        query = (
            "{display designations} : ("
            + " AND ".join(f'"{word}"*' for word in asked)
            + f") AND cs : s{number}"
        )
        total = self._db.one("select count(*) from concept_fts where concept_fts match ?", query)[0]
        rows = self._db.all(
            "select c.code, c.display, c.kind, c.active from concept_fts f join concept c on c.id = f.rowid"
            " where concept_fts match ? order by length(c.display), c.display, c.code limit ? offset ?",
            query,
            max(count, 0),
            max(offset, 0),
        )
        return Page(tuple(_coded(info, row) for row in rows), total)


def open_concepts(directory: Path) -> Concepts:
    """The terminology's file in `directory` (`$BATON_HOME/terminology`), built there if it is missing."""
    return Concepts(open_store(directory).path)
