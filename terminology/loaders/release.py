"""What a loader says of its format: which system it is, what it reads, which version a file is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from terminology.loaders.archive import Archive
from terminology.writing import SystemRow, Writer

_DATE = re.compile(r"(?<!\d)(?P<year>20\d\d)-?(?P<month>[01]\d)-?(?P<day>[0-3]\d)(?!\d)")
_MONTH_FIRST = re.compile(r"(?<!\d)(?P<month>[01]\d)(?P<day>[0-3]\d)(?P<year>20\d\d)(?!\d)")
_NUMBER = re.compile(r"(?<!\d)\d+\.\d+(?!\d)")
_YEAR = re.compile(r"(?<!\d)20\d\d(?!\d)")


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator allows beyond what needs no licence; RxNorm's full release asks for it."""

    accept_umls: bool = False
    """Read vocabularies other than RxNorm's own, those without restriction (SRL 0)."""
    include_atc: bool = False
    """Read ATC codes (SAB=ATC), whose owner allows no commercial distribution."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of official release file. Each function raises archive.Unreadable where a file is not of it."""

    system: SystemRow
    """Of every version, but for version, checksum and time."""
    read: Callable[[Archive], int]
    """How many bytes a load will read, over all its passes."""
    write: Callable[[Writer, Archive, SystemRow, Options], None]
    version: Callable[[Archive], str | None] = lambda archive: None
    """The version as the release itself tells it."""
    name: Callable[[Archive], str | None] = lambda archive: None
    """What is versioned, where it is not the system."""


def version_in_name(name: str) -> str | None:
    """A date, a number or a year in the name of a file: RxNorm_full_11022026.zip, Loinc_2.80.zip ..."""
    if date := _DATE.search(name) or _MONTH_FIRST.search(name):
        return f"{date['year']}-{date['month']}-{date['day']}"
    found = _NUMBER.search(name) or _YEAR.search(name)
    return found[0] if found else None
