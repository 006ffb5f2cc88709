"""FHIR resources of a chart or of a collection Bundle -> Items on their sides (domain 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from smart_app.reconciliation.records import Collected, DrugLookup


def collect_chart(
    resources: Iterable[Mapping[str, Any]],
    *,
    evaluation_date: datetime,
    discharge: datetime | None = None,
    encounter: str | None = None,
    terminology: DrugLookup,
) -> Collected:
    """Sort a patient's chart into the lists before and after one discharge, and the fills.

    resources: MedicationRequest, MedicationStatement, MedicationDispense, Medication, List,
    AllergyIntolerance, Encounter, in any order; other types are ignored.
    encounter: `Encounter/id` of the discharge; else the inpatient Encounter that ended at or last
    before `discharge` (default: `evaluation_date`).
    The rules are those of docs/reconciliation.md, "Which list is which".
    """
    raise NotImplementedError


def collect_lists(bundle: Mapping[str, Any], terminology: DrugLookup) -> Collected:
    """Read a collection Bundle with Lists whose code.text is `before` or `after` (`baton reconcile explain`).

    Raises: ValueError naming what is missing: not a collection Bundle, no timestamp, not one
    Patient, no such List, an entry that points at nothing in the Bundle.
    """
    raise NotImplementedError
