"""FHIR resources of a chart -> Items on their sides: before, after, evidence (domain 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from smart_app.reconciliation.chart_index import ChartIndex, Resource, mappings, reference_in
from smart_app.reconciliation.current import why_not_current
from smart_app.reconciliation.items import item
from smart_app.reconciliation.records import Collected, DrugLookup, Item, LeftOut, Side, Source
from smart_app.reconciliation.safety.allergens import read_allergies
from smart_app.reconciliation.safety.context import read_context
from terminology.systems import BATON_RECONCILIATION, LOINC

HOME = Source("home", Side.BEFORE, "Home medications")
REPORTED = Source("reported", Side.BEFORE, "Reported by the patient or others")
RECONCILED = Source("reconciled", Side.BEFORE, "Last reconciled list")
DISCHARGE = Source("discharge", Side.AFTER, "Discharge orders")
FILLS = Source("fills", Side.EVIDENCE, "Pharmacy fills")

RECONCILED_LIST = "10160-0"
"""LOINC: History of Medication use Narrative, the code of the signed list (domain 3.7)."""
_INPATIENT = {"IMP", "ACUTE", "NONAC", "OBSENC", "SS"}


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
    AllergyIntolerance, Encounter, Patient, Observation, Condition, in any order; other types are ignored.
    A resource may stand in an entry's place (`{"fullUrl", "resource"}`).
    encounter: `Encounter/id` of the discharge; else the inpatient Encounter that ended last, not
    after `discharge` (default: `evaluation_date`).
    The rules are those of docs/reconciliation.md, "Which list is which".
    """
    chart = ChartIndex(_entries(resources))
    stay_name, stay = _discharge(chart, discharge or evaluation_date, encounter)
    period = _element(stay, "period")
    admitted = _instant(period.get("start"))
    left = discharge or _instant(period.get("end")) or evaluation_date
    sides = _Sides(chart, stay_name, admitted, left, evaluation_date)
    found: dict[Side, list[Item]] = {side: [] for side in Side}
    left_out: list[LeftOut] = []
    medications = chart.medications()
    for kind in ("MedicationRequest", "MedicationStatement", "MedicationDispense"):
        for name, resource in chart.of_type(kind):
            try:
                placed = sides.place(name, resource)
                if isinstance(placed, str):
                    left_out.append(LeftOut(name, placed))
                    continue
                line = item(
                    resource,
                    source=placed,
                    reference=name,
                    medications=medications,
                    terminology=terminology,
                )
            except (AttributeError, KeyError, TypeError, ValueError):
                # A chart elsewhere may hold elements of the wrong shape: one must not hide the others.
                left_out.append(LeftOut(name, "It cannot be read: an element has the wrong shape."))
            else:
                found[placed.side].append(line)
    patient = next((name for name, _ in chart.of_type("Patient")), None)
    return Collected(
        before=tuple(found[Side.BEFORE]),
        after=tuple(found[Side.AFTER]),
        evidence=tuple(found[Side.EVIDENCE]),
        allergies=read_allergies(chart.of_type("AllergyIntolerance"), terminology),
        left_out=tuple(left_out),
        patient=patient,
        encounter=stay_name,
        context=read_context(chart.all(), evaluation_date),
    )


def _entries(resources: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str | None, Resource]]:
    for each in resources:
        if "resourceType" in each:
            yield None, each
        elif isinstance(each.get("resource"), Mapping):
            yield each.get("fullUrl"), each["resource"]


def _instant(value: object) -> datetime | None:
    """A FHIR dateTime as an instant, a partial one at its start; without a zone it is read as UTC."""
    if not isinstance(value, str) or not value:
        return None
    padded = value + "-01-01"[len(value) - 4 :] if len(value) in (4, 7) else value
    try:
        parsed = datetime.fromisoformat(padded)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _element(resource: Resource, name: str) -> Mapping[str, Any]:
    value = resource.get(name)
    return value if isinstance(value, Mapping) else {}


def _discharge(chart: ChartIndex, until: datetime, encounter: str | None) -> tuple[str | None, Resource]:
    if encounter:
        return chart.name(encounter), chart.get(encounter) or {}
    ended = []
    for name, resource in chart.of_type("Encounter"):
        code = _element(resource, "class").get("code")
        end = _instant(_element(resource, "period").get("end"))
        if code in _INPATIENT and resource.get("status") == "finished" and end and end <= until:
            ended.append((end, name, resource))
    if not ended:
        return None, {}
    _, name, resource = max(ended, key=lambda each: each[:2])
    return name, resource


class _Sides:
    """Decides for each record on which side it stands, or why on none."""

    def __init__(
        self,
        chart: ChartIndex,
        stay: str | None,
        admitted: datetime | None,
        left: datetime,
        evaluation_date: datetime,
    ) -> None:
        self._chart = chart
        self._stay = stay
        self._admitted = admitted
        self._left = left
        self._evaluation_date = evaluation_date
        self._explicit = any(
            self._is_discharge_order(resource) for _, resource in chart.of_type("MedicationRequest")
        )
        self._reconciled, self._later = self._signed_lists()

    def _signed_lists(self) -> tuple[set[str], set[str]]:
        """Lines of the last list signed before the admission, and those of lists signed since."""
        start = self._admitted or self._left
        earlier: list[tuple[str, set[str]]] = []
        later: set[str] = set()
        for _, resource in self._chart.of_type("List"):
            concept = resource.get("code")
            codings = mappings(concept.get("coding")) if isinstance(concept, Mapping) else []
            codes = {(str(coding.get("system")), str(coding.get("code"))) for coding in codings}
            if (LOINC, RECONCILED_LIST) not in codes or resource.get("status") == "entered-in-error":
                continue
            lines = {
                self._chart.name(reference_in(entry.get("item")))
                for entry in mappings(resource.get("entry"))
                if not entry.get("deleted")
            }
            signed = _instant(resource.get("date"))
            if signed and signed < start:
                earlier.append((str(resource.get("date")), lines))
            else:
                later |= lines
        return (max(earlier, key=lambda each: each[0])[1] if earlier else set()), later

    def _is_discharge_order(self, resource: Resource) -> bool:
        """Category discharge, and of this stay (or of no stay, then authored in it)."""
        if "discharge" not in _categories(resource):
            return False
        return self._of_stay(resource) and why_not_current(resource) is None

    def _of_stay(self, resource: Resource) -> bool:
        reference = reference_in(resource.get("encounter") or resource.get("context"))
        if reference and self._stay:
            return self._chart.name(reference) == self._stay
        authored = _instant(resource.get("authoredOn"))
        return bool(authored and self._admitted and self._admitted <= authored)

    def place(self, name: str, resource: Resource) -> Source | str:
        """The source a record belongs to, or the rule that leaves it out."""
        if why := why_not_current(resource):
            return why
        match resource.get("resourceType"):
            case "MedicationDispense":
                handed = _instant(resource.get("whenHandedOver") or resource.get("whenPrepared"))
                if handed and handed > self._evaluation_date:
                    return "It was handed over after the day of evaluation."
                return FILLS
            case "MedicationStatement":
                return self._statement(name, resource)
            case _:
                return self._request(resource)

    def _statement(self, name: str, resource: Resource) -> Source | str:
        if name in self._reconciled:
            return RECONCILED
        ours = any(i.get("system") == BATON_RECONCILIATION for i in resource.get("identifier") or ())
        if name in self._later or ours:
            return "It was written by a reconciliation."
        period = resource.get("effectivePeriod") or {}
        start = _instant(period.get("start") or resource.get("effectiveDateTime"))
        end = _instant(period.get("end"))
        if end and self._admitted and end < self._admitted:
            return "It ended before the admission."
        if start and start > self._left:
            return "It began after the discharge."
        return REPORTED

    def _request(self, resource: Resource) -> Source | str:
        categories = _categories(resource)
        authored = _instant(resource.get("authoredOn"))
        if self._is_discharge_order(resource):
            return DISCHARGE
        if "discharge" in categories:
            return "It belongs to another discharge."
        if authored and authored > self._evaluation_date:
            return "It was ordered after the day of evaluation."
        if "inpatient" in categories:
            return "It was for the stay in hospital only."
        before_stay = self._admitted is None or authored is None or authored < self._admitted
        if before_stay or resource.get("reportedBoolean") is True or "community" in categories:
            if not before_stay and authored and authored > self._left:
                return DISCHARGE if self._of_stay(resource) else "It was ordered after the discharge."
            return HOME
        if self._explicit:
            return "It was ordered during the stay and is no discharge order."
        if (authored and authored <= self._left) or self._of_stay(resource):
            return DISCHARGE
        return "It was ordered after the discharge."


def _categories(resource: Resource) -> set[str]:
    return {
        str(coding.get("code"))
        for concept in mappings(resource.get("category"))
        for coding in mappings(concept.get("coding"))
    }
