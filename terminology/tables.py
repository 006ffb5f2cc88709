"""The tables that ship, as rows, with what SOURCES.toml beside each says of its release and licence."""

from __future__ import annotations

import csv
import gzip
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

DATA = files("terminology") / "data"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table comes from and what must be said of it."""

    title: str
    origin: str
    release: str
    licence: str
    notice: str
    sha256: str
    rows: int


def read(name: str) -> bytes:
    """A shipped file's bytes, unpacked if it ends in .gz."""
    raw = DATA.joinpath(*name.split("/")).read_bytes()
    return gzip.decompress(raw) if name.endswith(".gz") else raw


def rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of a shipped table by its path below `data`."""
    lines = csv.reader(read(name).decode("utf-8").splitlines(), delimiter="\t")
    header = next(lines)
    return (dict(zip(header, line, strict=True)) for line in lines)


@cache
def sources() -> dict[str, Source]:
    """Every shipped file by its path below `data`."""
    found = {}
    for folder in (
        "",
        *(entry.name for entry in sorted(DATA.iterdir(), key=lambda e: e.name) if entry.is_dir()),
    ):
        told = (DATA / folder if folder else DATA) / "SOURCES.toml"
        for entry in tomllib.loads(told.read_text(encoding="utf-8"))["source"]:
            for name in entry["files"]:
                found[str(PurePosixPath(folder, name))] = Source(
                    title=entry["title"],
                    origin=entry["origin"],
                    release=entry["release"],
                    licence=entry["licence"],
                    notice=entry["notice"],
                    sha256=entry.get("sha256", {}).get(name, ""),
                    rows=entry.get("rows", {}).get(name, 0),
                )
    return found


def content_hash(*beginnings: str) -> str:
    """SHA-256 over the shipped files whose path below `data` begins so, every one without; in a fixed order."""
    digest = hashlib.sha256()
    for name in sorted(name for name in sources() if name.startswith(beginnings or "")):
        digest.update(name.encode())
        digest.update(DATA.joinpath(*name.split("/")).read_bytes())
    return digest.hexdigest()
