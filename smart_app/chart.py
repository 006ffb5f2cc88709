"""Reads a patient's chart in a few parallel searches, and says honestly what could not be read.

Sources: hl7.org/fhir/us/core (searches every EHR offers), hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from smart_app import chart_lines
from smart_app.capability import Capabilities
from smart_app.fhir_client import (
    FhirClient,
    FhirFault,
    Forbidden,
    Refused,
    SearchResult,
    Unauthorized,
    Unavailable,
    reference_of,
)
from smart_app.fhir_json import Resource
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.reconciliation.safety.context import kidney_codes
from smart_app.session import ChartContext, require_patient
from smart_app.view_records import Banner, EncounterLine, Notice, Overview

log = logging.getLogger(__name__)

ANY_INTENT = "proposal,plan,order,original-order,reflex-order,filler-order,instance-order,option"


@dataclass(frozen=True, slots=True)
class ChartSearch:
    """One search. essential: the medication lists are wrong without it, so nothing can be signed."""

    resource_type: str
    label: str
    patient_element: str = "subject"
    parameters: tuple[tuple[str, str], ...] = ()
    includes: tuple[str, ...] = ()
    essential: bool = False


ALLERGIES = N_("allergies")

SEARCHES = (
    ChartSearch(
        "MedicationRequest",
        N_("medication orders"),
        parameters=(("intent", ANY_INTENT),),  # US Core promises patient + intent, not patient alone
        includes=("MedicationRequest:medication", "MedicationRequest:requester"),
        essential=True,
    ),
    ChartSearch(
        "MedicationStatement",
        N_("medication statements"),
        includes=("MedicationStatement:medication",),
        essential=True,
    ),
    ChartSearch("MedicationDispense", N_("fills"), includes=("MedicationDispense:medication",)),
    ChartSearch("List", N_("medication lists"), essential=True),
    ChartSearch("AllergyIntolerance", ALLERGIES, patient_element="patient", essential=True),
    ChartSearch("Encounter", N_("encounters"), includes=("Encounter:service-provider",), essential=True),
    ChartSearch("Condition", N_("conditions")),
    ChartSearch("Observation", N_("kidney function"), parameters=(("code", kidney_codes()),)),
)


@dataclass(frozen=True, slots=True)
class ChartResources:
    """A chart as read. `gaps`: labels of essential searches that failed."""

    patient: Resource
    resources: tuple[Resource, ...]
    notices: tuple[Notice, ...]
    gaps: tuple[str, ...]
    retrieved_at: datetime

    def of(self, resource_type: str) -> tuple[Resource, ...]:
        return tuple(r for r in self.resources if r.get("resourceType") == resource_type)


def gather(context: ChartContext) -> ChartResources:
    """The chart of the context's patient.

    Raises: ProblemError where the patient cannot be read at all; anything else that fails is a notice.
    """
    patient_id = require_patient(context)
    client, pool = context.chart, context.runtime.pool
    capabilities = context.runtime.capabilities.of(client)
    patient = pool.submit(client.read, "Patient", patient_id)
    pending = [
        (search, pool.submit(_search, client, capabilities, search, patient_id))
        for search in SEARCHES
        if capabilities.offers(search.resource_type, "search-type")
    ]
    resources: dict[str, Resource] = {}
    notices: list[Notice] = []
    gaps: list[str] = []
    for search, answer in pending:
        found, failure = _outcome(search, answer)
        if found is not None:
            for resource in (*_of_patient(found, search, patient_id), *found.included):
                resources[reference_of(resource)] = resource
        if failure:
            notices.append(Notice("partial", failure, {"issuer": context.issuer_label, "what": search.label}))
            gaps += [search.label] if search.essential else []
    return ChartResources(
        patient=_checked(patient.result(), patient_id, context),
        resources=tuple(resources.values()),
        notices=(*context.notices, *notices),
        gaps=tuple(gaps),
        retrieved_at=context.runtime.clock(),
    )


def chart_overview(context: ChartContext) -> Overview:
    """The patient's page. Raises: ProblemError, FhirFault."""
    chart = gather(context)
    return overview_of(chart, context)


def overview_of(chart: ChartResources, context: ChartContext) -> Overview:
    """The page of a chart that was read."""
    by_reference = {reference_of(resource): resource for resource in chart.resources}
    return Overview(
        banner=banner_of(chart, context),
        medications=chart_lines.medication_lines(chart.resources, by_reference),
        allergies=chart_lines.allergy_lines(chart.of("AllergyIntolerance")),
        conditions=chart_lines.condition_lines(chart.of("Condition")),
        encounters=encounters_of(chart, context),
        notices=chart.notices,
        retrieved_at=chart.retrieved_at,
    )


def banner_of(chart: ChartResources, context: ChartContext) -> Banner:
    today = chart.retrieved_at.astimezone(context.runtime.settings.zone).date()
    banner = chart_lines.banner(chart.patient, today, shown=context.show_banner)
    lines = chart_lines.allergy_lines(chart.of("AllergyIntolerance"))
    active = tuple(line for line in lines if line.clinical_status in ("active", "recurrence", ""))
    return replace(banner, allergies=None if ALLERGIES in chart.gaps else active)


def encounters_of(chart: ChartResources, context: ChartContext) -> tuple[EncounterLine, ...]:
    by_reference = {reference_of(resource): resource for resource in chart.resources}
    return chart_lines.encounter_lines(chart.of("Encounter"), by_reference, context.runtime.settings.zone)


def _search(
    client: FhirClient, capabilities: Capabilities, search: ChartSearch, patient_id: str
) -> SearchResult:
    parameters = [("patient", patient_id), *search.parameters]
    includes = [
        ("_include", name) for name in search.includes if capabilities.includes(search.resource_type, name)
    ]
    try:
        return client.search(search.resource_type, [*parameters, *includes])
    except Refused:
        if not includes or capabilities.types is not None:
            raise
        return client.search(search.resource_type, parameters)  # it did not say that it has no such include


def _outcome(search: ChartSearch, answer: Future[SearchResult]) -> tuple[SearchResult | None, str]:
    """What a search found, and what must be said about it: a message id, "" for nothing."""
    try:
        found = answer.result()
    except Unauthorized:
        raise
    except Forbidden:
        return None, N_("%(issuer)s does not let you see %(what)s; shown without.")
    except Unavailable:
        return None, N_("%(issuer)s did not answer for %(what)s; shown without.")
    except FhirFault as fault:
        log.warning("search %s: %s", search.resource_type, fault.words)
        return None, N_("%(issuer)s could not be asked for %(what)s; shown without.")
    return found, "" if found.complete else N_("%(issuer)s has more %(what)s than are shown here.")


def _of_patient(found: SearchResult, search: ChartSearch, patient_id: str) -> Sequence[Resource]:
    """The matches that name this patient: a server that ignores a parameter must not mix charts."""
    mine = [r for r in found.matches if _names_patient(r.get(search.patient_element), patient_id)]
    if len(mine) < len(found.matches):
        count = len(found.matches) - len(mine)
        log.warning("search %s: %d matches of other patients dropped", search.resource_type, count)
    return mine


def _names_patient(reference: object, patient_id: str) -> bool:
    text = reference.get("reference") if isinstance(reference, dict) else None
    return isinstance(text, str) and text.split("/_history/")[0].endswith(f"Patient/{patient_id}")


def _checked(patient: Resource, patient_id: str, context: ChartContext) -> Resource:
    if patient.get("id") != patient_id:
        raise ProblemError("ehr-refused", issuer=context.issuer_label, log="another Patient was answered")
    return patient
