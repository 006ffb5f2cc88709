"""What orders and results need of the language: segments that are there or not, tables in conditions, groups of
before, identities that several things share, elements that are emptied unless something fills them.
"""

from __future__ import annotations

ORU = "MSH|^~\\&|A|F|B|C|20260215093000Z||ORU^R01^ORU_R01|1|P|2.5.1"
OML = ORU.replace("ORU^R01^ORU_R01", "OML^O21^OML_O21")
PATIENT = "  - resource: Patient\n    as: patient\n    rules:\n      - {to: language, from: PID-15.1}\n"


def content(mapped):
    (intent,) = mapped.intents
    return intent.resource


def test_a_segment_is_there_or_none_of_several_is(run) -> None:
    rules = PATIENT + (
        "      - {to: gender, const: male, when: {segment: PV1}}\n"
        "      - {to: birthDate, const: '2000-01-01', when: {segment: {not: [PV1, PV2]}}}\n"
    )
    pid = "PID|||||||||||||||EN"
    assert content(run(rules, pid, "PV1|1"))["gender"] == "male"
    assert "birthDate" not in content(run(rules, pid, "PV1|1"))
    assert "birthDate" not in content(run(rules, pid, "PV2|1"))
    assert content(run(rules, pid))["birthDate"] == "2000-01-01"


def test_one_segment_and_several_are_told_apart_in_the_group_at_hand(run) -> None:
    rules = (
        "  - foreach: ORDER_OBSERVATION\n    rules:\n"
        "      - resource: DiagnosticReport\n        as: report\n        rules:\n"
        "          - {to: code, from: OBR-4, using: cwe}\n"
        "          - {to: status, const: final, when: {single: SPM}}\n"
        "          - {to: status, const: partial, when: {several: SPM}}\n"
        "          - {to: status, const: unknown}\n"
    )
    mapped = run(rules, "OBR|1|||A", "SPM|1", "OBR|2|||B", "SPM|1", "SPM|2", "OBR|3|||C", header=ORU)
    assert [intent.resource["status"] for intent in mapped.intents] == ["final", "partial", "unknown"]


def test_a_condition_asks_whether_a_table_has_a_code(run, problems_of) -> None:
    rules = PATIENT + "      - {to: gender, const: male, when: {PID-8: {in: '0001'}}}\n"
    assert "gender" in content(run(rules, "PID||||||||F|||||||EN"))
    assert "gender" not in content(run(rules, "PID||||||||qq|||||||EN"))
    (problem,) = problems_of(m=f"map: X\nfor: ADT^A01\nrules:\n{rules.replace('0001', '0000')}")
    assert "no table '0000'" in problem


def test_results_of_before_are_seen_only_by_a_loop_over_them(run) -> None:
    segments = ("PID|||1", "ORC|NW", "OBR|1|P1", "PID|||1", "ORC|PR", "OBR|2|P0", "OBX|1|ST|||old")
    loop = "  - foreach: {group}\n    rules:\n      - resource: ServiceRequest\n        as: order\n"
    loop += "        rules:\n"
    loop += "          - {{to: subject.display, from: {path}}}\n          - {{to: status, const: active}}\n"
    loop += "          - {{to: intent, const: order}}\n"
    own = run(loop.format(group="OBSERVATION_REQUEST", path="ORC-1"), *segments, header=OML)
    assert content(own)["subject"]["display"] == "NW"
    assert run(loop.format(group="OBSERVATION_REQUEST", path="OBX-5"), *segments, header=OML).intents == ()
    before = run(loop.format(group="ORDER_PRIOR", path="OBX-5"), *segments, header=OML)
    assert content(before)["subject"]["display"] == "old"


def shared(alike: str) -> str:
    return (
        "  - foreach: OBR\n    rules:\n"
        f"      - resource: DiagnosticReport\n        as: report\n        {alike}\n"
        "        identity: [{of: [OBR-2.1, OBR-4.1], kind: exact}, {from: OBR-2, using: ei}]\n"
        "        rules:\n          - {to: code, from: OBR-4, using: cwe}\n"
        "          - {to: status, const: final}\n"
    )


def test_one_number_is_one_resource_unless_only_the_best_identity_decides(run) -> None:
    segments = ("OBR|1|P1||A", "OBR|2|P1||B")
    assert len(run(shared("alike: any"), *segments, header=ORU).intents) == 1
    first, second = run(shared("alike: best"), *segments, header=ORU).intents
    assert [one.value for one in first.identities] == ["P1|A", "P1"]
    assert [one.value for one in second.identities] == ["P1|B"]
    assert len(run(shared("alike: best"), segments[0], segments[0], header=ORU).intents) == 1


def test_an_element_is_emptied_unless_it_was_filled(run) -> None:
    rules = (
        "  - resource: Observation\n    as: observation\n    rules:\n"
        "      - {to: code, from: OBX-3, using: cwe}\n      - {to: status, const: final}\n"
        '      - {to: "value[x]", from: OBX-5, using: obx_value}\n      - {clear: "value[x]"}\n'
    )
    (filled,) = run(rules, "OBX|1|ST|A||there", header=ORU).intents
    (empty,) = run(rules, "OBX|1|ST|A||", header=ORU).intents
    assert (filled.cleared, filled.resource["valueString"]) == ((), "there")
    assert empty.cleared == ("value",)


def test_texts_that_are_joined_keep_their_separators_and_do_not_exceed_fhir(run) -> None:
    rules = (
        "  - resource: Observation\n    as: observation\n    rules:\n"
        "      - {to: code, from: OBX-3, using: cwe}\n      - {to: status, const: final}\n"
        '      - {to: valueString, from: OBX-5, join: "\\n"}\n'
    )
    assert content(run(rules, "OBX|1|TX|A||a^b~c", header=ORU))["valueString"] == "a^b\nc"
    mapped = run(rules, f"OBX|1|TX|A||{'x' * 1024 * 1024}~y", header=ORU)
    assert len(content(mapped)["valueString"]) == 1024 * 1024
    assert [finding.code for finding in mapped.findings if finding.code != "coding-system-missing"] == [
        "text-too-long"
    ]
