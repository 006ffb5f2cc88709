"""Interactions of lines: shipped tables and own rules together.

Covers domain 3.5 (interaction), spec 5.4: the most severe hit wins, every source is named, a medicine never
pairs with itself, absence is stated.
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.interactions import _rows, _sentence
from smart_app.reconciliation.safety.medicines import substance
from smart_app.reconciliation.safety.rule_engine import shipped_rules
from terminology.interactions import shipped_interactions

WARFARIN, ASPIRIN, IBUPROFEN = "855332", "243670", "310965"


def interactions(charts: Any, *lines: dict[str, Any], **more: Any) -> list[Any]:
    return [a for a in charts.alerts(list(lines), **more) if a.kind is AlertKind.INTERACTION]


def test_every_ingredient_pair_of_the_tables_reaches_the_rules(rxnorm: Any) -> None:
    """For every pair of the tables whose ingredients the vocabulary has: it is found as lines would ask."""
    pairs = {pair for pair, _ in shipped_interactions().pairs()}
    known = {code: substance(code, code, rxnorm) for code in frozenset().union(*pairs)}
    for pair in pairs:
        one, other = (known[code] for code in sorted(pair))
        assert one.codes & other.codes or _rows(one, other), pair


def test_a_row_that_holds_for_some_case_only_is_milder_and_says_so(charts: Any) -> None:
    """OSDI's row about two sedatives is "not recommended" for sodium oxybate alone."""
    found = interactions(charts, charts.take("pregabalin"), charts.take("risperidone"))
    (alert,) = [a for a in found if a.rule == "osdi-1368"]
    assert alert.severity is Severity.LOW
    assert "only in a case: with sodium oxybate." in alert.words
    assert alert.action.startswith("Ask the pharmacist")


def test_no_alert_of_the_tables_ends_in_the_middle_of_a_list(rxnorm: Any) -> None:
    for _, row in shipped_interactions().pairs():
        assert not _sentence(row.management).endswith(":.")


def test_every_word_of_severity_of_the_tables_has_a_grade() -> None:
    grades = table("checks.toml")["tables"]
    for row in {(row.table, row.severity) for _, row in shipped_interactions().pairs()}:
        assert Severity(grades[row[0]][row[1]])
        assert grades[row[0]]["says"][row[1]]


def test_an_alert_names_lines_rule_source_and_year(charts: Any) -> None:
    (alert,) = interactions(charts, charts.take("312961"), charts.take("197517"))
    assert alert.rule == "onc-statin-cyp3a4"
    assert alert.severity is Severity.HIGH
    assert alert.source.endswith("(2012)")
    assert "simvastatin and clarithromycin" in alert.words
    assert any(words.startswith("OSDI") for words in alert.also)
    assert alert.references == ("MedicationRequest/l-197517", "MedicationRequest/l-312961")
    assert alert.code == "DRG"


def test_the_same_pair_on_both_lists_is_one_alert_and_a_new_pair_says_so(charts: Any) -> None:
    old = charts.take(WARFARIN, identity="b1"), charts.take(IBUPROFEN, identity="b2")
    new = charts.take(WARFARIN, identity="a1"), charts.take(IBUPROFEN, identity="a2")
    (alert,) = [
        a
        for a in charts.alerts(list(new), before=list(old))
        if a.kind is AlertKind.INTERACTION and a.rule == "anticoagulant-nsaid"
    ]
    assert alert.lists == ("before", "after", "result")
    assert len(alert.references) == 4
    assert "New with the discharge" not in alert.words
    (alert,) = interactions(charts, *new)
    assert alert.lists == ("after", "result")
    assert "New with the discharge" in alert.words


def test_a_medicine_that_only_stood_before_is_checked_against_the_new_ones(charts: Any) -> None:
    """Nobody stopped the warfarin: the new antibiotic meets it at home."""
    found = charts.alerts([charts.take("197517")], before=[charts.take(WARFARIN)])
    (alert,) = [a for a in found if a.rule == "warfarin-antibiotic"]
    assert alert.lists == ("result",)


def test_two_ingredients_of_one_product_are_meant_to_be_together(charts: Any) -> None:
    assert interactions(charts, charts.take("197885")) == []


@pytest.mark.parametrize(
    ("one", "other", "rule"),
    [
        ("309362", "251872", "clopidogrel-omeprazole"),  # pantoprazole instead of omeprazole
        ("904475", "197517", "onc-statin-cyp3a4"),  # pravastatin instead of simvastatin
        ("197901", "197853", "midazolam-strong-inhibitor"),  # lorazepam instead of triazolam
        ("1364445", "198440", "anticoagulant-nsaid"),  # acetaminophen instead of an NSAID
        ("312961", "248656", "onc-statin-cyp3a4"),  # azithromycin instead of clarithromycin
    ],
)
def test_a_relative_that_does_not_interact_stays_silent(charts: Any, one: str, other: str, rule: str) -> None:
    assert rule not in charts.rules([charts.take(one), charts.take(other)])


def test_a_cream_does_not_count_as_a_tablet(charts: Any) -> None:
    """Diclofenac gel beside apixaban: no rule about NSAIDs by mouth; the tables count it low."""
    gel, tablet = charts.take("855633"), charts.take("855906")
    apixaban = charts.take("1364445")
    assert "anticoagulant-nsaid" in charts.rules([tablet, apixaban])
    local = interactions(charts, gel, apixaban)
    assert "anticoagulant-nsaid" not in {alert.rule for alert in local}
    assert {alert.severity for alert in local} <= {Severity.LOW}


def test_a_dose_below_the_limit_of_a_rule_is_silent_and_an_unknown_one_is_not(charts: Any) -> None:
    amlodipine = charts.take("197361", "1 tablet", "1/d")
    rule = "simvastatin-amlodipine"
    assert rule in charts.rules([amlodipine, charts.take("198211", "1 tablet", "1/d")])
    assert rule not in charts.rules([amlodipine, charts.take("312961", "1 tablet", "1/d")])
    assert rule in charts.rules([amlodipine, charts.take("312961")])


def test_the_fifteen_high_priority_groups_are_there_once_each_and_high() -> None:
    raw = [rule for rule in table("interaction_rules.toml")["rule"] if "high_priority" in rule]
    assert [rule["high_priority"] for rule in raw] == list(range(1, 16))
    assert {rule["severity"] for rule in raw} == {"high"}
    assert len(shipped_rules(AlertKind.INTERACTION)) >= 75


def test_an_ingredient_that_no_table_knows_is_named_as_unchecked(charts: Any) -> None:
    found = charts.check([charts.take("levetiracetam 500 MG Oral Tablet"), charts.take(WARFARIN)])
    assert "Interactions of levetiracetam: no table and no rule knows it" in found.not_checked
    assert not any("warfarin: no table" in statement for statement in found.not_checked)
