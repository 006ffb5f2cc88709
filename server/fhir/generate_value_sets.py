"""Reduce HL7's terminology file to what the required bindings of R4 need.

    python -m server.fhir.generate_value_sets TERMINOLOGY.ndjson.gz

writes definitions/required-value-sets.ndjson.gz: every ValueSet that an element of R4 is bound to with
strength `required`, the ValueSets these include, and the CodeSystems included as a whole, without
anything but url, version, copyright and the codes. Same input, same bytes. Needed only when HL7's files
change; `make generate` starts from the reduced file.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEFINITIONS = Path(__file__).parent / "definitions"
STRUCTURES = DEFINITIONS / "structure-definitions.ndjson.gz"
VALUE_SETS = DEFINITIONS / "required-value-sets.ndjson.gz"


def read_ndjson(path: Path) -> Iterator[dict[str, Any]]:
    """The resources of a gzipped NDJSON file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def reduce_terminology(terminology: Path) -> bytes:
    """The reduced terminology as gzipped NDJSON, ordered by url."""
    resources = {
        r["url"]: r for r in read_ndjson(terminology) if r["resourceType"] in ("ValueSet", "CodeSystem")
    }
    wanted = _required_value_sets()
    kept: dict[str, dict[str, Any]] = {}
    while wanted:
        url = wanted.pop()
        resource = resources.get(url)
        if url in kept or resource is None:
            continue
        if resource["resourceType"] == "CodeSystem":
            kept[url] = _head(resource) | {
                "concept": [{"code": code} for code in _codes(resource.get("concept", []))]
            }
            continue
        includes = [_include(row) for row in resource.get("compose", {}).get("include", [])]
        kept[url] = _head(resource) | {"compose": {"include": includes}}
        for row in includes:
            wanted.update(canonical.split("|")[0] for canonical in row.get("valueSet", []))
            if "concept" not in row and "system" in row:
                wanted.add(row["system"])
    text = "".join(json.dumps(kept[url], ensure_ascii=False) + "\n" for url in sorted(kept))
    return gzip.compress(text.encode(), mtime=0)


def _required_value_sets() -> set[str]:
    return {
        element["binding"]["valueSet"].split("|")[0]
        for structure in read_ndjson(STRUCTURES)
        if structure["resourceType"] == "StructureDefinition"
        for element in structure["snapshot"]["element"]
        if element.get("binding", {}).get("strength") == "required"
    }


def _head(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: resource[key] for key in ("resourceType", "url", "version", "copyright") if key in resource}


def _include(row: dict[str, Any]) -> dict[str, Any]:
    reduced: dict[str, Any] = {key: row[key] for key in ("system", "valueSet", "filter") if key in row}
    if "concept" in row:
        reduced["concept"] = [{"code": concept["code"]} for concept in row["concept"]]
    return reduced


def _codes(concepts: list[dict[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))


if __name__ == "__main__":
    VALUE_SETS.write_bytes(reduce_terminology(Path(sys.argv[1])))
