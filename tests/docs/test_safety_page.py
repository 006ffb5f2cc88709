"""The page about safety keeps its promises: every test it names exists, every figure is that of the data.

Covers docs/safety.md (hazard log, coverage).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smart_app.reconciliation.records import AlertKind
from smart_app.reconciliation.safety.data_files import rows, table
from smart_app.reconciliation.safety.rule_engine import shipped_rules
from terminology.interactions import shipped_interactions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "safety.md").read_text("utf-8")
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), PROOFS, ids=lambda value: value)
def test_every_test_that_proves_a_mitigation_exists(file: str, name: str) -> None:
    assert re.search(rf"^\s*def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "hazard", ["wrong patient", "merged drugs", "lost line", "stale list", "missed alert", "missed clock"]
)
def test_every_hazard_has_a_mitigation_with_a_proof(hazard: str) -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| {hazard} |")]
    assert lines
    for line in lines:
        cause, mitigation, proof = (cell.strip() for cell in line.strip("|").split("|")[1:])
        assert cause
        assert mitigation
        assert "::test_" in proof


def test_the_figures_of_the_page_are_those_of_the_data() -> None:
    tables = shipped_interactions().coverage
    own = shipped_rules(AlertKind.INTERACTION)
    high = sum("high_priority" in rule for rule in table("interaction_rules.toml")["rule"])
    assert f"{high} high-priority groups, {len(own) - high} own rules" in PAGE
    assert f"{len(tables['osdi'])} ingredients, 2,886 rows" in PAGE
    assert f"{len(tables['ndfrt'])} ingredients, 5,265 pairs" in PAGE
    assert f"{len(tables['osdi'] | tables['ndfrt']):,} ingredients" in PAGE
    assert f"| November 2026 | {len(own)}," in PAGE
    assert f"{len(table('allergy_families.toml')['family'])} families" in PAGE
    assert f"{len(table('high_alert.toml')['rule'])} rules" in PAGE
    assert f"{len(shipped_rules(AlertKind.OLDER_ADULT))} own rules in the spirit" in PAGE
    assert f"{len(shipped_rules(AlertKind.RENAL))} rules; newest eGFR" in PAGE
    assert f"{len(rows('dose_limits.tsv'))} limits" in PAGE
    conditions = sum(isinstance(body, dict) for body in table("conditions.toml").values())
    assert f"{conditions} groups of conditions" in PAGE
