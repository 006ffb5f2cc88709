"""Chart and store: whose record is whose.

The chart is the EHR that launched the app, the store is where the app keeps its work. They are two
endpoints even where one server is both, and an id of one means nothing in the other. A chart is connected
when its server is the store, or when people linked its user and patient with those of the store.
"""

from __future__ import annotations

from dataclasses import dataclass

from smart_app.fhir_client import FhirClient
from smart_app.fhir_json import Resource
from smart_app.messages import N_
from smart_app.problems import Action, ProblemError
from smart_app.session import ChartContext, require_patient, require_store


@dataclass(frozen=True, slots=True)
class StoreLink:
    """The store and who the chart's patient and user are there, as `Type/id`.

    chart_base: base URL of the chart where it is another server, None where it is the store itself.
    """

    store: FhirClient
    patient: str
    author: str | None
    chart_base: str | None

    def reference(self, name: str) -> str:
        """How the store refers to `Type/id` of the chart: absolute where that is another server."""
        return f"{self.chart_base}/{name}" if self.chart_base else name


def store_link(context: ChartContext) -> StoreLink:
    """Raises: ProblemError(store-not-connected, patient-unlinked, store-ended, no-patient)."""
    require_connection(context)
    patient = require_patient(context)
    store = require_store(context)
    if context.in_store is None:
        return StoreLink(store, f"Patient/{patient}", context.user.reference or None, None)
    there = context.in_store
    return StoreLink(store, f"Patient/{there.patient}", there.author, context.issuer.iss)


def require_connection(context: ChartContext) -> None:
    """Stop where the EHR can be connected with the store, and this chart is not (any more).

    Raises: ProblemError(patient-unlinked, store-ended).
    """
    if context.connection == "unlinked":
        way = Action(N_("Compare and confirm"), f"{context.path}connection")
        raise ProblemError("patient-unlinked", actions=(way,))
    if context.connection == "ended":
        raise ProblemError("store-ended", issuer=context.issuer_label)


def require_in_use(patient: Resource) -> None:
    """Stop at a record that care no longer goes on in. Raises: ProblemError(patient-merged)."""
    links = patient.get("link")
    replaced = any(
        isinstance(each, dict) and each.get("type") == "replaced-by"
        for each in (links if isinstance(links, list) else ())
    )
    if replaced or patient.get("active") is False:
        raise ProblemError("patient-merged")
