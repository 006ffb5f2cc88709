"""The tables that ship, made from a loaded official RxNorm release (`baton terminology export-tier-a`).

The columns are those of terminology/data/rxnorm. Same file, same bytes.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from terminology.connection import Connection
from terminology.systems import RXNORM

_OF = "cs = (select id from code_system where url = ?1 and is_default)"
_TABLES = {
    "concepts.tsv.gz": (
        ("rxcui", "tty", "name", "unii", "source"),
        "select code, kind, display,"
        " coalesce((select value from property where concept = id and name = 'UNII'), ''), ?2"
        " from concept where active and " + _OF + " order by cast(code as integer), code",
    ),
    "relations.tsv.gz": (
        ("rxcui1", "rela", "rxcui2", "source"),
        "select c.code, case rel when 'is-a' then 'isa' else rel end, p.code, ?2"
        " from concept c join edge on child = c.id join concept p on p.id = parent"
        " where c.active and p.active and c." + _OF + " order by c.code, rel, p.code",
    ),
    "ndc11.tsv.gz": (
        ("ndc11", "rxcui"),
        "select ndc11, rxcui from ndc where source = 'rxnorm' and ?1 <> ?2 order by ndc11",
    ),
}


def export_tier_a(path: Path, directory: Path) -> Iterator[tuple[Path, int]]:
    """Write each table of the default RxNorm of a built file; yields its path and rows.

    Raises: OSError
    """
    directory.mkdir(parents=True, exist_ok=True)
    database = Connection(path)
    (version,) = database.one("select version from code_system where url = ? and is_default", RXNORM)
    for name, (header, query) in _TABLES.items():
        rows = 0
        with (
            open(directory / name, "wb") as file,
            gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
        ):
            text.write("\t".join(header) + "\n")
            for row in database.all(query, RXNORM, f"nlm-{version}"):
                text.write("\t".join(_cell(cell) for cell in row) + "\n")
                rows += 1
        yield directory / name, rows


def _cell(value: str) -> str:
    """A cell as RFC 4180 quotes it where it must be."""
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in '"\t\n\r') else value
