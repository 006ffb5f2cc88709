"""What a comparison found against what a case expects. Knows the printed shape, not the matcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_Members = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Miss:
    """One expected group or alert that was not found as expected."""

    seed: int
    edit: str
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

    def add(self, seed: int, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Count one case. expected: as the case has it; found: as `explain --json` prints it."""
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
            self._group(seed, group, by_members.get(members))
        alerts = {(alert["kind"], tuple(alert["references"])) for alert in found["alerts"]}
        for alert in expected["alerts"]:
            self.alerts_expected += 1
            if (alert["kind"], tuple(alert["references"])) in alerts:
                self.alerts_right += 1
            else:
                what = f"alert {alert['kind']} on {len(alert['references'])} records"
                self.misses.append(Miss(seed, "alert", what, "no such alert"))

    def _group(self, seed: int, wanted: Mapping[str, Any], got: Mapping[str, Any] | None) -> None:
        edit = wanted["edit"]
        self.groups[edit] += 1
        if got is not None and got["kind"] == wanted["kind"]:
            self.kinds_right[edit] += 1
            if sorted(got["differences"]) == wanted["differences"]:
                self.differences_right[edit] += 1
                return
        self.misses.append(Miss(seed, edit, _words(wanted), _words(got) if got else "grouped otherwise"))


def _members(group: Mapping[str, Any]) -> _Members:
    return tuple(sorted(group["before"])), tuple(sorted(group["after"]))


def _pairs(group: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return ((before, after) for before in group["before"] for after in group["after"])


def _words(group: Mapping[str, Any]) -> str:
    return f"{group['kind']} [{', '.join(sorted(group['differences']))}]"
