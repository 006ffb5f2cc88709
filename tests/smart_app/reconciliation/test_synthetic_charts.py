"""The shipped Synthea charts, each with a discharge told over it. Covers: domain 3.1-3.7."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smart_app.discharge_cases.story import discharge_story
from smart_app.reconciliation.collect import collect_chart
from smart_app.reconciliation.decide import bulk_acceptable, offered
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Decision, DecisionKind, Signing
from smart_app.reconciliation.write_back import write_back

LATER = datetime(2030, 1, 1, tzinfo=UTC)
BUNDLES = sorted((Path(__file__).parents[3] / "server" / "demo_data" / "patients").glob("*.json.gz"))


def chart(path: Path) -> list[dict[str, Any]]:
    """Patient, stays and medications with local references; the rest is not looked at."""
    entries = json.loads(gzip.decompress(path.read_bytes()))["entry"]
    names = {e["fullUrl"]: f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries}
    kept = [e["resource"] for e in entries if e["resource"]["resourceType"] in _KEPT]
    for resource in kept:
        for name in ("subject", "encounter", "requester"):
            if name in resource:
                resource[name] = {"reference": names[resource[name]["reference"]]}
    return kept


_KEPT = ("Patient", "Encounter", "MedicationRequest", "AllergyIntolerance")


def last_stay(resources: list[dict[str, Any]]) -> dict[str, Any] | None:
    stays = [r for r in resources if r["resourceType"] == "Encounter" and r["class"]["code"] == "IMP"]
    return max(stays, key=lambda stay: stay["period"]["end"], default=None)


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name[:8])
def test_a_chart_is_collected_matched_and_signed(rxnorm: Any, path: Path) -> None:
    resources = chart(path)
    stay = last_stay(resources)
    now = datetime.fromisoformat(stay["period"]["end"]) + timedelta(days=3) if stay else LATER
    told = discharge_story(resources, 1, stay, now) if stay else []
    laid = {(r["resourceType"], r["id"]): r for r in [*resources, *told]}
    found = collect_chart(laid.values(), evaluation_date=now, terminology=rxnorm)
    board = reconcile(found.before, found.after, found.evidence, rxnorm, allergies=found.allergies)
    lines = Counter(
        item.reference for group in board.groups for item in (*group.before, *group.after, *group.evidence)
    )
    assert set(lines.values()) <= {1}
    assert {item.reference for item in (*found.before, *found.after)} <= lines.keys()
    records = {f"{kind}/{identity}" for kind, identity in laid if kind.startswith("Medication")}
    evidence = {item.reference for item in (*found.evidence, *board.unmatched_evidence)}
    assert lines.keys() | evidence | {left.reference for left in found.left_out} == records
    if stay is None:
        return
    assert found.encounter == f"Encounter/{stay['id']}"
    assert len({group.kind for group in board.groups}) >= 3
    bulk = {group.key for group in bulk_acceptable(board)}
    decisions = [
        Decision(group.key, DecisionKind.CONTINUE, bulk=True)
        if group.key in bulk
        else Decision(group.key, next(r.kind for r in offered(group) if not r.needs_survivor), reason="checked")
        for group in board.groups
    ]
    signing = Signing("s", found.patient or "", "Practitioner/x", "rn", now, encounter=found.encounter)
    bundle = write_back(signing, found, board, decisions)
    assert json.dumps(bundle) == json.dumps(write_back(signing, found, board, decisions))


def test_most_lines_of_the_charts_are_recognised(rxnorm: Any) -> None:
    mapped: Counter[bool] = Counter()
    for path in BUNDLES:
        found = collect_chart(chart(path), evaluation_date=LATER, terminology=rxnorm)
        mapped.update(item.medication.is_mapped for item in (*found.before, *found.after))
    assert mapped[True] / mapped.total() > 0.95
