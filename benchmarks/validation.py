"""What reading and validating cost: microseconds a resource, beside msgspec's bare decoding.

    python benchmarks/validation.py [ROUNDS]        default: 7

Resources: the US Core 7.0.0 examples of the tests and the entries of the synthetic charts, up to 40 a type.
"bare" decodes to float and finds no fault; "decode" keeps decimals and the limits; "validate" is the quick
answer for a valid resource (for most examples half of it goes into their narrative, so the column "no
narrative" leaves that out); "explain" is the slow half on the same resource with one wrong code.
Each figure is the median over the type of the fastest of ROUNDS, in CPU time of this process.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from server.fhir.json_codec import decode, encode
from server.fhir.validation import validate

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "tests" / "server" / "fhir" / "examples_us_core" / "us_core_7_0_0.ndjson.gz"
CHARTS = ROOT / "server" / "demo_data" / "patients"
SHOWN = (
    "Patient",
    "Observation",
    "MedicationRequest",
    "CarePlan",
    "Goal",
    "Encounter",
    "Condition",
    "Immunization",
    "DiagnosticReport",
    "Questionnaire",
)
A_TYPE = 40
CALLS = 20


def resources() -> Iterator[dict[str, Any]]:
    for line in gzip.decompress(EXAMPLES.read_bytes()).splitlines():
        yield decode(line)
    for chart in sorted(CHARTS.glob("*.json.gz")):
        for entry in decode(gzip.decompress(chart.read_bytes()))["entry"]:
            yield entry["resource"]


def microseconds(function: Callable[[Any], object], value: Any, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(CALLS):
            function(value)
        best = min(best, time.process_time_ns() - began)
    return best / CALLS / 1000


def row(group: list[dict[str, Any]], rounds: int) -> list[float]:
    columns: list[list[float]] = [[] for _ in range(6)]
    for resource in group:
        data = encode(resource)
        silent = {key: value for key, value in resource.items() if key != "text"}
        broken = resource | {"language": " "}
        for column, figure in zip(
            columns,
            (
                len(data),
                microseconds(msgspec.json.decode, data, rounds),
                microseconds(decode, data, rounds),
                microseconds(validate, resource, rounds),
                microseconds(validate, silent, rounds),
                microseconds(validate, broken, rounds),
            ),
            strict=True,
        ):
            column.append(figure)
    return [statistics.median(column) for column in columns]


def main(rounds: int) -> None:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in resources():
        if len(groups[resource["resourceType"]]) < A_TYPE:
            groups[resource["resourceType"]].append(resource)
    print(f"{'type':20}{'bytes':>8}{'bare':>8}{'decode':>8}{'validate':>10}{'no narrative':>14}{'explain':>9}")
    for name in SHOWN:
        size, bare, decoding, validating, silent, explaining = row(groups[name], rounds)
        print(
            f"{name:20}{size:8.0f}{bare:8.1f}{decoding:8.1f}{validating:10.1f}{silent:14.1f}{explaining:9.1f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
