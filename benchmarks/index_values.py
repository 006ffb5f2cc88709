"""Microseconds to index one resource, by type: `python benchmarks/index_values.py`.

Over the demonstration charts; each resource once a round, so that caches see what an import sees. The best of
five rounds is shown: what the code costs when nothing else runs.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from server.fhir.index_values import index_values

CHARTS = Path(__file__).parent.parent / "server" / "demo_data" / "patients"
ROUNDS = 5


def charts(limit: int = 6) -> dict[str, list[dict[str, Any]]]:
    """Resources of the first charts, by type."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(CHARTS.glob("*.json.gz"))[:limit]:
        bundle = json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)
        for entry in bundle["entry"]:
            found[entry["resource"]["resourceType"]].append(entry["resource"])
    return found


def measure(resources: list[dict[str, Any]]) -> float:
    """Microseconds a resource."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for resource in resources:
            index_values(resource, base_url="http://127.0.0.1:8000/fhir", time_zone="America/New_York")
        best = min(best, time.process_time() - start)
    return best / len(resources) * 1e6


def main() -> None:
    """Print the table."""
    print(f"{'type':<24}{'resources':>10}{'us each':>10}{'rows each':>11}")
    for resource_type, resources in sorted(charts().items()):
        rows = 0
        for resource in resources:
            index = index_values(resource)
            parts = (index.tokens, index.strings, index.dates, index.quantities, index.uris, index.references)
            rows += sum(map(len, parts))
        microseconds = measure(resources)
        print(f"{resource_type:<24}{len(resources):>10}{microseconds:>10.1f}{rows / len(resources):>11.1f}")


if __name__ == "__main__":
    main()
