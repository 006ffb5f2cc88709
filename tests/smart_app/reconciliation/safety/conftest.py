"""Charts for the safety rules: lists with a patient, kidney function, conditions and allergies."""

from __future__ import annotations

import csv
import gzip
from importlib.resources import files
from typing import Any

import pytest

from smart_app.reconciliation.explain import collect_lists
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Alert, Reconciliation
from smart_app.reconciliation.safety.data_files import table

CODES = "http://snomed.info/sct"


class Charts:
    """Writes charts and asks what is found in them."""

    def __init__(self, lists: Any) -> None:
        self.lists = lists
        self.rxnorm = lists.rxnorm

    def take(self, drug: str, dose: str | None = None, rate: str | None = None, **more: Any) -> dict[str, Any]:
        """A line; identity and default instruction follow from the drug."""
        identity = more.pop("identity", "l-" + "".join(c for c in drug.lower() if c.isalnum()))
        return self.lists.line(identity, drug, dose, rate, **more)

    def check(
        self,
        after: list[dict[str, Any]],
        *others: dict[str, Any],
        before: list[dict[str, Any]] | None = None,
        born: str | None = None,
        egfr: str | float | None = None,
        conditions: tuple[str, ...] = (),
        site_rules: Any = (),
    ) -> Reconciliation:
        """Reconcile `before` (default: nothing) with `after` for such a patient, on 2026-03-10."""
        context = [condition(each, number) for number, each in enumerate(conditions)]
        if egfr is not None:
            context.append(kidney(egfr))
        bundle = self.lists.bundle(before or [], after, *others, *context)
        if born:
            patient = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
            patient["birthDate"] = born
        found = collect_lists(bundle, self.rxnorm)
        return reconcile(
            found.before,
            found.after,
            found.evidence,
            self.rxnorm,
            allergies=found.allergies,
            context=found.context,
            site_rules=site_rules,
        )

    def alerts(self, *lines: Any, **patient: Any) -> list[Alert]:
        return list(self.check(*lines, **patient).alerts)

    def rules(self, *lines: Any, **patient: Any) -> set[str]:
        """Ids of the rules that fire."""
        return {alert.rule for alert in self.alerts(*lines, **patient)}


def condition(name: str, number: int = 0) -> dict[str, Any]:
    """An active Condition: by the id of `conditions.toml` (its first SNOMED CT code), else by words."""
    known = table("conditions.toml").get(name)
    code = {"coding": [{"system": CODES, "code": next(iter(known["snomed"]))}]} if known else {"text": name}
    return {
        "resourceType": "Condition",
        "id": f"c{number}",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": code,
        "subject": {"reference": "Patient/p"},
    }


def kidney(value: str | float, taken: str = "2026-02-01", **more: Any) -> dict[str, Any]:
    """An eGFR (LOINC 98979-8); "<15" and ">60" are bounds."""
    text = str(value)
    quantity: dict[str, Any] = {"unit": "mL/min/{1.73_m2}", "value": float(text.lstrip("<>"))}
    if text[0] in "<>":
        quantity["comparator"] = text[0]
    return {
        "resourceType": "Observation",
        "id": "egfr",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "98979-8"}]},
        "effectiveDateTime": taken,
        "subject": {"reference": "Patient/p"},
        "valueQuantity": quantity,
    } | more


@pytest.fixture(scope="session")
def charts(lists: Any) -> Charts:
    return Charts(lists)


@pytest.fixture(scope="session")
def make_kidney() -> Any:
    return kidney


@pytest.fixture(scope="session")
def make_condition() -> Any:
    return condition


@pytest.fixture(scope="session")
def class_names() -> frozenset[str]:
    """Names of the established pharmacologic classes of the shipped tables."""
    folder = files("terminology") / "data" / "drug_classes"
    named = (folder / "classes.tsv").read_text("utf-8").splitlines()
    fda = gzip.decompress((folder / "fda_ndc_pharm_class_by_ingredient_2019.tsv.gz").read_bytes()).decode()
    return frozenset(
        {row["class_name"] for row in csv.DictReader(named, delimiter="\t")}
        | {row["class"] for row in csv.DictReader(fda.splitlines(), delimiter="\t")}
    )
