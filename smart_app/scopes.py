"""Scopes: what the app asks for, and what of it was granted (pure; the list is `data/scopes.toml`).

Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

_RESOURCE_SCOPE = re.compile(r"(patient|user|system)/([A-Za-z]+|\*)\.([a-z*]+)(\?\S*)?", re.ASCII)
# A Provenance belongs to a chart by what it targets, which is written with it.
_OF_NOBODY = ("Provenance",)
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True, slots=True)
class TypeScope:
    """One resource type: SMART v2 letters for each purpose, "" for none."""

    resource_type: str
    label: str
    read: str
    store_read: str
    write: str
    worker: str
    exchange: str
    required: bool


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token response granted, compared with what was asked.

    missing: labels of types that cannot be read. required_missing: those of them without which the
    app cannot work. unwritable: types that were asked for writing and not granted.
    """

    missing: tuple[str, ...]
    required_missing: tuple[str, ...]
    unwritable: tuple[str, ...]


@cache
def _table() -> tuple[tuple[str, ...], tuple[TypeScope, ...]]:
    record = tomllib.loads(resources.files("smart_app").joinpath("data/scopes.toml").read_text())
    rows = tuple(
        TypeScope(
            name,
            row["label"],
            row.get("read", ""),
            row.get("store_read", ""),
            row.get("write", ""),
            row.get("worker", ""),
            row.get("exchange", ""),
            row.get("required", False),
        )
        for name, row in record["types"].items()
    )
    return tuple(record["identity"]), rows


def _asked(row: TypeScope, store: bool) -> str:
    letters = row.read + (row.store_read + row.write if store else "")
    return "".join(letter for letter in "cruds" if letter in letters)


def app_scopes(*, store: bool) -> tuple[str, ...]:
    """All scopes of the app at one server, without those that depend on the kind of launch."""
    identity, rows = _table()
    return (
        *identity,
        *(f"user/{row.resource_type}.{_asked(row, store)}" for row in rows if _asked(row, store)),
    )


def launch_scopes(*, store: bool, ehr_launch: bool) -> tuple[str, ...]:
    """What one launch asks for. Standalone at a foreign chart, the server chooses the patient."""
    context = ("launch",) if ehr_launch else () if store else ("launch/patient",)
    return (*context, *app_scopes(store=store))


def worker_scopes() -> tuple[str, ...]:
    """What the background worker asks for in the store."""
    return tuple(f"system/{row.resource_type}.{row.worker}" for row in _table()[1] if row.worker)


def exchange_scopes() -> tuple[str, ...]:
    """What the app asks for in the store where another EHR launched it: one patient's, and who wrote what."""
    return tuple(
        f"{'user' if row.resource_type in _OF_NOBODY else 'patient'}/{row.resource_type}.{row.exchange}"
        for row in _table()[1]
        if row.exchange
    )


def exchange_unwritable(scope: str) -> tuple[str, ...]:
    """Types of `exchange_scopes` that a token of this scope may not write."""
    return tuple(
        row.resource_type
        for row in _table()[1]
        if not {letter for letter in row.exchange if letter in "cu"}
        <= set(permissions(scope, row.resource_type))
    )


def permissions(scope: str, resource_type: str) -> str:
    """The v2 letters that a scope string grants on a type, at any level.

    Granular scopes (`?category=...`) count as granted: what they leave out is the server's to say.
    """
    letters: set[str] = set()
    for word in scope.split():
        match = _RESOURCE_SCOPE.fullmatch(word)
        if match and match[2] in ("*", resource_type):
            letters |= set(_V1.get(match[3], match[3]))
    return "".join(letter for letter in "cruds" if letter in letters)


def compare(scope: str, *, store: bool) -> Granted:
    """Compare what was granted with what was asked. `scope` is that of the token response."""
    missing, required, unwritable = [], [], []
    for row in _table()[1]:
        granted = permissions(scope, row.resource_type)
        reading = row.read or (row.store_read if store else "")
        if not set(reading) <= set(granted):
            missing.append(row.label)
            if row.required:
                required.append(row.label)
        if store and not set(row.write) <= set(granted):
            unwritable.append(row.resource_type)
    return Granted(tuple(missing), tuple(required), tuple(unwritable))
