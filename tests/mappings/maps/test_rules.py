"""Every rule of the maps is at work in a golden message; every rule of what messages mean has a test.

`rules.toml` lists the latter, section by section; golden messages name their sections as `requirement`.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from mappings.authoring import golden
from mappings.engine import MapSet
from mappings.result import Mapped
from mappings.running.writing import ValueRule

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
RULES = tomllib.loads((HERE / "rules.toml").read_text("utf-8"))
# The product of a listed medication is that of its request, of which all is said when the statement comes.
NEVER_FIRST = {"segments/RXE_statement.yaml code"}


@pytest.fixture(scope="module")
def results(maps: MapSet) -> list[tuple[golden.GoldenTest, Mapped]]:
    """Every golden message with what the maps make of it."""
    return [(test, test.run(maps)) for test in golden.find([HERE / "golden"])]


def rules_in(value: Any, seen: set[int]) -> Iterator[ValueRule]:
    """The rules that write values, of maps as they are compiled."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from rules_in(item, seen)
    elif isinstance(value, dict):
        yield from rules_in(list(value.values()), seen)
    elif is_dataclass(value) and type(value).__module__.startswith("mappings.") and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, ValueRule):
            yield value
        for field in fields(value):
            yield from rules_in(getattr(value, field.name), seen)


def test_every_rule_of_a_map_is_at_work_in_a_golden_message(maps: MapSet, results: Any) -> None:
    written = {rule.where: rule.target.spelled for rule in rules_in(maps.base.maps, set())}
    assert len(written) > 800
    at_work = {step.rule for _, mapped in results for step in mapped.steps}
    idle = {f"{where.rpartition(':')[0]} {path}" for where, path in written.items() if where not in at_work}
    assert idle == NEVER_FIRST


def made(results: Any) -> dict[str, set[tuple[str, str]]]:
    """Section -> what its golden messages show: (field, element)."""
    shown: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for test, mapped in results:
        pairs = {
            (re.sub(r"\[\d+\]", "", position).partition(".")[0], re.sub(r"\[\d+\]", "", step.path))
            for step in mapped.steps
            if step.path
            for position in step.positions
        }
        for section in test.requirements:
            shown[section] |= pairs
    return shown


def test_every_field_that_a_rule_names_becomes_its_element_in_a_golden_message(results: Any) -> None:
    shown = made(results)
    missing = []
    for section, rule in RULES.items():
        for text in rule["fields"]:
            source, element = text.split(" ")
            if not any(
                found == source and (path == element or path.startswith((f"{element}.", f"{element}[")))
                for found, path in shown[section]
            ):
                missing.append(f"{section} {text}")
    assert missing == []


def test_every_other_rule_has_its_tests() -> None:
    folders = (TESTS / "mappings", TESTS / "server" / "hl7v2")
    known = {
        name
        for folder in folders
        for path in folder.rglob("test_*.py")
        for name in re.findall(r"^def test_(\w+)\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert [name for rule in RULES.values() for name in rule["tests"] if name not in known] == []
    assert set(RULES) == {"2", *(f"2.{number}" for number in range(1, 12))}
