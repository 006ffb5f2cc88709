"""A collection Bundle with the Lists `before` and `after` -> what `baton reconcile explain` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from smart_app.reconciliation.chart_index import ChartIndex, Resource
from smart_app.reconciliation.current import why_not_current
from smart_app.reconciliation.items import MEDICATION_TYPES, item
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.pairing import linked
from smart_app.reconciliation.records import (
    Burden,
    Collected,
    DrugLookup,
    Group,
    Item,
    LeftOut,
    Reconciliation,
    Side,
    Source,
)
from smart_app.reconciliation.safety.allergens import read_allergies
from smart_app.reconciliation.safety.context import read_context

_LABELS = {Side.BEFORE: "Before", Side.AFTER: "After"}
_DISPENSE = "MedicationDispense/"


def collect_lists(bundle: Mapping[str, Any], terminology: DrugLookup) -> Collected:
    """Read a collection Bundle with Lists whose code.text is `before` or `after`.

    Raises: ValueError naming what is missing: not a collection Bundle, no timestamp, not one
    Patient, no such List, an entry that points at nothing in the Bundle.
    """
    chart = _chart(bundle)
    patients = [name for name, _ in chart.of_type("Patient")]
    if len(patients) != 1:
        raise ValueError(f"The Bundle must hold one Patient, not {len(patients)}.")
    left_out: list[LeftOut] = []
    sides = {side: _lines(chart, side, terminology, left_out) for side in _LABELS}
    listed = {line.reference for lines in sides.values() for line in lines}
    medications = chart.medications()
    fills = Source("fills", Side.EVIDENCE, "Pharmacy fills")
    evidence = [
        item(resource, source=fills, reference=name, medications=medications, terminology=terminology)
        for name, resource in chart.of_type("MedicationDispense")
        if name not in listed and why_not_current(resource) is None
    ]
    before, after = (_without_fills_of_others(sides[side], evidence) for side in (Side.BEFORE, Side.AFTER))
    return Collected(
        before=before,
        after=after,
        evidence=tuple(evidence),
        allergies=read_allergies(chart.of_type("AllergyIntolerance"), terminology),
        left_out=tuple(left_out),
        patient=patients[0],
        context=read_context(chart.all(), datetime.fromisoformat(str(bundle["timestamp"]))),
    )


def _chart(bundle: Mapping[str, Any]) -> ChartIndex:
    if not isinstance(bundle, Mapping) or bundle.get("resourceType") != "Bundle":
        raise ValueError("The input must be a FHIR Bundle.")
    if bundle.get("type") != "collection":
        raise ValueError("The Bundle must be of type collection.")
    try:
        datetime.fromisoformat(str(bundle["timestamp"]))
    except (KeyError, ValueError):
        raise ValueError("The Bundle needs a timestamp: the date of evaluation.") from None
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise ValueError("Bundle.entry must be a list.")
    resources: list[tuple[str | None, Resource]] = []
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        if not isinstance(resource, Mapping) or not isinstance(resource.get("resourceType"), str):
            raise ValueError(f"Bundle.entry[{index}] has no resource.")
        resources.append((entry.get("fullUrl"), resource))
    return ChartIndex(resources)


def _lines(chart: ChartIndex, side: Side, terminology: DrugLookup, left_out: list[LeftOut]) -> tuple[Item, ...]:
    lists = [
        (name, resource)
        for name, resource in chart.of_type("List")
        if str((resource.get("code") or {}).get("text") or "").strip().lower() == side.value
        and resource.get("status") != "entered-in-error"
    ]
    if not lists:
        raise ValueError(f"The Bundle has no List whose code.text is “{side.value}”.")
    medications = chart.medications()
    found: dict[str, Item] = {}
    for list_name, resource in lists:
        source = Source(
            list_name, side, str(resource.get("title") or _LABELS[side]), None, resource.get("date")
        )
        for entry in resource.get("entry") or ():
            target = str((entry.get("item") or {}).get("reference") or "")
            line = chart.get(target)
            if line is None:
                raise ValueError(f"{list_name} points at “{target}”, which is not in the Bundle.")
            name = chart.name(target)
            if line.get("resourceType") not in MEDICATION_TYPES:
                raise ValueError(f"{list_name} points at {name}, which is no medication record.")
            why = "The List says it was taken off." if entry.get("deleted") else why_not_current(line)
            if why:
                left_out.append(LeftOut(name, why))
            else:
                found[name] = item(
                    line, source=source, reference=name, medications=medications, terminology=terminology
                )
    return tuple(found.values())


def _without_fills_of_others(lines: Iterable[Item], evidence: list[Item]) -> tuple[Item, ...]:
    """A fill of another line of the same list is evidence for that line, not a line of its own."""
    orders = [line for line in lines if not line.reference.startswith(_DISPENSE)]
    kept = list(orders)
    for fill in (line for line in lines if line.reference.startswith(_DISPENSE)):
        product = fill.medication.product
        if any(linked(fill, order) or (product and product == order.medication.product) for order in orders):
            evidence.append(fill)
        else:
            kept.append(fill)
    return tuple(kept)


def explain(bundle: Mapping[str, Any], terminology: DrugLookup) -> dict[str, Any]:
    """Reconcile the two lists of a collection Bundle and say why; plain values, in a fixed order.

    Raises: ValueError as `collect_lists`.
    """
    collected = collect_lists(bundle, terminology)
    return explained(
        reconcile(
            collected.before,
            collected.after,
            collected.evidence,
            terminology,
            allergies=collected.allergies,
            context=collected.context,
        )
    )


def _references(group: Group, lines: Iterable[Item], side: Side) -> list[str]:
    """The lines of one side, then the records of the same side's Lists that say the same of them."""
    folded = (item.reference for item in group.evidence if item.source.side is side)
    return [*(line.reference for line in lines), *folded]


def explained(reconciliation: Reconciliation) -> dict[str, Any]:
    """The groups, alerts and versions as plain JSON values."""
    return {
        "groups": [
            {
                "kind": group.kind.value,
                "before": _references(group, group.before, Side.BEFORE),
                "after": _references(group, group.after, Side.AFTER),
                "differences": [found.kind.value for found in group.differences],
                "reason": group.reason,
            }
            for group in reconciliation.groups
        ],
        "alerts": [
            {
                "kind": alert.kind.value,
                "severity": alert.severity.value,
                "references": list(alert.references),
                "rule": alert.rule,
                "source": alert.source,
                "lists": list(alert.lists),
                "code": alert.code,
                "words": alert.words,
                "action": alert.action,
                "also": list(alert.also),
            }
            for alert in reconciliation.alerts
        ],
        "burden": _burden(reconciliation.burden),
        "notChecked": list(reconciliation.not_checked),
        "versions": {
            "algorithm": reconciliation.versions.algorithm,
            "terminology": reconciliation.versions.terminology,
            "rules": reconciliation.versions.rules,
        },
    }


def _burden(burden: Burden | None) -> dict[str, Any] | None:
    if burden is None:
        return None
    return {
        "medicines": burden.medicines,
        "polypharmacy": burden.polypharmacy,
        "complexity": {
            "forms": burden.forms,
            "frequencies": float(burden.frequencies),
            "directionsEstimated": burden.directions,
            "unknownLines": burden.unknown,
        },
        "prescribers": burden.prescribers,
        "pharmacies": burden.pharmacies,
        "source": burden.source,
    }
