"""Rules whose fields are empty are passed over (mappings/running/rules.py): nothing is lost with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings import tables
from mappings.authoring import golden
from mappings.compiler.library import read
from mappings.compiler.program import compile_library
from mappings.engine import BASE, MapSet
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.running import rules, writing
from mappings.running.alternatives import Constant, FromText
from mappings.running.conditions import Condition, Is, IsFilled
from mappings.running.source_path import parse as parse_path
from mappings.running.target import Target
from mappings.running.writing import ValueRule

TESTS = golden.find([Path(__file__).with_name("golden")])


@pytest.fixture(scope="module")
def patient_maps() -> MapSet:
    """The maps that ship, with every rule run in every message."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (rules, writing):
            patch.setattr(module, "fields_of", lambda rule: frozenset())
        program, _ = compile_library(read(BASE), tables.tables())
    return MapSet("", program, {})


def test_a_message_gives_what_it_gives_where_every_rule_is_run(maps, patient_maps) -> None:
    source = Source("one", "UTC")
    for test in TESTS:
        found, expected = (
            one.run(parse(test.message), source, received=test.received) for one in (maps, patient_maps)
        )
        for member in ("intents", "merges", "steps", "findings", "unread", "refused"):
            assert getattr(found, member) == getattr(expected, member), (test.path.stem, member)


def test_a_rule_lives_on_the_field_that_it_reads_unless_it_has_a_default() -> None:
    path = parse_path("PID-8")
    assert path is not None
    target = Target("gender", (), "gender", is_list=False)
    reading = FromText(path, "code")
    assert rules.fields_of(ValueRule("map.yaml:1", target, (reading,))) == {("PID", 8)}
    assert rules.fields_of(ValueRule("map.yaml:1", target, (reading,), Constant("unknown"))) == frozenset()


def test_a_rule_with_a_condition_lives_on_what_that_asks_for() -> None:
    path = parse_path("PID-30")
    assert path is not None
    target = Target("active", (), "active", is_list=False)
    for test, fields in (
        (Is(path, frozenset("Y")), {("PID", 30)}),
        (Is(path, frozenset("Y"), negated=True), set()),
        (IsFilled(path, "valued"), {("PID", 30)}),
        (IsFilled(path, "null"), {("PID", 30)}),
        (IsFilled(path, "empty"), set()),
    ):
        rule = ValueRule("map.yaml:1", target, (Constant(False),), when=Condition((test,)))
        assert rules.fields_of(rule) == fields
