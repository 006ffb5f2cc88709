"""Partner organisations as policy sees them: kinds, purposes of use, and what each kind of agreement permits.

Read from `partner_kinds.json`, `purposes_of_use.json` and `partner_agreements.json` (pure data). What a file
does not name is permitted by nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

Basis = Literal["agreement", "consent", "never"]
BASES: tuple[Basis, ...] = get_args(Basis)


@dataclass(frozen=True, slots=True)
class Document:
    """Where a policy comes from: its file's version, the day from which it holds, its source."""

    version: str
    effective: str
    source: str


@dataclass(frozen=True, slots=True)
class AgreementKind:
    """One kind of agreement. effective: the day from which its legal basis has held; source: that basis.

    purposes: codes of v3-PurposeOfUse. permits: class of record -> on what basis it may be disclosed.
    """

    name: str
    title: str
    effective: str
    source: str
    purposes: tuple[str, ...]
    permits: Mapping[str, Basis]
    minimum_necessary: bool

    def basis(self, record_class: str) -> Basis:
        """On what basis a class of record may be disclosed; "never" where the agreement does not name it."""
        return self.permits.get(record_class, "never")


@dataclass(frozen=True, slots=True)
class PartnerKind:
    """title: for people. type: code of organization-type for the partner's Organization."""

    name: str
    title: str
    type: str


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
    return document


@cache
def document_of(name: str) -> Document:
    """The provenance of a policy file, by its name without `.json`."""
    document = _read(name)
    return Document(document.get("version", "1"), document["effective"], document["source"])


@cache
def agreement_kinds() -> Mapping[str, AgreementKind]:
    """All kinds of agreement by name."""
    return {
        name: AgreementKind(
            name=name,
            title=row["title"],
            effective=row["effective"],
            source=row["source"],
            purposes=tuple(row["purposes"]),
            permits=row["permits"],
            minimum_necessary=row["minimum_necessary"],
        )
        for name, row in _read("partner_agreements")["agreements"].items()
    }


@cache
def record_classes() -> Mapping[str, str]:
    """Classes of record that agreements tell apart -> what they are."""
    classes: dict[str, str] = _read("partner_agreements")["classes"]
    return classes


@cache
def partner_kinds() -> Mapping[str, PartnerKind]:
    """All kinds of partner by name."""
    return {
        name: PartnerKind(name, row["title"], row["type"])
        for name, row in _read("partner_kinds")["kinds"].items()
    }


@cache
def purposes_of_use() -> Mapping[str, str]:
    """Purposes of use that a partner may state: code -> display."""
    purposes: dict[str, str] = _read("purposes_of_use")["purposes"]
    return purposes
