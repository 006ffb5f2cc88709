"""Which encounters open a transition, and where the patient went (`data/discharges.json`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from smart_app.fhir_time import instant
from smart_app.transitions.calendar import read_data

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Discharge:
    """A finished stay. destination: community, facility, died, or "" when the record does not say.

    opens: whether the time limits start now.
    """

    encounter: str
    """Its id."""
    patient: str
    """`Patient/id`."""
    admitted_at: datetime | None
    discharged_at: datetime
    destination: str
    opens: bool


def is_stay(encounter: Resource) -> bool:
    """Whether the class is one from which a transition can start, whatever its status."""
    data = read_data("discharges.json")
    coding = encounter.get("class")
    if not isinstance(coding, dict) or coding.get("code") not in data["classes"]:
        return False
    return coding.get("system") in (None, data["class_system"])


def read_discharge(encounter: Resource, zone: ZoneInfo) -> Discharge | None:
    """The discharge of a finished stay; None for any other encounter."""
    period = encounter.get("period")
    subject = encounter.get("subject")
    if not is_stay(encounter) or encounter.get("status") != read_data("discharges.json")["status"]:
        return None
    if not isinstance(period, dict) or not isinstance(subject, dict):
        return None
    end = instant(period.get("end"), zone)
    if end is None:
        return None
    kind = destination(encounter)
    return Discharge(
        encounter=str(encounter.get("id", "")),
        patient=str(subject.get("reference", "")),
        admitted_at=instant(period.get("start"), zone),
        discharged_at=end,
        destination=kind,
        opens=not kind or read_data("discharges.json")["destinations"][kind]["opens"],
    )


def destination(encounter: Resource) -> str:
    """community, facility, died; "" when no known code says it."""
    for code in _disposition_codes(encounter):
        if kind := _destinations().get(code):
            return kind
    return ""


def destination_words(encounter: Resource) -> str:
    """Where the patient went, as the record says it; "" where it does not."""
    hospitalization = encounter.get("hospitalization")
    disposition = hospitalization.get("dischargeDisposition") if isinstance(hospitalization, dict) else None
    if not isinstance(disposition, dict):
        return ""
    if isinstance(disposition.get("text"), str):
        return disposition["text"]
    codings = disposition.get("coding")
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict) and isinstance(coding.get("display"), str):
            return coding["display"]
    return ""


def class_words(code: str) -> str:
    """What a class that opens a transition is called; "" for others."""
    words: str = read_data("discharges.json")["classes"].get(code, "")
    return words


def look_back() -> timedelta:
    """How old a discharge may be that still opens a transition."""
    return timedelta(days=read_data("discharges.json")["look_back_days"])


def class_search() -> str:
    """The value of the search parameter `class` that finds stays."""
    data = read_data("discharges.json")
    return ",".join(f"{data['class_system']}|{code}" for code in data["classes"])


def visit_search() -> str:
    """The value of the search parameter `class` that finds visits after a discharge."""
    data = read_data("discharges.json")
    return ",".join(f"{data['class_system']}|{code}" for code in data["visit_classes"])


@cache
def _destinations() -> dict[str, str]:
    kinds = read_data("discharges.json")["destinations"]
    return {code: kind for kind, row in kinds.items() for code in row["codes"]}


def _disposition_codes(encounter: Resource) -> Iterator[str]:
    hospitalization = encounter.get("hospitalization")
    disposition = hospitalization.get("dischargeDisposition") if isinstance(hospitalization, dict) else None
    codings = disposition.get("coding") if isinstance(disposition, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict):
            yield f"{coding.get('system', '')}|{coding.get('code', '')}"
