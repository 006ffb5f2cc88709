"""Builders of medication lists, and the shipped vocabulary."""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.reconciliation.explain import collect_lists, explain
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Collected, Reconciliation
from terminology.rxnorm import RxNorm, open_rxnorm
from terminology.systems import RXNORM


@pytest.fixture(scope="session")
def rxnorm(pytestconfig: pytest.Config) -> RxNorm:
    return open_rxnorm(pytestconfig.cache.mkdir("terminology"))


class Lists:
    """Writes lines and puts them on the lists before and after."""

    def __init__(self, rxnorm: RxNorm) -> None:
        self.rxnorm = rxnorm

    def line(
        self,
        identity: str,
        drug: str,
        dose: str | None = None,
        rate: str | None = None,
        *,
        sig: str | None = None,
        kind: str = "MedicationRequest",
        **more: Any,
    ) -> dict[str, Any]:
        """drug: RxCUI (digits) or a text. dose: "1 tablet". rate: "1/d", "2/d", "1/wk"."""
        dosage: dict[str, Any] = {"text": sig} if sig else {}
        if dose:
            value, unit = dose.split(" ", 1)
            dosage["doseAndRate"] = [{"doseQuantity": {"value": float(value), "unit": unit}}]
        if rate:
            times, period = rate.split("/")
            dosage["timing"] = {"repeat": {"frequency": int(times), "period": 1, "periodUnit": period}}
        dosage |= more.pop("dosage", {})
        concept = {"coding": [{"system": RXNORM, "code": drug}]} if drug.isdigit() else {"text": drug}
        found: dict[str, Any] = {
            "resourceType": kind,
            "id": identity,
            "meta": {"versionId": "1"},
            "status": "active",
            "subject": {"reference": "Patient/p"},
            "medicationCodeableConcept": concept,
        }
        if kind == "MedicationRequest":
            found["intent"] = "order"
        if dosage:
            found["dosage" if kind == "MedicationStatement" else "dosageInstruction"] = [dosage]
        return found | more

    def bundle(
        self, before: list[dict[str, Any]], after: list[dict[str, Any]], *others: dict[str, Any]
    ) -> dict[str, Any]:
        lists = [
            {
                "resourceType": "List",
                "id": name,
                "status": "current",
                "mode": "snapshot",
                "code": {"text": name},
                "entry": [{"item": {"reference": f"{r['resourceType']}/{r['id']}"}} for r in lines],
            }
            for name, lines in (("before", before), ("after", after))
        ]
        resources = [{"resourceType": "Patient", "id": "p"}, *lists, *before, *after, *others]
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": "2026-03-10T12:00:00Z",
            "entry": [{"resource": resource} for resource in resources],
        }

    def explain(self, *sides: Any) -> dict[str, Any]:
        return explain(self.bundle(*sides), self.rxnorm)

    def collect(self, *sides: Any) -> Collected:
        return collect_lists(self.bundle(*sides), self.rxnorm)

    def reconcile(self, *sides: Any) -> Reconciliation:
        found = self.collect(*sides)
        return reconcile(found.before, found.after, found.evidence, self.rxnorm, allergies=found.allergies)

    def pair(self, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, set[str]]:
        """Kind and differences of two lines in one group; ("apart", set()) when they are not."""
        groups = self.explain([before], [after])["groups"]
        if len(groups) != 1:
            return "apart", set()
        return groups[0]["kind"], set(groups[0]["differences"])


@pytest.fixture(scope="session")
def lists(rxnorm: RxNorm) -> Lists:
    return Lists(rxnorm)
