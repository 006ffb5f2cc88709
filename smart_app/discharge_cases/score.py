"""What a comparison found against what a case expects. Knows the printed shape, not the matcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smart_app.discharge_cases.cases import Case

_Members = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Miss:
    """One expected group or alert that was not found as expected."""

    seed: int
    edit: str
    lines: str
    """The medicines concerned, before -> after."""
    expected: str
    found: str


@dataclass(slots=True)
class Score:
    """Counts over cases. Pairs are (before line, after line) in one group."""

    cases: int = 0
    false_identical: int = 0
    pairs_expected: int = 0
    pairs_found: int = 0
    pairs_right: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    kinds_right: Counter[str] = field(default_factory=Counter)
    differences_right: Counter[str] = field(default_factory=Counter)
    alerts_expected: int = 0
    alerts_right: int = 0
    misses: list[Miss] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.pairs_right / self.pairs_found if self.pairs_found else 1.0

    @property
    def recall(self) -> float:
        return self.pairs_right / self.pairs_expected if self.pairs_expected else 1.0

    @property
    def named_right(self) -> float:
        """Share of expected groups found with the right kind and exactly the right differences."""
        return self.differences_right.total() / self.groups.total() if self.groups else 1.0

    def add(self, case: Case, found: Mapping[str, Any]) -> None:
        """Count one case. found: as `explain --json` prints it."""
        seed, expected, names = case.seed, case.expected, _names(case.bundle)
        self.cases += 1
        by_members = {_members(group): group for group in found["groups"]}
        wanted = {_members(group): group for group in expected["groups"]}
        right_pairs = {pair for group in expected["groups"] for pair in _pairs(group)}
        found_pairs = {pair for group in found["groups"] for pair in _pairs(group)}
        self.pairs_expected += len(right_pairs)
        self.pairs_found += len(found_pairs)
        self.pairs_right += len(right_pairs & found_pairs)
        for members, group in by_members.items():
            if group["kind"] == "identical" and wanted.get(members, {}).get("kind") != "identical":
                self.false_identical += 1
        for members, group in wanted.items():
            lines = " -> ".join(" + ".join(names.get(r, r) for r in side) or "nothing" for side in members)
            self._group(seed, lines, group, by_members.get(members))
        alerts = {(alert["kind"], tuple(alert["references"])) for alert in found["alerts"]}
        for alert in expected["alerts"]:
            self.alerts_expected += 1
            if (alert["kind"], tuple(alert["references"])) in alerts:
                self.alerts_right += 1
            else:
                what = f"alert {alert['kind']} on {len(alert['references'])} records"
                lines = ", ".join(names.get(r, r) for r in alert["references"])
                self.misses.append(Miss(seed, "alert", lines, what, "no such alert"))

    def _group(self, seed: int, lines: str, wanted: Mapping[str, Any], got: Mapping[str, Any] | None) -> None:
        edit = wanted["edit"]
        self.groups[edit] += 1
        if got is not None and got["kind"] == wanted["kind"]:
            self.kinds_right[edit] += 1
            if sorted(got["differences"]) == wanted["differences"]:
                self.differences_right[edit] += 1
                return
        said = _words(got) if got else "grouped otherwise"
        self.misses.append(Miss(seed, edit, lines, _words(wanted), said))


def _names(bundle: Mapping[str, Any]) -> dict[str, str]:
    resources = [entry["resource"] for entry in bundle["entry"]]
    return {
        f"{r['resourceType']}/{r['id']}": r["medicationCodeableConcept"]["text"]
        for r in resources
        if "medicationCodeableConcept" in r
    }


def _members(group: Mapping[str, Any]) -> _Members:
    return tuple(sorted(group["before"])), tuple(sorted(group["after"]))


def _pairs(group: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return ((before, after) for before in group["before"] for after in group["after"])


def _words(group: Mapping[str, Any]) -> str:
    return f"{group['kind']} [{', '.join(sorted(group['differences']))}]"
