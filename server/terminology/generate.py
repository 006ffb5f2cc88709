"""Compile HL7's terminology file into the definitions this package ships.

    python -m server.terminology.generate TERMINOLOGY.ndjson.gz

writes data/r4.zip: every CodeSystem, ValueSet and ConceptMap of R4 with what the terminology operations need;
narrative, descriptions, contacts and definitions of concepts are left out, copyright notices are kept. Same
input, same bytes. Needed only when HL7's file changes.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from server.terminology.shipped import DATA

# The elements that are kept, in this order.
_RESOURCE = (
    "resourceType", "url", "version", "name", "title", "status", "copyright", "caseSensitive", "content",
    "supplements", "hierarchyMeaning", "valueSet", "property", "filter", "compose", "sourceUri",
    "sourceCanonical", "targetUri", "targetCanonical", "group",
)  # fmt: skip
_CONCEPT = ("code", "display", "designation", "property")
_TYPES = ("CodeSystem", "ConceptMap", "ValueSet")
# Characters of a block: larger ones compress better, smaller ones are read faster.
_BLOCK = 64 * 1024


def compile_definitions(resources: Iterable[Mapping[str, Any]]) -> bytes:
    """The archive of all CodeSystems, ValueSets and ConceptMaps among the resources.

    Raises: ValueError where two have the same url.
    """
    index: dict[str, dict[str, Any]] = {name: {} for name in (*_TYPES, "from", "to", "whole")}
    blocks: list[list[str]] = [[]]
    kept = [r for r in resources if r["resourceType"] in _TYPES and _is_of_r4(r)]
    for resource in sorted(kept, key=lambda r: (r["resourceType"], r["url"])):
        if sum(map(len, blocks[-1])) > _BLOCK:
            blocks.append([])
        known = index[resource["resourceType"]]
        if resource["url"] in known:
            raise ValueError(f"{resource['url']} is defined twice")
        known[resource["url"]] = [f"{len(blocks) - 1:03}.ndjson", len(blocks[-1])]
        if "valueSet" in resource and resource["resourceType"] == "CodeSystem":
            index["whole"].setdefault(resource["valueSet"].partition("|")[0], resource["url"])
        for group in resource.get("group", ()):
            index["from"].setdefault(group.get("source", ""), []).append(resource["url"])
            index["to"].setdefault(group.get("target", ""), []).append(resource["url"])
        blocks[-1].append(_json(_reduced(resource)))
    archive = io.BytesIO()
    with ZipFile(archive, "w") as file:
        _write(file, "index.json", _json(index))
        for number, lines in enumerate(blocks):
            _write(file, f"{number:03}.ndjson", "\n".join(lines))
    return archive.getvalue()


def _is_of_r4(resource: Mapping[str, Any]) -> bool:
    """The package adds definitions of a later release and of CDS Hooks, and a name for SNOMED CT that defines
    nothing; R4's examples of concept maps are no translations to rely on."""
    if resource["resourceType"] == "ConceptMap":
        return resource["url"].startswith("http://hl7.org/fhir/") and not resource.get("experimental")
    return not resource.get("version", "").startswith("5.") and resource["url"] != "http://snomed.info/sct"


def _reduced(resource: Mapping[str, Any]) -> dict[str, Any]:
    reduced = {key: resource[key] for key in _RESOURCE if key in resource}
    if "concept" in resource:
        reduced["concept"] = list(_concepts(resource["concept"]))
    return reduced


def _concepts(concepts: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for concept in concepts:
        reduced = {key: concept[key] for key in _CONCEPT if key in concept}
        if concept.get("concept"):
            reduced["concept"] = list(_concepts(concept["concept"]))
        yield reduced


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write(archive: ZipFile, name: str, text: str) -> None:
    member = ZipInfo(name)  # its time stays 1980, so that the bytes depend on the input alone
    member.compress_type = ZIP_DEFLATED
    archive.writestr(member, text.encode(), compresslevel=9)


if __name__ == "__main__":
    with gzip.open(Path(sys.argv[1]), "rt", encoding="utf-8") as lines:
        DATA.write_bytes(compile_definitions(json.loads(line) for line in lines))
