"""Chart and store: whose record is whose.

The chart is the EHR that launched the app, the store is where the app keeps its work. They are two
endpoints even where one server is both, and an id of one means nothing in the other. Today a chart
is connected when its server is the store; any other chart can be read and compared, not signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from smart_app.fhir_client import FhirClient
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


def store_link(context: ChartContext) -> StoreLink:
    """Raises: ProblemError(store-not-connected, no-patient)."""
    return StoreLink(
        store=require_store(context),
        patient=f"Patient/{require_patient(context)}",
        author=context.user.reference or None,
        chart_base=None,
    )
