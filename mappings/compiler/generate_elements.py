"""Generate the R4 tables that maps are checked against: python -m mappings.compiler.generate_elements

Reads server/fhir/generated (run `python -m server.fhir.generate_validators` before), writes r4.json.gz here:
    types     type -> property -> its row (see `elements.Element`), for resources, data types and inner elements
    required  type -> properties, or choices, that must be there
    codes     value set of a required binding -> its codes
`mappings` does not import the server, so it has a copy of what it needs. Deterministic.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_GENERATED = _HERE.parent.parent / "server" / "fhir" / "generated"
TARGET = _HERE / "r4.json.gz"


def generate(source: Path = _GENERATED) -> bytes:
    """The compressed tables."""
    types: dict[str, Any] = {}
    required: dict[str, list[str]] = {}
    for path in sorted((source / "elements").glob("*.json")):
        for name, described in json.loads(path.read_text("utf-8")).items():
            rows = described["elements"]
            types[name] = {element: _row(row) for element, row in rows.items()}
            must = {row.get("choice", element) for element, row in rows.items() if row.get("required")}
            if must:
                required[name] = sorted(must)
    sets = {row["codes"] for rows in types.values() for row in rows.values() if "codes" in row}
    listed = json.loads((source / "codes.json").read_text("utf-8"))
    codes = {name: _codes(listed[name]) for name in sorted(sets) if _codes(listed[name])}
    text = json.dumps(
        {"types": types, "required": required, "codes": codes}, separators=(",", ":"), sort_keys=True
    )
    return gzip.compress(text.encode(), 9, mtime=0)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("type", "list", "choice", "codes", "targets") if row.get(key)}


def _codes(systems: dict[str, Any]) -> list[str]:
    """No codes where the value set is a rule instead of a list."""
    return sorted({code for listed in systems.values() if isinstance(listed, list) for code in listed})


if __name__ == "__main__":
    TARGET.write_bytes(generate())
