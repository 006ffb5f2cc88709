"""Doses against the limits of labelling, and weekly medicines taken daily.

Covers domain 3.5 (dose; daily and weekly methotrexate of 3.4).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.context import PatientContext
from smart_app.reconciliation.safety.data_files import rows
from smart_app.reconciliation.safety.doses import limit_for, limits
from smart_app.reconciliation.safety.medicines import substance


def doses(charts: Any, *lines: dict[str, Any], **patient: Any) -> list[Any]:
    return [a for a in charts.alerts(list(lines), **patient) if a.kind is AlertKind.DOSE]


def test_a_day_above_the_most_of_labelling_is_found_and_the_most_is_not(charts: Any) -> None:
    (alert,) = doses(charts, charts.take("314076", "9 tablets", "1/d"))
    assert alert.rule == "dose-single-lisinopril"
    alerts = doses(charts, charts.take("314076", "5 tablets", "2/d"))
    assert [alert.rule for alert in alerts] == ["dose-daily-lisinopril"]
    assert "100 mg a day" in alerts[0].words
    assert doses(charts, charts.take("314076", "4 tablets", "2/d")) == []


def test_the_lines_of_a_list_are_added_up_combinations_too(charts: Any) -> None:
    """Acetaminophen in two products, each allowed by itself."""
    one = charts.take("198440", "2 tablets", "3/d", identity="x")
    other = charts.take("1049221", "2 tablets", "4/d", identity="y")
    assert doses(charts, one) == []
    (alert,) = doses(charts, one, other)
    assert alert.references == ("MedicationRequest/x", "MedicationRequest/y")
    assert alert.severity is Severity.HIGH
    assert "5600 mg a day over 2 lines" in alert.words


def test_a_limit_for_older_people_needs_a_known_age(charts: Any) -> None:
    citalopram = charts.take("citalopram 40 MG Oral Tablet", "1 tablet", "1/d")
    assert doses(charts, citalopram) == []
    assert doses(charts, citalopram, born="1980-01-01") == []
    found = doses(charts, citalopram, born="1950-01-01")
    assert {alert.rule for alert in found} == {"dose-single-citalopram"}
    assert "from 61 years on" in found[0].words


def test_methotrexate_every_day_is_high_and_once_a_week_is_silent(charts: Any) -> None:
    (alert,) = doses(charts, charts.take("105585", "1 tablet", "1/d"))
    assert (alert.rule, alert.severity) == ("dose-methotrexate-daily", Severity.HIGH)
    assert doses(charts, charts.take("105585", "4 tablets", "1/wk")) == []


def test_methotrexate_for_leukemia_may_be_daily(charts: Any) -> None:
    line = charts.take("105585", "1 tablet", "1/d", reasonCode=[{"text": "Acute lymphoblastic leukemia"}])
    assert doses(charts, line) == []


def test_by_another_route_no_limit_is_asked(charts: Any) -> None:
    cream = charts.take("106258", "9 applications", "9/d")
    assert doses(charts, cream) == []


def test_an_amount_that_is_not_known_is_stated(charts: Any) -> None:
    said = charts.check([charts.take("314076", sig="as directed")]).not_checked
    assert "Dose of lisinopril 10 MG Oral Tablet: the amount a day is not known" in said
    said = charts.check([charts.take("314076", "1 tablet", "1/d")]).not_checked
    assert not any(statement.startswith("Dose of") for statement in said)


@pytest.mark.parametrize(
    "row", rows("dose_limits.tsv"), ids=lambda r: f"{r['ingredient']}-{r['age_from'] or 'all'}"
)
def test_every_limit_belongs_to_a_known_ingredient_and_holds_for_its_age(
    rxnorm: Any, row: dict[str, str]
) -> None:
    concept = rxnorm.concept(row["rxcui"])
    assert (concept.tty, concept.name) == ("IN", row["ingredient"])
    context = PatientContext()
    if row["age_from"]:
        from datetime import date

        context = PatientContext(evaluated_on=date(2026, 1, 1), born=date(2026 - int(row["age_from"]), 1, 1))
    found = limit_for(substance(row["rxcui"], row["ingredient"], rxnorm), row["route"], context)
    assert found is not None
    assert found.daily == (Fraction(row["daily"]) if row["daily"] else None)
    assert found.severity.value == row["severity"]
    assert row["source"]
    assert 1990 <= int(row["year"]) <= 2026


def test_a_single_dose_is_never_allowed_above_every_day() -> None:
    """But for first doses that are higher once, which say so."""
    for each in limits().values():
        for limit in each:
            if limit.single is not None and limit.daily is not None and limit.single > limit.daily:
                assert limit.rxcui in {"32968", "613391", "4493"}, limit
