"""CodeSystem, ValueSet and ConceptMap resources, one by one or from an NPM package of FHIR, as rows.

Source: hl7.org/fhir/R4/codesystem.html, valueset.html, conceptmap.html; packages:
confluence.hl7.org "NPM Package Specification" (a gzipped tar, resources under package/)
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from terminology.loaders.archive import Archive, Unreadable
from terminology.loaders.release import Format, Options
from terminology.writing import IS_A, LOADED, SHIPPED, ConceptRow, EdgeRow, MapRow, MemberRow, SystemRow, Writer

_NARRATIVE = ("text", "meta", "contained", "extension")


def resources(path: Path) -> Iterator[Mapping[str, Any]]:
    """The terminology resources of a package, examples left out; what is no JSON is passed over.

    Raises: Unreadable where the file is no gzipped tar.
    """
    for name, found in _entries(path):
        if "example" not in name.split("/")[:-1] and found.get("resourceType") in _WRITERS and found.get("url"):
            yield found


def _entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with tarfile.open(path, "r|gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.name.endswith(".json") and entry.isfile() else None
                try:
                    found = json.load(file) if file else None
                except (ValueError, RecursionError):
                    continue
                if isinstance(found, Mapping):
                    yield entry.name, found
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path.name} is no gzipped tar") from error


def _manifest(archive: Archive) -> Mapping[str, Any]:
    told = next((found for name, found in _entries(archive.path) if name == "package/package.json"), None)
    if told is None or not told.get("name") or not told.get("version"):
        raise Unreadable(f"{archive.path.name} has no package.json with a name and a version")
    return told


def _write(writer: Writer, archive: Archive, system: SystemRow, options: Options) -> None:
    licence = str(_manifest(archive).get("license", ""))
    for resource in resources(archive.path):
        write_resource(writer, resource, licence, LOADED, sha256=system.sha256, loaded_at=system.loaded_at)


def write_resource(
    writer: Writer, resource: Mapping[str, Any], licence: str = "", origin: str = SHIPPED, **stamp: str
) -> None:
    """One resource; one of another type, or a system that lists no code, is passed over.

    stamp: sha256 and loaded_at of the package.
    """
    kind = str(resource.get("resourceType"))
    if kind in _WRITERS:
        _WRITERS[kind](writer, resource, licence, origin, stamp)


def _code_system(
    writer: Writer, resource: Mapping[str, Any], licence: str, origin: str, stamp: Mapping[str, str]
) -> None:
    concepts = resource.get("concept")
    content = str(resource.get("content", ""))
    if not concepts or content not in ("complete", "fragment"):
        return
    url, version = str(resource["url"]), str(resource.get("version", ""))
    name = str(resource.get("title") or resource.get("name") or "")
    row = SystemRow(
        url, version, name, content, licence, str(resource.get("copyright", "")), origin=origin, **stamp
    )
    writer.remove_system(url, version)
    number = writer.system(row)
    nested = list(_nested(concepts, None))
    writer.concepts(number, (_concept(concept) for concept, _ in nested))
    writer.edges(number, (EdgeRow(str(c["code"]), IS_A, parent) for c, parent in nested if parent))
    writer.edges(
        number,
        (
            EdgeRow(str(concept["code"]), IS_A, str(told.get("valueCode")))
            for concept, _ in nested
            for told in concept.get("property", ())
            if told.get("code") in ("parent", "subsumedBy")
        ),
    )
    writer.close(number)


def _nested(concepts: Any, parent: str | None) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    waiting = [(concept, parent) for concept in reversed(concepts)]
    while waiting:
        concept, above = waiting.pop()
        if "code" in concept:
            yield concept, above
            waiting += [(child, str(concept["code"])) for child in reversed(concept.get("concept", ()))]


def _concept(concept: Mapping[str, Any]) -> ConceptRow:
    told = [(str(p.get("code")), *_value(p)) for p in concept.get("property", ())]
    if "definition" in concept:
        told.append(("definition", str(concept["definition"]), "string"))
    return ConceptRow(
        str(concept["code"]),
        str(concept.get("display", "")),
        active=not any((name == "inactive" and value == "true") or (name == "status" and value in _GONE)
                       for name, value, _ in told),
        designations=tuple(
            (str(d.get("use", {}).get("code", "synonym")), str(d.get("value", "")))
            for d in concept.get("designation", ())
        ),
        properties=tuple(told),
    )  # fmt: skip


_GONE = frozenset(("retired", "inactive", "deprecated"))


def _value(told: Mapping[str, Any]) -> tuple[str, str]:
    for key, value in told.items():
        if key.startswith("value"):
            kind = key[5].lower() + key[6:]
            if isinstance(value, Mapping):
                return str(value.get("code", "")), "Coding"
            return (str(value).lower() if isinstance(value, bool) else str(value)), kind
    return "", "string"


def _value_set(
    writer: Writer, resource: Mapping[str, Any], licence: str, origin: str, stamp: Mapping[str, str]
) -> None:
    body = {key: value for key, value in resource.items() if key not in _NARRATIVE}
    writer.value_set(body, _members(body), origin)


def _members(body: Mapping[str, Any]) -> list[MemberRow] | None:
    """Every code of a set that names each one; None for one that must be worked out."""
    compose = body.get("compose")
    if not compose:
        listed = body.get("expansion", {}).get("contains")
        return list(_contained(listed)) if listed else None
    if "exclude" in compose:
        return None
    members = []
    for include in compose.get("include", ()):
        if "concept" not in include or "filter" in include or "valueSet" in include or "system" not in include:
            return None
        system, version = str(include["system"]), str(include.get("version", ""))
        members += [
            MemberRow(system, version, str(concept["code"]), str(concept.get("display", "")))
            for concept in include["concept"]
        ]
    return members


def _contained(listed: Any) -> Iterator[MemberRow]:
    waiting = list(reversed(listed))
    while waiting:
        entry = waiting.pop()
        if "code" in entry and not entry.get("abstract"):
            told = (str(entry.get(key, "")) for key in ("system", "version", "code", "display"))
            yield MemberRow(*told)
        waiting += reversed(entry.get("contains", ()))


def _concept_map(
    writer: Writer, resource: Mapping[str, Any], licence: str, origin: str, stamp: Mapping[str, str]
) -> None:
    body = {key: value for key, value in resource.items() if key not in (*_NARRATIVE, "group")}
    rows = (
        MapRow(
            str(group.get("source", "")),
            str(element["code"]),
            str(group.get("target", "")),
            str(target.get("code", "")),
            str(target.get("equivalence", "relatedto")),
        )
        for group in resource.get("group", ())
        for element in group.get("element", ())
        for target in element.get("target", ())
        if "code" in element
    )
    name = str(resource.get("title") or resource.get("name") or "")
    writer.concept_map(str(resource["url"]), str(resource.get("version", "")), name, rows, body, origin)


_WRITERS = {"CodeSystem": _code_system, "ValueSet": _value_set, "ConceptMap": _concept_map}

FORMAT = Format(
    SystemRow("", "", "FHIR package", "complete", ""),
    lambda archive: archive.size([]),
    _write,
    lambda archive: str(_manifest(archive)["version"]),
    lambda archive: str(_manifest(archive)["name"]),
)
