"""What questions to the terminology's file cost: microseconds each, in process, and what building it costs.

    python benchmarks/vocabulary.py [QUESTIONS]        default: 2000

The file is built in a directory of its own. Codes are drawn with a fixed seed from the whole of each system, so
that pages of the file are not always warm. p50 and p99 of the wall clock; `look up` is all of a concept, its
properties, names and neighbours.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from terminology.concepts import Concepts
from terminology.rxnorm import RxNorm
from terminology.store import Store, build
from terminology.systems import ICD_10_CM, NDC, RXNORM, SNOMED_CT

WORDS = ("metf", "lisinopril 10", "insulin glar", "atorva 20 tab", "warf", "24 hr metop", "levoth", "amox 500")


def main(questions: int = 2000) -> None:
    """Build, ask, print a table."""
    with tempfile.TemporaryDirectory() as directory:
        wall, cpu = time.perf_counter(), time.process_time()
        path = build(Path(directory))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"build {wall:.1f} s ({cpu:.1f} s CPU), {path.stat().st_size / 1e6:.1f} MB")
        for name, ask, values in _questions(path, questions):
            p50, p99 = _timed(ask, values)
            print(f"{name:<44}{p50:>9.1f}{p99:>10.1f}")


def _questions(path: Path, count: int) -> list[tuple[str, Callable[[str], object], list[str]]]:
    concepts, store = Concepts(path), Store(path)
    rxnorm, draw = RxNorm(store), random.Random(20261122)

    def some(system: str) -> list[str]:
        return [concept.code for concept in draw.choices(concepts.every(system), k=count)]

    drugs, diagnoses, findings = some(RXNORM), some(ICD_10_CM), some(SNOMED_CT)
    ndcs = [f"{draw.randrange(10**11):011}" for _ in range(count // 2)] + ["16729030216"] * (count // 2)
    words = draw.choices(WORDS, k=min(count, 400))
    return [
        ("look up, RxNorm", lambda code: concepts.lookup(RXNORM, code), drugs),
        ("look up, ICD-10-CM", lambda code: concepts.lookup(ICD_10_CM, code), diagnoses),
        ("look up, SNOMED CT", lambda code: concepts.lookup(SNOMED_CT, code), findings),
        ("validate a code, RxNorm", lambda code: concepts.find(RXNORM, code), drugs),
        ("subsumes, ICD-10-CM", lambda code: concepts.is_a(ICD_10_CM, code[:3], code), diagnoses),
        ("translate to ingredients, RxNorm", lambda code: concepts.translate(RXNORM, code, RXNORM), drugs),
        ("translate an NDC", lambda code: concepts.translate(NDC, code, RXNORM), ndcs),
        ("search by words, 20 of all, RxNorm", lambda text: concepts.search(RXNORM, text), words),
        ("drug, resolved, not cached", rxnorm._drug, drugs),
    ]


def _timed(ask: Callable[[str], object], values: list[str]) -> tuple[float, float]:
    """p50 and p99 in microseconds."""
    taken = []
    for value in values:
        began = time.perf_counter()
        ask(value)
        taken.append((time.perf_counter() - began) * 1e6)
    cut = statistics.quantiles(taken, n=100)
    return cut[49], cut[98]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
