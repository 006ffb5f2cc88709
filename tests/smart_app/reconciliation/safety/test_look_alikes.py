"""Names that look alike never stand for each other in any check.

Covers: look-alike names never match. Pairs: FDA Name Differentiation Project, and the pairs of the requirement.
"""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind
from smart_app.reconciliation.safety.medicines import aliases, substance

PAIRS = [
    ("hydralazine", "hydroxyzine"),
    ("bupropion", "buspirone"),
    ("metformin", "metronidazole"),
    ("acetazolamide", "acetohexamide"),
    ("chlorpromazine", "chlorpropamide"),
    ("clomiphene", "clomipramine"),
    ("cyclosporine", "cycloserine"),
    ("daunorubicin", "doxorubicin"),
    ("dimenhydrinate", "diphenhydramine"),
    ("dobutamine", "dopamine"),
    ("glipizide", "glyburide"),
    ("hydralazine", "hydromorphone"),
    ("hydroxyzine", "hydromorphone"),
    ("medroxyprogesterone", "methylprednisolone"),
    ("nicardipine", "nifedipine"),
    ("risperidone", "ropinirole"),
    ("sulfadiazine", "sulfisoxazole"),
    ("tolazamide", "tolbutamide"),
    ("vinblastine", "vincristine"),
    ("lamotrigine", "lamivudine"),
    ("clonidine", "clonazepam"),
    ("tramadol", "trazodone"),
    ("sertraline", "cetirizine"),
    ("quinine", "quinidine"),
    ("carbamazepine", "oxcarbazepine"),
    ("sitagliptin", "sumatriptan"),
    ("prednisone", "primidone"),
    ("hydrocodone", "hydrocortisone"),
    ("furosemide", "fluoxetine"),
    ("methadone", "methylphenidate"),
]


def ingredient(rxnorm: Any, name: str) -> Any:
    (found,) = rxnorm.by_name(name).ingredients
    assert found.name == name
    return found


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_neither_counts_as_the_other(rxnorm: Any, one: str, other: str) -> None:
    a, b = (ingredient(rxnorm, name) for name in (one, other))
    assert a.rxcui != b.rxcui
    assert not substance(a.rxcui, one, rxnorm).codes & substance(b.rxcui, other, rxnorm).codes


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_they_are_no_duplicate_ingredient_and_an_allergy_to_one_is_not_exact_for_the_other(
    charts: Any, one: str, other: str
) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "al",
        "code": {"text": one},
        "patient": {"reference": "Patient/p"},
    }
    found = charts.alerts([charts.take(other, identity="x")], allergy)
    assert "allergy-exact-ingredient" not in {alert.rule for alert in found}
    found = charts.alerts([charts.take(one, identity="x"), charts.take(other, identity="y")])
    assert AlertKind.DUPLICATE_INGREDIENT not in {alert.kind for alert in found}


def test_no_alias_leads_on_to_another_alias_or_to_itself() -> None:
    for source, target in aliases().items():
        assert target not in aliases(), source
        assert source != target
