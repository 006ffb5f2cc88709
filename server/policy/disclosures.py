"""What an accounting of disclosures counts, read from `disclosures.json` (45 CFR 164.528; pure data and one
rule).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Purpose:
    """title: in words. excluded: the paragraph by which disclosures for it are left out, "" where they
    count."""

    title: str
    excluded: str = ""


@dataclass(frozen=True, slots=True)
class Accounting:
    """years: how far back. interactions: by which something goes out. individual: the paragraph by which what
    the patients themselves read is left out. purposes: by code. not_stated: of a row without one.
    """

    years: int
    interactions: frozenset[str]
    individual: str
    purposes: Mapping[str, Purpose]
    not_stated: Purpose

    def purpose(self, code: str) -> Purpose:
        """The purpose of a code; one that is not known counts, by its code."""
        return self.purposes.get(code) or (Purpose(code) if code else self.not_stated)

    def excluded(self, purpose: str, principal: str, patient: str) -> str:
        """The paragraph by which a disclosure is left out of the patient's accounting, "" where it counts."""
        if principal == f"Patient/{patient}":
            return self.individual
        return self.purpose(purpose).excluded

    def since(self, now: datetime) -> datetime:
        """Where an accounting that is asked for now begins."""
        try:
            return now.replace(year=now.year - self.years)
        except ValueError:  # a leap day
            return now.replace(year=now.year - self.years, day=28)


@cache
def accounting() -> Accounting:
    """The rule as it stands."""
    document = json.loads(files(__package__).joinpath("disclosures.json").read_text("utf-8"))
    return Accounting(
        years=document["years"],
        interactions=frozenset(document["interactions"]),
        individual=document["individual"],
        purposes={
            code: Purpose(row["title"], row.get("excluded", "")) for code, row in document["purposes"].items()
        },
        not_stated=Purpose(document["not_stated"]),
    )
