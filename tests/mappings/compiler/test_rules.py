"""What rules do: values, lists, objects, conditions, loops over groups, names, defaults, nulls, findings."""

from __future__ import annotations

import base64

import pytest

PATIENT = "  - resource: Patient\n    as: patient\n    rules:\n"
LANGUAGE = "      - {to: language, from: PID-15.1}\n"
ORU = "MSH|^~\\&|A|F|B|C|20260215093000Z||ORU^R01^ORU_R01|1|P|2.5.1"


def only(mapped):
    (intent,) = mapped.intents
    return intent.resource


def test_the_first_rule_that_has_something_keeps_an_element(run) -> None:
    rules = (
        PATIENT
        + "      - {to: gender, from: PID-8, table: {X: other}}\n"
        + "      - {to: gender, const: male}\n"
        + LANGUAGE
    )
    assert only(run(rules, "PID|||||||||||||||EN"))["gender"] == "male"
    assert only(run(rules, "PID||||||||X|||||||EN"))["gender"] == "other"


def test_first_takes_the_first_way_that_gives_something(run) -> None:
    rules = (
        PATIENT
        + "      - {to: birthDate, first: [{from: PID-7, using: dtm_date}, "
        + "{from: PID-29, using: dtm_date}, {const: '1900-01-01'}]}\n"
        + LANGUAGE
    )
    assert only(run(rules, "PID|||||||19700101||||||||EN"))["birthDate"] == "1970-01-01"
    assert only(run(rules, "PID|||||||||||||||EN||||||||||||||19990101"))["birthDate"] == "1999-01-01"
    assert only(run(rules, "PID|||||||||||||||EN"))["birthDate"] == "1900-01-01"


def test_a_default_never_replaces_what_is_stored(run) -> None:
    rules = PATIENT + "      - {to: gender, from: PID-8, table: '0001', default: unknown}\n" + LANGUAGE
    (intent,) = run(rules, "PID|||||||||||||||EN").intents
    assert intent.resource["gender"] == "unknown"
    assert intent.keep == ("gender",)
    assert run(rules, "PID||||||||F|||||||EN").intents[0].keep == ()


@pytest.mark.requirement("2")
def test_nothing_leaves_and_two_quotes_clear(run) -> None:
    rules = PATIENT + "      - {to: gender, from: PID-8, table: '0001'}\n" + LANGUAGE
    assert run(rules, "PID|||||||||||||||EN").intents[0].cleared == ()
    (intent,) = run(rules, 'PID||||||||""|||||||EN').intents
    assert intent.cleared == ("gender",)
    assert "gender" not in intent.resource


def test_constants_alone_make_nothing(run) -> None:
    rules = (
        PATIENT
        + "      - {to: active, const: 'true'}\n      - {to: contact, rules: [{to: gender, const: male}]}\n"
    )
    assert run(rules, "PID|1").intents == ()


def test_a_list_has_nothing_twice(run) -> None:
    rules = (
        PATIENT.replace("    rules:", "    lists: {identifier: 'union:system,value'}\n    rules:")
        + "      - {to: identifier, from: PID-3, using: cx}\n      - {to: identifier, from: PID-2, using: cx}\n"
    )
    assert len(only(run(rules, "PID||7|7^^^M^MR~8^^^M^MR"))["identifier"]) == 2


def test_repetitions_by_number_and_by_code(run) -> None:
    rules = (
        PATIENT
        + "      - {to: language, from: 'PID-3[5=MR].1'}\n      - {to: implicitRules, from: 'PID-3[2].1'}\n"
    )
    found = only(run(rules, "PID|||1^^^^PI~2^^^^XX~3^^^^MR"))
    assert (found["language"], found["implicitRules"]) == ("3", "2")


@pytest.mark.parametrize(
    ("when", "segment", "holds"),
    [
        ("PID-8: F", "PID||||||||F", True),
        ("PID-8: [M, F]", "PID||||||||F", True),
        ("PID-8: {not: F}", "PID||||||||F", False),
        ("PID-8: {not: F}", "PID|1", True),
        ("PID-8: valued", "PID||||||||F", True),
        ("PID-8: valued", 'PID||||||||""', False),
        ("PID-8: 'null'", 'PID||||||||""', True),
        ("PID-8: empty", 'PID||||||||""', True),
        ("PID-3: F", "PID|||A~F", True),
        ("trigger: [A01, A04]", "PID|1", True),
        ("trigger: {not: A01}", "PID|1", False),
        ("segment: PV1", "PID|1", False),
        ("source.production: 'true'", "PID|1", True),
        ("source.medication_list: 'true'", "PID|1", False),
        ("any: [{PID-8: F}, {PID-8: M}]", "PID||||||||M", True),
        ("known: patient", "PID|1", True),
        ("unknown: patient", "PID|1", False),
        ("PID-8: F, trigger: A02", "PID||||||||F", False),
    ],
)
def test_conditions(run, when, segment, holds) -> None:
    rules = (
        PATIENT
        + f"      - {{to: active, const: 'true', when: {{{when}}}}}\n      - {{to: language, from: MSH-3}}\n"
    )
    assert ("active" in only(run(rules, segment))) is holds


ORDERS = """  - foreach: ORDER_OBSERVATION
    rules:
      - resource: DiagnosticReport
        as: report
        identity: [{from: OBR-3, using: ei}]
        rules:
          - {to: status, const: final}
          - {to: code, from: OBR-4, using: cwe}
          - {to: conclusion, from: NTE-3}
      - foreach: OBX
        together: {by: [OBX-2, OBX-3, OBX-4], when: {OBX-2: TX}}
        rules:
          - resource: Observation
            as: observation
            identity: [{of: [report, OBX-3.1, OBX-4, ordinal]}]
            rules:
              - {to: status, const: final}
              - {to: code, from: OBX-3, using: cwe}
              - {to: valueString, from: OBX-5, join: "\\n"}
          - {in: report, to: result, reference: observation}
      - {foreach: NTE, direct: 'true', in: report, to: extension, rules: [{to: url, const: 'urn:x'}, {to:
      valueString, from: NTE-3}]}
"""
RESULTS = (
    "PID|||1^^^M",
    "OBR|1||F1|A^Alpha^L",
    "NTE|1||of the order",
    "OBX|1|TX|T^Text^L||one",
    "OBX|2|TX|T^Text^L||two",
    "NTE|1||of the result",
    "OBX|3|ST|T^Text^L||three",
    "OBX|4|ST|T^Text^L||four",
    "OBR|2||F2|B^Beta^L",
    "OBX|1|ST|T^Text^L||five",
)


def test_loops_over_groups_stay_in_their_group(run) -> None:
    mapped = run(ORDERS, *RESULTS, header=ORU)
    by_key = {intent.key: intent.resource for intent in mapped.intents}
    assert [len(by_key[key]["result"]) for key in ("report", "report-2")] == [3, 1]
    assert "conclusion" not in by_key["report-2"], "the note of another order was seen"


def test_a_round_of_a_loop_stands_in_the_group_of_its_segment(run) -> None:
    rules = """  - foreach: OBX
    together: {by: [OBX-2, OBX-3], when: {OBX-2: TX}}
    rules:
      - resource: Observation
        as: observation
        rules:
          - {to: status, const: final}
          - {to: code, from: OBX-3, using: cwe}
          - {foreach: NTE, to: note, rules: [{to: text, from: NTE-3}]}
          - {to: subject.display, from: PID-5}
"""
    segments = ("PID|||1||ONE", "OBR|1", "NTE|1||order", "OBX|1|NM|A^A^L", "NTE|1||a", "OBX|2|NM|B^B^L")
    mapped = run(rules, *segments, "OBX|3|TX|C^C^L", "NTE|1||c", "OBX|4|TX|C^C^L", "NTE|1||d", header=ORU)
    notes = [[note["text"] for note in i.resource.get("note", ())] for i in mapped.intents]
    assert notes == [["a"], [], ["c", "d"]]
    assert {i.resource["subject"]["display"] for i in mapped.intents} == {"ONE"}
    assert not [place for place in mapped.unread if place.startswith("OBX[4]")]


def test_orders_of_the_second_patient_never_see_the_first(run) -> None:
    rules = """  - foreach: ORDER_OBSERVATION
    rules:
      - {resource: ServiceRequest, as: order, rules: [{to: status, const: active}, {to: intent, const: order},
      {to: subject.display, from: PID-5}, {to: code.text, from: OBR-4}]}
"""
    mapped = run(rules, "PID|||1||ONE", "OBR|1|||A", "PID|||2||TWO", "OBR|1|||B", "OBR|2|||C", header=ORU)
    assert [i.resource["subject"]["display"] for i in mapped.intents] == ["ONE", "TWO", "TWO"]


def test_neighbours_that_agree_are_taken_together(run) -> None:
    mapped = run(ORDERS, *RESULTS, header=ORU)
    texts = [i.resource["valueString"] for i in mapped.intents if i.key.startswith("observation")]
    assert texts == ["one\ntwo", "three", "four", "five"]


def test_ordinals_tell_equal_parts_apart(run) -> None:
    mapped = run(ORDERS, *RESULTS, header=ORU)
    values = [
        i.identities[0].value.rpartition("|")[2] for i in mapped.intents if i.key.startswith("observation")
    ]
    assert values == ["1", "2", "3", "1"]


def test_direct_notes_are_those_of_the_group_itself(run) -> None:
    mapped = run(ORDERS, *RESULTS, header=ORU)
    notes = [i.resource.get("extension") for i in mapped.intents if i.key.startswith("report")]
    assert [len(found) if found else 0 for found in notes] == [1, 0]


PAIRS = """  - foreach: PATIENT
    rules:
      - {resource: Patient, as: patient, identity: [{from: PID-3, using: cx, by: authority}], rules: [{to:
      identifier, from: PID-3, using: cx}]}
      - {resource: Patient, as: prior, identity: [{from: MRG-1, using: cx, by: authority}], rules: [{to:
      identifier, from: MRG-1, using: cx}, {to: active, const: 'false'}]}
      - {merge: Patient, survivor: patient, victim: prior}
"""


def test_pairs_of_patients_merge_pair_by_pair(run) -> None:
    header = ORU.replace("ORU^R01^ORU_R01", "ADT^A40^ADT_A39")
    mapped = run(PAIRS, "EVN|A40", "PID|||1^^^M", "MRG|2^^^M", "PID|||3^^^M", "MRG|4^^^M", header=header)
    assert [(m.survivor, m.victim) for m in mapped.merges] == [("patient", "prior"), ("patient-2", "prior-2")]


def test_a_patient_does_not_merge_with_itself(run) -> None:
    header = ORU.replace("ORU^R01^ORU_R01", "ADT^A40^ADT_A39")
    mapped = run(PAIRS, "EVN|A40", "PID|||1^^^M", "MRG|1^^^M", header=header)
    assert mapped.merges == ()
    assert [intent.resource.get("active") for intent in mapped.intents] == [None]


def test_a_chain_of_merges_in_one_message_names_each_patient_once(run) -> None:
    header = ORU.replace("ORU^R01^ORU_R01", "ADT^A40^ADT_A39")
    mapped = run(PAIRS, "EVN|A40", "PID|||2^^^M", "MRG|1^^^M", "PID|||3^^^M", "MRG|2^^^M", header=header)
    assert [(m.survivor, m.victim) for m in mapped.merges] == [("patient", "prior"), ("patient-2", "patient")]
    assert len(mapped.intents) == 3


def test_a_rule_within_another_resource_writes_there(run) -> None:
    rules = (
        PATIENT
        + "      - {to: language, from: PID-15.1}\n"
        + "  - {foreach: NK1, in: patient, to: contact, rules: [{to: name, from: NK1-2, using: xpn}]}\n"
    )
    found = only(run(rules, "PID|||||||||||||||EN", "NK1|1|A", "NK1|2|B"))
    assert [contact["name"]["family"] for contact in found["contact"]] == ["A", "B"]


def test_warnings_and_refusals(run) -> None:
    assert (
        run("  - {warn: identity-unreliable, from: PID-8}\n", "PID||||||||F").findings[0].position
        == "PID[1]-8[1].1.1"
    )
    assert (
        run("  - {refuse: not-production, when: {PID-8: F}}\n", "PID||||||||F").refused.code == "not-production"
    )


def test_steps_name_position_rule_function_and_table(run) -> None:
    rules = (
        PATIENT
        + "      - {to: gender, from: PID-8, table: '0001'}\n      - {to: name, from: PID-5, using: xpn}\n"
    )
    steps = {step.path: step for step in run(rules, "PID|||||A^B|||F").steps}
    gender = steps["Patient.gender"]
    assert (gender.positions, gender.rule, gender.table, gender.raw, gender.value) == (
        ("PID[1]-8[1].1.1",), "m.yaml:7", "0001:F", "F", "female",
    )  # fmt: skip
    given = steps["Patient.name[0].given[0]"]
    assert (given.positions, given.using, given.value) == (("PID[1]-5[1].2.1",), "xpn", "B")


def test_what_nothing_was_made_of_is_unread(run) -> None:
    rules = PATIENT + "      - {to: gender, from: PID-8, table: '0001'}\n"
    assert run(rules, "PID|1||77||A|||F").unread == (
        "MSH[1]-3[1].1.1",
        "MSH[1]-4[1].1.1",
        "PID[1]-3[1].1.1",
        "PID[1]-5[1].1.1",
    )


@pytest.mark.parametrize(("said", "kept"), [("Y", ("gender",)), ("N", ())])
def test_what_is_to_be_kept_is_only_for_what_is_not_stored(run, said, kept) -> None:
    rules = (
        PATIENT
        + "      - {to: gender, from: PID-8, table: '0001'}\n"
        + "      - {keep: gender, when: {PID-31: Y}}\n"
    )
    (intent,) = run(rules, f"PID||||||||F{'|' * 23}{said}").intents
    assert intent.resource["gender"] == "female"
    assert intent.keep == kept


def test_a_default_of_a_list_is_for_an_empty_one(run) -> None:
    rules = (
        PATIENT
        + "      - {to: name, from: PID-5, using: xpn}\n"
        + "      - {to: name, default: 'true', rules: [{to: text, from: PID-9.1.1}]}\n"
        + "      - {to: name, default: {text: unknown}}\n"
        + LANGUAGE
    )
    known = run(rules, "PID|||||A^B||||C||||||EN").intents[0]
    assert [name.get("family") for name in known.resource["name"]] == ["A"]
    assert known.keep == ()
    other = run(rules, "PID|||||||||C||||||EN").intents[0]
    assert other.resource["name"] == [{"text": "C"}]
    assert other.keep == ("name",)
    none = run(rules, "PID|||||||||||||||EN").intents[0]
    assert none.resource["name"] == [{"text": "unknown"}]
    assert none.keep == ("name",)


def test_a_default_extension_of_a_primitive_is_for_one_without_a_value(run) -> None:
    extensions = "extensions:\n  gap: {url: 'urn:x:gap', on: Patient.birthDate, value: code}\n"
    rules = (
        PATIENT
        + "      - {to: birthDate, from: PID-7, using: dtm_date}\n"
        + "      - {to: birthDate.extension.gap, default: unknown}\n"
        + LANGUAGE
    )
    known = run(rules, "PID|||||||1970||||||||EN", e=extensions).intents[0]
    assert ("_birthDate" in known.resource, known.keep) == (False, ())
    unknown = run(rules, "PID|||||||||||||||EN", e=extensions).intents[0]
    assert unknown.resource["_birthDate"] == {"extension": [{"url": "urn:x:gap", "valueCode": "unknown"}]}
    assert unknown.keep == ("birthDate",), "the mark of a gap would replace a stored date"


def test_texts_of_segments_that_are_taken_together_keep_their_empty_lines(run) -> None:
    rules = """  - foreach: OBX
    together: {by: [OBX-3]}
    rules:
      - resource: Binary
        as: text
        rules:
          - {to: contentType, const: text/plain}
          - {to: data, from: OBX-5, join: "\\n"}
"""
    lines = ("OBX|1|TX|T||one", "OBX|2|TX|T||", "OBX|3|TX|T||three~four", "OBX|4|TX|T||")
    (intent,) = run(rules, *lines, header=ORU).intents
    assert base64.b64decode(intent.resource["data"]).decode() == "one\n\nthree\nfour"
