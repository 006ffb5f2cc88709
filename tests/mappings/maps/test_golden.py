"""Every golden message: what its assertions say is true, the result is valid R4 and as it was last looked at.

Messages, assertions and results stand in `golden/`; `baton map test tests/mappings/maps/golden --update` shows
what a change of the maps changes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mappings.authoring import golden
from mappings.authoring.explain import explain
from mappings.hl7v2.message import parse

TESTS = golden.find([Path(__file__).with_name("golden")])
BY_NAME = pytest.mark.parametrize("test", TESTS, ids=lambda test: test.path.stem)


@BY_NAME
def test_result_is_as_asserted_valid_and_unchanged(test, maps, faults_of) -> None:
    mapped = test.run(maps)
    assert list(golden.faults(test, mapped, faults_of)) == []
    assert golden.difference(test, mapped) == ""


@BY_NAME
@pytest.mark.requirement("explain")
def test_every_element_has_a_rule_and_every_component_a_fate(test, maps) -> None:
    message = parse(test.message)
    found = explain(message, test.run(maps))
    assert found.unexplained == ()
    assert all(entry.became or entry.decided or entry.note for entry in found.inputs)


@BY_NAME
def test_the_same_message_gives_the_same_result(test, maps) -> None:
    assert test.run(maps) == test.run(maps)


@BY_NAME
def test_references_lead_to_resources_of_the_message(test, maps) -> None:
    mapped = test.run(maps)
    keys = {intent.key for intent in mapped.intents}
    led_to = set(re.findall(r'"#intent:([^"]*)"', golden.as_golden(mapped)))
    assert led_to <= keys


def test_every_rule_of_the_specification_that_is_covered_is_named() -> None:
    named = {requirement for test in TESTS for requirement in test.requirements}
    covered = {"2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.8", "2.9", "2.10", "2.11", "6"}
    assert covered <= named
