"""Gaps between fills, and how much a list asks of the patient.

Covers domain 3.5 (adherence and fill gap, many prescribers and pharmacies, burden).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.fills import runs_out


def fill(charts: Any, drug: str, day: str, days: int | None, identity: str = "f") -> dict[str, Any]:
    found = charts.lists.line(identity, drug, kind="MedicationDispense", status="completed")
    found |= {"whenHandedOver": day}
    if days is not None:
        found["daysSupply"] = {"value": days}
    return found


def gaps(charts: Any, line: dict[str, Any], *fills: dict[str, Any]) -> list[Any]:
    return [a for a in charts.alerts([line], *fills) if a.kind is AlertKind.ADHERENCE_GAP]


def test_a_supply_that_ran_out_more_than_a_week_ago_is_a_gap(charts: Any) -> None:
    """Evaluated on 2026-03-10."""
    line = charts.take("314076", "1 tablet", "1/d", identity="a")
    (alert,) = gaps(charts, line, fill(charts, "314076", "2026-01-01", 30))
    assert alert.references == ("MedicationDispense/f", "MedicationRequest/a")
    assert "ran out on 2026-01-31, 38 days ago" in alert.words
    assert alert.code == "COMPLY"
    assert gaps(charts, line, fill(charts, "314076", "2026-02-15", 30)) == []
    assert gaps(charts, line, fill(charts, "314076", "2026-02-01", 30)) == []


def test_an_early_refill_adds_to_what_is_left(charts: Any) -> None:
    line = charts.take("314076", "1 tablet", "1/d")
    early = fill(charts, "314076", "2026-01-02", 30, "f2")
    assert gaps(charts, line, fill(charts, "314076", "2026-01-01", 60), early) == []


def test_what_is_taken_as_needed_or_has_no_supply_has_no_gap(charts: Any) -> None:
    needed = charts.take("310965", "1 tablet", dosage={"asNeededBoolean": True})
    assert gaps(charts, needed, fill(charts, "310965", "2025-06-01", 10)) == []
    line = charts.take("314076", "1 tablet", "1/d")
    assert gaps(charts, line, fill(charts, "314076", "2025-06-01", None)) == []
    assert gaps(charts, line) == []


def test_a_gap_of_a_high_alert_medicine_is_graver(charts: Any) -> None:
    line = charts.take("855332", "1 tablet", "1/d")
    (alert,) = gaps(charts, line, fill(charts, "855332", "2026-01-01", 30))
    assert alert.severity is Severity.MODERATE


@given(st.permutations([("2026-01-01", 30), ("2026-01-20", 30), ("2026-04-01", 10)]))
def test_the_order_of_the_records_changes_no_run_out(order: Any) -> None:
    from smart_app.reconciliation.records import Item, Mapping, MappingMethod, Medication, Side, Sig, Source

    mapping = Mapping(MappingMethod.UNMAPPED, Decimal(0), "")
    items = [
        Item(
            f"MedicationDispense/{n}",
            None,
            Source("fills", Side.EVIDENCE, "Fills", None, day),
            Medication("x", mapping, "x"),
            Sig(""),
            "completed",
            days_supply=Decimal(days),
        )
        for n, (day, days) in enumerate(order)
    ]
    assert str(runs_out(items)) == "2026-04-11"


def test_the_burden_counts_medicines_forms_frequencies_and_people(charts: Any) -> None:
    lines = [
        charts.take("314076", "1 tablet", "1/d", identity="a", requester={"display": "Practice one"}),
        charts.take("861007", "1 tablet", "2/d", identity="b", requester={"display": "Practice two"}),
        charts.take("311041", "20 units", "1/d", identity="c", requester={"display": "Practice one"}),
        charts.take("310965", "2 tablets", identity="d", dosage={"asNeededBoolean": True}),
    ]
    burden = charts.check(lines).burden
    assert burden.medicines == 4
    assert burden.polypharmacy == ""
    assert burden.forms == 1 + 4  # tablets once, insulin drawn from a vial
    assert burden.frequencies == Decimal("4.5")  # 1 + 2 + 1 + 0.5
    assert burden.directions == 1  # two tablets at a time
    assert burden.unknown == 0
    assert (burden.prescribers, burden.many_prescribers) == (2, False)


@pytest.mark.parametrize(("count", "word"), [(4, ""), (5, "poly"), (9, "poly"), (10, "hyper")])
def test_five_medicines_are_polypharmacy_and_ten_more_than_that(charts: Any, count: int, word: str) -> None:
    names = ("314076", "861007", "855332", "313988", "312961", "198051", "966221", "312941", "309362", "197604")
    lines = [
        charts.take(name, "1 tablet", "1/d", requester={"display": f"Practice {n}"})
        for n, name in enumerate(names[:count])
    ]
    burden = charts.check(lines).burden
    assert burden.polypharmacy == word
    assert burden.many_prescribers
    assert burden.source.endswith("(2004)")


def test_a_line_whose_form_or_frequency_is_not_known_is_counted_as_unknown(charts: Any) -> None:
    burden = charts.check([charts.take("29046"), charts.take("314076", sig="as directed")]).burden
    assert (burden.medicines, burden.unknown) == (2, 2)
    assert burden.directions == 2
