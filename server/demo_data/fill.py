"""Fill a store with the synthetic charts of the demonstration, each chart in one transaction, once.

A chart whose Patient is there already stays as it is: what people did with it since must not be overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.demo_data.charts import Chart, bundles, demo_chart
from server.demo_data.home_health import home_health_team
from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest

SEED = 2026
_AUTHOR = Principal("baton-demo", parse_scopes("system/*.cruds"))

# (chart resources, seed, discharge Encounter, now) -> resources laid over the chart by Type/id.
Story = Callable[[Sequence[dict[str, Any]], int, dict[str, Any], datetime], list[dict[str, Any]]]


@dataclass(slots=True)
class Filled:
    """What a filling did. patients, resources: newly written. present: charts that were there already."""

    patients: int = 0
    resources: int = 0
    present: int = 0


def fill(
    context: Context,
    now: datetime,
    stories: Sequence[Story],
    note: Callable[[Chart], None] = lambda chart: None,
) -> Filled:
    """Write every chart that is not there. note: called after each chart, for progress.

    Raises: FhirError when the store refuses a chart.
    """
    filled = Filled()
    for bundle in bundles():
        chart = demo_chart(bundle, now)
        if _is_present(context, chart.patient["id"]):
            filled.present += 1
        else:
            resources = told(chart, now, stories)
            _write(context, resources)
            filled.patients += 1
            filled.resources += len(resources)
        note(chart)
    return filled


def told(chart: Chart, now: datetime, stories: Sequence[Story]) -> list[dict[str, Any]]:
    """The chart with its discharge told by the stories, and who visits the patient at home; unchanged where
    there was no discharge."""
    resources = {(r["resourceType"], r["id"]): r for r in chart.resources}
    if chart.discharge is not None:
        if team := home_health_team(chart.patient["id"]):
            resources["CareTeam", team["id"]] = team
        for story in stories:
            for resource in story(list(resources.values()), SEED, chart.discharge, now):
                # A story is told by another package: take it as it would arrive over the wire.
                resources[resource["resourceType"], resource["id"]] = decode(encode(resource))
    return list(resources.values())


def _is_present(context: Context, patient_id: str) -> bool:
    try:
        perform(context, _AUTHOR, InteractionRequest("read", "Patient", patient_id))
    except FhirError as error:
        if error.kind == "not-found":
            return False
        if error.kind != "deleted":
            raise
    return True


def _write(context: Context, resources: Sequence[dict[str, Any]]) -> None:
    entries = [
        {
            "fullUrl": f"{context.base_url}/{r['resourceType']}/{r['id']}",
            "resource": r,
            "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"},
        }
        for r in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    perform(context, _AUTHOR, InteractionRequest("transaction", body=bundle))
