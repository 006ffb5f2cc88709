"""docs/reference/mapping-language.md names every word of the language and every command, and no other."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from mappings.cli import map_group
from mappings.compiler import conditions, library, resources, rules, values
from mappings.compiler.program import compile_library
from mappings.engine import BASE
from mappings.tables import tables

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mapping-language.md").read_text("utf-8")
NAMED = set(
    re.findall(
        r"[a-z_]+",
        " ".join(re.findall(r"`([^`]*)`", PAGE)) + " ".join(re.findall(r"```yaml(.*?)```", PAGE, re.S)),
    )
)


def test_every_word_is_described() -> None:
    words = {
        *rules.WORDS,
        *values.WORDS,
        *values.CLOCKS,
        *conditions.WORDS,
        *conditions.STATES,
        *resources.WORDS,
        *resources.WRITES,
        *resources.UNIDENTIFIED,
        *library.KINDS,
    }
    assert words - NAMED == set()


def test_the_examples_compile() -> None:
    blocks = [textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    whole = [block for block in blocks if block.startswith("map:")]
    lists = [block for block in blocks if block.startswith("- ")]
    changes = [block for block in blocks if block.startswith("extends:")]
    assert len(whole) + len(lists) + len(changes) == len(blocks) == 3
    examples = [(f"{number}.yaml", text) for number, text in enumerate((*whole, *changes))]
    for number, block in enumerate(lists):
        rules = "rules:\n- use: PID_known\n" + block
        examples.append((f"rules{number}.yaml", f"map: X{number}\nfor: ZZZ^Z{number:02}\n{rules}"))
    _, problems = compile_library(library.of_texts(examples).over(library.read(BASE)), tables())
    assert [str(problem) for problem in problems if not problem.is_warning] == []


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^\| `baton map ([a-z]+)", PAGE, re.M))
    assert described == set(map_group.commands)
