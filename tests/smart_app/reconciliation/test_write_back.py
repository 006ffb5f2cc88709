"""The transaction that signs. Covers: domain 3.7; golden bytes in golden/."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fhir.resources.R4B import get_fhir_model_class

from server.fhir.json_codec import decode
from server.fhir.validation import validate
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Collected, Decision, DecisionKind, Reconciliation, Signing
from smart_app.reconciliation.write_back import source_versions, write_back

GOLDEN = Path(__file__).parent / "golden"
SIGNED = datetime(2026, 3, 10, 12, tzinfo=UTC)


def signing(**more: Any) -> Signing:
    values: dict[str, Any] = {
        "session_id": "p/e",
        "patient": "Patient/p",
        "author": "Practitioner/nurse",
        "role": "rn",
        "signed_at": SIGNED,
        "encounter": "Encounter/e",
        "prescriber": "Practitioner/doctor",
    }
    return Signing(**(values | more))


@pytest.fixture
def signed(lists: Any) -> Callable[..., dict[str, Any]]:
    """Sign two lists with one decision a line, by id of its first record."""

    def sign(before: list[Any], after: list[Any], chosen: dict[str, Any], **more: Any) -> dict[str, Any]:
        found: Collected = lists.collect(before, after)
        board: Reconciliation = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
        decisions = []
        for group in board.groups:
            first = (*group.before, *group.after)[0].reference.split("/")[1]
            decisions.append(Decision(group.key, **chosen[first]))
        return write_back(signing(**more), found, board, decisions)

    return sign


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def flags(resource: dict[str, Any]) -> list[tuple[str | None, bool]]:
    return [
        (entry.get("flag", {}).get("coding", [{}])[0].get("code"), entry.get("deleted", False))
        for entry in resource.get("entry", [])
    ]


LINES: list[tuple[dict[str, Any], list[tuple[str, str]], list[tuple[str | None, bool]], list[str]]] = [
    # decision, (status, statusReason), entries of the changes, Tasks
    ({"kind": DecisionKind.CONTINUE, "reason": "agreed"}, [("active", "")], [("02", False)], []),
    (
        {"kind": DecisionKind.MODIFY, "reason": "too high", "regimen": "500 mg twice daily"},
        [("active", ""), ("stopped", "too high")],
        [("02", False), ("05", True)],
        ["change-medication"],
    ),
    (
        {"kind": DecisionKind.STOP, "reason": "rash"},
        [("stopped", "rash")],
        [("05", True)],
        ["change-medication"],
    ),
    (
        {"kind": DecisionKind.SUBSTITUTE, "reason": "formulary"},
        [("active", ""), ("stopped", "formulary")],
        [("04", False), ("05", True)],
        [],
    ),
    (
        {"kind": DecisionKind.HOLD, "reason": "surgery", "resume": date(2026, 3, 20)},
        [("on-hold", "surgery")],
        [("06", False)],
        ["resume-medication"],
    ),
    ({"kind": DecisionKind.CLARIFY}, [("unknown", "")], [(None, False)], ["clarify-medication"]),
    (
        {"kind": DecisionKind.DEFER, "reason": "ask family"},
        [("unknown", "")],
        [(None, False)],
        ["clarify-medication"],
    ),
    (
        {"kind": DecisionKind.NOT_TAKING, "reason": "cost"},
        [("not-taken", "cost")],
        [("05", True)],
        ["support-adherence"],
    ),
]


@pytest.mark.parametrize(
    ("decision", "statuses", "entries", "tasks"), LINES, ids=[line[0]["kind"] for line in LINES]
)
def test_a_decision_writes_its_statements_entries_and_tasks(
    signed: Any, lists: Any, decision: Any, statuses: Any, entries: Any, tasks: Any
) -> None:
    before, after = lists.line("b", "861007", "1 tablet", "1/d"), lists.line("a", "861007", "2 tablet", "1/d")
    bundle = signed([before], [after], {"b": decision})
    statements = of_type(bundle, "MedicationStatement")
    assert [(s["status"], s.get("statusReason", [{"text": ""}])[0]["text"]) for s in statements] == statuses
    snapshot, changes = of_type(bundle, "List")
    assert flags(changes) == entries
    assert flags(snapshot) == [(flag, gone) for flag, gone in entries if not gone]
    assert [task["code"]["coding"][0]["code"] for task in of_type(bundle, "Task")] == tasks
    sources = {source["reference"] for s in statements for source in s["derivedFrom"]}
    assert sources == {"MedicationRequest/a", "MedicationRequest/b"}
    assert [issue for issue in validate(decode(json.dumps(bundle).encode())) if issue.severity == "error"] == []


def test_a_new_line_rests_on_its_discharge_order(signed: Any, lists: Any) -> None:
    line = lists.line("a", "198051", "1 capsule", "1/d")
    bundle = signed([], [line], {"a": {"kind": DecisionKind.NEW, "reason": "reflux"}})
    (statement,) = of_type(bundle, "MedicationStatement")
    assert statement["basedOn"] == [{"reference": "MedicationRequest/a"}]
    assert statement["dosage"] == [{"text": "1 capsule once daily", **line["dosageInstruction"][0]}]
    assert flags(of_type(bundle, "List")[0]) == [("04", False)]


def test_a_merged_duplicate_stops_and_the_survivor_names_both(signed: Any, lists: Any) -> None:
    one, twin = lists.line("a", "313988", "1 tablet", "1/d"), lists.line("twin", "313988", "2 tablet", "1/d")
    chosen = {
        "b": {"kind": DecisionKind.CONTINUE},
        "twin": {"kind": DecisionKind.DUPLICATE_MERGE, "survivor": "MedicationRequest/a"},
    }
    bundle = signed([lists.line("b", "313988", "1 tablet", "1/d")], [one, twin], chosen)
    statements = {s["status"]: s for s in of_type(bundle, "MedicationStatement")}
    assert {r["reference"] for r in statements["active"]["derivedFrom"]} == {
        "MedicationRequest/a",
        "MedicationRequest/b",
        "MedicationRequest/twin",
    }
    assert statements["stopped"]["statusReason"] == [{"text": "The same as another line."}]


def test_a_prescriber_changes_orders_without_a_task(signed: Any, lists: Any) -> None:
    pair = [lists.line("b", "861007", "1 tablet", "1/d")], [lists.line("a", "861007", "2 tablet", "1/d")]
    bundle = signed(*pair, {"b": {"kind": DecisionKind.STOP, "reason": "rash"}}, role="prescriber")
    assert of_type(bundle, "Task") == []


def test_the_whole_transaction(signed: Any, lists: Any) -> None:
    """Golden: every kind of entry, a foreign chart, a previous list. Delete the file to write it anew."""
    before = [
        lists.line("same", "314076", "1 tablet", "1/d"),
        lists.line("dose", "861007", "1 tablet", "1/d"),
        lists.line("gone", "313988", "1 tablet", "1/d"),
    ]
    after = [
        lists.line("same2", "104377", "10 mg", "1/d"),
        lists.line("dose2", "861007", "2 tablet", "1/d"),
        lists.line("new", "198051", "1 capsule", "1/d"),
    ]
    chosen = {
        "same": {"kind": DecisionKind.CONTINUE},
        "dose": {"kind": DecisionKind.CLARIFY, "reason": "Was the dose doubled on purpose?"},
        "gone": {"kind": DecisionKind.STOP, "reason": "Replaced"},
        "new": {"kind": DecisionKind.NEW, "reason": "Reflux"},
    }
    previous = {
        "resourceType": "List",
        "id": "old",
        "meta": {"versionId": "7"},
        "status": "current",
        "mode": "snapshot",
    }
    bundle = signed(before, after, chosen, chart_base="https://ehr.example.org/fhir/", previous_list=previous)
    printed = json.dumps(bundle, indent=1) + "\n"
    golden = GOLDEN / "write_back.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(printed, encoding="utf-8")
    assert printed == golden.read_text(encoding="utf-8")


def test_the_transaction_is_made_of_valid_resources_and_puts(signed: Any, lists: Any) -> None:
    pair = [lists.line("b", "861007", "1 tablet", "1/d")], [lists.line("a", "861007", "2 tablet", "1/d")]
    bundle = signed(*pair, {"b": {"kind": DecisionKind.HOLD, "reason": "surgery", "resume": date(2026, 3, 20)}})
    get_fhir_model_class("Bundle").model_validate(bundle)
    urls = [entry["request"]["url"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        # What others work on as soon as it is there is created, never overwritten.
        only_created = {"ifNoneMatch": "*"} if resource["resourceType"] in ("List", "Task") else {}
        url = f"{resource['resourceType']}/{resource['id']}"
        assert entry["request"] == {"method": "PUT", "url": url} | only_created
        assert UUID(resource["id"]).version == 5
    (provenance,) = of_type(bundle, "Provenance")
    assert {target["reference"] for target in provenance["target"]} == set(urls) - {urls[-1]}
    assert [entity["what"]["reference"] for entity in provenance["entity"]] == [
        "MedicationRequest/a/_history/1",
        "MedicationRequest/b/_history/1",
    ]
    (procedure,) = of_type(bundle, "Procedure")
    assert procedure["code"]["coding"][0]["code"] == "430193006"


def test_a_previous_list_is_retired_under_its_version_but_never_our_own(signed: Any, lists: Any) -> None:
    pair = [lists.line("b", "314076", "1 tablet", "1/d")], [lists.line("a", "314076", "1 tablet", "1/d")]
    chosen = {"b": {"kind": DecisionKind.CONTINUE}}
    previous = {
        "resourceType": "List",
        "id": "old",
        "meta": {"versionId": "7"},
        "status": "current",
        "mode": "snapshot",
    }
    last = signed(*pair, chosen, previous_list=previous)["entry"][-1]
    assert last["request"] == {"method": "PUT", "url": "List/old", "ifMatch": 'W/"7"'}
    assert last["resource"]["status"] == "retired"
    assert previous["status"] == "current"
    first = signed(*pair, chosen)
    snapshot = of_type(first, "List")[0]
    again = signed(*pair, chosen, previous_list={**snapshot, "meta": {"versionId": "1"}})
    assert again == first
    with pytest.raises(ValueError, match="version"):
        signed(*pair, chosen, previous_list={**previous, "meta": {}})


def test_amounts_keep_every_digit(signed: Any, lists: Any) -> None:
    line = lists.line("a", "861007", "1 tablet", "1/d")
    line["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"] = Decimal("1.50")
    bundle = signed([], [line], {"a": {"kind": DecisionKind.NEW, "reason": "r"}})
    (statement,) = of_type(bundle, "MedicationStatement")
    assert str(statement["dosage"][0]["doseAndRate"][0]["doseQuantity"]["value"]) == "1.50"


def test_a_dosage_that_is_not_valid_is_kept_by_its_text(signed: Any, lists: Any) -> None:
    line = lists.line(
        "a", "861007", sig="1 tablet daily", dosage={"sequence": "first", "text": "1 tablet daily"}
    )
    bundle = signed([], [line], {"a": {"kind": DecisionKind.CLARIFY}})
    assert of_type(bundle, "MedicationStatement")[0]["dosage"] == [{"text": "1 tablet daily"}]


@pytest.mark.parametrize("role", ["ma", "lpn", "supervisor", "engineer", ""])
def test_a_role_that_may_not_sign_is_refused(signed: Any, lists: Any, role: str) -> None:
    with pytest.raises(PermissionError):
        signed([lists.line("b", "314076")], [], {"b": {"kind": DecisionKind.CLARIFY}}, role=role)


def test_an_open_line_cannot_be_signed(lists: Any) -> None:
    found = lists.collect([lists.line("b", "314076")], [])
    board = reconcile(found.before, found.after, found.evidence, lists.rxnorm)
    with pytest.raises(ValueError, match="1 lines are open"):
        write_back(signing(), found, board, [])


def test_two_empty_lists_are_signed_as_empty(lists: Any) -> None:
    found = lists.collect([], [])
    bundle = write_back(signing(), found, reconcile((), (), (), lists.rxnorm), [])
    assert all("emptyReason" in resource for resource in of_type(bundle, "List"))
    assert source_versions(found) == ()
