"""What the compiler says of mistakes: file, line, column, and what was probably meant.

docs/reference/mapping-language.md is the language.
"""

from __future__ import annotations

import pytest

START = "map: X\nfor: ADT^A01\nrules:\n"
PATIENT = "  - resource: Patient\n    as: patient\n    rules:\n"
WITH = START + PATIENT + "      - "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "m.yaml:1:1: the file is empty"),
        ("map: X\nfro: ADT^A01\nrules: []", "m.yaml:2:6: no word 'fro' here; did you mean 'for'?"),
        (
            "mapp: X\n",
            "a file starts with one of map, piece, extends, extensions, ranks, switches; did you mean 'map'?",
        ),
        ("map: X\nmap: Y\n", "m.yaml:2:1: 'map' stands twice"),
        ("map: X\nfor: &a ADT^A01\nrules: *b\n", "m.yaml:3:8: found undefined alias"),
        ("map: [X\n", "m.yaml:2:1: did not find expected ',' or ']'"),
        ("map: X\nfor: ADT-A01\nrules: []", "m.yaml:2:6: 'ADT-A01' is no message type: one is ADT^A01"),
        (
            START + "  - {resource: Patiant, as: p, rules: []}",
            "4:16: R4 has no resource 'Patiant'; did you mean 'Patient'?",
        ),
        (START + "  - {resource: Patient, rules: []}", "4:5: a resource has a name (`as`) and `rules`"),
        (START + "  - {usee: PID}", "a rule has one of the words"),
        (START + "  - {use: PIDD}", "no piece 'PIDD'; did you mean 'PID'?"),
        (WITH + "{to: gendre, from: PID-8}", "7:14: Patient has no 'gendre'; did you mean 'gender'?"),
        (WITH + "{to: name.family, from: PID-5}", "'name' is a list: write `to: name` with `rules:`"),
        (WITH + "{to: birthDate, from: PID-7}", "7:31: `using` says how this becomes a date"),
        (
            WITH + "{to: birthDate, from: PID-7, using: dtm_dat}",
            "7:45: no function 'dtm_dat'; did you mean 'dtm_date'?",
        ),
        (
            WITH + "{to: birthDate, from: PID-7, using: dtm}",
            "this gives dateTime, which does not go into 'birthDate' (date)",
        ),
        (WITH + "{to: identifier, from: PID-5, using: cx}", "'cx' reads CX; there is a XPN here"),
        (WITH + "{to: gender, from: PID-8, table: '0002'}", "R4 has no code"),
        (WITH + "{to: gender, from: PID-8, table: '00001'}", "no table '00001'; did you mean '0001'?"),
        (
            WITH + "{to: gender, from: PID-8, table: {F: femail}}",
            "R4 has no code 'femail' for 'gender'; did you mean 'female'?",
        ),
        (WITH + "{to: gender, const: girl}", "R4 has no code 'girl' for 'gender'"),
        (WITH + "{to: active, const: 'yes'}", "true or false"),
        (WITH + "{to: active, from: PID-99}", "PID has no field 99"),
        (WITH + "{to: gender, from: PDI-8}", "no segment 'PDI'; did you mean"),
        (WITH + "{to: gender, from: PID-3.99}", "CX has no component 99"),
        (WITH + "{to: gender, from: PID.8}", "'PID.8' is no place in a message"),
        (WITH + "{to: gender, from: .1}", "is read in a loop over repetitions"),
        (WITH + "{to: deceased, from: PID-30, using: yes_no}", "'deceased' has several types"),
        (WITH + "{to: managingOrganization, reference: org}", "no resource 'org' in this map"),
        (
            WITH + "{to: gender, from: PID-8, when: {trigger: A01, switch.nope: x}}",
            "no switch 'nope' in switches.yaml",
        ),
        (WITH + "{to: gender, from: PID-8, when: {source.prodution: x}}", "a source has no 'prodution'"),
        (WITH + "{to: extension.nope, from: PID-8}", "no extension 'nope' in extensions.yaml"),
        (START + "  - {to: gender, from: PID-8}", "`to` stands inside a `resource`"),
        (START + "  - {foreach: ODER, rules: []}", "no group 'ODER'; did you mean 'ORDER'?"),
        (START + "  - {refuse: nope}", "no finding 'nope' in findings.json"),
        (START + "  - {merge: Patient, survivor: a}", "a merge says which resource is the victim"),
        (
            START + "  - {resource: Encounter, as: e, rules: [{to: status, const: planned}]}",
            "warning: R4 demands 'class' of a Encounter; no rule writes it",
        ),
        (
            START + "  - {resource: Patient, as: p, write: merg, rules: []}",
            "one of merge, create, replace, retire; did you mean 'merge'?",
        ),
        (
            START + "  - {resource: Patient, as: p, lists: {name: joined}, rules: []}",
            "union, union:element,element or transfer",
        ),
        (
            START + "  - {resource: Patient, as: p, identity: [{of: [PID-99]}], rules: []}",
            "PID has no field 99",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(problems_of, text, said) -> None:
    found = problems_of(m=text, piece="piece: PID\nrules: []\n")
    assert [problem for problem in found if said in problem], found


def test_a_rule_that_is_never_reached_is_doubtful(problems_of) -> None:
    rules = "      - {to: gender, const: male, when: {PID-8: M}}\n      - {to: gender, const: female}\n"
    assert not any("never reached" in problem for problem in problems_of(m=START + PATIENT + rules))
    rules += "      - {to: gender, from: PID-8, table: '0001'}\n"
    found = problems_of(m=START + PATIENT + rules)
    assert found == ["m.yaml:9:9: warning: never reached: m.yaml:8 always fills 'gender'"]


def test_every_mistake_is_said_at_once(problems_of) -> None:
    rules = "      - {to: gendre, from: PID-8}\n      - {to: nam, from: PID-5}\n"
    found = problems_of(m=START + PATIENT + rules)
    assert [problem.split(":")[1] for problem in found] == ["7", "8"]


def test_texts_of_yaml_stay_texts(run) -> None:
    rules = PATIENT + "      - {to: name, const: {text: NO}}\n"
    rules += "      - {to: gender, from: PID-8, table: {Y: male, NO: female}}\n"
    mapped = run(rules, "PID|||||||| NO")
    assert mapped.intents[0].resource["name"] == [{"text": "NO"}]
    assert mapped.intents[0].resource["gender"] == "female"


def test_a_piece_that_uses_itself_is_a_mistake(problems_of) -> None:
    found = problems_of(
        m=START + "  - use: A", a="piece: A\nrules: [{use: B}]", b="piece: B\nrules: [{use: A}]"
    )
    assert any("the piece 'A' is in itself" in problem for problem in found)


def test_two_maps_of_one_type_are_a_mistake(problems_of) -> None:
    found = problems_of(m=START + "  []", n="map: Y\nfor: ADT^A01\nrules: []")
    assert any("ADT^A01 has a map already: X" in problem for problem in found)


def test_deep_nesting_is_a_mistake_and_no_crash(problems_of) -> None:
    assert any("nested deeper" in problem for problem in problems_of(m="map: " + "[" * 200 + "]" * 200))
