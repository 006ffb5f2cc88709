"""What was decided is what is written, whatever the kind of line. Covers: domain 3.6, 3.7.

The oracle below knows nothing of the write-back: it says from the decision alone which records of the
chart the patient goes on taking.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_app.discharge_cases.cases import discharge_case
from smart_app.reconciliation.decide import completeness, offered
from smart_app.reconciliation.explain import collect_lists
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Decision, DecisionKind, Group, GroupKind, Signing
from smart_app.reconciliation.write_back import write_back

K = DecisionKind
SIGNING = Signing(
    session_id="p/e",
    patient="Patient/p",
    author="Practitioner/nurse",
    role="rn",
    signed_at=datetime(2026, 3, 10, 12, tzinfo=UTC),
)
LISINOPRIL_10, METFORMIN_500, COMBINATION, HCTZ = "314076", "861007", "197885", "199903"
GLIPIZIDE, GLYBURIDE = "310490", "310537"


class Signed:
    """A signed board, read back by what stands in the transaction."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.resources = [entry["resource"] for entry in bundle["entry"]]
        statements = {f"MedicationStatement/{s['id']}": s for s in self.of("MedicationStatement")}
        self.snapshot, self.changes = self.of("List")
        self.lines = {
            self.source(statements[entry["item"]["reference"]]): statements[entry["item"]["reference"]]
            for entry in self.changes.get("entry", ())
        }
        self.flags = {
            (self.source(statement), role): entry.get("flag", {}).get("coding", [{}])[0].get("code", "")
            for entry in self.changes.get("entry", ())
            for statement in [statements[entry["item"]["reference"]]]
            for role in [statement["identifier"][0]["value"].split("/")[2]]
        }
        self.taken = {
            self.source(statements[entry["item"]["reference"]])
            for entry in self.snapshot.get("entry", ())
            if statements[entry["item"]["reference"]]["status"] != "on-hold"
        }
        self.derived = {r["reference"] for s in statements.values() for r in s["derivedFrom"]}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [resource for resource in self.resources if resource["resourceType"] == kind]

    @staticmethod
    def source(statement: dict[str, Any]) -> str:
        """The record of the chart that a statement is about."""
        return "/".join(statement["identifier"][0]["value"].split("/")[3:])


def sign(lists: Any, before: list[Any], after: list[Any], *chosen: dict[str, Any]) -> Signed:
    """Sign two lists; the decisions in the order of the board."""
    found = lists.collect(before, after)
    board = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
    decisions = [Decision(group.key, **each) for group, each in zip(board.groups, chosen, strict=True)]
    return Signed(write_back(SIGNING, found, board, decisions))


def a_pair(lists: Any, one: str, other: str, **more: Any) -> tuple[list[Any], list[Any]]:
    return [lists.line("b", one, "1 tablet", "1/d")], [lists.line("a", other, "1 tablet", "1/d", **more)]


B, A = "MedicationRequest/b", "MedicationRequest/a"
WHY = {"reason": "said so"}

# decision about a possible pair of two drugs -> {record: (status, flag)}
TWO_DRUGS: list[tuple[dict[str, Any], dict[str, tuple[str, str]]]] = [
    ({"kind": K.CONTINUE, **WHY}, {B: ("active", "01"), A: ("active", "04")}),
    ({"kind": K.SUBSTITUTE, **WHY}, {B: ("stopped", "05"), A: ("active", "04")}),
    ({"kind": K.STOP, **WHY}, {B: ("stopped", "05"), A: ("stopped", "05")}),
    ({"kind": K.HOLD, **WHY}, {B: ("on-hold", "06"), A: ("on-hold", "06")}),
    ({"kind": K.NOT_TAKING, **WHY}, {B: ("not-taken", "05"), A: ("not-taken", "05")}),
    ({"kind": K.CLARIFY}, {B: ("unknown", ""), A: ("intended", "")}),
    ({"kind": K.DEFER, **WHY}, {B: ("unknown", ""), A: ("intended", "")}),
]


@pytest.mark.parametrize(("decision", "expected"), TWO_DRUGS, ids=[row[0]["kind"] for row in TWO_DRUGS])
def test_a_decision_about_two_drugs_says_something_of_each(
    lists: Any, decision: dict[str, Any], expected: dict[str, tuple[str, str]]
) -> None:
    signed = sign(lists, *a_pair(lists, GLIPIZIDE, GLYBURIDE), decision)
    flags = {source: flag for (source, _), flag in signed.flags.items()}
    assert {source: (line["status"], flags[source]) for source, line in signed.lines.items()} == expected


def test_taking_both_of_a_split_combination_keeps_all_three(lists: Any) -> None:
    before = [lists.line("b", COMBINATION, "1 tablet", "1/d")]
    after = [lists.line("a", LISINOPRIL_10, "1 tablet", "1/d"), lists.line("c", HCTZ, "1 capsule", "1/d")]
    both = sign(lists, before, after, {"kind": K.CONTINUE, **WHY})
    assert both.taken == {B, A, "MedicationRequest/c"}
    replaced = sign(lists, before, after, {"kind": K.SUBSTITUTE, **WHY})
    assert replaced.taken == {A, "MedicationRequest/c"}
    assert replaced.lines[B]["status"] == "stopped"


def test_one_regimen_or_one_survivor_is_not_offered_for_two_drugs(lists: Any) -> None:
    found = lists.collect(*a_pair(lists, GLIPIZIDE, GLYBURIDE))
    (group,) = reconcile(found.before, found.after, (), lists.rxnorm).groups
    kinds = {rule.kind for rule in offered(group)}
    assert not kinds & {K.MODIFY, K.DUPLICATE_MERGE}
    assert {K.CONTINUE, K.SUBSTITUTE, K.STOP, K.CLARIFY} <= kinds


def test_a_linked_order_of_another_drug_takes_the_place_of_the_old_one(lists: Any) -> None:
    pair = a_pair(lists, LISINOPRIL_10, METFORMIN_500, basedOn=[{"reference": B}])
    signed = sign(lists, *pair, {"kind": K.CONTINUE, **WHY})
    assert signed.taken == {A}
    assert (signed.lines[B]["status"], signed.lines[B]["statusReason"]) == ("stopped", [{"text": "said so"}])


def test_equal_words_that_nobody_knows_are_one_line_to_take(lists: Any) -> None:
    signed = sign(lists, *a_pair(lists, "Herbal tonic", "herbal tonic"), {"kind": K.CONTINUE, **WHY})
    assert signed.taken == {A}
    assert signed.flags == {(A, "line"): "01"}
    assert signed.derived == {A, B}


def test_an_open_question_leaves_the_dosage_as_it_was(lists: Any) -> None:
    before, after = [lists.line("b", METFORMIN_500, sig="1 tab daily")], []
    after = [lists.line("a", METFORMIN_500, sig="2 tabs daily")]
    line = sign(lists, before, after, {"kind": K.CLARIFY}).lines[B]
    assert (line["status"], line["dosage"]) == ("unknown", [{"text": "1 tab daily"}])
    assert any("2 tabs daily" in note["text"] for note in line["note"])


def test_a_new_line_with_an_open_question_is_only_intended(lists: Any) -> None:
    signed = sign(lists, [], [lists.line("a", METFORMIN_500, sig="1 tab daily")], {"kind": K.CLARIFY})
    assert signed.lines[A]["status"] == "intended"


def test_a_new_regimen_is_the_only_dosage_and_drops_the_old_codes(lists: Any) -> None:
    before = [lists.line("b", METFORMIN_500, "1 tablet", "1/d")]
    after = [lists.line("a", METFORMIN_500, "2 tablet", "1/d")]
    signed = sign(lists, before, after, {"kind": K.MODIFY, **WHY, "regimen": "500 mg with supper"})
    assert signed.lines[A]["dosage"] == [{"text": "500 mg with supper"}]
    assert signed.lines[A]["status"] == "active"
    assert (signed.lines[B]["status"], signed.taken) == ("stopped", {A})


def test_a_held_line_keeps_its_day_and_its_reason(lists: Any) -> None:
    hold = {"kind": K.HOLD, "reason": "surgery", "resume": date(2026, 3, 20)}
    line = sign(lists, *a_pair(lists, METFORMIN_500, METFORMIN_500), hold).lines[A]
    assert line["extension"][0]["valueDate"] == "2026-03-20"
    assert line["statusReason"] == [{"text": "surgery"}]


def test_codes_without_words_get_the_name_they_were_understood_by(lists: Any) -> None:
    ndc = {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "00054429925"}]}
    line = lists.line("a", "x", "1 tablet", "1/d", medicationCodeableConcept=ndc)
    written = sign(lists, [], [line], {"kind": K.NEW, **WHY}).lines[A]
    assert written["medicationCodeableConcept"] == {**ndc, "text": "furosemide 40 MG Oral Tablet"}


RANGE = (("low", 1), ("high", 2))
DOSES: list[tuple[list[dict[str, Any]], list[str]]] = [
    (
        [
            {"timing": {"repeat": {"when": ["MORN"], "frequency": 1, "period": 1, "periodUnit": "d"}}, **dose}
            for dose in [{"sequence": 2, "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}]}]
        ]
        + [
            {
                "sequence": 1,
                "timing": {"repeat": {"when": ["EVE"], "frequency": 1, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablet"}}],
            }
        ],
        ["2 tablets once daily in the evening", "1 tablet once daily in the morning"],
    ),
    (
        [{"doseAndRate": [{"doseRange": {end: {"value": n, "unit": "tablet"} for end, n in RANGE}}]}],
        ["1 tablet to 2 tablets"],
    ),
    (
        [{"text": "1 tablet by mouth", "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}}],
        ["1 tablet by mouth (1 tablet oral twice daily)"],
    ),
    (
        [{"timing": {"repeat": {"frequency": 1, "frequencyMax": 3, "period": 1, "periodUnit": "d"}}}],
        ["once daily (a range of frequencies)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dosages", "words"), DOSES)
def test_what_is_only_coded_is_said_in_words_and_never_less(
    lists: Any, dosages: list[dict[str, Any]], words: list[str]
) -> None:
    line = lists.line("a", METFORMIN_500, dosageInstruction=dosages)
    written = sign(lists, [], [line], {"kind": K.NEW, **WHY}).lines[A]
    assert [dosage["text"] for dosage in written["dosage"]] == words


def test_a_merge_needs_a_line_of_the_same_medicine_that_stays(lists: Any) -> None:
    after = [lists.line(name, METFORMIN_500, "1 tablet", "1/d") for name in ("a", "twin")]
    after.append(lists.line("other", LISINOPRIL_10, "1 tablet", "1/d"))
    found = lists.collect([], after)
    board = reconcile(found.before, found.after, (), lists.rxnorm)
    key = {group.after[0].reference.split("/")[1]: group.key for group in board.groups}

    def faults(**survivors: str) -> set[str]:
        decisions = [
            Decision(key[name], K.DUPLICATE_MERGE, survivor=f"MedicationRequest/{stays}")
            for name, stays in survivors.items()
        ]
        return {words for _, words in completeness(board, decisions).faults}

    assert faults(a="twin") == set()
    assert faults(a="other") == {"The line that stays is another medicine."}
    assert faults(a="twin", twin="a") == {"The line that stays is itself merged into another."}


def still_taken(group: Group, kind: DecisionKind) -> set[str]:
    """The oracle: which records of a decided line the patient goes on with, asked-about ones included."""
    before = {item.reference for item in group.before}
    after = {item.reference for item in group.after}
    two = [
        i.medication.ingredient_key or {i.medication.original.casefold()} for i in (*group.before, *group.after)
    ]
    same = all(one == two[0] for one in two)
    if kind in (K.STOP, K.NOT_TAKING, K.HOLD, K.DUPLICATE_MERGE):
        return set()
    if kind in (K.CLARIFY, K.DEFER):
        return (before or after) if same else before | after
    if kind is K.CONTINUE and not same and group.kind is GroupKind.POSSIBLE:
        return before | after
    return after or before


def decided(board: Any, data: st.DataObject) -> list[Decision]:
    """One decision a line, among those that it is offered and that need no other line."""
    decisions = []
    for group in board.groups:
        rule = data.draw(st.sampled_from([rule for rule in offered(group) if not rule.needs_survivor]))
        decisions.append(Decision(group.key, rule.kind, reason="said so", regimen="as newly written"))
    return decisions


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_the_list_holds_exactly_what_was_decided_to_be_taken(
    lists: Any, seed: int, data: st.DataObject
) -> None:
    found = collect_lists(discharge_case(seed).bundle, lists.rxnorm)
    board = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
    decisions = decided(board, data)
    bundle = write_back(SIGNING, found, board, decisions)
    signed = Signed(bundle)
    by_group = {decision.group_key: decision.kind for decision in decisions}
    assert signed.taken == set().union(*(still_taken(group, by_group[group.key]) for group in board.groups))
    lines = {item.reference for group in board.groups for item in (*group.before, *group.after)}
    assert signed.derived == lines
    assert write_back(SIGNING, found, board, list(reversed(decisions))) == bundle
    for (source, role), flag in signed.flags.items():
        assert (flag == "05") == (role == "old" or source not in signed.taken) or flag == "06"
