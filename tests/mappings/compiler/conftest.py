"""Maps given as text, compiled alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mappings.compiler.library import of_texts
from mappings.compiler.program import Program, compile_library
from mappings.engine import MapSet
from mappings.hl7v2.message import parse
from mappings.result import Mapped, Source
from mappings.tables import tables

HEADER = "MSH|^~\\&|A|F|B|C|20260215093000Z||ADT^A01|1|P|2.5.1"


def compiled(**files: str) -> tuple[Program, list[str]]:
    library = of_texts([(f"{name}.yaml", text) for name, text in files.items()])
    program, problems = compile_library(library, tables())
    return program, [str(problem) for problem in problems]


@pytest.fixture
def problems_of() -> Callable[..., list[str]]:
    """What is said of files by name (without .yaml) and text."""
    return lambda **files: compiled(**files)[1]


@pytest.fixture
def run() -> Callable[..., Mapped]:
    """What a map (YAML of its rules, indented by two) makes of segments after MSH; mistakes fail the test."""

    def run(
        rules: str, *segments: str, source: Source | None = None, header: str = HEADER, **files: str
    ) -> Mapped:
        kind = "^".join(header.split("|")[8].split("^")[:2])
        program, problems = compiled(m=f"map: X\nfor: {kind}\nrules:\n{rules}", **files)
        assert [problem for problem in problems if "warning" not in problem] == []
        maps = MapSet("test", program, {})
        message = parse("\r".join((header, *segments)).encode())
        received = datetime(2026, 3, 1, 12, tzinfo=UTC)
        mapped = maps.run(message, source or Source("s"), received=received)
        assert mapped.refused is None or mapped.refused.code != "map-failed", mapped.refused
        return mapped

    return run
