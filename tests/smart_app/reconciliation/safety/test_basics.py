"""The result as the board and `baton reconcile explain` use it; order, data of the rules, a site's own rules.

Covers domain 3.5, CONTRACTS `alerts`.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind, Severity
from smart_app.reconciliation.safety.data_files import rows, rules_version, table
from smart_app.reconciliation.safety.rule_engine import FILES, read_rules, shipped_rules

DATA = files("smart_app.reconciliation.safety") / "data"


def kinds(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(alert["kind"], alert["severity"]) for alert in found["alerts"]]


def test_a_high_alert_medicine_is_graver_when_the_lists_disagree(lists: Any) -> None:
    for rxcui in ("855332", "1364445", "311041", "835603"):
        dose = "20 units" if rxcui == "311041" else "1 tablet"
        before, after = lists.line("b", rxcui, dose, "1/d"), lists.line("a", rxcui, dose, "1/d")
        assert ("high-alert", "high") in kinds(lists.explain([], [after]))
        assert ("high-alert", "moderate") in kinds(lists.explain([before], [after]))


def test_the_gravest_alert_comes_first_and_the_order_of_the_lines_changes_nothing(charts: Any) -> None:
    lines = [charts.take(code) for code in ("855332", "310965", "197517", "312961", "861007", "835603")]
    one, other = (
        charts.alerts(lines, born="1940-01-01", egfr=25),
        charts.alerts(lines[::-1], born="1940-01-01", egfr=25),
    )
    assert one == other
    grades = [list(Severity).index(alert.severity) for alert in one]
    assert grades == sorted(grades)
    assert len({(alert.rule, alert.references, alert.words) for alert in one}) == len(one)


def test_a_line_that_was_not_recognised_is_named_and_stops_nothing(charts: Any) -> None:
    found = charts.check([charts.take("Grandma's tonic"), charts.take("855332"), charts.take("310965")])
    assert "“Grandma's tonic”: the medicine was not recognised" in found.not_checked
    assert "anticoagulant-nsaid" in {alert.rule for alert in found.alerts}


def test_the_coverage_and_dates_of_the_data_are_part_of_every_result(charts: Any) -> None:
    said = charts.check([]).not_checked
    assert said[: len(table("checks.toml")["coverage"]["statements"])] == tuple(
        table("checks.toml")["coverage"]["statements"]
    )
    assert any("2014 and 2016" in statement for statement in said)
    assert charts.check([]).versions.rules == rules_version()


@pytest.mark.parametrize("name", [*FILES.values(), "groups.toml", "high_alert.toml", "duplicates.toml"])
def test_every_code_of_the_rules_is_an_ingredient_of_that_name_and_every_group_is_defined(
    rxnorm: Any, name: str
) -> None:
    groups = table("groups.toml")
    codes: list[tuple[str, str]] = []

    def walk(value: Any, key: str = "") -> None:
        if isinstance(value, dict):
            if key in ("ingredients", "except"):
                codes.extend(value.items())
            for inner, each in value.items():
                walk(each, inner)
        elif isinstance(value, list):
            if key == "groups":
                assert set(value) <= groups.keys()
            for each in value:
                walk(each, key)

    walk(tomllib.loads((DATA / name).read_text("utf-8")))
    assert codes
    for rxcui, known in codes:
        concept = rxnorm.concept(rxcui)
        assert (concept.tty, concept.name) == ("IN", known)


def test_every_class_that_a_group_names_is_a_class_of_the_vocabulary(class_names: frozenset[str]) -> None:
    for body in table("groups.toml").values():
        assert set(body.get("classes", ())) <= class_names


def test_every_alias_is_two_ingredients_with_a_reason(rxnorm: Any) -> None:
    for row in rows("ingredient_aliases.tsv"):
        for code, name in ((row["rxcui"], row["name"]), (row["counts_as"], row["counts_as_name"])):
            assert (rxnorm.concept(code).tty, rxnorm.concept(code).name) == ("IN", name)
        assert row["why"]
    assert len(rows("ingredient_aliases.tsv")) >= 30


def test_every_rule_has_one_id_a_source_a_year_and_says_whether_it_was_read() -> None:
    seen: set[str] = set()
    for kind in FILES:
        for rule in shipped_rules(kind):
            assert rule.id not in seen
            seen.add(rule.id)
            assert rule.effect.endswith(".")
            assert rule.action.endswith(".")
            assert rule.source
            assert 1990 <= rule.year <= 2026
            assert rule.basis in ("read", "recalled")


SITE = """
age_from = 70
[[rule]]
id = "site-1"
drugs.ingredients = { 29046 = "lisinopril" }
severity = "moderate"
effect = "The licensed text."
action = "Ask."
source = "The licensed set"
year = 2023
basis = "read"
"""


def test_a_licensed_set_of_a_site_is_checked_beside_the_shipped_rules(charts: Any) -> None:
    rules = read_rules(tomllib.loads(SITE), AlertKind.OLDER_ADULT)
    line = [charts.take("314076")]
    assert "site-1" in charts.rules(line, born="1950-01-01", site_rules=rules)
    assert "site-1" not in charts.rules(line, born="1960-01-01", site_rules=rules)


@pytest.mark.parametrize(
    "broken",
    [
        "severity = 'grave'",
        "drugs = 7",
        "year = 'soon'",
        "drugs = []",
        "egfr_below = 'low'",
        "drugs.groups = ['no-such-group']",
        "conditions = ['no-such']",
        "drugs.groups = []",
    ],
)
def test_a_rule_of_another_shape_is_refused_by_name(broken: str) -> None:
    key = broken.split(" ")[0].split(".")[0]
    lines = [line for line in SITE.splitlines() if not line.startswith(key)]
    with pytest.raises(ValueError, match=r"site-1|number 1"):
        read_rules(tomllib.loads("\n".join([*lines, broken])), AlertKind.OLDER_ADULT)
