"""What an interaction of the audit trail is as a FHIR AuditEvent: types, subtypes, actions, roles of agents.

Pure data out of `audit_events.json`, which names its sources (IHE BALP, DICOM).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Code:
    """A concept. display: "" for none."""

    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all rows of one interaction have in common.

    action: C, R, U, D or E. client, server, user: the parts that these take in it. profiles: names of the BALP
    profiles of an event about nobody's record and about one patient's, () for none.
    """

    type: Code
    subtypes: tuple[Code, ...]
    action: str
    client: Code
    server: Code
    user: Code
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interactions:
    """Interactions: all `named`, or all but these (`others`)."""

    named: frozenset[str]
    others: bool = False


OWN_SYSTEM = "urn:baton:audit-interaction"


@cache
def kinds() -> Mapping[str, Kind]:
    """The kinds by interaction; "" for all that are not named."""
    document = _document()
    rows = document["interactions"] | {"": document["other"]}
    return {name: _kind(document, row) for name, row in rows.items()}


def kind(interaction: str) -> Kind:
    """The kind of an interaction."""
    return kinds().get(interaction) or kinds()[""]


@cache
def denied() -> Code:
    """The subtype of what was refused because of who asked (401, 403)."""
    return _code(_document(), _document()["denied"])


def interactions(fits: Callable[[Kind], bool]) -> Interactions:
    """The interactions whose kind fits."""
    named = {name: fits(found) for name, found in kinds().items() if name}
    others = fits(kinds()[""])
    return Interactions(frozenset(name for name, does in named.items() if does is not others), others)


@cache
def _document() -> Mapping[str, Any]:
    return json.loads(files(__package__).joinpath("audit_events.json").read_text("utf-8"))


def _kind(document: Mapping[str, Any], row: Mapping[str, Any]) -> Kind:
    parts = document["agents"][row["agents"]]
    return Kind(
        type=_code(document, row["type"]),
        subtypes=tuple(_code(document, text) for text in row["subtype"]),
        action=row["action"],
        client=_code(document, parts["client"]),
        server=_code(document, parts["server"]),
        user=_code(document, parts["user"]),
        profiles=tuple(row.get("profiles", ())),
    )


def _code(document: Mapping[str, Any], text: str) -> Code:
    system, _, code = text.partition(":")
    return Code(document["systems"][system], code, document["displays"].get(text, ""))
