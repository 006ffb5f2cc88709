"""Small valid resources for tests: `patient(id=..., gender=...)`. All of them are synthetic."""

from __future__ import annotations

from typing import Any

SYSTEM = "urn:example:mrn"


def patient(**more: Any) -> dict[str, Any]:
    """A Patient. more: elements to add or replace."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": "A-1"}],
        "name": [{"family": "Testfall", "given": ["Anna"]}],
        "gender": "female",
        "birthDate": "1950-03-02",
    } | more


def observation(subject: str, value: str = "1.50", **more: Any) -> dict[str, Any]:
    """A final Observation of a subject ("Patient/id"). value: kept as a decimal with its digits."""
    from decimal import Decimal

    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]},
        "subject": {"reference": subject},
        "effectiveDateTime": "2024-03-01",
        "valueQuantity": {"value": Decimal(value), "unit": "mg/dL"},
    } | more


def bundle(type: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """A Bundle of ready entries."""
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str
) -> dict[str, Any]:
    """An entry of a batch or transaction. request: ifMatch, ifNoneExist, ..."""
    made: dict[str, Any] = {"request": {"method": method, "url": url} | request}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made
