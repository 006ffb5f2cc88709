"""Lines of medication lists as FHIR R4 resources, all marked synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from smart_app.discharge_cases.formulary import Product
from smart_app.discharge_cases.regimen import Regimen, Style, dosage
from terminology.systems import NDC, RXNORM

SYNTHETIC = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}


class Naming(StrEnum):
    """Ways to say which product is meant."""

    CODE = "code"
    BRAND = "brand"
    NDC = "ndc"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Without a product `text` names it; `instruction` replaces the regimen."""

    product: Product | None
    regimen: Regimen | None
    naming: Naming = Naming.CODE
    style: Style = Style.COUNT
    wording: int = 0
    text: str = ""
    given: dict[str, Any] | None = None
    """A CodeableConcept as a chart has it, in place of product and text."""
    instruction: dict[str, Any] | list[dict[str, Any]] | None = None
    status: str = "active"
    statement: bool = False

    @property
    def resource_type(self) -> str:
        return "MedicationStatement" if self.statement else "MedicationRequest"

    def concept(self) -> dict[str, Any]:
        """The CodeableConcept of its medication."""
        if self.given is not None:
            return self.given
        product = self.product
        if product is None:
            return {"text": self.text}
        if self.naming is Naming.BRAND and product.brand_rxcui:
            return _coded(RXNORM, product.brand_rxcui, product.brand_name)
        if self.naming is Naming.NDC and product.ndc11:
            return _coded(NDC, product.ndc11, product.name)
        if self.naming is Naming.NAME:
            return {"text": product.name.upper() if self.wording % 2 else product.name}
        return _coded(RXNORM, product.rxcui, product.name)

    def dosages(self) -> list[dict[str, Any]]:
        if isinstance(self.instruction, list):
            return self.instruction
        if self.instruction is not None:
            return [self.instruction] if self.instruction else []
        if self.product is None or self.regimen is None:
            return []
        return [dosage(self.product, self.regimen, self.style, self.wording)]


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def resource(
    line: Line, identity: str, patient: str, date: str, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A line as MedicationRequest or MedicationStatement. `patient`: reference, `date`: FHIR dateTime."""
    found: dict[str, Any] = {
        "resourceType": line.resource_type,
        "id": identity,
        "meta": {"tag": [SYNTHETIC]},
        "status": line.status,
        "medicationCodeableConcept": line.concept(),
        "subject": {"reference": patient},
    }
    if line.statement:
        found["dateAsserted"] = date
    else:
        found["intent"] = "order"
        found["authoredOn"] = date
    if dosages := line.dosages():
        found["dosage" if line.statement else "dosageInstruction"] = dosages
    return found | (extra or {})


def fill(line: Line, identity: str, patient: str, date: str, order: str | None) -> dict[str, Any]:
    """A MedicationDispense of thirty days of a line; `order`: reference of what it was filled for."""
    found: dict[str, Any] = {
        "resourceType": "MedicationDispense",
        "id": identity,
        "meta": {"tag": [SYNTHETIC]},
        "status": "completed",
        "medicationCodeableConcept": line.concept(),
        "subject": {"reference": patient},
        "whenHandedOver": date,
        "daysSupply": {
            "value": 30,
            "unit": "days",
            "system": "http://unitsofmeasure.org",
            "code": "d",
        },
    }
    if order:
        found["authorizingPrescription"] = [{"reference": order}]
    return found


def allergy(ingredient: str, rxcui: str, identity: str, patient: str, date: str) -> dict[str, Any]:
    """An active, confirmed allergy to one ingredient."""
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
    return {
        "resourceType": "AllergyIntolerance",
        "id": identity,
        "meta": {"tag": [SYNTHETIC]},
        "clinicalStatus": {"coding": [{"system": system + "clinical", "code": "active"}]},
        "verificationStatus": {"coding": [{"system": system + "verification", "code": "confirmed"}]},
        "type": "allergy",
        "category": ["medication"],
        "criticality": "high",
        "code": _coded(RXNORM, rxcui, ingredient),
        "patient": {"reference": patient},
        "recordedDate": date,
    }
