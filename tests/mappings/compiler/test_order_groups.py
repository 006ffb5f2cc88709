"""What orders need of the language: the nearest segment, tests for groups, objects that need a member."""

from __future__ import annotations

RDE = "MSH|^~\\&|A|F|B|C|20260215093000Z||RDE^O11^RDE_O11|1|P|2.5.1"
START = """  - foreach: ORDER
    rules:
      - resource: MedicationAdministration
        as: m
        rules:
"""
STATUS = "          - {to: status, from: RXE-2.1, table: {'*': completed}}\n"
ORDER = ("ORC|NW|1", "RXO|1^asked", "RXR|SL", "RXE||2^encoded")


def only(mapped):
    (intent,) = mapped.intents
    return intent.resource


def test_a_path_means_the_segment_of_the_group_itself_before_those_of_inner_groups(run) -> None:
    rules = START + STATUS + "          - {to: statusReason, from: RXR-1, using: cwe}\n"
    both = run(rules, *ORDER, "RXR|PO", header=RDE)
    assert only(both)["statusReason"] == [{"coding": [{"code": "PO"}]}]
    assert only(run(rules, *ORDER, header=RDE))["statusReason"] == [{"coding": [{"code": "SL"}]}]


def test_on_the_way_out_too_the_nearest_segment_is_meant(run) -> None:
    rules = (
        START + STATUS + "          - {foreach: TIMING_ENCODED, to: statusReason, from: RXR-1, using: cwe}\n"
    )
    mapped = run(rules, *ORDER, "TQ1|1||BID", "RXR|PO", header=RDE)
    assert only(mapped)["statusReason"] == [{"coding": [{"code": "PO"}]}]


def test_a_group_that_is_there_and_one_that_is_not(run) -> None:
    rules = (
        START
        + STATUS
        + "          - {to: note, const: {text: timed}, when: {group: [TIMING, TIMING_ENCODED]}}\n"
        + "          - {to: note, const: {text: untimed}, when: {group: {not: [TIMING, TIMING_ENCODED]}}}\n"
    )
    assert only(run(rules, *ORDER, "TQ1|1||BID", header=RDE))["note"] == [{"text": "timed"}]
    assert only(run(rules, *ORDER, header=RDE))["note"] == [{"text": "untimed"}]


def test_a_group_that_no_structure_has_is_a_mistake(problems_of) -> None:
    text = "map: X\nfor: RDE^O11\nrules:\n  - {warn: no-map, when: {group: TIMIN}}\n"
    assert any("no group 'TIMIN'; did you mean 'TIMING'" in problem for problem in problems_of(m=text))


def test_an_object_without_a_member_that_it_needs_is_not_written(run) -> None:
    rules = (
        START
        + STATUS
        + "          - to: dosage\n            needs: ['dose | rate[x]']\n            rules:\n"
        + "              - {to: route, from: RXR-1, using: cwe}\n"
        + "              - {to: dose, from: RXE-3, using: amount}\n"
        + "              - {to: rateQuantity, from: RXE-25, using: amount}\n"
    )
    bare = run(rules, *ORDER, header=RDE)
    assert "dosage" not in only(bare)
    assert not any(".dosage" in step.path for step in bare.steps)
    given = only(run(rules, *ORDER[:3], "RXE||2|5", header=RDE))
    assert set(given["dosage"]) == {"route", "dose"}
    rated = only(run(rules, *ORDER[:3], "RXE||2|||||||||||||||||||||||5", header=RDE))
    assert set(rated["dosage"]) == {"route", "rateQuantity"}


def test_a_member_that_the_object_cannot_have_is_a_mistake(problems_of) -> None:
    rules = START + STATUS + "          - {to: dosage, needs: [dosis], rules: [{to: text, from: RXE-2.1}]}\n"
    text = f"map: X\nfor: RDE^O11\nrules:\n{rules}"
    assert any("has no 'dosis'; did you mean 'dose'" in problem for problem in problems_of(m=text))


def test_an_object_may_need_several_members_at_once(run) -> None:
    rules = (
        START
        + STATUS
        + "          - to: dosage.rateRatio\n            needs: [numerator, denominator]\n            rules:\n"
        + "              - {to: numerator, from: RXE-3, using: amount}\n"
        + "              - {to: denominator, from: RXE-25, using: amount}\n"
    )
    assert "dosage" not in only(run(rules, *ORDER[:3], "RXE||2|5", header=RDE))
    both = only(run(rules, *ORDER[:3], "RXE||2|5||||||||||||||||||||||7", header=RDE))
    assert set(both["dosage"]["rateRatio"]) == {"numerator", "denominator"}
