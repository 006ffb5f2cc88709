"""TerminologyCapabilities: which code systems this server knows of itself, what it does with them, and whose
they are.

Definitions that are stored here are not among them: who sees which is a matter of the token. The notices of the
sources stand in `copyright`, to be shown wherever their content is.
Sources: hl7.org/fhir/R4/terminologycapabilities.html, hl7.org/fhir/R4/capabilitystatement.html#mode
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from server.fhir.json_codec import encode
from server.fhir.visibility import NOTHING
from server.interactions.operations import OPERATIONS
from server.interactions.request import Context
from server.interactions.version import instant
from server.terminology import shipped
from server.terminology.ucum import UNITS

if TYPE_CHECKING:
    from server.storage.vocabulary import FileCodeSystem, Vocabulary

# R4 has no element that says how much of a code system is there; R5's is used before its time.
_CONTENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-TerminologyCapabilities.codeSystem.content"
_HIERARCHICAL = ("is-a", "descendent-of", "is-not-a", "generalizes")
_BY_VALUE = ("=", "in", "not-in", "regex", "exists")
_SOURCES = (("server.terminology", "r4.zip"), ("server.fhir", "ucum-essence.xml.gz"))
_FOLDERS = {"server.terminology": "data", "server.fhir": "definitions"}


def terminology_capabilities(context: Context) -> bytes:
    """The TerminologyCapabilities of this server, open to everyone."""
    with context.store.reading() as reader, reader.definitions(NOTHING) as definitions:
        date = instant(context.clock())[:10]
        return _statement(context.base_url, context.software_version, date, definitions.vocabulary)


@lru_cache(maxsize=4)
def _statement(base_url: str, software_version: str, date: str, vocabulary: Vocabulary | None) -> bytes:
    of_file = vocabulary.systems() if vocabulary is not None else ()
    software = {"name": "Baton"} | ({"version": software_version} if software_version else {})
    return encode(
        {
            "resourceType": "TerminologyCapabilities",
            "name": "BatonTerminology",
            "status": "active",
            "date": date,
            "copyright": "\n\n".join(dict.fromkeys([*_shipped_notices(), *_notices(of_file)])),
            "kind": "instance",
            "software": software,
            "implementation": {"description": "Baton FHIR R4 server", "url": base_url},
            "codeSystem": list(_systems(of_file)),
            "expansion": {
                "hierarchical": False,
                "paging": True,
                "incomplete": False,
                "parameter": [
                    {"name": parameter.name}
                    for operation in OPERATIONS
                    if operation.name == "expand"
                    for parameter in operation.parameters
                ],
                "textFilter": "Each word begins a word of the display or of one designation; case and accents"
                " do not count.",
            },
            "codeSearch": "all",
            "validateCode": {"translations": False},
            "translation": {"needsMap": False},
        }
    )


def _systems(of_file: Iterable[FileCodeSystem]) -> Iterator[dict[str, Any]]:
    """R4's own, then those of the file with all their versions; by url."""
    found = {
        url: _row(url, [{"code": version}] if version else []) for url, version in shipped.versions().items()
    }
    found[UNITS.url] = _row(UNITS.url, [{"code": UNITS.version}])
    versions: dict[str, list[FileCodeSystem]] = {}
    for system in of_file:
        versions.setdefault(system.url, []).append(system)
    for url, systems in versions.items():
        default = systems[0]
        row = _row(url, [_version(system) for system in systems])
        if not default.is_complete:
            row = {"extension": [{"url": _CONTENT, "valueCode": default.content}], **row}
        found[url] = row | {"subsumption": bool(default.meaning) and default.is_complete}
    return (found[url] for url in sorted(found))


def _row(url: str, versions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"uri": url} | ({"version": versions} if versions else {})


def _version(system: FileCodeSystem) -> dict[str, Any]:
    filters = [{"code": name, "op": list(_BY_VALUE)} for name in ("code", *system.properties)]
    if system.meaning:
        filters.insert(0, {"code": "concept", "op": list(_HIERARCHICAL)})
    row: dict[str, Any] = {
        "code": system.version,
        "isDefault": system.info.is_default,
        "compositional": False,
        "filter": filters,
    }
    return row | ({"property": list(system.properties)} if system.properties else {})


def _notices(of_file: Iterable[FileCodeSystem]) -> Iterator[str]:
    for system in of_file:
        if system.info.notice:
            yield f"{system.name}: {system.info.notice}"


@cache
def _shipped_notices() -> tuple[str, ...]:
    """The notices of what is shipped with the server itself, as its SOURCES.toml state them."""
    found = []
    for package, name in _SOURCES:
        table = tomllib.loads((files(package) / _FOLDERS[package] / "SOURCES.toml").read_text("utf-8"))
        found += [f"{row['title']}: {row['notice']}" for row in table["source"] if name in row["files"]]
    return tuple(found)
